"""One operation, or one call, with a value of a wrong kind: `schedule.case` is its source text."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import schedules
from schedules import Compute, Count, Operation, Program, Start, Table, Worker

SOURCE = "a test of wrong values"


class Settings(Table):
    gradients: Count = 1
    case: str


def streams(worker: Worker) -> Mapping[str, Program]:
    return {"compute": _one(worker, worker.settings.case)}


def _one(worker: Worker, case: str) -> Program:
    gradient, _ = yield Compute("gradient")
    handle, _ = yield Start(Compute("gradient"))
    names: dict[str, Any] = {name: getattr(schedules, name) for name in schedules.__all__}
    names |= {"math": math, "worker": worker, "model": worker.model}
    names |= {"gradient": gradient, "handle": handle, "peer": worker.rank ^ 1}
    made = eval(compile(case, __file__, "eval"), names)  # as of this file, which is the program's own
    if isinstance(made, Operation):
        yield made
