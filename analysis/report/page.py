"""The report of a comparison: one HTML file that needs nothing else, figures as PNG and SVG, tables as CSV."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from analysis.comparison import Comparison, leaves
from analysis.figures.style import WORLD_COLOURS, inline_svg, save
from analysis.measures.explanation import Explanation, explain_run
from analysis.measures.fits import DurationFit, LinkFit, platform_toml
from analysis.report.rows import (
    distance_row,
    environment,
    operation_groups,
    shares_of_time,
    summary_row,
    text,
    tiles,
)
from analysis.report.sections import SECTIONS, drawings
from analysis.report.why import path_table, why_tables
from schedules.record.quantities import MISSING, number, percent, relative_error, with_unit
from schedules.record.whole import whole_directory

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from schedules.result import Result

REPORT: Final = "report.html"
_TABLES: Final = ("summary", "operations", "breakdown", "critical_path", "waits", "staleness", "settings")
_LINKS: Final = "links"


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
    # By name, not by suffix: the directory may hold what its owner has put there.
    names = [each.name + suffix for each in drawings() for suffix in (".png", ".svg")]
    for name in (*names, f"{_LINKS}.csv"):
        if name not in written:
            (out_dir / name).unlink(missing_ok=True)


def _figures(comparison: Comparison) -> dict[str, Figure]:
    built = {each.name: each.build(comparison) for each in drawings()}
    return {name: figure for name, figure in built.items() if figure is not None}


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
    templates = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    templates.filters["joined"] = lambda text: text.replace(" %", "\N{NO-BREAK SPACE}%")
    page = templates.get_template("report.html.j2")
    return (
        page.render(
            comparison=comparison,
            title=_title(comparison.measured),
            tiles=tiles(comparison),
            summary=[summary_row(row) for row in comparison.summary.to_dict("records")],
            operations=operation_groups(comparison),
            distances=[distance_row(row) for row in comparison.distances.to_dict("records")],
            parts=shares_of_time(comparison),
            why=why_tables(explanations or {world: explain_run(run) for world, run in comparison.runs.items()}),
            calibration=_calibration_rows(comparison),
            toml=platform_toml(comparison.calibrations["measured"], _distribution(comparison.simulated)),
            scenario=[(key, text(value)) for key, value in leaves(comparison.measured.tables)],
            settings=comparison.settings.to_dict("records"),
            environment=environment(comparison),
            sections=[each for each in SECTIONS if each.is_shown(figures)],
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
