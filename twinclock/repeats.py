"""`twinclock execute --repeats N`: one scenario several times, in `DIR/1` to `DIR/N`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import click

from analysis.claims import headline, number_of, spread_sentence
from analysis.measures.intervals import spread
from analysis.repeats import numbered_runs
from schedules.errors import ScheduleError
from schedules.record.files import RUN_FILES
from schedules.record.whole import remove_own
from schedules.result import Result
from schedules.scenario import Scenario
from twinclock.endings import interrupted
from twinclock.printing.run_summary import record, show
from twinclock.printing.tables import print_json


class Execute(Protocol):
    """`executor.execute`, as far as it is needed here."""

    def __call__(self, scenario: Scenario, /, *, out: Path, replay: Path | None) -> Result:
        """Run a scenario and write its run directory."""


def execute_repeatedly(
    execute: Execute, scenario: Scenario, target: Path, *, num_runs: int, replay: Path | None, as_json: bool
) -> None:
    """Run a scenario several times, each in a run directory of its own, and print each run, and how far all lie apart.

    What an earlier call left in the directory is replaced when the first run is done. Each run has processes of its
    own, so that none finds the caches and connections of the one before it.

    Raises:
        Ending: if it is interrupted.
        ScheduleError: if a run fails. Then, too, what is done is kept, and a note says so.
    """
    results: list[Result] = []
    for number in range(1, num_runs + 1):
        place = target / str(number)
        with _keeping(results, num_runs, target):
            results.append(execute(scenario, out=place, replay=replay))
        if not as_json:
            click.echo(f"[{number}/{num_runs}]")
            show(results[-1], place, as_json=False)
    if as_json:
        runs = [record(result, target / str(number)) for number, result in enumerate(results, 1)]
        print_json({"out": target, "runs": runs, "spread": _spread(results)})
    elif len(results) > 1:
        click.echo(_spread(results))


@contextmanager
def _keeping(results: list[Result], num_runs: int, target: Path) -> Iterator[None]:
    """Around a run: if there is no end of it, what was done before is told."""
    kept = f"{len(results)} of {num_runs} runs are finished and kept in {target}"
    first = target / "1"
    before = _written(first)
    try:
        yield
    except KeyboardInterrupt as error:
        raise interrupted(error, kept) from None
    except ScheduleError as error:
        error.add_note(kept)
        raise
    finally:
        # Also of a failed run, which is kept: beside those of another call it would pass for one of theirs.
        if _written(first) != before:
            _leave_only(first)


def _written(run: Path) -> int | None:
    """Which run lies there."""
    description = run / "run.json"
    return description.stat().st_ino if description.exists() else None


def _leave_only(place: Path) -> None:
    """Remove the runs that an earlier call has left beside the first one, or around it; what else is there stays."""
    for each in (place.parent, *numbered_runs(place.parent)):
        if each != place:
            remove_own(each, RUN_FILES)


def _spread(results: list[Result]) -> str:
    key = headline(results[0].summary)
    values = [number_of(result.summary, key) or 0.0 for result in results]
    told = spread_sentence(key, values, spread(values))
    return f"{told}." if told else ""
