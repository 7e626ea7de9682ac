"""Whether anything happens on a rank: it shows signs of life, and sees when nothing has moved for too long."""

from __future__ import annotations

from collections.abc import Sequence

from executor.agreement.boards import Waiting
from executor.agreement.control import Control

BEAT_S = 1.0
"""How often a rank shows a sign of life, at least."""


class Watch:
    """One rank's watch over itself.

    Two things are told apart. The beat says that the process runs and its loop turns; that something *moved* (an
    operation ended, an expected time came) says that the run goes on. A rank that beats and never moves may be stuck,
    one that does neither is dead.

    Attributes:
        next_ns: when to look next.
    """

    def __init__(self, control: Control) -> None:
        self.next_ns = 0
        self._control = control
        # A rank is taken for dead after the time limit without a beat: four beats fit in, so that one late one is none.
        self._beat_ns = int(min(BEAT_S, control.timeout_s / 4) * 1e9)
        self._last_ns = 0
        self._is_idle = False

    def moved(self, now: int) -> None:
        """Something has happened."""
        self._last_ns = now
        if self._is_idle:
            self._is_idle = False
            self._control.moved()

    def beat(self, now: int) -> None:
        """Show a sign of life."""
        self.next_ns = now + self._beat_ns
        self._control.beat()

    def is_late(self, now: int, busy_until_ns: int) -> bool:
        """Whether nothing has happened for the time limit; a kernel that is known to run until then is no silence."""
        return now - max(self._last_ns, busy_until_ns) > self._control.timeout_s * 1e9

    def say_idle(self, waiting: Sequence[Waiting], now: int) -> None:
        """Say that nothing happens here, and show who waits for what."""
        self._is_idle = True
        self._control.idle(waiting, now)
