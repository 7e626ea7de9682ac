"""The desk: what rank 0's process answers for all ranks over plain connections.

A thread there runs the rule of `schedules.driving.coordinator`; a rank that waits for a partner is answered when there
is one. The same connections tell the other ranks rank 0's time, by which their clocks are aligned.

The thread waits for no single connection, and no connection ends it: strangers are turned away at the door, and a rank
whose connection is lost is paired with nobody any more, while the others go on.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Sequence
from functools import partial
from selectors import EVENT_READ, DefaultSelector

from executor.agreement.door import Door
from executor.agreement.line import Line
from executor.agreement.questions import Answer, Question, answer, asked
from executor.agreement.store import LOOPBACK, SharedStore
from schedules.driving.coordinator import Answer as Told
from schedules.driving.coordinator import Coordinator

ADDRESS = "desk"
"""The key of the store that says where the desk is, and the key to it."""

_EVERYWHERE = ""


class Desk:
    """The coordinator's thread, in rank 0's process; `store` tells the others where it is and the key to it.

    `host` is how the other ranks reach rank 0's machine: where the store is. (Its own name would not do: on many
    machines that is the loopback to themselves.)
    """

    def __init__(self, store: SharedStore, host: str, num_workers: int, coordinator: Coordinator) -> None:
        key = secrets.token_bytes(32)
        inside = host if host == LOOPBACK else _EVERYWHERE
        self._selector = DefaultSelector()
        self._door = Door(inside, num_workers, key, selector=self._selector, seat=self._seat)
        self._coordinator = coordinator
        self._ranks: dict[int, Line] = {}
        self._heard: list[int] = []
        self._latest_ns = 0  # what was asked last: the time that ranks are told which only a lost one kept waiting
        store.set(ADDRESS, f"{host} {self._door.port} {key.hex()}")
        threading.Thread(target=self._work, name="desk", daemon=True).start()

    def _work(self) -> None:
        while self._door.is_open or self._ranks:
            self._heard.clear()
            for ready, _ in self._selector.select(self._door.patience_s()):
                ready.data()
            self._door.dismiss_late()
            # After all that can be read was read: who is gone by now is not paired with who asks now.
            for rank in self._heard:
                self._serve(rank)
        self._selector.close()

    def _seat(self, rank: int, line: Line) -> None:
        self._ranks[rank] = line
        self._selector.register(line, EVENT_READ, partial(self._hear, rank))

    def _hear(self, rank: int) -> None:
        line = self._ranks[rank]
        try:
            line.fill()
            line.fill()  # what it asked last hides that it is gone since: only the next reading tells
        except OSError:
            self._lose(rank)
        else:
            self._heard.append(rank)

    def _lose(self, rank: int) -> None:
        """Its connection is lost. Who was told of it already finds out when it exchanges with it."""
        line = self._ranks.pop(rank)
        self._selector.unregister(line)
        line.close()
        self._tell_all(self._coordinator.end(rank), self._latest_ns)

    def _serve(self, rank: int) -> None:
        """Answer what a rank has asked, unless it is lost meanwhile."""
        try:
            while rank in self._ranks and (message := self._ranks[rank].taken()) is not None:
                self._answer(rank, asked(message))
        except ConnectionError:  # what it says is no question
            self._lose(rank)

    def _answer(self, rank: int, question: Question | None) -> None:
        if question is None:
            self._tell(rank, time.perf_counter_ns())
            return
        self._latest_ns = max(self._latest_ns, question.now_ns)
        coordinator = self._coordinator
        if question.what == "Meet":
            told = coordinator.arrive(rank, question.candidates)
        else:
            said = {"Leave": coordinator.leave, "Join": coordinator.join, "End": coordinator.end}
            told = said[question.what](rank)
        self._tell_all(told, question.now_ns)

    def _tell_all(self, answers: Sequence[Told], now_ns: int) -> None:
        """Both of a pair are told the later one's time: it came last, and both are ready from then on."""
        for rank, partner in answers:
            self._tell(rank, Answer(partner, now_ns))

    def _tell(self, rank: int, told: Answer | int) -> None:
        line = self._ranks.get(rank)  # one that is told here may be lost while the others are
        if line is None:
            return
        try:
            answer(line, told)
        except OSError:
            self._lose(rank)
