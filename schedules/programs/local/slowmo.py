"""SlowMo: after H local steps and an exact average, a step with slow momentum.

With x0 where the round began, x the average and gamma the learning rate of the round's last step:
u <- beta u + (x0 - x) / gamma;  x <- x0 - alpha gamma u.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from schedules import COPY, ZERO, Array, Count, Field, Number, Positive, Program, State, Table, Worker
from schedules.programs.averaging import NONE, Codec, averaged, vectors
from schedules.programs.local import outer
from schedules.programs.local.outer import change, local_steps

SOURCE = "Wang et al. 2020, SlowMo (arXiv:1910.00643), algorithm 1"
STALENESS = "none: all wait for the average"
IN_STEP, LENGTH = True, "rounds"

STATE = vectors(theta=COPY, slow=ZERO)
length, read_out = outer.length, outer.read_out


class Settings(Table):
    """The keys of [schedule]."""

    rounds: Count
    """How often workers average."""
    local_steps: Count
    """Steps that a worker makes alone, between two averages: H."""
    momentum: Annotated[Number, Field(ge=0, lt=1)] = 0.5
    """beta."""
    slow_learning_rate: Positive = 1.0
    """alpha."""
    codec: Codec = NONE
    """How what is sent is encoded."""


def streams(worker: Worker) -> Mapping[str, Program]:
    """The programs of a worker."""
    return {"compute": rounds(worker)}


def rounds(worker: Worker) -> Program:
    """The algorithm of a worker."""
    model, settings = worker.model, worker.settings
    for number in range(1, settings.rounds + 1):
        yield from local_steps(worker)
        rate = worker.learning_rate(number * settings.local_steps - 1)
        mean = yield from averaged(worker, model.payload(change, to="theta"))
        model.apply(slow_step, mean, rate, settings.momentum, settings.slow_learning_rate)


def slow_step(s: State, delta: Array, rate: float, beta: float, alpha: float) -> None:
    """u <- beta u + (x0 - x) / gamma;  x <- x0 - alpha gamma u."""
    if rate > 0:  # at a rate of 0 nobody has moved
        s.slow = beta * s.slow + delta / rate
    s.x = s.theta = s.theta - alpha * rate * s.slow
