"""What methods with an outer step share: rounds of local steps, and the outer optimizer (SGD with Nesterov momentum).

Delta = theta - x of a worker's own steps is an outer gradient; m <- mu m + Delta; theta <- theta - nu (Delta + mu m).
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Annotated, Any

from schedules import (
    COPY,
    ZERO,
    Array,
    Compute,
    Count,
    Field,
    NonNegative,
    Number,
    Operation,
    Program,
    State,
    Table,
    Worker,
    descend,
)
from schedules.programs import layered
from schedules.programs.averaging import NONE, Begun, Codec, vectors

STATE = vectors(theta=COPY, momentum=ZERO)


class Outer(Table):
    """Keys of [schedule] that they share."""

    rounds: Count
    """How often there is an outer step."""
    local_steps: Count
    """Steps that a worker makes alone, between two of them: H."""
    outer_learning_rate: NonNegative = 0.7
    """nu."""
    outer_momentum: Annotated[Number, Field(ge=0, lt=1)] = 0.9
    """mu, of Nesterov's kind."""
    codec: Codec = NONE
    """How what is sent is encoded."""


def length(settings: Any, rank: int) -> int:
    """Local steps of a worker."""
    return int(settings.rounds * settings.local_steps)


def local_steps(worker: Worker) -> Program:
    """H steps of the inner optimizer, alone."""
    model, step = worker.model, Compute("gradient")  # one operation for all: to make it anew takes a tenth of a step
    for _ in range(worker.settings.local_steps):
        gradient, _ = yield step
        model.apply(descend, gradient)


def layered_round(worker: Worker) -> Generator[Operation, Any, list[Begun]]:
    """The same of a model in layers, whose last step sends what they have changed in a layer when its backward pass is
    done; returns what is on its way."""
    sending = layered.Sending(worker, lambda _: "theta")
    for _ in range(worker.settings.local_steps - 1):
        yield from layered.step(worker)
    yield from layered.step(worker, send=sending)
    return sending.begun["theta"]


def change(s: State) -> Array:
    """Delta: what the worker's own steps have changed, as a gradient."""
    return s.theta - s.x


def outer_step(s: State, delta: Array, rate: float, mu: float) -> None:
    """m <- mu m + Delta;  theta <- theta - nu (Delta + mu m);  x <- theta."""
    s.theta, s.momentum = nesterov(s.theta, s.momentum, delta, rate, mu)
    s.x = s.theta


def nesterov(theta: Array, momentum: Array, delta: Array, rate: float, mu: float) -> tuple[Array, Array]:
    """theta and m after an outer step."""
    momentum = mu * momentum + delta
    return theta - rate * (delta + mu * momentum), momentum


def read_out(s: State, time: float) -> Array:
    """What is looked at: theta, which all workers share after an outer step."""
    return s.theta
