"""What collectives take on an idle, uniform network, and what they compute.

n ranks, S bytes a rank holds, links of bandwidth B and latency L in each direction. A collective takes

    latencies * L + bytes in sequence / B,

with both from the table in `schedules.platform.volumes`: a ring all-reduce 2 (n-1) (L + S / (n B)), a broadcast down a
tree ceil(log2 n) (L + S / B), and so on. The patterns of `simulator.collectives.patterns`, run message by message on an
idle network, take the same, but for parts that are whole bytes.

The hierarchical all-reduce of N nodes with m members each, with B' and L' inside a node, takes
2 (m-1) (L' + S / (m B')) + 2 (N-1) (L + S / (n B)).

Gloo's ring all-reduce works in segments whose receiver must first announce itself, so a hop costs 2L and half a chunk
can hide it: 2 (n-1) max(S / (n B), 2L + S / (2 n B) + c), with the software cost c of a segment (real-hardware.md,
section 4). Its other messages are announced too, and not in segments: 2L + c take the place of L.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from schedules.driving import answers
from schedules.operations import (
    AllGather,
    AllReduce,
    AllToAll,
    Barrier,
    Operation,
    Payload,
    ReduceScatter,
)
from schedules.platform.tables import Link
from schedules.platform.volumes import cost, default_algorithm


def seconds(
    kind: type[Operation],
    n: int,
    size: int,
    bandwidth: float,
    latency: float,
    *,
    algorithm: str | None = None,
    num_nodes: int | None = None,
    inside: Link | None = None,
) -> float:
    """What a collective of `n` ranks with `size` bytes each takes.

    Args:
        bandwidth, latency: of a link between two ranks, in bytes/s and seconds.
        algorithm: one that `schedules.platform.volumes.ALGORITHMS` has for it; None: the first.
        num_nodes: for "hierarchical": how many nodes have equally many of the ranks each; None: every rank is one.
        inside: for "hierarchical": the link between two ranks of one node; None: as between nodes.
    Raises:
        ValueError: if there is no such algorithm, or the nodes do not divide the ranks.
    """
    algorithm = algorithm or default_algorithm(kind.__name__)
    if algorithm == "hierarchical" and inside is not None and num_nodes is not None:
        width = n // num_nodes
        shard = cost("AllReduce", "ring", num_nodes, size)
        in_node = cost("AllReduce", "ring", width, size)
        in_nodes = in_node.latencies * inside.latency + in_node.in_sequence / inside.bandwidth
        return in_nodes + shard.latencies * latency + shard.in_sequence / width / bandwidth
    latencies, in_sequence, _ = cost(kind.__name__, algorithm, n, size, num_nodes=num_nodes or n)
    return latencies * latency + in_sequence / bandwidth


def gloo_seconds(
    kind: type[Operation],
    n: int,
    size: int,
    bandwidth: float,
    latency: float,
    overhead: float,
    *,
    algorithm: str | None = None,
    num_nodes: int | None = None,
    inside: Link | None = None,
) -> float:
    """The same with gloo's protocol; `overhead` is the software cost of a message in seconds."""
    if kind is not AllReduce or n == 1 or algorithm not in (None, "ring"):
        announced = inside and Link(bandwidth=inside.bandwidth, latency=2 * inside.latency + overhead)
        levels: dict[str, Any] = {"algorithm": algorithm, "num_nodes": num_nodes, "inside": announced}
        return seconds(kind, n, size, bandwidth, 2 * latency + overhead, **levels)
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
    return [answers.of_collective(mine, size, array) for mine, array in zip(payloads, arrays, strict=True)]


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
