"""A schedule whose length no key says."""

from __future__ import annotations

from collections.abc import Mapping

from schedules import Compute, Program, Table, Worker, descend

SOURCE = "a test of lengths"


class Settings(Table):
    pass


def length(settings: Settings, rank: int) -> int:
    return 3


def streams(worker: Worker) -> Mapping[str, Program]:
    return {"compute": steps(worker)}


def steps(worker: Worker) -> Program:
    for _ in range(3):
        gradient, _ = yield Compute("gradient")
        worker.model.apply(descend, gradient)
