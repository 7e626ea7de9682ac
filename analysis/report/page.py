"""The report of a comparison or of one run: one HTML file that needs nothing else, figures as PNG and SVG, tables as
CSV."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from analysis.alone import Alone
from analysis.comparison import Comparison
from analysis.figures.style import WORLD_COLOURS, inline_svg, save
from analysis.measures.explanation import Explanation, explain_run
from analysis.pipelines.sections import idle_columns, idle_rows, idle_table, latency_words
from analysis.report.calibration import calibration_rows, calibration_toml
from analysis.report.rows import (
    distance_row,
    environment,
    operation_groups,
    repeat_row,
    run_tiles,
    shares_of_time,
    summary_row,
    text,
    tiles,
)
from analysis.report.sections import SECTIONS, drawings
from analysis.report.why import path_table, why_tables
from analysis.tables import leaves
from schedules.record.files import MEASURED
from schedules.record.whole import whole_directory
from schedules.showing.views import graph_name

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from schedules.result import Result

REPORT: Final = "report.html"
_MARK: Final = '<meta name="generator" content="twinclock">'
"""What a page says of itself."""
_TABLES: Final = (
    "summary", "operations", "breakdown", "critical_path", "waits", "staleness", "settings", "links", "repeats",
    "decision", "idle",
)  # fmt: skip
"""All that a report may have."""
_CLASSES: Final = {"simulated": "sim", "measured": "real"}


def check_former(out_dir: Path) -> None:
    """Refuse a directory with a page of somebody else's: it would be lost.

    Raises:
        ValueError: if there is one.
    """
    former = out_dir / REPORT
    if former.exists() and _MARK not in former.read_text(encoding="utf-8", errors="replace"):
        raise ValueError(f"{former}: expected no file, or an earlier report's, found something else")


def write_report(shown: Comparison | Alone, out_dir: Path) -> tuple[Path, ...]:
    """Write everything, all or nothing.

    Returns:
        the paths written, the report first.
    Raises:
        ValueError: if `out_dir` is a file, or has a page of somebody else's.
        OSError: if it cannot be written.
    """
    check_former(out_dir)
    with whole_directory(out_dir, REPORT) as place:
        figures = _figures(shown)
        for name, figure in figures.items():
            save(figure, place / name)
        explanations = {world: explain_run(run) for world, run in shown.runs.items()}
        for name, table in _tables(shown, explanations).items():
            table.to_csv(place / f"{name}.csv", index=False, lineterminator="\n")
        drawn = {name: (place / f"{name}.svg").read_text(encoding="utf-8") for name in figures}
        html = render(shown, {name: inline_svg(svg, name) for name, svg in drawn.items()}, explanations)
        (place / REPORT).write_text(html, encoding="utf-8")
        written = sorted((each.name for each in place.iterdir()), key=lambda name: (name != REPORT, name))
    _remove_former(out_dir, written)  # only now that the new one is whole
    return tuple(out_dir / name for name in written)


def _remove_former(out_dir: Path, written: list[str]) -> None:
    """Figures and tables of a former report that this one does not have."""
    # By name, not by suffix: the directory may hold what its owner has put there.
    names = [each.name + suffix for each in drawings() for suffix in (".png", ".svg")]
    for name in (*names, *(f"{table}.csv" for table in _TABLES)):
        if name not in written:
            (out_dir / name).unlink(missing_ok=True)


def _figures(shown: Comparison | Alone) -> dict[str, Figure]:
    built = {each.name: each.build(shown) for each in drawings()}
    return {name: figure for name, figure in built.items() if figure is not None}


def _tables(shown: Comparison | Alone, explanations: dict[str, Explanation]) -> dict[str, pd.DataFrame]:
    """The tables that there are, with the keys and columns that programs look for."""
    import pandas as pd

    found: dict[str, pd.DataFrame | None] = {"summary": shown.summary, "operations": shown.operations}
    if shown.breakdowns:
        waits = {world: each.waits for world, each in explanations.items() if each.waits is not None}
        found["breakdown"] = pd.concat(shown.breakdowns, names=["world"]).reset_index()
        found["critical_path"] = path_table(explanations)
        found["waits"] = pd.concat(waits, names=["world"]).reset_index("world")
    found["idle"] = idle_table(shown.idle)
    found["links"] = next(iter(shown.runs.values())).links
    if isinstance(shown, Comparison):
        found |= {"staleness": shown.distances, "settings": shown.settings}
        found["decision"] = None if shown.decision is None else shown.decision.table
        found["repeats"] = None if shown.repeats.empty else shown.repeats
    return {name: table for name, table in found.items() if table is not None}


def render(
    shown: Comparison | Alone, figures: dict[str, str], explanations: dict[str, Explanation] | None = None
) -> str:
    """The page.

    Args:
        shown: what to say.
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
    page = templates.get_template("comparison.html.j2" if isinstance(shown, Comparison) else "run.html.j2")
    why = explanations or {world: explain_run(run) for world, run in shown.runs.items()}
    content = {
        **_content(shown),
        "why": why_tables(why),
        "sections": [each for each in SECTIONS if each.suits(shown) and each.is_shown(figures)],
        # Ours, and safe: their texts are escaped already.
        "figures": {name: Markup(svg) for name, svg in figures.items()},
        "colours": WORLD_COLOURS,
        **_columns(shown),
    }
    return page.render(**content) + "\n"


def _columns(shown: Comparison | Alone) -> dict[str, object]:
    """The columns of numbers that tables have, as `macros.html.j2` takes them: of each run, and of errors."""
    is_pair, has_null = len(shown.runs) > 1, isinstance(shown, Comparison) and shown.null is not None
    errors = [("error", "error", "n")] if is_pair else []
    return {
        "is_pair": is_pair,
        "has_null": has_null,
        "values": [(world, world, f"n {_CLASSES[world]}") for world in shown.runs],
        "texts": [(world, world, f"wrap {_CLASSES[world]}") for world in shown.runs],
        "errors": [*errors, ("error without a network", "without", "n soft")] if has_null else errors,
    }


def _content(shown: Comparison | Alone) -> dict[str, object]:
    """What templates show beside figures, by the names that they have for it."""
    last = list(shown.runs.values())[-1]  # the measured one where there are two
    rows = _compared(shown) if isinstance(shown, Comparison) else _alone(shown)
    return {
        "shown": shown,
        "title": _title(last),
        "summary": [summary_row(row) for row in shown.summary.to_dict("records")],
        "operations": operation_groups(shown.operations),
        "parts": shares_of_time(shown),
        "calibration": calibration_rows(shown),
        "toml": calibration_toml(shown) if MEASURED in shown.calibrations else "",
        "scenario": [{"name": key, "value": text(value)} for key, value in leaves(last.tables)],
        "environment": environment(shown.runs),
        "idle": idle_rows(shown.idle),
        "idle_columns": idle_columns(),
        "idle_latency": latency_words(shown.idle),
        **rows,
    }


def _compared(comparison: Comparison) -> dict[str, object]:
    measured = comparison.measured.directory
    again = measured.parent if measured is not None and not comparison.repeats.empty else measured
    return {
        "tiles": tiles(comparison),
        "decision": [] if comparison.decision is None else comparison.decision.rows(),
        "distances": [distance_row(row) for row in comparison.distances.to_dict("records")],
        "repeats": [repeat_row(comparison, row) for row in comparison.repeats.to_dict("records")],
        "settings": comparison.settings.to_dict("records"),
        "again": f"twinclock compare {comparison.simulated.directory} {again}",
    }


def _alone(alone: Alone) -> dict[str, object]:
    place = alone.run.directory
    return {
        "tiles": run_tiles(alone),
        "decision": [],
        "distances": [],
        "repeats": [],
        "settings": [],
        "again": "" if place is None else f"twinclock report {place}",
    }


def _title(run: Result) -> str:
    schedule, topology = run.tables.get("schedule", {}), run.tables.get("topology", {})
    workers = topology.get("workers")
    graph = graph_name(topology)
    on = "" if graph == "?" else f" on {graph}"
    return f"{Path(schedule.get('program', 'run')).name}{on}" + (f", {workers} workers" if workers is not None else "")
