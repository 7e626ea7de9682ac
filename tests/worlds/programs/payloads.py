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


def complexes(worker: Worker) -> Payload:
    model: Any = worker.model
    return Payload(64, model.xp.asarray([complex(worker.rank, 2 * worker.rank)] * 4, dtype=model.xp.complex128))


def small_integers(worker: Worker) -> Payload:
    model: Any = worker.model
    return Payload(8, model.xp.asarray([worker.rank] * 4, dtype=model.xp.int16))


def floats(worker: Worker, length: int = 4) -> Any:
    model: Any = worker.model
    return model.snapshot()[:length]


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
    "root": lambda worker: Broadcast(Payload(32, floats(worker)), root=99),
    "odd parts": lambda worker: ReduceScatter(Payload(40, floats(worker, 5)), "sum"),
    "odd shares": lambda worker: AllToAll(Payload(40, floats(worker, 5))),
    "complex mean": lambda worker: AllReduce(complexes(worker), "mean"),
    "small integers": lambda worker: AllGather(small_integers(worker)),
    "sum": lambda worker: AllReduce(integers(worker), "sum"),
}


def _one(worker: Worker) -> Program:
    name = worker.settings.case.removesuffix(" started")
    operation = CASES[name](worker)
    if name != worker.settings.case:
        handle, _ = yield Start(operation)
        yield Await((handle,))
    else:
        result, _ = yield operation
        if name == "sum":
            assert [int(each) for each in result.array] == [6] * 4
        if name == "complex mean":
            assert [complex(each) for each in result.array] == [1.5 + 3j] * 4
