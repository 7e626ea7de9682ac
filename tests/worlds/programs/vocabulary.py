"""Every operation once, with what it must answer: the program itself checks it, in whichever world it runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from schedules.operations import (
    AllGather,
    AllReduce,
    AllToAll,
    Await,
    Barrier,
    Broadcast,
    Cancel,
    Compute,
    Exchange,
    Join,
    Leave,
    Meet,
    Payload,
    Program,
    Put,
    Receive,
    ReduceScatter,
    Send,
    Start,
    Take,
    Until,
)
from schedules.scenario import Count, Table
from schedules.worker import Worker

SOURCE = "the table in schedules/operations.py"


class Settings(Table):
    gradients: Count = 1


def streams(worker: Worker) -> Mapping[str, Program]:
    return {"compute": _everything(worker), "helper": _helper()}


def filled(worker: Worker, value: float) -> Payload:
    """A payload of four float64 numbers, in this world's kind of array."""
    assert worker.model.state is not None
    array = worker.model.state.x[:4] * 0 + value
    return Payload(32, array, version=worker.rank)


def numbers(payload: Any) -> list[float]:
    return [float(value) for value in payload.array]


def _helper() -> Program:
    item, _ = yield Take("there")
    yield Put("back", item + 1)


def _everything(worker: Worker) -> Program:
    rank, n = worker.rank, worker.num_workers
    right, left = (rank + 1) % n, (rank - 1) % n

    _, time = yield Until(1.0)
    assert time >= 1.0
    yield Put("there", 41)
    assert (yield Take("back"))[0] == 42

    mine = filled(worker, rank)
    receiving, _ = yield Start(Receive(left, 32, tag=5))
    yield Send(right, mine, tag=5)
    (received,), arrived = (yield Await((receiving,)))[0]
    assert (numbers(received), received.version, arrived) == ([left] * 4, left, (0,))
    peer = rank ^ 1
    theirs, _ = yield Exchange(peer, mine, tag=6)
    assert (numbers(theirs), theirs.version) == ([peer] * 4, peer)

    total = n * (n - 1) / 2
    assert numbers((yield AllReduce(mine, "sum"))[0]) == [total] * 4
    assert numbers((yield AllReduce(mine, "mean"))[0]) == [total / n] * 4
    assert numbers((yield AllReduce(mine, "max"))[0]) == [n - 1] * 4
    assert numbers((yield ReduceScatter(mine, "sum"))[0]) == [total]
    assert numbers((yield AllGather(mine))[0]) == [each for each in range(n) for _ in range(4)]
    assert numbers((yield AllToAll(mine))[0]) == list(range(n))
    assert numbers((yield Broadcast(mine, root=2))[0]) == [2.0] * 4
    pair = (0, 1) if rank < 2 else (2, 3)
    assert numbers((yield AllReduce(mine, "sum", pair))[0]) == [sum(pair)] * 4
    yield Barrier()

    quick, _ = yield Start(Compute("gradient", engine="quick"))
    never, _ = yield Start(Receive(left, 32, tag=99))
    answer, _ = yield Await((never, quick), "any")
    assert answer.arrived == (1,)
    answer, time = yield Await((never, quick), 1)
    assert answer.arrived == (1,)
    answer, late = yield Await((never,), "all", time + 2.0)
    assert answer.arrived == ()
    assert late >= time + 2.0
    yield Cancel(never)

    partner, _ = yield Meet(worker.neighbours)
    assert partner is None or partner.peer in worker.neighbours
    yield Leave()
    yield Join()
    yield Barrier()
