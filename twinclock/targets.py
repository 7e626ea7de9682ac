"""Places to write to, checked before anything is run."""

from __future__ import annotations

import os
from pathlib import Path

from analysis.repeats import numbered_runs
from schedules.record.files import check_target
from twinclock.endings import bad_input


def check_run_directory(out: Path | None) -> None:
    """A new directory, an empty one, or an earlier run's."""
    if out is not None:
        check_place(out)
        check_target(out)


def check_repeats_directory(out: Path) -> None:
    """A new directory, an empty one, an earlier run's, or one of repeated runs: `1`, `2`, ..., and nothing else."""
    check_place(out)
    if numbered_runs(out) and len(numbered_runs(out)) == len(list(out.iterdir())):
        return
    check_target(out)


def check_directory(out: Path, marks: tuple[str, ...]) -> None:
    """A new directory, an empty one, or one that holds one of `marks`: what an earlier call of the command left."""
    check_place(out)
    if not out.exists():
        return
    if not out.is_dir():
        raise bad_input(f"{out}: expected a directory, found a file")
    if any(out.iterdir()) and not any((out / mark).exists() for mark in marks):
        known = " or ".join(marks)
        raise bad_input(f"{out}: expected a new or empty directory, or one with {known}, found other files")


def check_file(file: Path) -> None:
    """A new file, or one to be replaced."""
    check_place(file)
    if file.is_dir():
        raise bad_input(f"{file}: expected a file, found a directory")


def check_place(path: Path) -> None:
    """Somewhere below a directory that can be written to."""
    # A dangling link counts as being there: mkdir would fail at it, after the run.
    # `absolute`, as `resolve` would follow it.
    above = next(each for each in path.absolute().parents if each.exists() or each.is_symlink())
    if not above.is_dir():
        raise bad_input(f"{path}: expected a place in a directory, found the file {above}")
    if not os.access(above, os.W_OK | os.X_OK):
        raise bad_input(f"{path}: expected a directory that can be written to, found {above}, which cannot")
