"""All-reduce of gradients that were added up first: x <- x - gamma (1 / n k) sum_i sum_j g_ij."""

from __future__ import annotations

from collections.abc import Mapping

from schedules import ZERO, AllReduce, Array, Compute, Count, Program, State, Table, Worker, descend

SOURCE = "a test of counting"
STATE = {"gradient": ZERO}


class Settings(Table):
    gradients: Count
    accumulate: Count = 1


def streams(worker: Worker) -> Mapping[str, Program]:
    return {"compute": _updates(worker)}


def _updates(worker: Worker) -> Program:
    model, number = worker.model, worker.settings.accumulate
    for _ in range(worker.settings.gradients // number):
        made = []
        for _ in range(number):
            gradient, _ = yield Compute("gradient")
            model.change(accumulate, gradient)
            made.append(gradient.rest())
        mean, _ = yield AllReduce(model.payload(accumulated), "mean")
        model.apply(update, made, mean, number)


def accumulate(s: State, gradient: Array) -> None:
    s.gradient = s.gradient + gradient


def accumulated(s: State) -> Array:
    return s.gradient


def update(s: State, _: object, mean: Array, number: int) -> None:
    """One step; the accumulator is empty again."""
    descend(s, mean / number)
    s.gradient = s.xp.zeros_like(s.gradient)
