"""`Until`: what a stream that waits for a time is answered, by the agenda's timers."""

from __future__ import annotations

from executor.events import Agenda, Timer
from schedules.driving.driver import Handler, Running
from schedules.operations import Operation, Until


class Sleeps:
    """The sleeps of one rank.

    Args:
        gradient_ns: one gradient time in nanoseconds.
    """

    def __init__(self, agenda: Agenda, gradient_ns: float) -> None:
        self._agenda, self._gradient_ns = agenda, gradient_ns
        self._timers: dict[Running, Timer] = {}

    def handlers(self) -> dict[type[Operation], Handler]:
        """What it answers."""
        return {Until: self._until}

    def withdraw(self, running: Running, now: int) -> None:
        """A cancelled sleep is waited for no longer."""
        self._timers.pop(running).cancel()

    def _until(self, running: Running) -> bool:
        at = int(running.operation.time * self._gradient_ns + 0.5)
        if at <= running.start_ns:
            return True
        running.start_ns = running.ready_ns = self._agenda.now

        def ring(now: int) -> None:
            del self._timers[running]
            running.result = None
            running.ready_ns = running.end_ns = max(now, running.start_ns)
            running.ended()

        # The read-outs' stream sleeps until long after the programs: that time is nothing that a stuck run waits for.
        self._timers[running] = self._agenda.set_timer(at, ring, is_expected=not running.stream.is_daemon)
        return False
