"""The measured world: one rank, in real time.

The main thread runs the loop. It alone resumes streams, so what stands between two yields is never interrupted;
operations run on other threads (`engines`, `transports`, `collectives`, `meeting`), which hand in what is over
through one queue.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from heapq import heappop, heappush
from itertools import count
from queue import Empty, SimpleQueue
from typing import Any, Protocol

from executor.agreement import boards
from executor.agreement.clock import Clock
from executor.agreement.control import Control, tell
from executor.agreement.meetings import Meetings
from executor.agreement.news import DEAD, FINISHED, News
from executor.running.computing import Engines
from executor.running.waiting import sleep_until
from executor.wire.collectives import Collectives
from executor.wire.messages import PointToPoint
from schedules.driving.driver import Crew, Handler, Running, Stream
from schedules.driving.handlers import SHARED_HANDLERS
from schedules.driving.replay import Replay
from schedules.operations import (
    COLLECTIVES,
    Compute,
    Exchange,
    Join,
    Leave,
    Meet,
    Operation,
    Program,
    Receive,
    Send,
    Until,
)
from schedules.record.memory import in_flight
from schedules.record.trace import Recorder
from schedules.worker import Worker

BEAT_S = 1.0
"""How often a rank shows a sign of life, at least."""

PATIENCE_S = 1.0
"""How long a rank whose operation has failed waits for the news of who is to blame."""

DRAIN_S = 0.2
"""How long, when everybody is done, is waited for what was started and never awaited."""


class Services(Protocol):
    """What runs the operations of a rank."""

    engines: Engines
    messages: PointToPoint
    collectives: Collectives
    meetings: Meetings


class Stopped(Exception):
    """Some rank has told bad news: this one stops, too."""


class World:
    """One rank of a run.

    Args:
        gradient_ns: one gradient time in nanoseconds.
        clock: of the run; `services` and `worker` are set before `run`.
        recorder: of the trace, or None.
        replay: the trace to follow, or None.
    """

    def __init__(
        self,
        *,
        gradient_ns: float,
        clock: Clock,
        control: Control,
        recorder: Recorder | None = None,
        replay: Replay | None = None,
    ) -> None:
        self.gradient_ns = gradient_ns
        self.recorder, self.replay = recorder, replay
        self.streams: list[Stream] = []
        self.handlers: dict[type[Operation], Handler] = {}
        self.num_under_way = 0
        self._clock, self._control = clock, control
        self._events: SimpleQueue[tuple[Any, ...]] = SimpleQueue()
        self._woken: deque[Running] = deque()
        self._timers: list[tuple[int, int, bool, Callable[[int], None]]] = []
        self._num_timers = 0
        self._count = count()
        self._news: News | None = None
        self._beat_ns = int(min(BEAT_S, control.timeout_s / 4) * 1e9)
        self._last_ns = self._next_beat_ns = 0
        self._is_idle = self._is_done = False
        self._services: Services | None = None

    # ------------------------------------------------------------------ set-up

    def provide(self, services: Services) -> None:
        """Say what runs the operations."""
        self._services = services
        meetings = services.meetings
        self.handlers = {
            **SHARED_HANDLERS,
            Until: self._until,
            Compute: self._issued(services.engines.issue),
            Exchange: self._issued(services.messages.exchange),
            Send: self._issued(services.messages.send),
            Receive: self._issued(services.messages.receive),
            **dict.fromkeys(COLLECTIVES, self._issued(services.collectives.issue)),
            Meet: self._issued(meetings.issue),
            Leave: meetings.announce,
            Join: meetings.announce,
            **(self.replay.handlers() if self.replay is not None else {}),
        }

    def add(self, worker: Worker, programs: Mapping[str, Program], daemons: tuple[str, ...] = ()) -> None:
        """Add the worker with its programs."""
        crew = Crew(worker)
        for name, program in programs.items():
            self.streams.append(Stream(self, crew, name, program, is_daemon=name in daemons))

    # ------------------------------------------------------------------ what the driver asks for

    @property
    def now(self) -> int:
        """Nanoseconds since the start of the run."""
        return self._clock.now

    def wake(self, running: Running, now: int) -> None:
        """End an operation at the present time, after what happens now. It never ends before it was issued."""
        running.end_ns = max(now, running.start_ns)
        self._woken.append(running)

    def alarm(self, time: float, call: Callable[[int], None]) -> None:
        """Call `call(now)` at a time in gradient times."""
        self._set_timer(round(time * self.gradient_ns), call, counts=True)

    def abandon(self, running: Running) -> None:
        """A cancelled operation: an engine is free; what is on the wire arrives and is dropped."""
        self.num_under_way -= 1
        if isinstance(running.operation, Compute) and self._services is not None:
            self._services.engines.abandon(running)

    # ------------------------------------------------------------------ what threads hand in

    def done(self, running: Running) -> None:
        """An operation is over: its result and times are set. From any thread."""
        self._events.put((self._ended, running))

    def failed(self, running: Running, error: BaseException) -> None:
        """An operation has failed. From any thread."""
        self._events.put((self._failed, running, error))

    def hear(self, news: News) -> None:
        """News from some rank. From any thread."""
        self._events.put((self._heard, news))

    # ------------------------------------------------------------------ the loop

    def run(self) -> None:
        """Run every program to its end, and go on until all ranks are done.

        Raises:
            Stopped: if there is bad news from another rank, or nobody moves.
            ScheduleError: what a program of this rank has raised, or an operation that failed.
        """
        while self._clock.t0_ns is not None and self.now == 0:
            sleep_until(self._clock.t0_ns)
        for stream in self.streams:
            stream.begin()
        while self._news is None:
            if not self._is_done and all(stream.is_over or stream.is_daemon for stream in self.streams):
                self._is_done = True
                if self.replay is not None:
                    self.replay.check_end()
                self._control.finish()
            self._turn()
        until = self.now + int(DRAIN_S * 1e9)
        while self.num_under_way > 0 and self.now < until:
            self._turn(until)

    def _turn(self, until: int | None = None) -> None:
        """Do what is due: what was woken, timers, and what the threads hand in; wait if there is nothing."""
        while self._woken:
            self._woken.popleft().ended()
        now = self.now
        while self._timers and self._timers[0][0] <= now:
            _, _, counts, call = heappop(self._timers)
            if counts:
                self._num_timers -= 1
                self._moved()
            call(now)
        if now >= self._next_beat_ns:
            self._look_around(now)
        if not self._woken:
            self._take_event(now, self._next_beat_ns if until is None else until)

    def _take_event(self, now: int, until: int) -> None:
        """Do what a thread hands in; wait for it until the next timer at most."""
        at = min(until, self._timers[0][0]) if self._timers else until
        try:
            call, *arguments = self._events.get(timeout=max(0, at - now) / 1e9)
        except Empty:
            return
        call(*arguments)

    def _look_around(self, now: int) -> None:
        """Show a sign of life; if nothing has happened here for the time limit, say so."""
        self._next_beat_ns = now + self._beat_ns
        self._control.beat()
        busy = self._services.engines.busy_until_ns() if self._services is not None else 0
        is_late = now - max(self._last_ns, busy) > self._control.timeout_s * 1e9
        if is_late and not self._num_timers and not self._is_done:
            self._is_idle = True
            self._control.idle(boards.waiting(self.streams), now)

    def _moved(self) -> None:
        self._last_ns = self.now
        if self._is_idle:
            self._is_idle = False
            self._control.moved()

    def _ended(self, running: Running) -> None:
        if running.is_cancelled:
            return
        self.num_under_way -= 1
        self._moved()
        running.ended()

    def _failed(self, running: Running, error: BaseException) -> None:
        """A kernel has raised, or the connection is gone. If a rank has died, its launcher says so soon."""
        if isinstance(running.operation, Compute) or not isinstance(error, RuntimeError | OSError | EOFError):
            raise error
        if running.is_cancelled:
            return
        self.num_under_way -= 1
        self._wait_for_news(PATIENCE_S)
        if self._news is None:
            message = f"rank {running.worker.rank} has lost its connection in {running.operation}: {error}"
            tell(self._control.store, News(DEAD, running.worker.rank, message))
            raise Stopped(message)

    def _wait_for_news(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while self._news is None and (left := deadline - time.monotonic()) > 0:
            try:
                call, *arguments = self._events.get(timeout=left)
            except Empty:
                return
            if call == self._heard:
                call(*arguments)

    def _heard(self, news: News) -> None:
        self._news = news
        if news.kind != FINISHED:
            raise Stopped(news.message)

    # ------------------------------------------------------------------ handlers

    def _set_timer(self, at: int, call: Callable[[int], None], *, counts: bool) -> None:
        self._num_timers += counts
        heappush(self._timers, (at, next(self._count), counts, call))

    def _until(self, running: Running) -> bool:
        at = int(running.operation.time * self.gradient_ns + 0.5)
        if at <= running.start_ns:
            running.result = None
            return True
        running.start_ns = running.ready_ns = self.now

        def ring(now: int) -> None:
            if not running.is_cancelled:
                running.result = None
                running.ready_ns = running.end_ns = max(now, running.start_ns)
                running.ended()

        self._set_timer(at, ring, counts=not running.stream.is_daemon)
        return False

    def _issued(self, issue: Handler) -> Handler:
        """A handler that stamps the operation with the time at which it is really issued."""

        def handler(running: Running) -> bool:
            running.start_ns = running.ready_ns = self.now
            self.num_under_way += 1
            running.hook = _entries[running.operation.__class__]
            return issue(running)

        return handler


def _computed(running: Running) -> None:
    account = running.worker.account
    account.ledger.computed(account.rank, running.ready_ns, running.end_ns, running.operation)


def _transferred(running: Running) -> None:
    account, operation = running.worker.account, running.operation
    kind, times = operation.__class__, (running.start_ns, running.ready_ns, running.end_ns)
    sent, held = 0 if kind in (Receive, Meet) else operation.size, in_flight(kind.__name__, 2, operation.size)
    account.ledger.transferred(account.rank, *times, sent=sent, is_exchange=kind is Exchange, held=held)


_entries: dict[type[Operation], Callable[[Any], None] | None] = {
    Compute: _computed,
    Exchange: _transferred,
    Send: _transferred,
    Receive: _transferred,
    Meet: _transferred,
    **dict.fromkeys(COLLECTIVES),
}
"""What is entered when an operation is over. Collectives are entered by `executor.rank_report`, which knows all ranks'
starts."""
