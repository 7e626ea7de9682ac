"""Whether anything happens on a rank: it shows signs of life, and sees when nothing has moved for too long."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import inf

from executor.agreement import boards
from executor.agreement.boards import Waiting
from executor.agreement.control import Control
from schedules.driving.driver import Running, Stream
from schedules.errors import TimeoutError
from schedules.operations import Compute

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
        self._beat_ns = int(min(BEAT_S, control.timeout_s / 4, (control.patience_s or inf) / 4) * 1e9)
        self._last_ns = 0
        self._is_idle = self._is_shown = False

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

    def look(self, now: int, busy_until_ns: int, streams: Sequence[Stream]) -> None:
        """If nothing has happened for the time limit, say so."""
        if self.is_late(now, busy_until_ns):
            self.say_idle(boards.waiting(streams), now)

    def is_late(self, now: int, busy_until_ns: int) -> bool:
        """Whether nothing has happened for the time limit; a kernel that is known to run until then is no silence."""
        return now - max(self._last_ns, busy_until_ns) > self._control.timeout_s * 1e9

    def look_at(self, under_way: Iterable[Running], now: int, streams: Sequence[Stream]) -> None:
        """Look at the operation that has waited for other ranks longest: for half the time limit, and whoever finds a
        rank silent is shown this one's board; longer than it may, and the run has failed.

        Raises:
            TimeoutError: naming it, with this rank's board.
        """
        others = (each for each in under_way if not isinstance(each.operation, Compute))
        first = min(others, key=lambda each: each.start_ns, default=None)
        waited_s = 0.0 if first is None else (now - first.start_ns) / 1e9
        is_long, patience_s = waited_s > self._control.timeout_s / 2, self._control.patience_s
        if is_long or self._is_shown:
            self._control.show(boards.waiting(streams) if is_long else [])
        self._is_shown = is_long
        if first is not None and patience_s is not None and waited_s > patience_s:
            board = boards.draw([boards.waiting(streams)], now)
            told = f"{first.operation} on {first.name} has waited {waited_s:.3f} s"
            raise TimeoutError(f"{told}, longer than execution.patience ({patience_s:g} s).\n{board}")

    def say_idle(self, waiting: Sequence[Waiting], now: int) -> None:
        """Say that nothing happens here, and show who waits for what."""
        self._is_idle = True
        self._control.idle(waiting, now)
