"""How a group of ranks moves the arrays of a collective, on gloo or NCCL alike. Arrays are one-dimensional."""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

import torch
from torch import distributed

from executor.wire.frames import FACTS, pack_facts, unpack_facts
from executor.wire.groups import Group
from schedules.driving.answers import parts_of
from schedules.operations import AllGather, AllReduce, AllToAll, ReduceScatter
from schedules.payload import Payload
from schedules.training.parts import length, part

Combining = AllReduce | ReduceScatter | AllGather | AllToAll
"""A collective to whose answer every member contributes."""

_SUM = {
    "sum": distributed.ReduceOp(distributed.ReduceOp.SUM),
    "mean": distributed.ReduceOp(distributed.ReduceOp.SUM),
    "max": distributed.ReduceOp(distributed.ReduceOp.MAX),
}
"""gloo has no mean: it is the sum, divided here."""


def combined(group: Group, operation: Combining, array: torch.Tensor, place: int, n: int) -> torch.Tensor:
    """What the member number `place` of `n` has afterwards; the array is its own, and may be written to."""
    match operation:
        case AllReduce():
            return _all_reduced(group, array, operation.reduction, n)
        case ReduceScatter():
            return _reduce_scattered(group, array, operation.reduction, place, n)
        case AllGather():
            return _gathered(group, array.view(torch.uint8), place, n).view(array.dtype)
        case AllToAll():
            parts = parts_of(operation, n)
            # Of equal parts everybody knows what comes; else it is asked for.
            table = _table(group, parts, place, n, array.device) if operation.parts is not None else [parts] * n
            return _swapped(group, array.view(torch.uint8), parts, [row[place] for row in table]).view(array.dtype)
    assert_never(operation)


def broadcast(group: Group, given: Payload, array: torch.Tensor, root: int) -> tuple[Payload, torch.Tensor]:
    """The root's facts and array; `root` is its place in the group.

    The facts lie before the array: in a message of their own they would cost a latency.
    """
    facts = torch.frombuffer(bytearray(pack_facts(given)), dtype=torch.uint8).to(array.device)
    wire = torch.cat((facts, array.view(torch.uint8)))
    options = distributed.BroadcastOptions()
    options.rootRank, options.rootTensor = root, 0
    group.broadcast([wire], options).wait()
    told = wire[:FACTS].cpu().numpy().tobytes()
    return unpack_facts(told, given.size, None), wire[FACTS:].view(array.dtype)


def _all_reduced(group: Group, array: torch.Tensor, reduction: str, n: int) -> torch.Tensor:
    options = distributed.AllreduceOptions()
    options.reduceOp = _SUM[reduction]
    group.allreduce([array], options).wait()
    return _mean(array, reduction, n)


def _reduce_scattered(group: Group, array: torch.Tensor, reduction: str, place: int, n: int) -> torch.Tensor:
    """Groups scatter equal parts: shorter ones are filled up, each in its place."""
    most = -(-len(array) // n)
    if most * n != len(array):
        filled = torch.zeros(n * most, dtype=array.dtype, device=array.device)
        for index in range(n):
            piece = part(len(array), index, n)
            filled[index * most : index * most + length(piece)] = array[piece]
    else:
        filled = array
    answer = torch.empty(most, dtype=array.dtype, device=array.device)
    options = distributed.ReduceScatterOptions()
    options.reduceOp = _SUM[reduction]
    group._reduce_scatter_base(answer, filled, options).wait()
    return _mean(answer[: length(part(len(array), place, n))], reduction, n)


def _mean(array: torch.Tensor, reduction: str, n: int) -> torch.Tensor:
    return array / n if reduction == "mean" else array


def _gathered(group: Group, mine: torch.Tensor, place: int, n: int) -> torch.Tensor:
    """Everybody's bytes, uint8 [sum]. Groups gather equal ones: shorter ones are filled up, and cut again."""
    sizes = [size for (size,) in _table(group, [len(mine)], place, n, mine.device)]
    most = max(sizes)
    if not most:
        return mine
    filled = mine if len(mine) == most else torch.cat((mine, mine.new_zeros(most - len(mine))))
    whole = torch.empty(most * n, dtype=torch.uint8, device=mine.device)
    # Views of the answer: every part is received where it belongs.
    group.allgather([list(whole.chunk(n))], [filled]).wait()
    if min(sizes) == most:
        return whole
    return torch.cat([each[:size] for each, size in zip(whole.chunk(n), sizes, strict=True)])


def _swapped(group: Group, mine: torch.Tensor, sent: Sequence[int], received: Sequence[int]) -> torch.Tensor:
    answer = torch.empty(sum(received), dtype=torch.uint8, device=mine.device)
    group.alltoall_base(answer, mine, list(received), list(sent)).wait()
    return answer


def _table(group: Group, row: Sequence[int], place: int, n: int, device: torch.device) -> Sequence[Sequence[int]]:
    """Everybody's row of so many numbers. By a sum, which is faster among few ranks than a gathering."""
    table = torch.zeros(n, len(row), dtype=torch.int64, device=device)
    table[place] = torch.tensor(list(row), dtype=torch.int64)
    group.allreduce([table], distributed.AllreduceOptions()).wait()
    told: list[list[int]] = table.tolist()
    return told
