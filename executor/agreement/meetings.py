"""`Meet`, and the time of day: what rank 0's process answers for all ranks over plain connections.

A thread there runs the rule of `schedules.driving.coordinator`; a rank that waits for a partner is answered when there
is one. The same connections tell the other ranks rank 0's time, by which their clocks are aligned.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections import deque
from multiprocessing.connection import Client, Connection, Listener, wait
from queue import SimpleQueue
from typing import Any

from executor.wire.messages import Ends
from schedules.driving.coordinator import Coordinator
from schedules.driving.driver import Running
from schedules.driving.replay import note_partner
from schedules.operations import Leave, Partner

_ADDRESS = "desk"
_LOOPBACK, _EVERYWHERE = "127.0.0.1", ""


class Desk:
    """The coordinator's thread, in rank 0's process; `store` tells the others where it is and the key to it.

    `host` is how the other ranks reach rank 0's machine: where the store is. (Its own name would not do: on many
    machines that is the loopback to themselves.)
    """

    def __init__(self, store: Any, host: str, num_workers: int, coordinator: Coordinator) -> None:
        key = secrets.token_bytes(32)
        inside = host if host == _LOOPBACK else _EVERYWHERE
        self._listener = Listener((inside, 0), backlog=num_workers, authkey=key)
        self._num_workers = num_workers
        self._coordinator = coordinator
        self._issued: dict[int, int] = {}
        self._ranks: dict[Connection, int] = {}
        address: Any = self._listener.address
        store.set(_ADDRESS, f"{host} {address[1]} {key.hex()}")
        threading.Thread(target=self._work, name="desk", daemon=True).start()

    def _work(self) -> None:
        for _ in range(self._num_workers):
            connection: Any = self._listener.accept()
            self._ranks[connection] = connection.recv()
        self._listener.close()
        while self._ranks:
            for connection in wait(list(self._ranks)):
                self._serve(connection)

    def _serve(self, connection: Any) -> None:
        try:
            question = connection.recv()
            if question is None:
                connection.send(time.perf_counter_ns())
            else:
                self._pair(self._ranks[connection], *question)
        except (EOFError, OSError):
            del self._ranks[connection]

    def _pair(self, rank: int, what: str, candidates: tuple[int, ...], now: int) -> None:
        if what == "Meet":
            self._issued[rank] = now
            answers = self._coordinator.arrive(rank, candidates)
        else:
            answers = self._coordinator.leave(rank) if what == "Leave" else self._coordinator.join(rank)
        connections = {rank: connection for connection, rank in self._ranks.items()}
        for each, partner in answers:
            connections[each].send((partner, now))


class Meetings:
    """`Meet`, `Leave` and `Join` of one rank."""

    def __init__(self, store: Any, rank: int, ends: Ends) -> None:
        host, port, key = store.get(_ADDRESS).decode().split(" ")
        self._connection: Any = Client((host, int(port)), authkey=bytes.fromhex(key))
        self._connection.send(rank)
        self._ends = ends
        self._waiting: deque[Running] = deque()
        self._times: SimpleQueue[int] = SimpleQueue()
        threading.Thread(target=self._listen, name="meetings", daemon=True).start()

    def ask_time(self) -> int:
        """Rank 0's `time.perf_counter_ns()`."""
        self._connection.send(None)
        return self._times.get()

    def issue(self, running: Running) -> bool:
        """Handler of `Meet`."""
        self._waiting.append(running)
        self._connection.send(("Meet", running.operation.candidates, running.start_ns))
        return False

    def announce(self, running: Running) -> bool:
        """Handler of `Leave` and `Join`."""
        running.result = None
        name = "Leave" if isinstance(running.operation, Leave) else "Join"
        self._connection.send((name, (), running.start_ns))
        return True

    def _listen(self) -> None:
        try:
            while True:
                told = self._connection.recv()
                if isinstance(told, int):
                    self._times.put(told)
                else:
                    self._met(*told)
        except (EOFError, OSError) as error:
            for running in list(self._waiting):
                self._ends.failed(running, error)

    def _met(self, partner: Partner | None, ready_ns: int) -> None:
        running = self._waiting.popleft()
        running.result, running.note = partner, note_partner(partner)
        running.end_ns = self._ends.now
        running.ready_ns = min(max(running.start_ns, ready_ns), running.end_ns)
        self._ends.done(running)
