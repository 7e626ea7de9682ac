"""Figures of a sweep: a summary's number against the communication rate, consensus distance against time.

A line is a topology, with any other setting that varies among the runs of a program (its colour and marker), under a
program (its dashes). Runs that differ in the seed only are averaged, and a band shows the lowest and the highest.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from analysis.figures.style import DASHES, INK, LINES, MARKERS, legend_columns, new_figure, styled
from schedules.record.quantities import QUANTITIES, WORK_PER_S, applies, label, largest, time_unit

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TOPOLOGY: Final = "topology.graph"
PROGRAM: Final = "schedule.program"
RATE: Final = "schedule.rate"
MAX_COLUMNS: Final = 4
"""So many panels stand in a row."""

TABLES: Final = ("schedule", "topology", "platform", "workload", "optimizer", "execution")
"""Columns of the keys of these are settings. Of [run] the seed varies, over which a line is averaged."""

Style = dict[str, Any]
"""Colour, marker and dashes of a line, as matplotlib takes them."""


def throughput_against_rate(table: pd.DataFrame, *, rate: str = RATE) -> Figure:
    """Gradients per second against the communication rate. See `against_rate`."""
    return against_rate(table, ["gradients_per_s"], rate=rate)


def utilization_against_rate(table: pd.DataFrame, *, rate: str = RATE) -> Figure:
    """Share of the makespan in which ranks compute, and communicate. See `against_rate`."""
    return against_rate(table, ["utilization_compute", "utilization_communication"], rate=rate)


def staleness_against_rate(table: pd.DataFrame, *, rate: str = RATE) -> Figure:
    """Mean staleness in versions. See `against_rate`."""
    return against_rate(table, ["staleness_mean"], rate=rate)


def rate_overview(table: pd.DataFrame, *, rate: str = RATE) -> Figure:
    """Throughput, exchange rate, compute utilization and mean staleness side by side, and where exchanges answer clocks
    how far they are behind them, in number and in time. See `against_rate`."""
    averaging = [each for each in ("exchange_rate", "backlog_exchanges", "lag_mean_s", "lag_p95_s") if each in table]
    values = ["gradients_per_s", *averaging[:1], "utilization_compute", "staleness_mean", *averaging[1:]]
    own = [each for each in map(str, table) if each.startswith(WORK_PER_S)]
    return against_rate(table, [*own, *(each for each in values if applies(each, largest(table)))], rate=rate)


def against_rate(table: pd.DataFrame, values: Sequence[str], *, rate: str = RATE) -> Figure:
    """Numbers of the summary against the communication rate, a panel a number.

    Args:
        table: one row a run: settings (`topology.graph`, `schedule.program`, both optional, and `rate`) and the values.
        values: columns of the table, SI units; shares are shown in percent.
        rate: the column with the rate, in point-to-point averagings per worker and gradient.
    Raises:
        ValueError: if a column is missing or there is no row.
    """
    _check(table, [rate, *values])
    named = _named(table, rate)
    with styled():
        columns, rows = min(len(values), MAX_COLUMNS), -(-len(values) // MAX_COLUMNS)
        figure, panels = new_figure(max(5.2, 3.1 * columns), 3.3 + 2.7 * (rows - 1), ncols=columns, nrows=rows)
        for axes in panels[len(values) :]:
            axes.remove()
        for axes, value in zip(panels, values, strict=False):
            _mean_lines(axes, named, rate, value)
            _rate_axis(axes, table[rate])
            axes.set_ylim(bottom=0)
            axes.set_xlabel(
                "communication rate (per worker and gradient)" if len(values) == 1 else "communication rate"
            )
            axes.set_ylabel(label(value))
        _legend(figure, named, has_markers=True)
    return figure


def consensus_against_time(table: pd.DataFrame) -> Figure:
    """Consensus distance against time, logarithmic.

    Args:
        table: one row an observation: settings (`topology.graph`, `schedule.program`, both optional), `time_s`,
            `consensus_distance`. Runs of equal settings are told apart by `run` or `run.seed`, a line each.
    Raises:
        ValueError: if a column is missing or there is no row.
    """
    _check(table, ["time_s", "consensus_distance"])
    scale, unit = time_unit(float(table["time_s"].max()))
    named = _named(table.assign(time_s=table["time_s"] / scale), "time_s")
    with styled():
        figure, (axes,) = new_figure(5.2, 3.3)
        _single_lines(axes, named, "time_s", "consensus_distance")
        axes.set_yscale("log", nonpositive="mask")  # workers that begin alike are at distance 0
        axes.set_xlabel(f"time ({unit})")
        axes.set_ylabel(QUANTITIES["consensus_distance"].label)
        _legend(figure, named, has_markers=False)
    return figure


def _check(table: pd.DataFrame, columns: Sequence[str]) -> None:
    missing = [column for column in columns if column not in table]
    if missing or table.empty:
        found = f"{', '.join(missing)} missing" if missing else "no row"
        raise ValueError(f"sweep table: expected rows with the columns {', '.join(columns)}, found {found}")


def _named(table: pd.DataFrame, x: str) -> pd.DataFrame:
    """The table with a `line` (topology, and every other setting that varies) and a `program` for every row."""
    named = table.copy()
    line = table[TOPOLOGY].astype(str) if TOPOLOGY in table else table[x].map(lambda _: "")
    for setting in table.columns:
        is_own = setting.partition(".")[0] in TABLES and setting not in (TOPOLOGY, PROGRAM, x)
        if is_own and _varies(table, setting):
            name = setting.rpartition(".")[2]
            line = line + [
                f" {name}={value}" if value == value and value is not None else "" for value in table[setting]
            ]
    named["line"] = line.str.strip()
    named["program"] = table[PROGRAM].astype(str) if PROGRAM in table else ""
    return named


def _varies(table: pd.DataFrame, setting: str) -> bool:
    """Whether the runs of one program differ in it, or some of them do without; programs are told apart anyway."""
    runs = [rows for _, rows in table.groupby(PROGRAM)] if PROGRAM in table else [table]
    return any(rows[setting].nunique(dropna=False) > 1 for rows in runs)


def _numbers(names: pd.Series[str]) -> dict[str, int]:
    """Numbers for names, in the order of the table."""
    return {str(name): number for number, name in enumerate(names.unique())}


def _selections(named: pd.DataFrame) -> Iterator[tuple[Style, pd.DataFrame]]:
    """The style and the rows of every line."""
    lines, programs = _numbers(named["line"]), _numbers(named["program"])
    for (line, program), rows in named.groupby(["line", "program"], sort=False):
        yield _style(lines[str(line)], programs[str(program)]), rows


def _mean_lines(axes: Axes, named: pd.DataFrame, x: str, value: str) -> None:
    scale = QUANTITIES[value].scale if value in QUANTITIES else 1
    for style, rows in _selections(named):
        grouped = rows.groupby(x, sort=True)[value]
        mean = grouped.mean() * scale
        axes.plot(mean.index, mean, **style)
        low = grouped.min() * scale
        high = grouped.max() * scale
        if (high > low).any():  # one seed has no band
            axes.fill_between(mean.index, low, high, color=style["color"], alpha=0.15, linewidth=0)


def _single_lines(axes: Axes, named: pd.DataFrame, x: str, value: str) -> None:
    """One line a run; runs are told apart by their name or seed."""
    keys = [key for key in ("run", "run.seed") if key in named]
    for style, rows in _selections(named):
        for _, run in rows.groupby(keys, sort=False) if keys else [("", rows)]:
            ordered = run.sort_values(x)
            axes.plot(ordered[x], ordered[value], **style | {"marker": ""})


def _style(colour: int, dash: int) -> Style:
    return {
        "color": LINES[colour % len(LINES)],
        "marker": MARKERS[colour % len(MARKERS)],
        "linestyle": DASHES[dash % len(DASHES)],
    }


def _rate_axis(axes: Axes, rates: pd.Series[float]) -> None:
    """Ticks at the rates themselves; logarithmic where they span more than a factor of four."""
    values = np.unique(rates.to_numpy(dtype=np.float64))
    if values[0] > 0 and values[-1] > 4 * values[0]:
        axes.set_xscale("log", base=2)
    if len(values) <= 8:
        axes.set_xticks(values, [f"{value:g}" for value in values])
        axes.minorticks_off()  # a logarithmic axis would write more numbers between them


def _legend(figure: Figure, named: pd.DataFrame, *, has_markers: bool) -> None:
    """Colours for the topologies, and dashes for the programs where there are several."""
    from matplotlib.lines import Line2D

    marker: Style = {} if has_markers else {"marker": ""}
    lines, programs = _numbers(named["line"]), _numbers(named["program"])
    handles = [Line2D([], [], label=name, **_style(i, 0) | marker) for name, i in lines.items() if name]
    if len(programs) > 1:
        plain: Style = {"color": INK, "marker": ""}
        handles += [Line2D([], [], label=name, **_style(0, i) | plain) for name, i in programs.items()]
    if handles:
        columns = legend_columns(figure, [str(each.get_label()) for each in handles])
        figure.legend(handles=handles, loc="outside lower center", ncols=columns, handlelength=3)
