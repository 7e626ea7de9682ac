"""What kernels are: of a row of the workload, of the platform alone, with and without work of their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from schedules.operations import Compute, Program
from schedules.scenario import Count, Table
from schedules.worker import Worker

SOURCE = "a test of kinds"


class Settings(Table):
    gradients: Count = 1
    case: str = "work"


def streams(worker: Worker) -> Mapping[str, Program]:
    return {"compute": CASES[worker.settings.case](worker)}


def doubled(s: Any) -> Any:
    return 2 * s.x


def _work(worker: Worker) -> Program:
    told = []
    for kernel in ("gradient", "forward", "backward", "encode"):
        answer, _ = yield Compute(kernel, size=worker.model.size, work=doubled)
        told.append((kernel, answer.kind, answer.gradients))
        worker.model.apply(_take, answer)
    assert told == [
        ("gradient", "gradient", 1),
        ("forward", "gradient", 1),
        ("backward", "change", 0),
        ("encode", "change", 0),
    ]
    assert (worker.model.version, worker.model.steps) == (4, 2)


def _take(s: Any, x: Any) -> None:
    s.x = x


def _named_by_the_platform(worker: Worker) -> Program:
    answer, _ = yield Compute("encode")
    assert (answer.kind, answer.gradients, answer.size) == ("change", 0, worker.model.size)


def _stage(stage: int) -> Callable[[Worker], Program]:
    def computing(worker: Worker) -> Program:
        yield Compute("encode", stage=stage)

    return computing


def _clock(worker: Worker) -> Program:
    for _ in worker.clock("gradient"):
        yield Compute("encode")


CASES: Mapping[str, Callable[[Worker], Program]] = {
    "work": _work,
    "named by the platform": _named_by_the_platform,
    "no stage": _stage(-1),
    "stage 1": _stage(1),
    "stage 2": _stage(2),
    "clock": _clock,
}
