"""How a run ended, in one word and for people. Known without torch, so that a launcher need not load it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from schedules import errors
from schedules.scenario import ScenarioError

FINISHED = "finished"
STUCK = "stuck"
DEAD = "dead"
FAILED = "failed"
CUT = "cut"
"""No end yet: from now on no stream is resumed, and the run is finished when all ranks have heard it."""

_ERRORS: dict[str, type[Exception]] = {
    each.__name__: each
    for each in (
        errors.ProgramError,
        errors.DivergenceError,
        errors.DeadRankError,
        errors.DeadlockError,
        errors.TimeoutError,
        ScenarioError,
    )
}


class Stopped(Exception):
    """Some rank has told bad news: this one stops, too."""


@dataclass(frozen=True)
class News:
    """How a run ended.

    Attributes:
        kind: `finished`, `stuck`, `dead` or `failed`; or `cut`, which comes before `finished`.
        rank: who tells.
        message: for people.
        error: the name of the exception's class, for `failed`.
        detail: the traceback, where the mistake is in the code of a program.
        silent: ranks that show no sign of life: whoever started them ends them, as they do not end themselves.
    """

    kind: str
    rank: int = -1
    message: str = ""
    error: str = ""
    detail: str = ""
    silent: Sequence[int] = ()

    def exception(self) -> Exception:
        """What the launcher raises."""
        if self.kind == STUCK:
            return errors.TimeoutError(self.message)
        if self.kind == DEAD:
            return errors.DeadRankError(self.message)
        # Any other class is what a program has raised.
        error = _ERRORS.get(self.error, errors.ProgramError)(self.message)
        if self.detail:
            error.add_note(self.detail)
        return error

    def encode(self) -> str:
        """As text; `decode` is the inverse."""
        return json.dumps(asdict(self))


def decode(text: str | bytes) -> News:
    """Inverse of `News.encode`."""
    return News(**json.loads(text))
