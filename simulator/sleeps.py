"""`Until`: what a stream that waits for a time is answered, in simulated time."""

from __future__ import annotations

from collections.abc import Callable

from schedules.driving.driver import Handler, Running
from schedules.operations import Operation, Until


class Sleeps:
    """The sleeps of all workers.

    Args:
        end_at: ends an operation at a tick.
        gradient_ns: one gradient time in nanoseconds.
    """

    def __init__(self, end_at: Callable[[Running, int], None], gradient_ns: float) -> None:
        self._end_at, self._gradient_ns = end_at, gradient_ns

    def handlers(self) -> dict[type[Operation], Handler]:
        """What it answers."""
        return {Until: self._until}

    def withdraw(self, running: Running, now: int) -> None:
        """A cancelled sleep holds nothing."""

    def _until(self, running: Running) -> bool:
        at = int(running.operation.time * self._gradient_ns + 0.5)
        if at <= running.start_ns:
            return True
        self._end_at(running, at)
        return False
