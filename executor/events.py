"""What is to be done next on the loop of a rank, in real time.

Three things make a loop go on: an operation that another stream of the worker has ended (`wake`), a time that has come
(`set_timer`), and what other threads hand in: operations that are over or have failed, and news.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from itertools import count
from queue import Empty, SimpleQueue
from typing import NamedTuple

from executor.agreement.clock import RunClock
from executor.agreement.news import News
from executor.running.waiting import sleep_until
from schedules.driving.driver import Running


class Failure(NamedTuple):
    """An operation that has failed, and why."""

    running: Running
    error: BaseException


Event = Running | Failure | News
"""What a thread hands in: an operation that is over, one that has failed, or news from some rank."""


@dataclass(order=True, slots=True)
class Timer:
    """A call at a time.

    Attributes:
        at_ns, number: when, and the how-manieth that was set: what is due at one time is called in the order of asking.
        call: is handed the present time.
        is_expected: whether something happens at this time, so that a rank that waits for it is not stuck.
        drop: takes it out of the agenda.
    """

    at_ns: int
    number: int
    call: Callable[[int], None] = field(compare=False)
    is_expected: bool = field(compare=False)
    drop: Callable[[Timer], None] = field(compare=False, repr=False)

    def cancel(self) -> None:
        """Have the call not made; nothing if it has been."""
        self.drop(self)


class Agenda:
    """What a rank's loop does next. (`executor.ends.Ends`, for the services)

    Only `done`, `failed`, `hear` and `now` may be called from other threads: they touch nothing but a queue that is
    safe and a clock that only reads. All else belongs to the loop, and so needs no lock.

    Attributes:
        num_expected: timers that are set and expected.
        under_way: the operations that were issued, and are neither over nor cancelled.
    """

    def __init__(self, clock: RunClock) -> None:
        self.num_expected = 0
        self.under_way: set[Running] = set()
        self._clock = clock
        self._handed_in: SimpleQueue[Event] = SimpleQueue()
        self._woken: deque[Running] = deque()
        self._timers: list[Timer] = []
        self._numbers = count()

    # ------------------------------------------------------------------ from any thread

    @property
    def now(self) -> int:
        """Nanoseconds since the start of the run."""
        return self._clock.now

    def done(self, running: Running) -> None:
        """An operation is over: its result and times are set."""
        self._handed_in.put(running)

    def failed(self, running: Running, error: BaseException) -> None:
        """An operation has failed."""
        self._handed_in.put(Failure(running, error))

    def hear(self, news: News) -> None:
        """News from some rank."""
        self._handed_in.put(news)

    # ------------------------------------------------------------------ from the loop

    def issued(self, running: Running) -> None:
        """An operation is under way. It begins now: the driver says when its stream was resumed, but the segment that
        asked for it took real time, in which nothing waited for anybody."""
        running.start_ns = running.ready_ns = self.now
        self.under_way.add(running)

    def left(self, running: Running) -> None:
        """An operation is under way no longer: it is over, has failed or was cancelled."""
        # Not a number: whoever ends an operation need not know whether it was issued. Sleeps, say, never are.
        self.under_way.discard(running)

    def drop(self) -> list[Running]:
        """The run is cut: nothing of it is to be done any more. Returns what was under way."""
        under_way = list(self.under_way)
        self.under_way.clear()
        self._woken.clear()
        self._timers.clear()
        self.num_expected = 0
        return under_way

    def wake(self, running: Running) -> None:
        """Have an operation ended at the next turn."""
        self._woken.append(running)

    def set_timer(self, at_ns: int, call: Callable[[int], None], *, is_expected: bool) -> Timer:
        """Have a call made at a time."""
        timer = Timer(at_ns, next(self._numbers), call, is_expected, self._drop)
        heappush(self._timers, timer)
        self.num_expected += is_expected
        return timer

    def wait_for_start(self) -> None:
        """Wait until the common start, if one was set."""
        while self._clock.t0_ns is not None and self.now == 0:
            sleep_until(self._clock.t0_ns)

    def end_woken(self) -> None:
        """End what was woken, and what is woken meanwhile."""
        while self._woken:
            self._woken.popleft().ended()

    def due(self, now: int) -> Timer | None:
        """The next timer whose time has come, which is set no longer."""
        if not self._timers or self._timers[0].at_ns > now:
            return None
        timer = heappop(self._timers)
        self.num_expected -= timer.is_expected
        return timer

    def take(self, now: int, until: int) -> Event | None:
        """What a thread hands in. Waits for it until the next timer or `until`; not at all if something is woken."""
        if self._woken:
            return None
        at = min(until, self._timers[0].at_ns) if self._timers else until
        try:
            return self._handed_in.get(timeout=max(0, at - now) / 1e9)
        except Empty:
            return None

    def wait_for_news(self, seconds: float) -> News | None:
        """News, if there are some within that time. What is over meanwhile is dropped: the run ends anyway."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            try:
                event = self._handed_in.get(timeout=left)
            except Empty:
                return None
            if isinstance(event, News):
                return event
        return None

    def _drop(self, timer: Timer) -> None:
        # Taken out, not left to do nothing when its time comes: nothing is waited for until then, a thousand seconds,
        # say, and a loop that sets and cancels many keeps none. There are as many as streams and sleeps: few.
        if timer in self._timers:
            self._timers.remove(timer)
            heapify(self._timers)
            self.num_expected -= timer.is_expected
