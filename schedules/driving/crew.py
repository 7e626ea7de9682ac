"""The streams of one worker, and what they have in common."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from schedules.operations import Program

if TYPE_CHECKING:
    from schedules.worker import Worker


class Member(Protocol):
    """A stream (`schedules.driving.driver`), as its crew sees it."""

    is_daemon: bool
    is_over: bool
    end_ns: int
    program: Program


class Queue:
    """A bounded queue between streams of one worker: items, and the operations that wait for some or for room."""

    __slots__ = ("items", "putters", "takers")

    def __init__(self) -> None:
        self.items: deque[Any] = deque()
        self.putters: deque[Any] = deque()
        self.takers: deque[Any] = deque()


class Crew:
    """The streams of one worker that have not ended, and what they have in common.

    It is the driver's: a program sees the `Worker` only.

    Attributes:
        queues: by name; made at their first use.
        num_started: operations that were started so far.
        ended_at: when the last of its programs ended, as that was told, in gradient times; None: they have not.
        over: called then with the rank and the tick of that end, by a world that pairs workers; None: by none.
    """

    __slots__ = ("ended_at", "num_started", "over", "queues", "streams", "worker")

    def __init__(self, worker: Worker, over: Callable[[int, int], None] | None = None) -> None:
        self.worker = worker
        self.over = over
        self.streams: list[Member] = []
        self.queues: defaultdict[str, Queue] = defaultdict(Queue)
        self.num_started = 0
        self.ended_at: float | None = None

    def leave(self, stream: Member, time: float) -> None:
        """A program has ended, at a time in gradient times. When only daemons are left, they are closed."""
        self.streams.remove(stream)
        if all(each.is_daemon for each in self.streams):
            self.ended_at = time
            self.close()
            if self.over is not None:
                self.over(self.worker.rank, stream.end_ns)

    def close(self) -> None:
        """End all programs that are left. What they wait for may yet end, of no use to anybody."""
        for each in self.streams:
            each.is_over = True
            each.program.close()
        self.streams.clear()
