"""What cases of a sweep come to over as many samples: loss against seconds, a panel a platform."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np

from analysis.deciding.pareto import compared, platforms, unbeaten
from analysis.figures.style import LINES, MARKERS, new_figure, styled
from schedules.record.quantities import label, time_unit

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

PROGRAM, CODEC = "schedule.program", "schedule.codec"


def loss_against_seconds(table: pd.DataFrame) -> Figure:
    """Loss against the makespan, both logarithmic; a colour and marker a program (and codec, where these differ), and
    filled where no other case of the platform beats it in loss, seconds, bytes, staleness and memory.

    Args:
        table: of a sweep whose cases go over as many samples, as `simulator.sweep` returns it.
    Raises:
        ValueError: if no case has all of these numbers.
    """
    from matplotlib.ticker import FormatStrFormatter, LogLocator, NullFormatter

    cases, kept = compared(table), set(unbeaten(table).index)
    if cases.empty:
        raise ValueError("sweep table: expected a case with a loss, found none")
    groups = platforms(cases)
    series = cases[PROGRAM].astype(str)
    if CODEC in cases and cases[CODEC].astype(str).nunique() > 1:  # these follow from one another by no number
        codecs = cases[CODEC].map(_codec)
        series = codecs if series.nunique() == 1 else series + ", " + codecs
    programs = list(dict.fromkeys(series))
    scale, unit = time_unit(float(np.median(cases["makespan_s"])))
    with styled():
        figure, panels = new_figure(
            3.1 * len(groups) + max(1.2, 0.085 * max(map(len, programs))), 3.4, ncols=len(groups)
        )
        for axes, (name, rows) in zip(panels, groups, strict=True):
            for number, program in enumerate(programs):
                of_it = rows[series[rows.index] == program].sort_values("makespan_s")
                colour, marker = _style(number)
                x, y = of_it["makespan_s"] / scale, of_it["loss"]
                axes.plot(x, y, color=colour, linewidth=0.8, alpha=0.6)
                for is_kept in (True, False):
                    chosen = [index for index in of_it.index if (index in kept) == is_kept]
                    fill = colour if is_kept else "none"
                    axes.scatter(x.loc[chosen], y.loc[chosen], s=26, marker=marker, facecolor=fill, edgecolor=colour)
            axes.set_xscale("log")
            axes.set_yscale("log")
            axes.set_title(name)
            axes.set_xlabel(f"makespan ({unit})")
            axes.sharex(panels[0])
            axes.sharey(panels[0])
        panels[0].xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        panels[0].xaxis.set_major_formatter(FormatStrFormatter("%g"))
        panels[0].xaxis.set_minor_formatter(NullFormatter())
        panels[0].set_ylabel(label("loss"))
        handles = [
            panels[0].scatter([], [], s=26, marker=_style(number)[1], color=_style(number)[0], label=program)
            for number, program in enumerate(programs)
        ]
        figure.legend(handles=handles, loc="outside right upper")
    return figure


def _style(number: int) -> tuple[str, str]:
    """Colour and marker of a series; no two of the first fifty are alike."""
    turn = number // len(LINES)
    return LINES[number % len(LINES)], MARKERS[(number + turn) % len(MARKERS)]


def _codec(told: object) -> str:
    """A codec as a name: what a table of it has, in words."""
    text = str(told)
    if not text.startswith("{"):
        return text
    table = json.loads(text)
    return str(table.pop("name")) + "".join(
        f", {key.replace('_', ' ')}" for key, value in table.items() if value is True
    )
