"""The desk: what rank 0's process answers for all ranks over plain connections.

A thread there runs the rule of `schedules.driving.coordinator`; a rank that waits for a partner is answered when there
is one. The same connections tell the other ranks rank 0's time, by which their clocks are aligned.
"""

from __future__ import annotations

import secrets
import threading
import time
from multiprocessing.connection import Connection, Listener, wait

from executor.agreement.questions import Answer, Line, Question, answer, asked, introduced
from executor.agreement.store import SharedStore
from schedules.driving.coordinator import Coordinator

ADDRESS = "desk"
"""The key of the store that says where the desk is, and the key to it."""

_LOOPBACK, _EVERYWHERE = "127.0.0.1", ""


class Desk:
    """The coordinator's thread, in rank 0's process; `store` tells the others where it is and the key to it.

    `host` is how the other ranks reach rank 0's machine: where the store is. (Its own name would not do: on many
    machines that is the loopback to themselves.)
    """

    def __init__(self, store: SharedStore, host: str, num_workers: int, coordinator: Coordinator) -> None:
        key = secrets.token_bytes(32)
        inside = host if host == _LOOPBACK else _EVERYWHERE
        self._listener = Listener((inside, 0), backlog=num_workers, authkey=key)
        self._num_workers = num_workers
        self._coordinator = coordinator
        self._ranks: dict[Line, int] = {}
        _, port = self._listener.address
        store.set(ADDRESS, f"{host} {port} {key.hex()}")
        threading.Thread(target=self._work, name="desk", daemon=True).start()

    def _work(self) -> None:
        for _ in range(self._num_workers):
            line: Line = self._listener.accept()
            self._ranks[line] = introduced(line)
        self._listener.close()
        while self._ranks:
            for ready in wait(list(self._ranks)):
                assert isinstance(ready, Connection)
                self._serve(ready)

    def _serve(self, line: Line) -> None:
        try:
            question = asked(line)
            if question is None:
                answer(line, time.perf_counter_ns())
            else:
                self._pair(self._ranks[line], question)
        except (EOFError, OSError):
            del self._ranks[line]

    def _pair(self, rank: int, question: Question) -> None:
        if question.what == "Meet":
            told = self._coordinator.arrive(rank, question.candidates)
        elif question.what == "Leave":
            told = self._coordinator.leave(rank)
        else:
            told = self._coordinator.join(rank)
        lines = {rank: line for line, rank in self._ranks.items()}
        for each, partner in told:
            # Both of a pair are told the later one's time: it came last, and both are ready from then on.
            answer(lines[each], Answer(partner, question.now_ns))
