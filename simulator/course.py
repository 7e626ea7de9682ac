"""The course of a run beside its programs: what is done now and then, and an end before theirs."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from schedules.record.ledger import Ledger
from simulator.events import Events

HOUSEKEEPING = 50_000
"""The ledger is folded after so many gradients, or so."""


class Seen(NamedTuple):
    """How far a run has come.

    Attributes:
        share: of its end, where that is known.
        gradients: that were applied, or about so many.
        now_ns: simulated nanoseconds.
    """

    share: float | None
    gradients: int
    now_ns: int


class Course:
    """Looks at a run, and ends it.

    Args:
        events: those to come.
        alarm: `World.alarm`.
    Attributes:
        is_cut: whether the run ends before its programs: no stream is resumed any more.
        stopped_ns: when `stop` was called, or None.
        num_events: how many events the run took, after its end.
    """

    def __init__(self, events: Events, alarm: Callable[[float, Callable[[int], None]], object]) -> None:
        self._events = events
        self._alarm = alarm
        self._num_watches = 0
        self.is_cut = False
        self.stopped_ns: int | None = None
        self.num_events = 0

    def watch(self, time: float, call: Callable[[int], None]) -> None:
        """Call `call(now)` at a time in gradient times, unless nothing else is to come but such calls."""

        def look(now: int) -> None:
            self._num_watches -= 1  # this one has left the queue
            # Watches set each other anew: counted as work to come, two of them would keep a stuck run going for ever.
            if self._events.num_to_come > self._num_watches:
                call(now)

        self._num_watches += 1
        self._alarm(time, look)

    def keep_house(self, ledger: Ledger, gradient_ns: float) -> None:
        """Fold the ledger now and then: memory stays small however long the run."""
        # In gradient times, in each of which every rank makes about one gradient.
        period = usual = max(1.0, HOUSEKEEPING / ledger.num_ranks)

        def fold(now: int) -> None:
            nonlocal period
            # Where all wait for a slow network, a gradient time is nothing, and years of them would be looked at.
            is_quiet = not ledger.computations and not ledger.exchanges and not ledger.transfers
            period = 2 * period if is_quiet else usual
            ledger.fold()
            self.watch(now / gradient_ns + period, fold)

        fold(0)  # nothing is there to be folded yet: this sets the first watch

    def stop_at(self, tick: int) -> None:
        """End the run at a tick, before what happens then; not one that is stuck, in which only read-outs go on."""

        def cut() -> None:
            self._num_watches -= 1
            if self._events.num_to_come - self._events.num_of_daemons > self._num_watches:
                self.stop(tick)

        self._num_watches += 1
        self._events.call_at(tick, cut)

    def stop_after(self, total: int, ledger: Ledger) -> None:
        """End the run with the gradient of this number, before anything else happens."""
        num_wanted = total

        def applied(gradients: int) -> None:
            nonlocal num_wanted
            num_wanted -= gradients
            if num_wanted <= 0 and not self.is_cut:
                self.is_cut = True  # its segment goes on to its end, and no other begins
                self._events.call_first(partial(self.stop, ledger.now))

        ledger.contributions.listen(applied)

    def stop(self, now: int) -> None:
        """End the run now; what is under way is not done."""
        self.is_cut = True
        self.stopped_ns = now
        self._events.drop_all()  # the loop ends with its queue

    def seen(self, ledger: Ledger, *, gradients: int | None = None, until_ns: int | None = None) -> Seen:
        """How far the run has come; it may be asked by another thread, as it only reads.

        Args:
            gradients: with which the run ends, if it does.
            until_ns: when it ends, if that is known.
        """
        made, now = len(ledger.contributions), self._events.now
        if until_ns:
            return Seen(now / until_ns, made, now)
        return Seen(made / gradients if gradients and made else None, made, now)

    def end(self) -> None:
        """The run is over: count its events."""
        self.num_events = self._events.count()
