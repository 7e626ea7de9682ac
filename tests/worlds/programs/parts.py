"""Parts of any length, messages that are shorter than asked for, channels: the program checks what it is answered.

Four ranks, in numbers (of which the model has enough) or in bytes alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from schedules import part
from schedules.operations import (
    AllGather,
    AllReduce,
    AllToAll,
    Await,
    Barrier,
    Payload,
    Program,
    Receive,
    ReduceScatter,
    Send,
    Start,
)
from schedules.scenario import Count, Table
from schedules.worker import Worker

SOURCE = "docs/vocabulary.md"

PARTS = ((0, 1, 2, 3), (4, 0, 0, 0), (1, 1, 1, 1), (0, 0, 5, 2))
"""How many numbers of 8 bytes each of four ranks has for each."""


class Settings(Table):
    gradients: Count = 1


def streams(worker: Worker) -> Mapping[str, Program]:
    return {"one": _parts(worker), "other": _channel(worker, "second")}


def payload_of(worker: Worker, numbers: Sequence[float]) -> Payload:
    """float64, where the run is numeric."""
    model: Any = worker.model
    size = 8 * len(numbers)
    if not hasattr(model, "xp"):
        return Payload(size)
    return Payload(size, model.xp.asarray(list(numbers), dtype=model.xp.float64))


def check(payload: Any, numbers: Sequence[float], size: int | None = None) -> None:
    """In a timing-only run the size is that of the bytes cut by themselves."""
    if payload.array is None:
        assert payload.size == (8 * len(numbers) if size is None else size), (payload, numbers)
    else:
        assert [float(each) for each in payload.array] == list(numbers), (payload.array, numbers)
        assert payload.size == 8 * len(numbers)


def _parts(worker: Worker) -> Program:
    rank, n = worker.rank, worker.num_workers
    for length in (0, 3, 5, 8):
        whole = [10.0 * rank + k for k in range(length)]
        total, mine = [60.0 + n * k for k in range(length)], part(length, rank, n)
        in_bytes = part(8 * length, rank, n)
        scattered, _ = yield ReduceScatter(payload_of(worker, whole), "sum")
        check(scattered, total[mine], in_bytes.stop - in_bytes.start)
        gathered, _ = yield AllGather(scattered, channel="gather")
        check(gathered, total)
        swapped, _ = yield AllToAll(payload_of(worker, whole))
        expected = [10.0 * source + k for source in range(n) for k in range(length)[mine]]
        check(swapped, expected, n * (in_bytes.stop - in_bytes.start))
    if rank != 2:
        gathered, _ = yield AllGather(payload_of(worker, [float(rank)] * rank), group=(0, 1, 3))
        check(gathered, [1.0, 3.0, 3.0, 3.0])
    counts = PARTS[rank]
    numbers = [100.0 * rank + target for target, count in enumerate(counts) for _ in range(count)]
    swapped, _ = yield AllToAll(payload_of(worker, numbers), parts=tuple(8 * count for count in counts))
    check(swapped, [100.0 * source + rank for source in range(n) for _ in range(PARTS[source][rank])])
    yield from _short_messages(worker)
    yield Barrier(tuple(range(n)))


def _short_messages(worker: Worker) -> Program:
    """Under one tag and limit, each of another length: none is taken for another."""
    right, left = (worker.rank + 1) % worker.num_workers, (worker.rank - 1) % worker.num_workers
    started = []
    for _ in range(3):
        handle, _ = yield Start(Receive(left, 64, 7, "ring"))
        started.append(handle)
    for k in (8, 0, 3):
        handle, _ = yield Start(Send(right, payload_of(worker, [float(k)] * k), 7, "ring", 64))
        started.append(handle)
    answer, _ = yield Await(tuple(started))
    for k, came in zip((8, 0, 3), answer.results, strict=False):
        assert came.size == 8 * k
        if k and came.array is not None:
            assert [float(each) for each in came.array] == [float(k)] * k


def _channel(worker: Worker, channel: str) -> Program:
    """Beside the other stream's collectives, in whatever order."""
    for turn in range(5):
        total, _ = yield AllReduce(payload_of(worker, [float(worker.rank + turn)]), "sum", channel=channel)
        check(total, [6.0 + 4 * turn])
