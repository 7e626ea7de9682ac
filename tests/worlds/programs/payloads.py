"""One payload that is not what it says, in one operation; all ranks do the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from schedules.operations import (
    AllGather,
    AllReduce,
    AllToAll,
    Await,
    Barrier,
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
from schedules.training.state import State
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
    xp = state(worker).xp
    return Payload(32, xp.asarray([worker.rank] * 4, dtype=xp.int64))


def complexes(worker: Worker) -> Payload:
    xp = state(worker).xp
    return Payload(64, xp.asarray([complex(worker.rank, 2 * worker.rank)] * 4, dtype=xp.complex128))


def small_integers(worker: Worker) -> Payload:
    xp = state(worker).xp
    return Payload(8, xp.asarray([worker.rank] * 4, dtype=xp.int16))


def eight_floats(worker: Worker) -> Payload:
    """In as many bytes as four of the others'."""
    xp = state(worker).xp
    return Payload(32, xp.asarray([0.0] * 8, dtype=xp.float32))


def floats(worker: Worker, length: int = 4) -> Any:
    return state(worker).x[:length]


def state(worker: Worker) -> State:
    """What rules see; the run is numeric."""
    assert worker.model.state is not None
    return worker.model.state


def floats_of(worker: Worker, **more: Any) -> Operation:
    """Of four numbers, on a channel: rank 3 does `more`."""
    payload = Payload(32, floats(worker))
    return AllReduce(payload, channel="c", **(more if worker.rank == 3 else {}))


def unlike(worker: Worker, operation: Operation) -> Operation:
    """Rank 3's own."""
    return operation if worker.rank == 3 else floats_of(worker)


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
    "limit": lambda worker: Send(worker.rank ^ 1, Payload(32, floats(worker)), limit=16),
    "few parts": lambda worker: AllToAll(Payload(32, floats(worker)), parts=(16, 16)),
    "half parts": lambda worker: AllToAll(Payload(32, floats(worker)), parts=(4, 12, 8, 8)),
    "other parts": lambda worker: AllToAll(Payload(32, floats(worker)), parts=(8, 8, 8, 0)),
    "strange group": lambda worker: AllReduce(Payload(32, floats(worker)), group=(0, 1, 2, 3, 7)),
    "group out of order": lambda worker: AllReduce(Payload(32, floats(worker)), group=(1, 0, 2, 3)),
    "kinds differ": lambda worker: unlike(worker, Barrier(channel="c")),
    "sizes differ": lambda worker: unlike(worker, AllReduce(Payload(16, floats(worker, 2)), channel="c")),
    "roots differ": lambda worker: Broadcast(Payload(32, floats(worker)), root=3 * (worker.rank == 3), channel="c"),
    "reductions differ": lambda worker: floats_of(worker, reduction="sum"),
    "tags differ": lambda worker: floats_of(worker, tag=1),
    "numbers differ": lambda worker: unlike(worker, AllReduce(eight_floats(worker), channel="c")),
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
