"""Keeping a run that took its time, whatever has become of its place."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from schedules.errors import ScenarioError, ScheduleError
from schedules.record.whole import free_places
from schedules.result import Result


def time_of_run(target: Path) -> int | None:
    """When the run that is kept there was written, in nanoseconds since 1970; None where there is none."""
    with suppress(OSError):
        return (target / "run.json").stat().st_mtime_ns
    return None


def keep_run(run: Result, target: Path, *, found: int | None) -> Path:
    """Write the run directory of a run that took its time: somewhere else where its place has become awkward since.

    Args:
        found: `time_of_run` of its place before it began: what has been written there since is replaced by no run.
    Raises:
        ScheduleError: if its place could not be written; the message says where the run is kept instead.
    """
    try:
        if time_of_run(target) != found:
            raise ScenarioError("another run has been written to it since this one began")
        return run.save(target)
    except (OSError, ScenarioError) as error:
        for other in free_places(target):
            with suppress(OSError, ScenarioError):
                run.save(other)
                raise ScheduleError(f"{target}: cannot be written ({error}); the run is kept in {other}") from error
        raise ScheduleError(f"{target}: cannot be written ({error}), nor can any place beside it") from error
