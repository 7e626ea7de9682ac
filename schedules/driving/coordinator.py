"""First come, first paired: the rule of the official A²CiD² coordinator (gossip.md, 4.1), as a plain state machine.

Among candidates that are everybody: strict first in, first out. Otherwise the arriving worker scans its candidates in a
fresh random order and is paired with the first that is free; if none is, it is parked.
"""

from __future__ import annotations

from collections.abc import Sequence

from schedules.clocks import StreamKey, stream
from schedules.operations import Partner

Answer = tuple[int, Partner | None]
"""A rank and what it is told; None: nobody that it may meet will come any more."""


class Coordinator:
    """Who is free, and who has met whom how often.

    Args:
        num_workers: how many there are.
        seed: of the run: the scanning orders are drawn from it, one stream a worker.
    """

    def __init__(self, num_workers: int, seed: int) -> None:
        self.num_workers = num_workers
        self._parked: dict[int, Sequence[int]] = {}  # dictionaries keep their order: who came first is first
        self._left: set[int] = set()
        self._meetings: dict[tuple[int, int], int] = {}
        self._orders = [stream(seed, StreamKey.NEIGHBOUR_ORDER, rank) for rank in range(num_workers)]

    def arrive(self, rank: int, candidates: Sequence[int]) -> list[Answer]:
        """A worker is free: whom that pairs, or nobody yet, or (it alone) the news that nobody will come."""
        peer = self._free_peer(rank, candidates)
        if peer is not None:
            del self._parked[peer]
            edge = (min(rank, peer), max(rank, peer))
            index = self._meetings[edge] = self._meetings.get(edge, -1) + 1
            return [(peer, Partner(rank, index)), (rank, Partner(peer, index))]
        if self._left.issuperset(candidates):
            return [(rank, None)]
        self._parked[rank] = candidates
        return []

    def leave(self, rank: int) -> list[Answer]:
        """A worker takes part no longer: those who could only have met it are told."""
        self._left.add(rank)
        self.withdraw(rank)
        lonely = [each for each, candidates in self._parked.items() if self._left.issuperset(candidates)]
        for each in lonely:
            del self._parked[each]
        return [(each, None) for each in lonely]

    def has_left(self, rank: int) -> bool:
        """Whether a worker takes part no longer."""
        return rank in self._left

    def withdraw(self, rank: int) -> None:
        """A worker waits to be paired no longer."""
        self._parked.pop(rank, None)

    def join(self, rank: int) -> list[Answer]:
        """A worker takes part again."""
        self._left.discard(rank)
        return []

    def _free_peer(self, rank: int, candidates: Sequence[int]) -> int | None:
        if len(candidates) == self.num_workers - 1:  # the official code draws no order on a complete graph
            return next((peer for peer in self._parked if rank in self._parked[peer]), None)
        for position in self._orders[rank].permutation(len(candidates)).tolist():
            peer = candidates[int(position)]
            if peer in self._parked and rank in self._parked[peer]:  # both must want it
                return peer
        return None
