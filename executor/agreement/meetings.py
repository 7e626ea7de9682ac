"""Meetings: `Meet`, `Leave` and `Join`, which a rank asks of the desk in rank 0's process."""

from __future__ import annotations

import threading
from collections import deque
from multiprocessing.connection import Client
from queue import SimpleQueue

from executor.agreement.desk import ADDRESS
from executor.agreement.questions import Answer, Line, Question, answered, ask, introduce
from executor.agreement.store import SharedStore
from executor.ends import Ends, enter_transfer
from schedules.driving.driver import Handler, Running
from schedules.driving.replay import note_partner
from schedules.operations import Join, Leave, Meet, Operation


class Meetings:
    """The meetings of one rank."""

    def __init__(self, store: SharedStore, rank: int, ends: Ends) -> None:
        host, port, key = store.get(ADDRESS).decode().split(" ")
        self._line: Line = Client((host, int(port)), authkey=bytes.fromhex(key))
        introduce(self._line, rank)
        self._ends = ends
        # The loop asks and a thread hears: answers to meetings come in the order of asking, those to times beside them.
        self._waiting: deque[Running] = deque()
        self._times: SimpleQueue[int] = SimpleQueue()
        threading.Thread(target=self._listen, name="meetings", daemon=True).start()

    def handlers(self) -> dict[type[Operation], Handler]:
        """Which operations it answers, and how."""
        return {Meet: self._meet, Leave: self._announce, Join: self._announce}

    def withdraw(self, running: Running, now: int) -> None:
        """Nothing is freed: the rank may be met yet, and its answer arrives and is dropped."""

    def ask_time(self) -> int:
        """Rank 0's `time.perf_counter_ns()`."""
        ask(self._line, None)
        return self._times.get()

    def _meet(self, running: Running) -> bool:
        self._ends.issued(running)
        running.hook = enter_transfer
        self._waiting.append(running)
        ask(self._line, Question("Meet", running.operation.candidates, running.start_ns))
        return False

    def _announce(self, running: Running) -> bool:
        """Over at once: nobody waits for what a rank says of itself."""
        running.result = None
        ask(self._line, Question(type(running.operation).__name__, (), running.start_ns))
        return True

    def _listen(self) -> None:
        try:
            while True:
                told = answered(self._line)
                if isinstance(told, int):
                    self._times.put(told)
                else:
                    self._met(told)
        except (EOFError, OSError) as error:
            for running in list(self._waiting):
                self._ends.failed(running, error)

    def _met(self, told: Answer) -> None:
        running = self._waiting.popleft()
        running.result, running.note = told.partner, note_partner(told.partner)
        running.end_ns = self._ends.now
        running.ready_ns = min(max(running.start_ns, told.ready_ns), running.end_ns)
        self._ends.done(running)
