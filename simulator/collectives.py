"""What collectives take on an idle, uniform network, and what they compute.

n ranks, S bytes a rank holds, links of bandwidth B and latency L in each direction:

| collective | time |
|---|---|
| all-reduce (ring) | 2 (n-1) (L + S / (n B)) |
| reduce-scatter, all-to-all | (n-1) (L + S / (n B)) |
| all-gather | (n-1) (L + S / B) |
| broadcast (binomial tree) | ceil(log2 n) (L + S / B) |
| barrier (dissemination) | ceil(log2 n) L |

Gloo's ring all-reduce works in segments whose receiver must first announce itself, so a hop costs 2L and half a chunk
can hide it: 2 (n-1) max(S / (n B), 2L + S / (2 n B) + c), with the software cost c of a segment (real-hardware.md,
section 4).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from schedules.operations import (
    AllGather,
    AllReduce,
    AllToAll,
    Barrier,
    Broadcast,
    Operation,
    Payload,
    ReduceScatter,
)


def seconds(kind: type[Operation], n: int, size: int, bandwidth: float, latency: float) -> float:
    """What a collective of `n` ranks with `size` bytes each takes: bandwidth in bytes/s, latency in seconds."""
    if n == 1:
        return 0.0
    steps, depth = n - 1, math.ceil(math.log2(n))
    part, whole = size / n / bandwidth, size / bandwidth
    table: dict[type[Operation], float] = {
        AllReduce: 2 * steps * (latency + part),
        ReduceScatter: steps * (latency + part),
        AllToAll: steps * (latency + part),
        AllGather: steps * (latency + whole),
        Broadcast: depth * (latency + whole),
        Barrier: depth * latency,
    }
    return table[kind]


def gloo_seconds(kind: type[Operation], n: int, size: int, bandwidth: float, latency: float, overhead: float) -> float:
    """The same with gloo's protocol; `overhead` is the software cost of a message in seconds."""
    if kind is not AllReduce or n == 1:
        return seconds(kind, n, size, bandwidth, 2 * latency + overhead)
    chunk = size / n / bandwidth
    return 2 * (n - 1) * max(chunk, 2 * latency + chunk / 2 + overhead)


Reducer = Callable[[Any], Any]
REDUCERS: Mapping[str, Reducer] = {
    "mean": lambda stack: np.mean(stack, axis=0, dtype=stack.dtype),
    "sum": lambda stack: np.sum(stack, axis=0, dtype=stack.dtype),
    "max": lambda stack: np.max(stack, axis=0),
}


def combine(operations: Sequence[Any]) -> list[Payload | None]:
    """The answers of a collective, one a member, from the members' operations in rank order."""
    first = operations[0]
    if isinstance(first, Barrier):
        return [None] * len(operations)
    payloads = [each.payload for each in operations]
    return _ANSWERS[type(first)](first, payloads)


def _answers(payloads: Sequence[Payload], size: int, arrays: Sequence[Any]) -> list[Payload | None]:
    """One answer a member: it says of which version the member's own contribution was."""
    return [Payload(size, array, mine.version, mine.step) for mine, array in zip(payloads, arrays, strict=True)]


def _stack(payloads: Sequence[Payload]) -> Any:
    return None if payloads[0].array is None else np.stack([each.array for each in payloads])


def _parts(array: Any, n: int) -> list[Any]:
    return [None] * n if array is None else np.split(array, n)


def _reduced(first: Any, payloads: Sequence[Payload]) -> Any:
    stack = _stack(payloads)
    return None if stack is None else REDUCERS[first.reduction](stack)


def _all_reduce(first: Any, payloads: Sequence[Payload]) -> list[Payload | None]:
    return _answers(payloads, first.size, [_reduced(first, payloads)] * len(payloads))


def _reduce_scatter(first: Any, payloads: Sequence[Payload]) -> list[Payload | None]:
    n = len(payloads)
    return _answers(payloads, first.size // n, _parts(_reduced(first, payloads), n))


def _all_gather(first: Any, payloads: Sequence[Payload]) -> list[Payload | None]:
    n, stack = len(payloads), _stack(payloads)
    return _answers(payloads, first.size * n, [None if stack is None else stack.ravel()] * n)


def _all_to_all(first: Any, payloads: Sequence[Payload]) -> list[Payload | None]:
    n = len(payloads)
    if payloads[0].array is None:
        return _answers(payloads, first.size, [None] * n)
    parts = [_parts(each.array, n) for each in payloads]
    return _answers(payloads, first.size, [np.concatenate([part[rank] for part in parts]) for rank in range(n)])


_ANSWERS: Mapping[type[Operation], Callable[[Any, Sequence[Payload]], list[Payload | None]]] = {
    AllReduce: _all_reduce,
    ReduceScatter: _reduce_scatter,
    AllGather: _all_gather,
    AllToAll: _all_to_all,
}


def broadcast(operations: Sequence[Any], members: Sequence[int]) -> list[Payload | None]:
    """The answers of a broadcast: everybody gets the root's payload."""
    root = members.index(operations[0].root)
    return [operations[root].payload] * len(operations)
