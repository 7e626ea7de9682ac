"""Rank 0 holds the stages 0 and 1, rank 1 holds stage 2; each computes its stages in turn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from schedules.operations import Compute, Program
from schedules.scenario import Count, Table
from schedules.worker import Worker

SOURCE = "a test of what stages take"


class Settings(Table):
    gradients: Count = 30


def place(settings: Settings, workers: int) -> Sequence[int]:
    return 0, 0, 1


def streams(worker: Worker) -> Mapping[str, Program]:
    return {"compute": _micro_batches(worker)}


def _micro_batches(worker: Worker) -> Program:
    for micro_batch in range(worker.settings.gradients):
        for stage in worker.stages or ():
            yield Compute("forward", stage=stage, micro_batch=micro_batch)
