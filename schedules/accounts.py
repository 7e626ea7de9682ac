"""Where the ranks' time goes, and how stale what they apply is: the facts behind every summary.

A `Ledger` holds one entry a computation, a transfer and an applied gradient; everything else is worked out from
these. Both worlds enter them as things happen, so one definition of busy, transferring and idle serves both, and runs
whose trace is not kept.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]

pack_computation = struct.Struct("<3q").pack
pack_transfer = struct.Struct("<6q").pack
pack_exchange = struct.Struct("<12q").pack
"""Two transfers at once: those of the two ends."""
pack_applied = struct.Struct("<4q").pack


def merged(rank: Integers, start: Integers, end: Integers) -> tuple[Integers, Integers, Integers]:
    """The union of time intervals rank by rank, as disjoint intervals (rank, start, end) in ascending order."""
    kept = end > start
    rank, start, end = rank[kept], start[kept], end[kept]
    if not len(rank):
        return rank, start, end
    order = np.lexsort((start, rank))
    rank, start, end = rank[order], start[order], end[order]
    span = int(end.max()) + 1
    reach = np.maximum.accumulate(end + rank * span) - rank * span
    is_first = np.concatenate(([True], (rank[1:] != rank[:-1]) | (start[1:] > reach[:-1])))
    first = np.flatnonzero(is_first)
    last = np.append(first[1:], len(rank)) - 1
    return rank[first], start[first], reach[last]


class Ledger:
    """The facts of a run: integer nanoseconds, versions, bytes.

    Attributes:
        now: time of the segment under way.
        computations: entries (rank, start, end).
        transfers: entries (rank, issued, ready, end, bytes sent, 1 for an exchange).
        applied: entries (rank, versions written between the gradient's read and its apply, gradient steps of the worker
            between them, nanoseconds between them).
    """

    def __init__(self, num_ranks: int = 1) -> None:
        self.num_ranks = num_ranks
        self.now = 0
        self.computations = bytearray()
        self.transfers = bytearray()
        self.applied = bytearray()
        self._computing = _no_intervals()
        self._transferring = _no_intervals()
        self._waited, self._sent, self._exchanges = (np.zeros(num_ranks, dtype=np.int64) for _ in range(3))

    def shorten(self, rank: int, start: int, end: int, now: int) -> None:
        """A computation that was entered to its end is abandoned now."""
        at = self.computations.rfind(pack_computation(rank, start, end))
        if at >= 0:
            self.computations[at : at + 24] = pack_computation(rank, start, now)

    def fold(self) -> None:
        """Turn computations and transfers into unions and totals: memory stays small however long the run."""
        computations = _entries(self.computations, 3)
        transfers = _entries(self.transfers, 6)
        self.computations, self.transfers = bytearray(), bytearray()
        self._computing = _union(self._computing, computations)
        self._transferring = _union(self._transferring, transfers[[0, 2, 3]])
        rank, issued, ready, _, size, is_exchange = transfers
        np.add.at(self._waited, rank, ready - issued)
        np.add.at(self._sent, rank, size)
        np.add.at(self._exchanges, rank, is_exchange)

    def compute_ns(self) -> Integers:
        """Time in which at least one engine computes: int64 [num_ranks]."""
        self.fold()
        return self._lengths(self._computing)

    def transfer_ns(self) -> Integers:
        """Time in which at least one transfer of the rank is under way, waiting left out: int64 [num_ranks]."""
        self.fold()
        return self._lengths(self._transferring)

    def busy_ns(self) -> Integers:
        """Time in which the rank computes or transfers; the rest of the makespan is idle: int64 [num_ranks]."""
        self.fold()
        return self._lengths(_union(self._computing, self._transferring))

    def waiting_ns(self) -> Integers:
        """Time between issue and the last participant's arrival, summed over operations: int64 [num_ranks]."""
        self.fold()
        return self._waited

    def bytes_sent(self) -> Integers:
        """Bytes handed to the network: int64 [num_ranks]."""
        self.fold()
        return self._sent

    def num_exchanges(self) -> Integers:
        """Exchanges that the rank took part in: int64 [num_ranks]."""
        self.fold()
        return self._exchanges

    def staleness(self) -> Integers:
        """One column an applied gradient: rank, versions, steps, nanoseconds: int64 [4, num_gradients]."""
        return _entries(self.applied, 4)

    def _lengths(self, intervals: tuple[Integers, Integers, Integers]) -> Integers:
        rank, start, end = intervals
        lengths = np.zeros(self.num_ranks, dtype=np.int64)
        np.add.at(lengths, rank, end - start)
        return lengths


class Account:
    """One rank's page of a ledger."""

    __slots__ = ("ledger", "rank")

    def __init__(self, rank: int = 0, ledger: Ledger | None = None) -> None:
        self.rank = rank
        self.ledger = ledger or Ledger(rank + 1)

    def apply_gradient(self, versions: int, steps: int, read_ns: int) -> None:
        """Enter a gradient that is applied now."""
        ledger = self.ledger
        ledger.applied += pack_applied(self.rank, versions, steps, ledger.now - read_ns)


def _entries(packed: bytearray, width: int) -> Integers:
    return np.frombuffer(bytes(packed), dtype="<i8").reshape(-1, width).T


def _no_intervals() -> tuple[Integers, Integers, Integers]:
    nothing = np.empty(0, dtype=np.int64)
    return nothing, nothing, nothing


def _union(intervals: tuple[Integers, Integers, Integers], more: Any) -> tuple[Integers, Integers, Integers]:
    return merged(*(np.concatenate((old, new)) for old, new in zip(intervals, more, strict=True)))
