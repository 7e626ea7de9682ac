"""Meetings: `Meet`, `Leave` and `Join`, which a rank asks of the desk in rank 0's process."""

from __future__ import annotations

import threading
from collections import deque
from contextlib import suppress
from queue import SimpleQueue

from executor.agreement.desk import ADDRESS
from executor.agreement.door import enter
from executor.agreement.questions import Answer, Question, answered, ask
from executor.agreement.store import SharedStore
from executor.ends import Ends
from schedules.driving.checks import check_candidates
from schedules.driving.driver import Handler, Running
from schedules.driving.replay import note_partner
from schedules.operations import Join, Leave, Meet, Operation


class Meetings:
    """The meetings of one rank."""

    def __init__(self, store: SharedStore, rank: int, ends: Ends) -> None:
        host, port, key = store.get(ADDRESS).decode().split(" ")
        self._line = enter(host, int(port), bytes.fromhex(key), rank)
        self._ends = ends
        # The loop asks and a thread hears: answers to meetings come in the order of asking, those to times beside them.
        self._waiting: deque[Running] = deque()
        self._times: SimpleQueue[int | OSError] = SimpleQueue()
        self._lost: OSError | None = None
        threading.Thread(target=self._listen, name="meetings", daemon=True).start()

    def handlers(self) -> dict[type[Operation], Handler]:
        """Which operations it answers, and how."""
        return {Meet: self._meet, Leave: self._announce, Join: self._announce}

    def withdraw(self, running: Running, now: int) -> None:
        """Nothing is freed: the rank may be met yet, and its answer arrives and is dropped."""

    def end(self, rank: int, now: int) -> None:
        """The programs of this rank are over: nobody can meet it any more."""
        with suppress(OSError):  # who is lost is met by nobody either
            ask(self._line, Question("End", (), now))

    def ask_time(self) -> int:
        """Rank 0's `time.perf_counter_ns()`.

        Raises:
            OSError: if the connection is lost.
        """
        with suppress(OSError):  # the thread hears of it, too, and says so instead of the time
            ask(self._line, None)
        told = self._times.get()
        if isinstance(told, OSError):
            self._times.put(told)  # for the next time
            raise told
        return told

    def _meet(self, running: Running) -> bool:
        self._ends.issued(running)
        running.hook = _enter_meeting
        if running.operation.candidates is not running.worker.neighbours:
            check_candidates(running, running.worker.num_workers)
        self._waiting.append(running)
        with suppress(OSError):  # the thread hears of it, too, and fails what waits
            ask(self._line, Question("Meet", running.operation.candidates, running.start_ns))
        if self._lost is not None:  # it has heard of it before, and did not find this one
            self._fail_waiting(self._lost)
        return False

    def _announce(self, running: Running) -> bool:
        """Over at once: nobody waits for what a rank says of itself."""
        try:
            ask(self._line, Question(type(running.operation).__name__, (), running.start_ns))
        except OSError as error:
            self._ends.issued(running)
            self._ends.failed(running, error)
            return False
        running.result, running.has_left = None, isinstance(running.operation, Leave)
        return True

    def _listen(self) -> None:
        try:
            while True:
                told = answered(self._line.receive())
                if isinstance(told, int):
                    self._times.put(told)
                else:
                    self._met(told)
        except OSError as error:
            self._lost = error
            self._times.put(error)
            self._fail_waiting(error)

    def _fail_waiting(self, error: OSError) -> None:
        # The loop and the thread may both be here: each operation is taken out, and so failed, once.
        with suppress(IndexError):
            while True:
                self._ends.failed(self._waiting.popleft(), error)

    def _met(self, told: Answer) -> None:
        running = self._waiting.popleft()
        running.result, running.note = told.partner, note_partner(told.partner)
        running.end_ns = self._ends.now
        running.ready_ns = min(max(running.start_ns, told.ready_ns), running.end_ns)
        self._ends.done(running)


def _enter_meeting(running: Running) -> None:
    """Enter a meeting that is over: it carries nothing, so all its time is waiting, as in a simulation."""
    account = running.worker.account
    account.ledger.transferred(account.rank, running.start_ns, running.end_ns, running.end_ns)
