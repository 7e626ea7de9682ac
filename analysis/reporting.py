"""One run alone: from its directory to a page."""

from __future__ import annotations

from dataclasses import replace
from os import PathLike
from pathlib import Path

from analysis.alone import Alone, alone
from analysis.report.page import write_report
from schedules.result import Result, load_run


def report_run(run: str | PathLike[str] | Result, out_dir: str | PathLike[str]) -> Alone:
    """Write the page of one run, simulated or measured: `report.html`, figures (PNG, SVG) and tables (CSV).

    All or nothing, as `compare`. Equal runs give equal bytes.

    Args:
        run: a run or its directory.
        out_dir: made if it is not there; files of other names in it are kept.
    Returns:
        what the page says; `files` are the paths written.
    Raises:
        ValueError: if a file of the run is missing or unreadable; it is named.
        OSError: if the page cannot be written.
    """
    found = alone(run if isinstance(run, Result) else load_run(run))
    return replace(found, files=write_report(found, Path(out_dir)))
