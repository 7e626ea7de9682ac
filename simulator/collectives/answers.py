"""What collectives compute: the members' answers, from what they have brought.

How long they take is `schedules.platform.collective_times`, and the transport's own formula.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schedules.driving import answers
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
from schedules.training.parts import part, size_of_part

Numbers = NDArray[np.float64]

REDUCERS: Mapping[str, Callable[[Numbers], Numbers]] = {
    "mean": lambda stack: np.mean(stack, axis=0, dtype=stack.dtype),
    # Numpy widens sums (int32 to int64); the answer has the kind and size of what was brought, as on the wire.
    "sum": lambda stack: np.sum(stack, axis=0, dtype=stack.dtype),
    "max": lambda stack: np.max(stack, axis=0),
}


def combine(members: Sequence[int], operations: Mapping[int, Any]) -> list[Payload | None]:
    """The answers of a collective, one a member, from the operations that have been issued, by rank.

    Those of all members; of a broadcast, the root's will do: whoever is near it has its answer before the last comes.
    """
    first = next(iter(operations.values()))
    if isinstance(first, Barrier):
        return [None] * len(members)
    if isinstance(first, Broadcast):
        root = operations[first.root].payload
        # One object for all members: arrays are replaced, never written in place.
        return [answers.of_collective(root, root.size, root.array)] * len(members)
    payloads = [operations[each].payload for each in members]
    if isinstance(first, AllToAll):
        return _all_to_all(payloads, [answers.parts_of(operations[each], len(members)) for each in members])
    reduction = first.reduction if isinstance(first, AllReduce | ReduceScatter) else ""
    return _ANSWERS[type(first)](payloads, reduction)


def moved(members: Sequence[int], operations: Mapping[int, Any], rank: int) -> tuple[int, int]:
    """Bytes that a member of an all-to-all sends to others, and that it receives from them."""
    place, n = members.index(rank), len(members)
    parts = {each: answers.parts_of(operations[each], n) for each in members}
    stays = parts[rank][place]
    return sum(parts[rank]) - stays, sum(each[place] for each in parts.values()) - stays


def _all_to_all(payloads: Sequence[Payload], parts: Sequence[tuple[int, ...]]) -> list[Payload | None]:
    n = len(payloads)
    sizes = [sum(each[place] for each in parts) for place in range(n)]
    pieces = [_cut(payload.array, each) for payload, each in zip(payloads, parts, strict=True)]
    return _answers(payloads, sizes, [_joined([each[place] for each in pieces]) for place in range(n)])


def _cut(array: Numbers | None, parts: tuple[int, ...]) -> Sequence[Numbers | None]:
    if array is None:
        return [None] * len(parts)
    return np.split(array, [stop // array.itemsize for stop in accumulate(parts)][:-1])


def _answers(
    payloads: Sequence[Payload], sizes: Sequence[int], arrays: Sequence[Numbers | None]
) -> list[Payload | None]:
    """One answer a member, with the facts of what it has brought itself."""
    return [answers.of_collective(*each) for each in zip(payloads, sizes, arrays, strict=True)]


def _stack(payloads: Sequence[Payload]) -> Numbers | None:
    return None if payloads[0].array is None else np.stack([each.array for each in payloads])


def _reduced(payloads: Sequence[Payload], reduction: str) -> Numbers | None:
    stack = _stack(payloads)
    return None if stack is None else REDUCERS[reduction](stack)


def _all_reduce(payloads: Sequence[Payload], reduction: str) -> list[Payload | None]:
    n = len(payloads)
    return _answers(payloads, [payloads[0].size] * n, [_reduced(payloads, reduction)] * n)


def _reduce_scatter(payloads: Sequence[Payload], reduction: str) -> list[Payload | None]:
    n, whole = len(payloads), _reduced(payloads, reduction)
    if whole is None:
        return _answers(payloads, [size_of_part(payloads[0].size, i, n) for i in range(n)], [None] * n)
    arrays = [whole[part(len(whole), i, n)] for i in range(n)]
    return _answers(payloads, [each.nbytes for each in arrays], arrays)


def _all_gather(payloads: Sequence[Payload], _: str) -> list[Payload | None]:
    n, size = len(payloads), sum(each.size for each in payloads)
    return _answers(payloads, [size] * n, [_joined([each.array for each in payloads])] * n)


def _joined(pieces: Sequence[Numbers | None]) -> Numbers | None:
    """One behind the other; a payload of no bytes may have no array."""
    arrays = [each for each in pieces if each is not None]
    return np.concatenate(arrays) if arrays else None


_ANSWERS: Mapping[type[Operation], Callable[[Sequence[Payload], str], list[Payload | None]]] = {
    AllReduce: _all_reduce,
    ReduceScatter: _reduce_scatter,
    AllGather: _all_gather,
}
