"""First come, first paired: the rule of the official A²CiD² coordinator (gossip.md, 4.1), as a plain state machine.

Among candidates that are everybody: strict first in, first out. Otherwise the arriving worker scans its candidates in a
fresh random order and is paired with the first that is free; if none is, it is parked.

Who has left needs no more meetings, and goes on meeting those that do: so nobody is stranded by neighbours that were
done earlier, as in the official code, whose workers all go on until the whole run is over.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, partial

from schedules.clocks import StreamKey, stream
from schedules.operations import Partner

Answer = tuple[int, Partner | None]
"""A rank and what it is told; None: nobody comes any more, or, to one that has left, nobody needs it any more."""


class Coordinator:
    """Who is free, and who has met whom how often.

    Args:
        num_workers: how many there are.
        seed: of the run: the scanning orders are drawn from it, one stream a worker.
    """

    def __init__(self, num_workers: int, seed: int) -> None:
        self.num_workers = num_workers
        self._parked: dict[int, Sequence[int]] = {}  # dictionaries keep their order: who came first is first
        self._needing: dict[int, Sequence[int]] = {}  # those of them that have not left
        self._counting_on: dict[int, dict[int, None]] = {}  # by rank: the parked that were not told for its sake
        self._left: set[int] = set()
        self._gone: set[int] = set()
        self._absent: set[int] = set()  # those that are gone, too
        self._meetings: dict[tuple[int, int], int] = {}
        # Each made when it is first drawn from: most schedules meet nobody, and a generator takes 20 us to make.
        self._order = cache(partial(stream, seed, StreamKey.NEIGHBOUR_ORDER))

    def arrive(self, rank: int, candidates: Sequence[int]) -> list[Answer]:
        """A worker is free: whom that pairs, or nobody yet, or (it alone) the news that nobody comes or needs it."""
        peer = self._free_peer(rank, candidates)
        if peer is not None:
            self.withdraw(peer)
            edge = (min(rank, peer), max(rank, peer))
            index = self._meetings[edge] = self._meetings.get(edge, -1) + 1
            return [(peer, Partner(rank, index)), (rank, Partner(peer, index))]
        if self._is_alone(rank, candidates):
            return [(rank, None)]
        self._parked[rank] = candidates
        if rank not in self._left:
            self._needing[rank] = candidates
        return []

    def leave(self, rank: int) -> list[Answer]:
        """A worker needs no more: those that have left, too, and could only have been of use to it, are told."""
        self._left.add(rank)
        self._needing.pop(rank, None)
        return self._tell_lonely(rank)

    def join(self, rank: int) -> list[Answer]:
        """A worker needs meetings again: whom that pairs, where it is parked."""
        self._left.discard(rank)
        candidates = self._parked.get(rank)
        self.withdraw(rank)
        return [] if candidates is None else self.arrive(rank, candidates)

    def end(self, rank: int) -> list[Answer]:
        """A worker is gone for good, lost or at the end of its programs: nobody meets it, and it needs nobody."""
        self._left.add(rank)
        self._gone.add(rank)
        return self.part(rank)

    def part(self, rank: int) -> list[Answer]:
        """A worker is away: nobody waits for it alone, but those that have left wait until it needs no more, too."""
        self._absent.add(rank)
        self.withdraw(rank)
        return self._tell_lonely(rank)

    def come_back(self, rank: int) -> None:
        """A worker that was away can be met again."""
        if rank not in self._gone:
            self._absent.discard(rank)

    def withdraw(self, rank: int) -> None:
        """A worker waits to be paired no longer."""
        self._parked.pop(rank, None)
        self._needing.pop(rank, None)

    def _is_alone(self, rank: int, candidates: Sequence[int]) -> bool:
        """Whether nobody whom it may meet comes any more; of one that has left, whether nobody there needs it.

        If not, it counts on the first that does: until that one leaves or goes, it need not be looked at again, and an
        end at which all leave is no matter of all pairs.
        """
        closed = self._left if rank in self._left else self._absent
        for each in candidates:
            if each not in closed:
                self._counting_on.setdefault(each, {})[rank] = None
                return False
        return True

    def _tell_lonely(self, rank: int) -> list[Answer]:
        """A worker has left or gone: tell those that counted on it and have nobody else."""
        asked = {**self._counting_on.pop(rank, {}), rank: None}
        lonely = [each for each in asked if each in self._parked and self._is_alone(each, self._parked[each])]
        for each in lonely:
            self.withdraw(each)
        return [(each, None) for each in lonely]

    def _free_peer(self, rank: int, candidates: Sequence[int]) -> int | None:
        parked = self._needing if rank in self._left else self._parked  # one of the two needs it
        if len(candidates) == self.num_workers - 1:  # the official code draws no order on a complete graph
            return next((peer for peer, theirs in parked.items() if rank in theirs), None)
        for position in self._order(rank).permutation(len(candidates)).tolist():
            peer = candidates[int(position)]
            if peer in parked and rank in parked[peer]:  # both must want it
                return peer
        return None
