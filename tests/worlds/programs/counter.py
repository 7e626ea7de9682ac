"""Two streams that count together: each segment reads the number, and writes it one larger."""

from __future__ import annotations

from collections.abc import Mapping

from schedules.operations import Compute, Program
from schedules.scenario import Count, Table
from schedules.training.state import descend
from schedules.worker import Worker

SOURCE = "a test of atomic segments"


class Settings(Table):
    gradients: Count = 50


def streams(worker: Worker) -> Mapping[str, Program]:
    return {name: _count(worker, name) for name in ("compute", "other")}


def _count(worker: Worker, engine: str) -> Program:
    for _ in range(worker.settings.gradients):
        gradient, _ = yield Compute("gradient", engine=engine)
        before = worker.model.steps
        worker.model.apply(descend, gradient)
        assert worker.model.steps == before + 1
