"""What collectives take on an idle, uniform network, and what they compute.

n ranks, S bytes a rank holds, links of bandwidth B and latency L in each direction:

| collective | time | bytes a rank sends |
|---|---|---|
| all-reduce (ring) | 2 (n-1) (L + S / (n B)) | 2 S (n-1)/n |
| reduce-scatter, all-to-all | (n-1) (L + S / (n B)) | S (n-1)/n |
| all-gather | (n-1) (L + S / B) | S (n-1) |
| broadcast (binomial tree) | ceil(log2 n) (L + S / B) | S (root) |
| barrier (dissemination) | ceil(log2 n) L | 0 |

Gloo's ring all-reduce works in segments whose receiver must first announce itself, so a hop costs 2L and half a chunk
can hide it: 2 (n-1) max(S / (n B), 2L + S / (2 n B) + c), with the software cost c of a segment (real-hardware.md,
section 4).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

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


class Cost(NamedTuple):
    """Seconds, and bytes sent by a rank."""

    seconds: float
    sent: float


def cost(kind: type[Operation], n: int, size: int, bandwidth: float, latency: float) -> Cost:
    """What a collective of `n` ranks with `size` bytes each takes: bandwidth in bytes/s, latency in seconds."""
    if n == 1:
        return Cost(0.0, 0.0)
    steps, depth = n - 1, math.ceil(math.log2(n))
    part, whole = size / n, size / bandwidth
    table: dict[type[Operation], Cost] = {
        AllReduce: Cost(2 * steps * (latency + part / bandwidth), 2 * part * steps),
        ReduceScatter: Cost(steps * (latency + part / bandwidth), part * steps),
        AllToAll: Cost(steps * (latency + part / bandwidth), part * steps),
        AllGather: Cost(steps * (latency + whole), float(size * steps)),
        Broadcast: Cost(depth * (latency + whole), float(size)),
        Barrier: Cost(depth * latency, 0.0),
    }
    return table[kind]


def gloo_cost(kind: type[Operation], n: int, size: int, bandwidth: float, latency: float, overhead: float) -> Cost:
    """The same with gloo's protocol; `overhead` is the software cost of a message in seconds."""
    plain = cost(kind, n, size, bandwidth, 2 * latency + overhead)
    if kind is not AllReduce or n == 1:
        return plain
    chunk = size / n / bandwidth
    return Cost(2 * (n - 1) * max(chunk, 2 * latency + chunk / 2 + overhead), plain.sent)


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


def _with(size: int, array: Any, version: int) -> Payload:
    return Payload(size, array, version)


def _stack(payloads: Sequence[Payload]) -> Any:
    return None if payloads[0].array is None else np.stack([each.array for each in payloads])


def _oldest(payloads: Sequence[Payload]) -> int:
    return min(each.version for each in payloads)


def _all_reduce(first: Any, payloads: Sequence[Payload]) -> list[Payload | None]:
    stack = _stack(payloads)
    array = None if stack is None else REDUCERS[first.reduction](stack)
    return [_with(first.size, array, _oldest(payloads)) for _ in payloads]


def _parts(array: Any, n: int) -> list[Any]:
    return [None] * n if array is None else np.split(array, n)


def _reduce_scatter(first: Any, payloads: Sequence[Payload]) -> list[Payload | None]:
    stack = _stack(payloads)
    array = None if stack is None else REDUCERS[first.reduction](stack)
    return [_with(first.size // len(payloads), part, _oldest(payloads)) for part in _parts(array, len(payloads))]


def _all_gather(first: Any, payloads: Sequence[Payload]) -> list[Payload | None]:
    stack = _stack(payloads)
    array = None if stack is None else stack.ravel()
    return [_with(first.size * len(payloads), array, _oldest(payloads)) for _ in payloads]


def _all_to_all(first: Any, payloads: Sequence[Payload]) -> list[Payload | None]:
    n = len(payloads)
    parts = [_parts(each.array, n) for each in payloads]
    is_numeric = payloads[0].array is not None
    arrays = [np.concatenate([parts[source][rank] for source in range(n)]) if is_numeric else None for rank in range(n)]
    return [_with(first.size, array, _oldest(payloads)) for array in arrays]


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
