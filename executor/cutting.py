"""How a run is cut in real time: at a time that every rank knows, or when the last gradient that is wanted is applied.

The ranks count gradients in their store, which adds one by one: the rank with which the number is full tells all. Both
counting and hearing have threads and connections of their own, so that no loop waits for a round trip. What ranks do
until they have heard is done, and in the trace: there may be more gradients than were wanted.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue

from executor.agreement.control import Control
from executor.agreement.news import CUT, News
from executor.agreement.store import wait_for
from executor.events import Agenda
from executor.running.computing import Computing
from schedules.driving.driver import Running

NEVER = 2**62


class Cutting:
    """The end of a run before that of its programs, on one rank.

    Attributes:
        is_cut: whether the run was cut here. All ranks are to hear of it before it is finished.
        at_ns: when every rank is cut, in nanoseconds since the start, or `NEVER`.
    """

    def __init__(self, control: Control, agenda: Agenda, computing: Computing) -> None:
        self._control, self._agenda, self._computing = control, agenda, computing
        self.is_cut, self.at_ns = False, NEVER

    def end_at(self, at_ns: int) -> None:
        """Have the run cut at a time, in nanoseconds since its start."""
        self.at_ns = at_ns
        # Only to be woken then: the loop looks at the time itself. A run that is stuck does not wait for it.
        self._agenda.set_timer(at_ns, lambda now: None, is_expected=False)

    def make(self, now: int) -> None:
        """The run ends here: what is under way is dropped, and its time counts."""
        self.is_cut = True
        self._computing.stop(self._agenda.drop(), now)
        self._control.cut(now)
        self._control.finish()

    def drops(self, running: Running) -> bool:
        """Whether an operation that is over comes too late."""
        return self.is_cut or running.end_ns >= self.at_ns


class Count:
    """One rank's part in counting the gradients of all.

    Args:
        control: whose store keeps the number.
        total: the number that is wanted.
        hear: is told, on another thread, when it is full.
    """

    def __init__(self, control: Control, total: int, hear: Callable[[News], None]) -> None:
        self._control, self._total, self._hear = control, total, hear
        self._applied: SimpleQueue[int] = SimpleQueue()
        for name, work in (("count", self._count), ("cut", self._listen)):
            threading.Thread(target=work, name=name, daemon=True).start()

    def applied(self, gradients: int) -> None:
        """So many were applied here. Returns at once."""
        self._applied.put(gradients)

    def _count(self) -> None:
        store = self._control.connect()
        while store.add("applied", self._applied.get()) < self._total:
            pass
        store.set("cut", "")

    def _listen(self) -> None:
        wait_for(self._control.connect(), "cut")
        self._hear(News(CUT, self._control.rank))
