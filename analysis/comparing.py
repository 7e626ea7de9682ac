"""Simulated against measured: one call from two run directories to a report."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Final

from analysis.comparison import Comparison, contrast
from analysis.deciding.ranking import Decision
from analysis.repeats import Repeats, load_repeats
from analysis.report.caveats import caveats
from analysis.report.page import write_report
from analysis.tables import setting_differences
from schedules.record.files import WORLDS
from schedules.result import Result, load_run

NULL_TRANSPORT: Final = "none"


def compare(
    sim_dir: str | PathLike[str],
    real_dir: str | PathLike[str],
    out_dir: str | PathLike[str],
    *,
    null: str | PathLike[str] | Result | None = None,
    decision: Decision | None = None,
    force: bool = False,
) -> Comparison:
    """Lay a simulation beside its execution and write `report.html`, figures (PNG, SVG) and tables (CSV) to `out_dir`.

    Everything is written to a temporary directory first and moved when it is complete, the report last: a failure
    leaves nothing half written. Equal runs give equal bytes.

    Args:
        sim_dir: a run directory.
        real_dir: a run directory; or one that holds several executions of the scenario, `1` to `N`: the one in the
            middle is compared, and the spread of all is told.
        out_dir: made if it is not there; files of other names in it are kept.
        null: the null model, a run or its directory: the simulated run's scenario under the transport "none". With it
            "error without a network" stands beside every error: what a prediction adds is the difference.
        decision: of which this is the chosen case; the report says why it was chosen, and whether its ranking held.
        force: compare runs of different scenarios, or of other worlds than simulated and measured, with a caveat.
    Returns:
        the comparison; `files` are the paths written.
    Raises:
        ValueError: if a file is missing or unreadable, or the runs are not of one scenario; both are named. Also if
            the null model is a run with a network.
        OSError: if the report cannot be written.
    """
    simulated, repeats = load_run(sim_dir), load_repeats(real_dir)
    if not force:
        for measured in repeats.runs:
            _check(simulated, measured)
    comparison = contrast(simulated, repeats.runs, _null(null))
    # Its rules read the comparison, so that comes first.
    told = (*_left_out(repeats), *caveats(comparison))
    comparison = replace(comparison, caveats=told, decision=decision)
    return replace(comparison, files=write_report(comparison, Path(out_dir)))


def _null(given: str | PathLike[str] | Result | None) -> Result | None:
    if given is None:
        return None
    null = given if isinstance(given, Result) else load_run(given)
    transport = (null.tables.get("platform") or {}).get("transport")
    if transport != NULL_TRANSPORT:
        where = "null" if null.directory is None else f"{null.directory}/run.json"
        raise ValueError(f"{where}: expected platform.transport {NULL_TRANSPORT!r}, found {transport!r}")
    return null


def _left_out(repeats: Repeats) -> Iterator[str]:
    if repeats.failed:
        names = ", ".join(map(str, repeats.failed))
        yield f"{len(repeats.failed)} of the repeated runs failed and are left out: {names}."


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
