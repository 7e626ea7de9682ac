"""CO2: the changes of one round are reduced while the next is computed, with a penalty on the momentum that is stale.

m <- penalty (mu m) + mean^{r-1}, clipped to |m| <= clip;  theta <- theta - nu (mean^{r-1} + mu m). With a penalty of 1
and no clip it is eager-diloco with `delayed`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from schedules import (
    Array,
    Field,
    Number,
    Positive,
    Program,
    State,
    Worker,
    squared_norm,
)
from schedules.programs.averaging import Begun, arrived, begin
from schedules.programs.local import outer
from schedules.programs.local.outer import change, local_steps

SOURCE = "Sun et al. 2024, CO2 (arXiv:2401.16265)"
STALENESS = "one outer version"
OURS = "penalty and clip are constants; what is on its way after the last round is applied before the end"
IN_STEP, LENGTH = True, "rounds"

STATE, length, read_out = outer.STATE, outer.length, outer.read_out


class Settings(outer.Outer):
    """The keys of [schedule]."""

    penalty: Annotated[Number, Field(gt=0, le=1)] = 1.0
    """What part of the momentum a stale round keeps."""
    clip: Positive | None = None
    """Largest norm of the momentum; left out, there is none."""


def streams(worker: Worker) -> Mapping[str, Program]:
    """The programs of a worker."""
    return {"compute": rounds(worker)}


def rounds(worker: Worker) -> Program:
    """The algorithm of a worker."""
    model = worker.model
    reducing: Begun | None = None
    for _ in range(worker.settings.rounds):
        yield from local_steps(worker)
        mine = model.payload(change, to="theta")
        if reducing is None:
            model.change(stay)
        else:
            yield from _apply(worker, reducing)
        reducing = yield from begin(worker, mine)
    if reducing is not None:
        yield from _apply(worker, reducing)


def _apply(worker: Worker, reducing: Begun) -> Program:
    settings = worker.settings
    (mean,) = yield from arrived(worker, [reducing])
    rates = settings.outer_learning_rate, settings.outer_momentum, settings.penalty, settings.clip
    worker.model.apply(step, mean, *rates)


def stay(s: State) -> None:
    """Before the first round there is none: theta stays, and the round begins there again."""
    s.x = s.theta


def step(s: State, mean: Array, rate: float, mu: float, penalty: float, clip: float | None) -> None:
    """m <- penalty (mu m) + Delta, clipped;  theta <- theta - nu (Delta + mu m)."""
    momentum = penalty * (mu * s.momentum) + mean
    norm = float(squared_norm(momentum)[0]) ** 0.5 if clip is not None else 0.0
    if clip is not None and norm > clip:
        momentum = momentum * (clip / norm)
    s.x = s.theta = s.theta - rate * (mean + mu * momentum)
    s.momentum = momentum
