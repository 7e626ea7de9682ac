"""The report of a comparison: one HTML file that needs nothing else, figures as PNG and SVG, tables as CSV."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from analysis.comparison import Comparison
from analysis.figures.style import WORLD_COLOURS, inline_svg, save
from analysis.measures.explanation import Explanation, explain_run
from analysis.report.calibration import calibration_rows, calibration_toml
from analysis.report.rows import (
    distance_row,
    environment,
    operation_groups,
    repeat_row,
    shares_of_time,
    summary_row,
    text,
    tiles,
)
from analysis.report.sections import SECTIONS, drawings
from analysis.report.why import path_table, why_tables
from analysis.tables import leaves
from schedules.record.whole import whole_directory

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from schedules.result import Result

REPORT: Final = "report.html"
_TABLES: Final = ("summary", "operations", "breakdown", "critical_path", "waits", "staleness", "settings")
_LINKS: Final = "links"
_REPEATS: Final = "repeats"


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
    _remove_former(out_dir, written)  # only now that the new one is whole
    return tuple(out_dir / name for name in written)


def _remove_former(out_dir: Path, written: list[str]) -> None:
    """Figures and tables of a former report that this one does not have."""
    # By name, not by suffix: the directory may hold what its owner has put there.
    names = [each.name + suffix for each in drawings() for suffix in (".png", ".svg")]
    for name in (*names, f"{_LINKS}.csv", f"{_REPEATS}.csv"):
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
    links, repeats = comparison.simulated.links, comparison.repeats
    found = dict(zip(_TABLES, tables, strict=True)) | ({} if links is None else {_LINKS: links})
    return found if repeats.empty else {**found, _REPEATS: repeats}


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
    # Scenarios have names that people chose, so all is escaped; a misspelt name in a template is an error, not an empty
    # cell.
    templates = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    # No line ends between a number and its %.
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
            calibration=calibration_rows(comparison),
            repeats=[repeat_row(comparison, row) for row in comparison.repeats.to_dict("records")],
            has_null=comparison.null is not None,
            toml=calibration_toml(comparison),
            scenario=[(key, text(value)) for key, value in leaves(comparison.measured.tables)],
            settings=comparison.settings.to_dict("records"),
            environment=environment(comparison),
            sections=[each for each in SECTIONS if each.is_shown(figures)],
            # Ours, and safe: their texts are escaped already.
            figures={name: Markup(svg) for name, svg in figures.items()},
            colours=WORLD_COLOURS,
        )
        + "\n"
    )


def _title(run: Result) -> str:
    schedule, topology = run.tables.get("schedule", {}), run.tables.get("topology", {})
    workers = topology.get("workers")
    graph = topology.get("graph") or topology.get("file")
    on = f" on {Path(graph).name}" if isinstance(graph, str) else ""
    return f"{Path(schedule.get('program', 'run')).name}{on}" + (f", {workers} workers" if workers is not None else "")
