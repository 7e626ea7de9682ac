"""Simulated against measured: one call from two run directories to a report."""

from __future__ import annotations

from dataclasses import replace
from os import PathLike
from pathlib import Path

from analysis.comparison import Comparison, contrast, setting_differences
from analysis.report.caveats import caveats
from analysis.report.page import write_report
from schedules.record.files import WORLDS
from schedules.result import Result, load_run


def compare(
    sim_dir: str | PathLike[str], real_dir: str | PathLike[str], out_dir: str | PathLike[str], *, force: bool = False
) -> Comparison:
    """Lay a simulation beside its execution and write `report.html`, figures (PNG, SVG) and tables (CSV) to `out_dir`.

    Everything is written to a temporary directory first and moved when it is complete, the report last: a failure
    leaves nothing half written. Equal runs give equal bytes.

    Args:
        sim_dir, real_dir: run directories, of either world.
        out_dir: made if it is not there; files of other names in it are kept.
        force: compare runs of different scenarios, or of other worlds than simulated and measured, with a caveat.
    Returns:
        the comparison; `files` are the paths written.
    Raises:
        ValueError: if a file is missing or unreadable, or the two runs are not of one scenario; both are named.
        OSError: if the report cannot be written.
    """
    simulated, measured = load_run(sim_dir), load_run(real_dir)
    if not force:
        _check(simulated, measured)
    comparison = contrast(simulated, measured)
    comparison = replace(comparison, caveats=caveats(comparison))  # its rules read the comparison, so that comes first
    return replace(comparison, files=write_report(comparison, Path(out_dir)))


def _check(simulated: Result, measured: Result) -> None:
    for run, world in zip((simulated, measured), WORLDS, strict=True):
        if run.world != world:
            raise ValueError(f"{run.directory}/run.json: expected a {world} run, found a {run.world} one")
    ours, theirs = simulated.fingerprint, measured.fingerprint
    if ours != theirs:
        differences = setting_differences(simulated.tables, measured.tables).to_dict("records")
        listed = "; ".join(f"{row['setting']}: {row['simulated']} and {row['measured']}" for row in differences)
        raise ValueError(
            f"{simulated.directory} and {measured.directory}: expected two runs of one scenario, found fingerprints "
            f"{ours} and {theirs} ({listed or 'the scenarios read the same'}); compare them all the same with force"
        )
