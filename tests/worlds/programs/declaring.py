"""A program to which a test adds a wrong declaration."""

from __future__ import annotations

from collections.abc import Mapping

from schedules import COPY, SHARD, ZERO, Barrier, Compute, Count, Program, Table, Vector, Worker, descend

__all__ = ["COPY", "SHARD", "ZERO", "Vector"]  # for what is added
SOURCE = "a test of declarations"


class Settings(Table):
    gradients: Count | list[int | float] = 1


def streams(worker: Worker) -> Mapping[str, Program]:
    return {"compute": _one(worker)}


def _one(worker: Worker) -> Program:
    gradient, _ = yield Compute("gradient")
    worker.model.apply(descend, gradient)
    yield Barrier()
