"""Gradients that are computed, reduced, and never applied."""

from __future__ import annotations

from collections.abc import Mapping

from schedules import AllReduce, Compute, Count, Program, Table, Worker

SOURCE = "a test of throughput where nothing is applied"


class Settings(Table):
    gradients: Count


def streams(worker: Worker) -> Mapping[str, Program]:
    return {"main": _steps(worker)}


def _steps(worker: Worker) -> Program:
    for _ in range(worker.settings.gradients):
        gradient, _ = yield Compute("gradient")
        yield AllReduce(gradient, "mean")
