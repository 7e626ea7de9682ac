"""`twinclock simulate` of a file with jobs: each alone, and all together on one network."""

from __future__ import annotations

from pathlib import Path

import click

from simulator.jobs.runs import TABLES, JobRuns, simulate_jobs
from simulator.jobs.tables import NetworkJob, load_jobs
from twinclock.endings import bad_input
from twinclock.options import Changes
from twinclock.printing.jobs_table import show_jobs
from twinclock.printing.tables import print_json, print_written
from twinclock.progress import ProgressLine
from twinclock.targets import check_directory, check_run_directory


def run_jobs(
    file: Path, changes: Changes, out: Path | None, *, replay: Path | None, is_forced: bool, as_json: bool
) -> None:
    """Simulate the jobs of a file, print what each loses, and keep the runs."""
    if replay is not None:
        raise bad_input(f"--replay: expected a file of one scenario, found [[job]] tables in {file}")
    jobs = load_jobs(file, changes.overrides(), is_forced=is_forced)
    replaced = _check(out, jobs)
    with ProgressLine(f"simulating {len(jobs)} jobs, each alone and all together") as progress:
        runs = simulate_jobs(jobs, watch=progress.watch)
    written = [] if out is None else runs.save(out)
    if as_json:
        print_json(_record(runs, out, written) | ({"replaced": replaced} if replaced else {}))
        return
    show_jobs(list(runs))
    print_written(written)
    for line in replaced:
        click.echo(f"  {line}")


def _check(out: Path | None, jobs: list[NetworkJob]) -> list[str]:
    """Refuse a directory that is something else; say what will be replaced in it."""
    if out is None:
        return []
    check_directory(out, TABLES)
    return [f"{job.name}: {line}" for job in jobs for line in check_run_directory(out / job.name)]


def _record(runs: JobRuns, out: Path | None, written: list[Path]) -> dict[str, object]:
    jobs = [each.row() | {"alone": each.alone.summary, "together": each.together.summary} for each in runs]
    return {"jobs": jobs, "out": out, "files": written}
