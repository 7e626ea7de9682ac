"""ProxSkip: local steps with control variates, and an average when a coin that all share says so.

x^ = x - gamma (g - h);  with probability p: x = (1/n) sum_j (x^_j - (gamma / p) h_j), else x = x^;
h <- h + (p / gamma) (x - x^). The h_i add up to zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from schedules import ZERO, Array, Compute, Count, Field, Number, Program, State, Table, Worker
from schedules.programs.averaging import NONE, Codec, parameters, vectors

SOURCE = "Mishchenko et al. 2022, ProxSkip (arXiv:2202.09357), algorithm 2 (Scaffnew)"
STALENESS = "none: all wait for the average"
OURS = "the learning rate is that of the step; momentum and the like of [optimizer] are not used"
IN_STEP, LENGTH = True, "steps"

STATE = vectors(of_parameters=True, h=ZERO)


class Settings(Table):
    """The keys of [schedule]."""

    steps: Count
    """Of every worker."""
    probability: Annotated[Number, Field(gt=0, le=1)]
    """p, of an average after a step."""
    codec: Codec = NONE
    """How what is sent is encoded."""


def length(settings: Any, rank: int) -> int:
    """Steps of a worker."""
    return int(settings.steps)


def streams(worker: Worker) -> Mapping[str, Program]:
    """The programs of a worker."""
    return {"compute": steps(worker)}


def steps(worker: Worker) -> Program:
    """The algorithm of a worker."""
    model, p = worker.model, worker.settings.probability
    for number in range(worker.settings.steps):
        rate = worker.learning_rate(number)
        gradient, _ = yield Compute("gradient")
        model.apply(step, gradient, rate)
        if worker.coin(number) < p:
            mean = yield from parameters(worker, shifted, rate, p)
            model.apply(adopt, mean, rate, p)


def step(s: State, gradient: Array, rate: float) -> None:
    """x^ = x - gamma (g - h)."""
    s.x = s.x - rate * (gradient - s.h)


def shifted(s: State, rate: float, p: float) -> Array:
    """x^ - (gamma / p) h."""
    return s.x - (rate / p) * s.h


def adopt(s: State, mean: Array, rate: float, p: float) -> None:
    """h <- h + (p / gamma) (x - x^), with x the mean."""
    s.h = s.h + (p / rate) * (mean - s.x)
    s.x = mean
