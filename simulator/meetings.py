"""Meetings: who is paired with whom, first come, first paired (`schedules.driving.coordinator`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from schedules.driving.checks import check_candidates
from schedules.driving.coordinator import Answer, Coordinator
from schedules.driving.driver import Handler, Running
from schedules.driving.replay import note_partner
from schedules.operations import Join, Leave, Meet, Operation
from schedules.record.ledger import Ledger


class Meetings:
    """The workers that wait to be paired.

    Args:
        coordinator: who meets whom.
        ledger: where waiting is entered.
        end_at: `end_at(running, tick)` ends an operation.
    """

    def __init__(self, coordinator: Coordinator, ledger: Ledger, end_at: Callable[[Running, int], None]) -> None:
        self._coordinator, self._ledger, self._end_at = coordinator, ledger, end_at
        self._waiting: dict[int, Running] = {}

    def handlers(self) -> dict[type[Operation], Handler]:
        """What it answers."""
        return {Meet: self.post, Leave: self._leave, Join: self._join}

    def post(self, running: Running) -> bool:
        """A worker asks to be paired."""
        rank, candidates = running.worker.rank, running.operation.candidates
        if candidates is not running.worker.neighbours:
            check_candidates(running, running.worker.num_workers)
        self._waiting[rank] = running
        self._tell(self._coordinator.arrive(rank, candidates), running.start_ns)
        return False

    def withdraw(self, running: Running, now: int) -> None:
        """A `Meet` is cancelled."""
        rank = running.worker.rank
        if self._waiting.pop(rank, None) is not None:  # else it is paired already, and its end is on the way
            self._coordinator.withdraw(rank)

    def end(self, rank: int, now: int) -> None:
        """A rank is gone for good: it has failed, or its programs are over."""
        self._tell(self._coordinator.end(rank), now)

    def part(self, rank: int, now: int) -> None:
        """Nobody is paired with a rank until it is back."""
        self._tell(self._coordinator.part(rank), now)

    def come_back(self, rank: int, now: int) -> None:
        """A rank that had parted is back, and asks again for whom it waited."""
        self._coordinator.come_back(rank)
        waiting = self._waiting.get(rank)
        if waiting is not None:
            self._tell(self._coordinator.arrive(rank, waiting.operation.candidates), now)

    def _leave(self, running: Running) -> bool:
        running.has_left = True
        self._tell(self._coordinator.leave(running.worker.rank), running.start_ns)
        return True

    def _join(self, running: Running) -> bool:
        running.has_left = False
        self._tell(self._coordinator.join(running.worker.rank), running.start_ns)
        return True

    def _tell(self, answers: Sequence[Answer], now: int) -> None:
        for rank, partner in answers:
            meeting = self._waiting.pop(rank)
            meeting.result, meeting.note = partner, note_partner(partner)
            meeting.ready_ns = now
            # a meeting carries nothing: all its time is waiting
            self._ledger.transferred(rank, meeting.start_ns, now, now)
            self._end_at(meeting, now)
