"""Places to write to, checked before anything is run; and what is there already."""

from __future__ import annotations

from pathlib import Path

from analysis.repeats import numbered_runs
from schedules.record.files import RUN_FILES, check_target, is_run, open_run
from schedules.record.whole import check_place, strangers
from schedules.showing.views import graph_name
from twinclock.endings import bad_input


def check_run_directory(out: Path | None) -> list[str]:
    """A new directory, an empty one, or an earlier run's: then what will be replaced and kept there, in lines."""
    if out is None:
        return []
    check_target(out)
    return _replaced(out)


def check_repeats_directory(out: Path) -> list[str]:
    """As `check_run_directory`; also a directory of repeated runs: `1`, `2`, ..., and nothing else."""
    numbered = numbered_runs(out)
    if not numbered or len(numbered) != len(list(out.iterdir())):
        return check_run_directory(out)
    check_place(out, is_directory=True)
    for each in numbered:
        check_target(each)
    return [f"replaced {len(numbered)} runs of an earlier call: {', '.join(each.name for each in numbered)}"]


def check_directory(out: Path, marks: tuple[str, ...]) -> None:
    """A new directory, an empty one, or one that holds one of `marks`: what an earlier call of the command left."""
    check_place(out, is_directory=True)
    if not out.exists():
        return
    if not out.is_dir():
        raise bad_input(f"{out}: expected a directory, found a file")
    if any(out.iterdir()) and not any((out / mark).exists() for mark in marks):
        known = " or ".join(marks)
        raise bad_input(f"{out}: expected a new or empty directory, or one with {known}, found other files")


def check_file(file: Path) -> None:
    """A new file, one to be replaced, or a device or pipe to be written to."""
    check_place(file)
    if file.is_dir():
        raise bad_input(f"{file}: expected a file, found a directory")


def _replaced(out: Path) -> list[str]:
    """What a run that is there already is, and what beside it will be kept."""
    if not is_run(out):
        return []
    try:
        info = open_run(out).info
        schedule, topology = info["scenario"]["schedule"], info["scenario"]["topology"]
        what = f"{schedule['program']} on {graph_name(topology)}, {topology['workers']} workers"
        told = f"replaced the {info['world']} run of {what}, seed {info['seed']}, started {info['started'] or 'once'}"
    # A run that is damaged, or of before, is replaced as well.
    except (ValueError, KeyError, TypeError):
        told = "replaced a run that cannot be read"
    kept = [each.name for each in strangers(out.resolve(), RUN_FILES)]
    return [told, *([f"kept beside it: {', '.join(kept)}"] if kept else [])]
