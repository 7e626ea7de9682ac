"""Several executions of one scenario, `DIR/1` to `DIR/N`: one that is compared in detail, and the spread of all."""

from __future__ import annotations

import json
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

from schedules.result import Result, load_run


@dataclass(frozen=True)
class Repeats:
    """The executions of a directory.

    Attributes:
        runs: those that were finished, in the order of their numbers.
        failed: directories of those that failed, which are left out.
    """

    runs: tuple[Result, ...]
    failed: tuple[Path, ...] = ()


def load_repeats(directory: str | PathLike[str]) -> Repeats:
    """Open a run directory, or one that holds run directories `1` to `N`, as `twinclock execute --repeats N` writes it.

    Raises:
        ValueError: if it is neither, a file of a run is unreadable, or no run of it was finished; it is named.
    """
    place = Path(directory)
    numbered = numbered_runs(place)
    if not numbered or (place / "run.json").exists():
        return Repeats((load_run(place),))
    failed = tuple(each for each in numbered if _has_failed(each))
    if len(failed) == len(numbered):
        raise ValueError(f"{place}: expected a run that was finished, found {len(failed)} that failed")
    return Repeats(tuple(load_run(each) for each in numbered if each not in failed), failed)


def numbered_runs(place: Path) -> list[Path]:
    """The run directories `1`, `2`, ... in a directory, in that order; none where it is not there."""
    if not place.is_dir():
        return []
    found = [each for each in place.iterdir() if each.name.isdecimal() and (each / "run.json").is_file()]
    return sorted(found, key=lambda each: int(each.name))


def middle(runs: tuple[Result, ...], key: str) -> Result:
    """The run whose number under a key of the summary is the median: of an even number of runs, the lower of two."""
    ordered = sorted(runs, key=lambda run: run.summary.get(key) or 0.0)
    return ordered[(len(ordered) - 1) // 2]


def _has_failed(run: Path) -> bool:
    try:
        return "failed" in json.loads((run / "summary.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False  # what is wrong with the file is told by whoever opens the run
