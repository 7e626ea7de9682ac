"""The report of a comparison: one HTML file that needs nothing else, figures as PNG and SVG, tables as CSV."""

from __future__ import annotations

import json
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from analysis.comparison import Comparison, leaves
from analysis.figures.bars import breakdown_bars, curves, readable_window, staleness_bars, timeline
from analysis.figures.graph import graph_figure
from analysis.figures.memory import memory_curve
from analysis.figures.style import WORLD_COLOURS, inline_svg, save
from analysis.measures.explanation import Explanation, explain_run
from analysis.measures.fits import DurationFit, LinkFit, platform_toml
from analysis.measures.metrics import PARTS
from analysis.report.why import path_table, section
from schedules.record.kinds import COMPUTE
from schedules.record.quantities import MISSING, QUANTITIES, number, percent, quantity, relative_error, with_unit
from schedules.record.whole import whole_directory

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from schedules.result import Result

REPORT: Final = "report.html"
_FIGURES: Final = ("timeline", "breakdown", "network", "memory", "memory_measured", "staleness", "curves")
_TABLES: Final = ("summary", "operations", "breakdown", "critical_path", "waits", "staleness", "settings")
_LINKS: Final = "links"
_QUANTITIES: Final = {
    "count": "count",
    "duration_s": "duration",
    "transfer_s": "transfer",
    "waiting_s": "waiting",
    "bytes": "bytes",
}
_QUANTITIES_OF_COMPUTE: Final = {"transfer_s": "running", "waiting_s": "queueing"}
_TILES: Final = ("gradients_per_s", "makespan_s", "utilization_compute", "staleness_mean", "loss")
_GOOD: Final = 0.02
_BAD: Final = 0.10


def write_report(comparison: Comparison, out_dir: Path) -> tuple[Path, ...]:
    """Write everything, all or nothing.

    Returns:
        the paths written, the report first.
    Raises:
        ValueError: if `out_dir` is a file.
        OSError: if it cannot be written.
    """
    with whole_directory(out_dir, REPORT) as place:
        figures = _figures(comparison)
        for name, figure in figures.items():
            save(figure, place / name)
        explanations = {world: explain_run(run) for world, run in comparison.runs.items()}
        for name, table in _tables(comparison, explanations).items():
            table.to_csv(place / f"{name}.csv", index=False, lineterminator="\n")
        drawn = {name: (place / f"{name}.svg").read_text(encoding="utf-8") for name in figures}
        html = render(comparison, {name: inline_svg(svg, name) for name, svg in drawn.items()}, explanations)
        (place / REPORT).write_text(html, encoding="utf-8")
        written = sorted((each.name for each in place.iterdir()), key=lambda name: (name != REPORT, name))
    _remove_former(out_dir, written)
    return tuple(out_dir / name for name in written)


def _remove_former(out_dir: Path, written: list[str]) -> None:
    """Figures and tables of a former report that this one does not have."""
    names = [name + suffix for name in _FIGURES for suffix in (".png", ".svg")]
    for name in (*names, f"{_LINKS}.csv"):
        if name not in written:
            (out_dir / name).unlink(missing_ok=True)


def _figures(comparison: Comparison) -> dict[str, Figure]:
    runs = comparison.runs
    traces = {world: run.kept_trace for world, run in runs.items()}
    series = {world: run.series for world, run in runs.items()}
    window = readable_window(traces, comparison.simulated.gradient_s)
    figures = {
        "timeline": timeline(traces, window),
        "breakdown": breakdown_bars(comparison.breakdowns),
        "network": _network(comparison.simulated),
        "memory": _memory(comparison.simulated),
        "memory_measured": _memory(comparison.measured),
        "staleness": staleness_bars(comparison.staleness),
        "curves": curves({world: each for world, each in series.items() if each is not None}),
    }
    assert tuple(figures) == _FIGURES
    return {name: figure for name, figure in figures.items() if figure is not None}


def _network(run: Result) -> Figure | None:
    """The network with its links coloured by utilisation, where the run knows them and they carried anything."""
    if run.network is None or run.links is None or not (run.links["carried_bytes"] > 0).any():
        return None
    return graph_figure(run.network, run.links)


def _memory(run: Result) -> Figure | None:
    return None if run.memory is None else memory_curve(run.memory)


def _tables(comparison: Comparison, explanations: dict[str, Explanation]) -> dict[str, pd.DataFrame]:
    import pandas as pd

    parts = pd.concat(comparison.breakdowns, names=["world"]).reset_index()
    waits = {world: each.waits for world, each in explanations.items() if each.waits is not None}
    tables = (
        comparison.summary,
        comparison.operations,
        parts,
        path_table(explanations),
        pd.concat(waits, names=["world"]).reset_index("world"),
        comparison.distances,
        comparison.settings,
    )
    links = comparison.simulated.links
    return dict(zip(_TABLES, tables, strict=True)) | ({} if links is None else {_LINKS: links})


def render(comparison: Comparison, figures: dict[str, str], explanations: dict[str, Explanation] | None = None) -> str:
    """The page.

    Args:
        comparison: what to say.
        figures: `<svg>` elements by name.
        explanations: by world; worked out if they are not given.
    """
    import jinja2
    from markupsafe import Markup

    loader = jinja2.PackageLoader("analysis.report", "templates")
    environment = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    environment.filters["joined"] = lambda text: text.replace(" %", "\N{NO-BREAK SPACE}%")
    page = environment.get_template("report.html.j2")
    return (
        page.render(
            comparison=comparison,
            title=_title(comparison.measured),
            tiles=_tiles(comparison),
            summary=[_summary_row(row) for row in comparison.summary.to_dict("records")],
            operations=_operation_groups(comparison),
            distances=[_distance_row(row) for row in comparison.distances.to_dict("records")],
            parts=_parts(comparison),
            why=section(explanations or {world: explain_run(run) for world, run in comparison.runs.items()}),
            calibration=_calibration_rows(comparison),
            toml=platform_toml(comparison.calibrations["measured"], _distribution(comparison.simulated)),
            scenario=[(key, _text(value)) for key, value in leaves(comparison.measured.tables)],
            settings=comparison.settings.to_dict("records"),
            environment=_environment(comparison),
            figures={name: Markup(svg) for name, svg in figures.items()},
            colours=WORLD_COLOURS,
        )
        + "\n"
    )


def _title(run: Result) -> str:
    schedule, topology = run.tables.get("schedule", {}), run.tables.get("topology", {})
    workers = topology.get("workers")
    on = f" on {topology['graph']}" if isinstance(topology.get("graph"), str) else ""
    return f"{schedule.get('program', 'run')}{on}" + (f", {workers} workers" if workers is not None else "")


def _class(error: float | None) -> str:
    if error is None or not isfinite(error):
        return ""
    return "good" if abs(error) <= _GOOD else "bad" if abs(error) > _BAD else "fair"


def _tiles(comparison: Comparison) -> list[dict[str, str]]:
    rows = {row["key"]: row for row in comparison.summary.to_dict("records")}
    return [
        {"name": QUANTITIES[key].of_a_run, "error": percent(rows[key]["error"]), "class": _class(rows[key]["error"])}
        for key in _TILES
        if key in rows and isfinite(rows[key]["error"])
    ]


def _summary_row(row: dict[Any, Any]) -> dict[str, str]:
    return {
        "key": row["key"],
        "simulated": quantity(row["key"], row["simulated"]),
        "measured": quantity(row["key"], row["measured"]),
        "error": percent(row["error"]),
        "class": _class(row["error"]),
    }


def _operation_groups(comparison: Comparison) -> list[dict[str, Any]]:
    """One group a kind, with a row for every quantity that says something new."""
    groups = []
    for kind, rows in comparison.operations.groupby("kind", sort=True):
        names = _QUANTITIES | (_QUANTITIES_OF_COMPUTE if str(kind).startswith(COMPUTE) else {})
        told = _told_apart(rows.to_dict("records"))
        shown = [_summary_row({**row, "key": row["quantity"]}) | {"name": names[row["quantity"]]} for row in told]
        groups.append({"kind": kind, "rows": shown})
    return groups


def _told_apart(rows: list[dict[Any, Any]]) -> list[dict[Any, Any]]:
    """Without transfer or waiting where it is the whole duration in both worlds."""
    values = {row["quantity"]: (row["simulated"], row["measured"]) for row in rows}
    whole = values.get("duration_s")
    return [
        row for row in rows if row["quantity"] in ("count", "duration_s", "bytes") or values[row["quantity"]] != whole
    ]


def _distance_row(row: dict[Any, Any]) -> dict[str, str]:
    numbers = ("simulated_mean", "measured_mean", "wasserstein_1", "kolmogorov_smirnov")
    return {"applied": row["applied"], **{name: number(row[name], 3) for name in numbers}}


def _parts(comparison: Comparison) -> list[dict[str, str]]:
    """Shares of the makespan, mean over ranks."""
    rows = []
    for part in PARTS:
        simulated, measured = (
            float(table[f"{part}_ns"].sum() / table["makespan_ns"].sum()) for table in comparison.breakdowns.values()
        )
        difference = f"{100 * (simulated - measured):+.1f} points"
        shares = {"simulated": percent(simulated, signed=False), "measured": percent(measured, signed=False)}
        rows.append({"part": part, **shares, "difference": difference})
    return rows


def _calibration_rows(comparison: Comparison) -> list[dict[str, str]]:
    ours, theirs = (comparison.calibrations[world] for world in ("simulated", "measured"))
    rows = []
    for kernel, fit in theirs.kernels.items():
        same = ours.kernels.get(kernel)
        rows.append(_calibration_row(f"{kernel}, mean", _of(same, "mean_s"), fit.mean_s, "s"))
        rows.append(_calibration_row(f"{kernel}, coefficient of variation", _of(same, "cv"), fit.cv, ""))
        slowest = min(same.speeds) if same else None
        rows.append(_calibration_row(f"{kernel}, speed of the slowest rank", slowest, min(fit.speeds), ""))
    if theirs.link is not None:
        link = ours.link
        if theirs.link.latency_s is not None:
            rows.append(_calibration_row("link latency", _of(link, "latency_s"), theirs.link.latency_s, "s"))
        label = "link bandwidth" if theirs.link.latency_s is not None else "effective link bandwidth"
        rows.append(_calibration_row(label, _of(link, "bandwidth"), theirs.link.bandwidth, "B/s"))
        rows.append(_calibration_row("scatter about this fit", _of(link, "residual"), theirs.link.residual, ""))
    return rows


def _calibration_row(name: str, simulated: float | None, measured: float, unit: str) -> dict[str, str]:
    simulated_text, measured_text = (
        MISSING if value is None else with_unit(value, unit) if unit else number(value, 3)
        for value in (simulated, measured)
    )
    error = percent(relative_error(simulated, measured))
    return {"name": name, "simulated": simulated_text, "measured": measured_text, "error": error}


def _of(fit: DurationFit | LinkFit | None, name: str) -> float | None:
    return None if fit is None else getattr(fit, name)


def _distribution(run: Result) -> str:
    platform = run.tables.get("platform", {})
    gradient = platform.get("gradient", {}) if isinstance(platform, dict) else {}
    return str(gradient.get("distribution", "lognormal")) if isinstance(gradient, dict) else "lognormal"


def _environment(comparison: Comparison) -> list[dict[str, Any]]:
    """Rows name, simulated, measured, and whether they differ."""
    rows = [_environment_row(name, comparison, name) for name in ("seed", "fingerprint", "started")]
    rows.append(_row("gradient time", *(with_unit(run.gradient_s, "s") for run in comparison.runs.values())))
    for table in ("host", "versions"):
        contents = [run.info.get(table) for run in comparison.runs.values()]
        tables = [each if isinstance(each, dict) else {table: each} for each in contents]
        rows += [
            _row(key, *(_text(each.get(key)) for each in tables)) for key in dict.fromkeys([*tables[0], *tables[1]])
        ]
    return rows


def _environment_row(name: str, comparison: Comparison, key: str) -> dict[str, Any]:
    return _row(name, *(_text(run.info.get(key)) for run in comparison.runs.values()))


def _row(name: str, simulated: str, measured: str) -> dict[str, Any]:
    differs = simulated != measured and name != "started"
    return {"name": name, "simulated": simulated, "measured": measured, "differs": differs}


def _text(value: Any) -> str:
    if value is None:
        return MISSING
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)
