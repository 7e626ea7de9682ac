"""One picture of a run: what its ranks did when."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from analysis.figures.style import styled
from analysis.pipelines.drawing import readable_window, stages_figure
from analysis.pipelines.steps import steps_of_run
from analysis.plotting import run_figures
from schedules.record.quantities import quantity
from schedules.record.whole import whole_file

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from schedules.result import Result

SUFFIXES: Final = (".svg", ".png")
_WIDTH: Final = 10.0
"""Inches: 1,600 pixels."""
_DOTS: Final = 160
"""Pixels an inch."""
_MOST_STEPS: Final = 2000
"""That a rank's row has room for: of more, the first."""
_NO_METADATA: Final = {"Creator": None, "Date": None, "Format": None, "Type": None}


def draw_run(run: Result, file: Path) -> str:
    """Write a picture of a run, 1,600 pixels wide; equal runs give equal bytes.

    A pipeline has a row a rank, with a box a step; any other run its computations above its communications, as long as
    they can be told apart.

    Args:
        run: of either world, with its trace.
        file: its suffix, one of `SUFFIXES`, says the format.
    Returns:
        what it shows, in a line.
    Raises:
        ValueError: if the run has no trace, or nothing was done in it.
        OSError: if the file cannot be written.
    """
    place = f"{run.directory}: " if run.directory is not None else ""
    if run.kept_trace.empty:
        raise ValueError(f"{place}expected a run in which something was done, found an empty trace")
    steps = steps_of_run(run.kept_trace)
    title = _title(run, steps)
    figure = _timeline(run) if steps is None else _pipeline(run, steps, title)
    _write(figure, file)
    return title


def _title(run: Result, steps: pd.DataFrame | None) -> str:
    schedule, workers = run.tables.get("schedule", {}), run.tables.get("topology", {}).get("workers", "?")
    named = [Path(str(schedule.get("program", "run"))).name, f"{workers} workers"]
    if steps is None:
        return f"{', '.join(named)}, {run.world}"
    number = steps.loc[steps["micro_batch"] >= 0, "micro_batch"].nunique()
    told = f"{', '.join(named)}, {number} micro-batches, {run.world}"
    makespan_s = run.summary.get("makespan_s")
    return told if makespan_s is None else f"{told}: {quantity('makespan_s', makespan_s)}"


def _pipeline(run: Result, steps: pd.DataFrame, title: str) -> Figure:
    shown = {run.world: steps}
    return stages_figure(shown, window_ns=readable_window(shown, _MOST_STEPS), title=title, width=_WIDTH)


def _timeline(run: Result) -> Figure:
    figure = cast("Figure", run_figures(run, "timeline"))
    figure.set_figwidth(_WIDTH)
    return figure


def _write(figure: Figure, file: Path) -> None:
    with whole_file(file) as place, styled():
        if file.suffix.lower() == ".png":
            figure.savefig(place, dpi=_DOTS, metadata={"Software": None})  # else matplotlib's version is in the bytes
            return
        figure.savefig(place, format="svg", metadata=_NO_METADATA)
        place.write_text(_in_pixels(place.read_text(encoding="utf-8")), encoding="utf-8")


def _in_pixels(svg: str) -> str:
    """With its size in pixels in the place of points, of which a page would make fewer."""

    def told(match: re.Match[str]) -> str:
        return f'{match[1]}="{round(float(match[2]) * _DOTS / 72)}"'

    return re.sub(r'\b(width|height)="([\d.]+)pt"', told, svg, count=2)
