"""What collectives compute: the members' answers, from what they have brought.

How long they take is `schedules.platform.collective_times`, and the transport's own formula.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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
    reduction = first.reduction if isinstance(first, AllReduce | ReduceScatter) else ""
    return _ANSWERS[type(first)](payloads, reduction)


def _answers(payloads: Sequence[Payload], size: int, arrays: Sequence[Numbers | None]) -> list[Payload | None]:
    """One answer a member, with the facts of what it has brought itself."""
    return [answers.of_collective(mine, size, array) for mine, array in zip(payloads, arrays, strict=True)]


def _stack(payloads: Sequence[Payload]) -> Numbers | None:
    return None if payloads[0].array is None else np.stack([each.array for each in payloads])


def _parts(array: Numbers | None, n: int) -> Sequence[Numbers | None]:
    return [None] * n if array is None else np.split(array, n)


def _reduced(payloads: Sequence[Payload], reduction: str) -> Numbers | None:
    stack = _stack(payloads)
    return None if stack is None else REDUCERS[reduction](stack)


def _all_reduce(payloads: Sequence[Payload], reduction: str) -> list[Payload | None]:
    return _answers(payloads, payloads[0].size, [_reduced(payloads, reduction)] * len(payloads))


def _reduce_scatter(payloads: Sequence[Payload], reduction: str) -> list[Payload | None]:
    n = len(payloads)
    return _answers(payloads, payloads[0].size // n, _parts(_reduced(payloads, reduction), n))


def _all_gather(payloads: Sequence[Payload], _: str) -> list[Payload | None]:
    n, stack = len(payloads), _stack(payloads)
    return _answers(payloads, payloads[0].size * n, [None if stack is None else stack.ravel()] * n)


def _all_to_all(payloads: Sequence[Payload], _: str) -> list[Payload | None]:
    n, size = len(payloads), payloads[0].size
    if payloads[0].array is None:
        return _answers(payloads, size, [None] * n)
    parts = [np.split(each.array, n) for each in payloads]
    return _answers(payloads, size, [np.concatenate([part[rank] for part in parts]) for rank in range(n)])


_ANSWERS: Mapping[type[Operation], Callable[[Sequence[Payload], str], list[Payload | None]]] = {
    AllReduce: _all_reduce,
    ReduceScatter: _reduce_scatter,
    AllGather: _all_gather,
    AllToAll: _all_to_all,
}
