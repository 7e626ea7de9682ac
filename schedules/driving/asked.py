"""What the functions of a schedule's module answer for a worker, and what no such answer is."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from typing import Any

from schedules.errors import ProgramError
from schedules.misuse.values import raised, short
from schedules.operations import Program
from schedules.training.state import is_free
from schedules.worker import Worker


def constants_of(function: Callable[[Worker], Any] | None, worker: Worker, program: str) -> Mapping[str, Any]:
    """Further names that rules see.

    Raises:
        ProgramError: if the function raises, with its line, or answers anything else.
    """
    found = {} if function is None else _asked("constants", function, worker)
    taken = [] if not isinstance(found, Mapping) else [each for each in found if not is_free(each)]
    if taken or not isinstance(found, Mapping):
        told = f"names that are not taken, found {taken[0]!r}" if taken else f"a dict by name, found {short(found)}"
        raise ProgramError(f"{program}: constants: expected {told}")
    return found


def streams_of(function: Callable[[Worker], Any], worker: Worker, program: str) -> dict[str, Program]:
    """The programs of a worker by stream name.

    Raises:
        ProgramError: as `constants_of`.
    """
    found = _asked("streams", function, worker)
    if not isinstance(found, Mapping):
        raise ProgramError(f"{program}: streams: expected a dict of programs by name, found {short(found)}")
    for name, each in found.items():
        if not isinstance(name, str) or not isinstance(each, Generator):
            told = f"a generator, the call of a function that yields, by name, found {name!r}: {short(each)}"
            raise ProgramError(f"{program}: streams: expected {told}")
    return dict(found)


def _asked(name: str, function: Callable[[Worker], object], worker: Worker) -> Any:
    """What a function answers.

    Raises:
        ProgramError: if it raises, with its line.
    """
    try:
        return function(worker)
    except Exception as error:
        raise ProgramError(f"{raised(error)} (in {name}, rank {worker.rank})") from error
