"""When the cells of an order begin and end: the longest path over it, for many durations at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from schedules.orders.order import Order

Nanoseconds = NDArray[np.int64]

LONG_AGO = -(2**62)
"""When what nothing waits for is over."""


def retime(order: Order, durations: Nanoseconds, latency: int | Nanoseconds = 0) -> tuple[Nanoseconds, Nanoseconds]:
    """When cells begin and end where every message takes the latency, and none waits for another.

    Args:
        durations: [cells] or [cells, variants] of `order.cells`, in nanoseconds.
        latency: of what goes to another rank, in nanoseconds: one, [variants], or [ranks, ranks] from one to another.
    Returns:
        [cells, variants] each, in nanoseconds.
    Raises:
        ValueError: if the durations are not so many, or the latencies.
        OrderError: if some cells wait for each other.
    """
    rows = order.rows
    if len(rows.stuck):
        order.sequence()  # which says who waits
    given = _given(order, durations, latency)
    end = np.empty((len(given) + 2, *given.shape[1:]), dtype=np.int64)
    end[-2], end[-1] = 0, LONG_AGO
    needs = np.where(rows.needs == len(given), len(given) + 1, rows.needs)  # no latency after nothing
    waits, is_by_row = _waits(order, needs, latency, given.ndim), np.ndim(latency) == 2
    room = np.empty((2, max(map(len, rows.rounds), default=0), *given.shape[1:]), dtype=np.int64)
    for together in rows.rounds:
        last, other = room[:, : len(together)]
        end.take(rows.before[together], 0, last, "clip")  # "raise" would copy
        for column, is_message, wait in zip(needs, rows.is_message, waits, strict=True):
            end.take(column[together], 0, other, "clip")
            if is_message:
                np.add(other, wait[together] if is_by_row else wait, out=other)
            np.maximum(last, other, out=last)
        end[together] = np.add(last, given.take(together, 0, other, "clip"), out=last)
    end = end[:-2].reshape(len(given), -1)
    return end - given.reshape(end.shape), end


def _waits(order: Order, needs: Nanoseconds, latency: int | Nanoseconds, dimensions: int) -> list[Nanoseconds]:
    """Of each column of needs, the latency of its messages: one, [variants], or of each row."""
    found = np.asarray(latency, dtype=np.int64)
    if found.ndim < 2:
        return [found.reshape(() if dimensions == 1 else (-1,))] * len(needs)
    rank = np.append(np.repeat(np.arange(len(order.ranks)), [len(cells) for cells in order.ranks]), [0, 0])
    shape = (-1,) if dimensions == 1 else (-1, 1)
    return [found[rank[column], rank[:-2]].reshape(shape) for column in needs]


def _given(order: Order, durations: Nanoseconds, latency: int | Nanoseconds) -> Nanoseconds:
    """The durations of all variants; of one variant in one axis, which numpy is faster with."""
    given = np.asarray(durations, dtype=np.int64)
    if len(given) != len(order.cells):
        raise ValueError(f"expected a row of durations a cell, {len(order.cells)}, found {len(given)}")
    numbers = {given[:1].size, np.size(latency) if np.ndim(latency) < 2 else 1} - {1}
    if len(numbers) > 1:
        raise ValueError(f"expected a latency, or {given[:1].size}, one a variant, found {np.size(latency)}")
    if not numbers:
        return given.reshape(-1)
    return np.broadcast_to(given.reshape(len(given), -1), (len(given), *numbers))
