"""ACCO: gradients are computed while those before them are reduced, half of them at an estimate of the parameters.

Round A: the second half of a batch at theta^t, while the first half is reduced: theta~^{t+1} is what it alone gives.
Round B: the first half of the next batch at theta~^{t+1}, while the whole is reduced: it gives theta^{t+1}.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from schedules import COPY, ZERO, AllReduce, Array, Await, Compute, Count, Payload, Program, Start, State, Table, Worker

SOURCE = "ACCO (arXiv:2406.02613), without shards"
STATE = {"theta": COPY, "gradient": ZERO}


class Settings(Table):
    gradients: Count
    half: Count = 2


def streams(worker: Worker) -> Mapping[str, Program]:
    return {"compute": _rounds(worker)}


def _rounds(worker: Worker) -> Program:
    model, half = worker.model, worker.settings.half
    updates = worker.settings.gradients // (2 * half)
    first: list[Payload] = []
    yield from _micro_batches(worker, first)
    for number in range(updates):
        reducing, _ = yield Start(AllReduce(model.payload(accumulated), "mean"))
        batch = [*first]
        yield from _micro_batches(worker, batch)
        whole = model.payload(accumulated)
        arrivals, _ = yield Await((reducing,))
        model.change(estimate, arrivals.results[0], half, version=number + 1)
        reducing, _ = yield Start(AllReduce(whole, "mean"))
        first = []
        if number < updates - 1:
            yield from _micro_batches(worker, first)
        arrivals, _ = yield Await((reducing,))
        model.change(restore, version=number)
        model.apply(update, batch, arrivals.results[0], 2 * half)


def _micro_batches(worker: Worker, made: list[Payload]) -> Program:
    """Half a batch, at x as it is."""
    for _ in range(worker.settings.half):
        gradient, _ = yield Compute("gradient")
        worker.model.change(accumulate, gradient)
        made.append(gradient.rest())


def accumulate(s: State, gradient: Array) -> None:
    s.gradient = s.gradient + gradient


def accumulated(s: State) -> Array:
    return s.gradient


def estimate(s: State, mean: Array, number: int) -> None:
    """x is where theta will be, about; the optimizer that says so is a copy."""
    tentative: Any = copy.copy(s.optimizer)
    s.x = s.theta + tentative.delta(s.theta, mean / number)
    s.gradient = s.xp.zeros_like(s.gradient)


def restore(s: State) -> None:
    s.x = s.theta


def update(s: State, _: object, mean: Array, number: int) -> None:
    s.x = s.theta = s.theta + s.optimizer.delta(s.theta, mean / number)
