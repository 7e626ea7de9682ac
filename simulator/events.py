"""What is to come in simulated time: calls, by tick. The only place that knows SimPy, and what it keeps private.

There are no SimPy processes: a call in SimPy's queue resumes the program, and what a process would add is a generator
around our generator, and half the time. SimPy's own events and processes run beside: they are calls here, too.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from heapq import heapify, heappop, heappush
from typing import Any, Protocol

import numpy as np
import simpy

from schedules.driving.driver import Running
from simulator.network.calls import CallAt, Callback


class Due(Protocol):
    """What may be queued as it is: an operation whose end is due, or anything else with such a method."""

    def ended(self) -> object:
        """It is due."""


EndAt = Callable[[int, Due], None]
"""`end_at(tick, due)`: have its `ended()` called at a tick, as `CallAt` has a call made."""


class UnderWay(Protocol):
    """What is to come of a run and stands in no queue of its own, as the network that it crosses is others' too."""

    @property
    def num_messages(self) -> int:
        """How many messages are on their way or wait for their turn."""

    def drop_all(self, now: int) -> None:
        """The run ends now, and they with it."""


class _Call:
    """A call in the shape of an operation, so that the loop need not tell them apart."""

    __slots__ = ("ended",)

    def __init__(self, call: Callback) -> None:
        self.ended = call


class CancellableCall:
    """A call that may be cancelled: it stays among those to come, in its place and in their count, and does nothing."""

    __slots__ = ("_call",)

    def __init__(self, call: Callback) -> None:
        self._call: Callback | None = call

    def make(self) -> None:
        """Make the call, unless it was cancelled."""
        if self._call is not None:
            self._call()

    def cancel(self) -> None:
        """Have it not made."""
        self._call = None


# One priority for all our calls, so those of one tick go in the order of asking.
_NORMAL = simpy.events.NORMAL


class _Environment(simpy.Environment):
    """SimPy's environment, whose events are calls."""

    def schedule(self, event: simpy.Event, priority: Any = _NORMAL, delay: float = 0) -> None:
        """Queue an event of SimPy's own."""
        # SimPy's type says that events are queued; what is queued here is anything that has `ended`.
        heappush(self._queue, (self._now + delay, priority, next(self._eid), _Call(partial(_happen, event))))  # type: ignore[misc]


def _happen(event: simpy.Event) -> None:
    """What SimPy's `step` does with an event."""
    # SimPy takes an event without callbacks for processed: none can be added to it meanwhile.
    calls, event.callbacks = event.callbacks, None  # type: ignore[assignment]
    for call in calls:
        call(event)
    # SimPy marks a failure that a process has caught; any other ends the run.
    if not event._ok and not hasattr(event, "_defused"):
        raise event._value


class Events:
    """The calls to come.

    Args:
        numbers: of calls, in the order of asking; shared by the events of runs that go on beside each other.
    Attributes:
        environment: SimPy's, for processes of one's own.
        call_at, end_at: have something called at a tick, or an operation ended.
        under_way: what is to come beside these; None: nothing.
    """

    def __init__(self, numbers: Iterator[int] | None = None) -> None:
        self.environment = _Environment()
        self.under_way: UnderWay | None = None
        if numbers is not None:
            self.environment._eid = numbers  # type: ignore[assignment]  # SimPy says `count`, and takes the next
        queue: list[tuple[int, int, int, Due]] = self.environment._queue  # type: ignore[assignment]
        numbers = self.environment._eid
        self._queue, self._numbers = queue, numbers
        self._num_dropped = 0

        # Closures: they are called for every event, and look nothing up, not even what a name of this module means. An
        # operation is queued as it is, since a bound method of each would be one more object in a queue that has to
        # stay in the processor's cache.
        push, number, priority = heappush, numbers.__next__, _NORMAL

        def end_at(tick: int, due: Due) -> None:
            push(queue, (tick, priority, number(), due))

        def call_at(tick: int, call: Callback) -> None:
            push(queue, (tick, priority, number(), _Call(call)))

        self.end_at: EndAt = end_at
        self.call_at: CallAt = call_at

    @property
    def now(self) -> int:
        """The tick: nanoseconds since the start of the run."""
        now: int = self.environment._now  # type: ignore[assignment]  # ticks are whole, and this is asked for often
        return now

    @now.setter
    def now(self, tick: int) -> None:
        self.environment._now = tick

    @property
    def num_to_come(self) -> int:
        """How many calls are still to come."""
        return len(self._queue) + (0 if self.under_way is None else self.under_way.num_messages)

    @property
    def num_of_daemons(self) -> int:
        """How many of them are ends of what daemons wait for."""
        ends = (due for _, _, _, due in self._queue if isinstance(due, Running))
        return sum(bool(due.stream.is_daemon) for due in ends)

    def call_first(self, call: Callback) -> None:
        """Have something called now, before all else that is to come."""
        heappush(self._queue, (self.now, simpy.events.URGENT, next(self._numbers), _Call(call)))

    def run(self) -> None:
        """Make every call, in their order, those that they add too."""
        environment, queue = self.environment, self._queue
        while queue:  # SimPy's `run` with its `step` written out: a sixth of the time
            environment._now, _, _, due = heappop(queue)
            due.ended()

    def first(self) -> tuple[int, int, int] | None:
        """Tick, priority and number of what comes first, or None."""
        return self._queue[0][:3] if self._queue else None

    def make_first(self) -> None:
        """Make that call."""
        self.environment._now, _, _, due = heappop(self._queue)
        due.ended()

    def take_out(self, is_meant: Callable[[int, Due], bool]) -> list[Due]:
        """Take some out, by their tick and what they are, and return them in their order."""
        # A heap is in no order. The numbers are unique, so no two `Due`, which have no order either, are compared.
        taken = sorted(entry for entry in self._queue if is_meant(entry[0], entry[3]))
        kept = [entry for entry in self._queue if not is_meant(entry[0], entry[3])]
        self._queue[:] = kept  # the same list: whoever pushes holds it
        heapify(self._queue)
        return [entry[3] for entry in taken]

    def drop_all(self) -> None:
        """The run ends now: nothing is to come any more."""
        self._num_dropped += len(self._queue)
        self._queue.clear()
        if self.under_way is not None:
            self.under_way.drop_all(self.now)

    def count(self) -> int:
        """How many calls were made, once the run is over; also those of others that share the numbers."""
        # SimPy's counter says how many were queued, so none has to count along; but to read it is to take a number.
        return next(self._numbers) - self._num_dropped


@contextmanager
def undisturbed() -> Iterator[None]:
    """Around a loop of events: without the collector, and without numpy's warnings."""
    # A run makes no reference cycles, and its many live objects make every collection long. One that diverges shows it
    # in its loss.
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            yield
    finally:
        if was_enabled:
            gc.enable()
