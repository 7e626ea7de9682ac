"""One payload that is not what it says, in one operation; all ranks do the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from schedules.operations import (
    AllGather,
    AllReduce,
    AllToAll,
    Await,
    Broadcast,
    Exchange,
    Operation,
    Payload,
    Program,
    Receive,
    ReduceScatter,
    Send,
    Start,
)
from schedules.scenario import Count, Table
from schedules.worker import Worker

SOURCE = "a test of payloads"


class Settings(Table):
    gradients: Count = 1
    case: str


def streams(worker: Worker) -> Mapping[str, Program]:
    return {"compute": _one(worker)}


def wrong_size(worker: Worker) -> Payload:
    """Half of what it says."""
    return Payload(64, floats(worker))


def integers(worker: Worker) -> Payload:
    model: Any = worker.model
    array = model.xp.asarray([worker.rank] * 4, dtype=model.xp.int64)
    return Payload(32, array)


def floats(worker: Worker) -> Any:
    model: Any = worker.model
    return model.snapshot()[:4]


CASES: dict[str, Callable[[Worker], Operation]] = {
    "exchange": lambda worker: Exchange(worker.rank ^ 1, wrong_size(worker)),
    "send": lambda worker: Send(0, wrong_size(worker)) if worker.rank == 1 else Receive(1, 64),
    "all-reduce": lambda worker: AllReduce(wrong_size(worker), "sum"),
    "reduce-scatter": lambda worker: ReduceScatter(wrong_size(worker), "sum"),
    "all-gather": lambda worker: AllGather(wrong_size(worker)),
    "all-to-all": lambda worker: AllToAll(wrong_size(worker)),
    "broadcast": lambda worker: Broadcast(wrong_size(worker)),
    "mean": lambda worker: AllReduce(integers(worker), "mean"),
    "mean-parts": lambda worker: ReduceScatter(integers(worker), "mean"),
    "sum": lambda worker: AllReduce(integers(worker), "sum"),
}


def _one(worker: Worker) -> Program:
    name, _, how = worker.settings.case.partition(" ")
    operation = CASES[name](worker)
    if how == "started":
        handle, _ = yield Start(operation)
        yield Await((handle,))
    else:
        result, _ = yield operation
        if name == "sum":
            assert [int(each) for each in result.array] == [6] * 4
