"""DiLoCo: Delta = mean (theta - x_i);  m <- mu m + Delta;  theta <- theta - nu (Delta + mu m)."""

from __future__ import annotations

from collections.abc import Mapping

from schedules import COPY, ZERO, AllReduce, Array, Compute, Count, Positive, Program, State, Table, Worker

SOURCE = "DiLoCo (arXiv:2311.08105), algorithm 1"
STATE = {"theta": COPY, "momentum": ZERO}


class Settings(Table):
    gradients: Count
    local_steps: Count = 4
    outer_learning_rate: Positive = 0.7
    outer_momentum: Positive = 0.9


def streams(worker: Worker) -> Mapping[str, Program]:
    return {"compute": rounds(worker)}


def rounds(worker: Worker) -> Program:
    model, settings = worker.model, worker.settings
    for _ in range(settings.gradients // settings.local_steps):
        for _ in range(settings.local_steps):
            gradient, _ = yield Compute("gradient")
            model.apply(inner, gradient)
        delta, _ = yield AllReduce(model.payload(change, to="theta"))
        model.apply(outer, delta, settings.outer_learning_rate, settings.outer_momentum)


def inner(s: State, gradient: Array) -> None:
    s.x = s.x + s.optimizer.delta(s.x, gradient)


def change(s: State) -> Array:
    return s.theta - s.x


def outer(s: State, delta: Array, rate: float, mu: float) -> None:
    """m <- mu m + Delta;  theta <- theta - nu (Delta + mu m)."""
    s.momentum = mu * s.momentum + delta
    s.x = s.theta = s.theta - rate * (delta + mu * s.momentum)
