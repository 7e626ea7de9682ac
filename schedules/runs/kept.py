"""Keeping a run that took its time, whatever has become of its place."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from schedules.errors import ScenarioError, ScheduleError
from schedules.record.whole import free_places
from schedules.result import Result


def keep_run(run: Result, target: Path) -> Path:
    """Write the run directory of a run that took its time: somewhere else where its place has become awkward since.

    Raises:
        ScheduleError: if its place could not be written; the message says where the run is kept instead.
    """
    try:
        return run.save(target)
    except (OSError, ScenarioError) as error:
        for other in free_places(target):
            with suppress(OSError, ScenarioError):
                run.save(other)
                raise ScheduleError(f"{target}: cannot be written ({error}); the run is kept in {other}") from error
        raise ScheduleError(f"{target}: cannot be written ({error}), nor can any place beside it") from error
