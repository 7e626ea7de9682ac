"""Rounds of local steps: a schedule whose length is no number of gradients."""

from __future__ import annotations

from collections.abc import Mapping

from schedules import AllReduce, Array, Compute, Count, Program, State, Table, Worker, descend

SOURCE = "a test of lengths"
LENGTH = "rounds"
IN_STEP = True


class Settings(Table):
    rounds: Count
    local_steps: Count = 4


def length(settings: Settings, rank: int) -> int:
    return settings.rounds * settings.local_steps


def streams(worker: Worker) -> Mapping[str, Program]:
    return {"compute": steps(worker)}


def steps(worker: Worker) -> Program:
    for _ in range(worker.settings.rounds):
        for _ in range(worker.settings.local_steps):
            gradient, _ = yield Compute("gradient")
            worker.model.apply(descend, gradient)
        mean, _ = yield AllReduce(worker.model.payload(read), "mean")
        worker.model.change(adopt, mean)


def read(s: State) -> Array:
    return s.x


def adopt(s: State, mean: Array) -> None:
    s.x = mean
