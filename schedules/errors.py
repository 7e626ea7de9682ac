"""The errors of a run. A caller's mistake is a `ValueError`; what goes wrong while a schedule runs is one of these."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class ScenarioError(ValueError):
    """The scenario is wrong: the message names the file and key, what was expected, and what was found."""


class TooLargeError(ScenarioError):
    """This machine can hardly hold or finish what is asked for, which whoever insists may have.

    Args:
        where: the file, or what else is to blame.
        told: what was expected and found.
    """

    def __init__(self, where: str, told: str) -> None:
        self.told = told  # without the way out, which not every command has
        super().__init__(f"{where}: {told}; --force goes on")


class WrongValueError(ScenarioError):
    """A value, or a key, that is wrong by itself, whatever the rest of the scenario says."""


class ScheduleError(Exception):
    """A schedule could not be run to its end."""


class ProgramError(ScheduleError):
    """A program yielded something that is not an operation, or an operation that makes no sense where it stands."""


class MisuseError(ProgramError):
    """A program calls something as it is not meant. The driver tells it with the program's line."""


class UnknownKernelError(LookupError):  # no `ScheduleError`: platforms do not know the program's line
    """There is no kernel of that name; worlds tell it of the program that asks for it, as a `ProgramError`.

    Attributes:
        known: the names that there are.
    """

    def __init__(self, known: Iterable[str]) -> None:
        self.known = tuple(known)
        super().__init__(f"expected one of the kernels {', '.join(self.known)}")


class UnknownStageError(LookupError):
    """There is no duration of a kernel for that stage; worlds tell it of the program, as a `ProgramError`."""


class DeadlockError(ScheduleError):
    """No worker can move. The message is the whole board."""


class TimeoutError(ScheduleError):
    """An operation of the executor waited longer than its limit. The message is the whole board."""


class DeadRankError(ScheduleError):
    """A rank has died, and the schedule cannot go on without it."""


class DivergenceError(ScheduleError):
    """A replay cannot follow its trace. The message names the operation at which the two part."""


def nearest(word: object, known: Iterable[str]) -> str:
    """` (did you mean ...?)`, or nothing."""
    close = difflib.get_close_matches(str(word), list(known), n=3)
    ratios = [difflib.SequenceMatcher(None, str(word), each).ratio() for each in close]
    # Among many names some are always a little like it: only what is about as near as the nearest.
    close = [each for each, ratio in zip(close, ratios, strict=True) if ratio > ratios[0] - 0.2]
    return f" (did you mean {' or '.join(close)}?)" if close else ""
