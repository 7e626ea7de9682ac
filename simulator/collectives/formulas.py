"""What collectives compute: the members' answers, from what they have brought.

How long they take is `schedules.platform.collective_times`, and the transport's own formula.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from schedules.operations import (
    AllGather,
    AllReduce,
    AllToAll,
    Barrier,
    Operation,
    Payload,
    ReduceScatter,
)

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
