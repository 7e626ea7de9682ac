"""A kernel that is named by the scenario, issued behind another one on the same engine."""

from __future__ import annotations

from collections.abc import Mapping

from schedules.operations import Await, Compute, Program, Start
from schedules.scenario import Count, Table
from schedules.worker import Worker

SOURCE = "a test of kernels"


class Settings(Table):
    gradients: Count = 1
    kernel: str


def streams(worker: Worker) -> Mapping[str, Program]:
    return {"compute": _compute(worker)}


def _compute(worker: Worker) -> Program:
    first, _ = yield Start(Compute("gradient"))
    if worker.rank == 1:
        yield Compute(worker.settings.kernel)
    yield Await((first,))
