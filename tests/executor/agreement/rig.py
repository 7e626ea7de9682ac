"""A desk without processes, and ranks and strangers that connect to it."""

import socket
from contextlib import ExitStack
from queue import SimpleQueue
from types import SimpleNamespace
from typing import Any

import torch

from executor.agreement.desk import Desk
from executor.agreement.door import enter
from executor.agreement.line import Line
from executor.agreement.meetings import Meetings
from schedules.driving.coordinator import Coordinator
from schedules.operations import Meet, Operation, Partner

LIMIT_S = 10.0
"""How long a test waits for what must come at once."""


class Ends:
    """Keeps how operations end."""

    now = 1000

    def __init__(self) -> None:
        self.over: SimpleQueue[Any] = SimpleQueue()
        self.num_issued = 0

    def issued(self, running: Any) -> None:
        running.start_ns = self.now
        self.num_issued += 1

    def done(self, running: Any) -> None:
        self.over.put(running.result)

    def failed(self, running: Any, error: BaseException) -> None:
        self.over.put(error)


class Rank:
    """The meetings of one rank, and what it is told."""

    def __init__(self, store: Any, rank: int) -> None:
        self.rank, self.ends = rank, Ends()
        self.meetings = Meetings(store, rank, self.ends)

    def issue(self, operation: Operation) -> bool:
        """Ask. Returns whether that is over at once."""
        worker = SimpleNamespace(rank=self.rank, num_workers=1000, neighbours=())
        running: Any = SimpleNamespace(
            operation=operation, worker=worker, start_ns=0, ready_ns=0, end_ns=0, result=None
        )
        return self.meetings.handlers()[type(operation)](running)

    def meet(self, *candidates: int) -> None:
        self.issue(Meet(candidates))

    def told(self) -> Partner | OSError | None:
        """What the next of its operations ends with."""
        told: Partner | OSError | None = self.ends.over.get(timeout=LIMIT_S)
        return told

    def lose(self) -> None:
        """The connection is lost."""
        self.meetings._line._connection.shutdown(socket.SHUT_RDWR)


class Office:
    """A desk for so many ranks."""

    def __init__(self, num_workers: int) -> None:
        self.store = torch.distributed.HashStore()
        self.desk = Desk(self.store, "127.0.0.1", num_workers, Coordinator(num_workers, 0))
        self.host, port, key = self.store.get("desk").decode().split()
        self.port, self.key = int(port), bytes.fromhex(key)
        self._after = ExitStack()

    def close(self) -> None:
        """Close all connections."""
        self._after.close()

    def rank(self, rank: int) -> Rank:
        made = Rank(self.store, rank)
        self._after.callback(made.meetings._line.close)
        return made

    def line(self, rank: int) -> Line:
        """A rank that says what the test has it say."""
        line = enter(self.host, self.port, self.key, rank)
        line._connection.settimeout(LIMIT_S)
        self._after.callback(line.close)
        return line

    def stranger(self) -> socket.socket:
        """A bare connection."""
        return self._after.enter_context(socket.create_connection((self.host, self.port), LIMIT_S))


def is_closed(stranger: socket.socket) -> bool:
    """Whether the desk has closed the connection; waits for it."""
    try:
        while stranger.recv(4096):
            pass
    except ConnectionResetError:  # it had sent more than the desk has read
        pass
    except TimeoutError:
        return False
    return True
