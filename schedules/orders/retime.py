"""When the cells of an order begin and end: the longest path over it, for many durations at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from schedules.orders.order import Order
from schedules.orders.steps import steps_of

Nanoseconds = NDArray[np.int64]


def retime(order: Order, durations: Nanoseconds, latency: int | Nanoseconds = 0) -> tuple[Nanoseconds, Nanoseconds]:
    """When cells begin and end where every message takes the latency, and none waits for another.

    Args:
        durations: [cells] or [cells, variants] of `order.cells`, in nanoseconds.
        latency: of what goes to another rank, in nanoseconds: one, or [variants].
    Returns:
        [cells, variants] each, in nanoseconds.
    Raises:
        OrderError: if some cells wait for each other.
    """
    given = np.asarray(durations, dtype=np.int64)
    given = given.reshape(len(given), -1)
    start, end = np.zeros_like(given), np.zeros_like(given)
    first = np.cumsum([0, *map(len, order.ranks)])
    for cell in order.sequence():
        own = steps_of(cell)
        rank, position = order.where[own[0]]
        row = first[rank] + position
        begin = end[row - 1].copy() if position else np.zeros(given.shape[1], dtype=np.int64)
        for need in (each for step in own for each in order.needs(step)):
            other = order.where[need]
            np.maximum(begin, end[first[other.rank] + other.at] + (0 if other.rank == rank else latency), out=begin)
        start[row], end[row] = begin, begin + given[row]
    return start, end
