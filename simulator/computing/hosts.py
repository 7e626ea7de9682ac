"""The software of ranks: how late threads notice what has begun or ended, in simulated time (`platform.host`).

It knows of each machine how many of its ranks have messages or collectives under way. While these are as many as the
machine has cores, whoever wakes there waits for one, and is later.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from functools import partial

from schedules.driving.driver import Running
from schedules.operations import COLLECTIVES, Compute, Exchange, Meet, Receive, Send, Take, Until
from schedules.platform.hosts.table import HostTable, Lateness
from schedules.platform.protocols.lateness import late_once
from simulator.events import Events

START, WAKING, HANDING, PASSING, MEETING = "start", "waking", "handing", "passing", "meeting"

LATE = {
    Until: WAKING,
    Meet: MEETING,
    Take: PASSING,
    **dict.fromkeys((Compute, Exchange, Send, Receive, *COLLECTIVES), HANDING),
}
"""Which of the table's means an operation's end is told with; what is over at once never passes here."""


class Hosts:
    """The machines of a run's ranks.

    Args:
        table: how late threads are.
        places: the machine of every rank.
        events: what is to come.
    """

    def __init__(self, table: HostTable, places: Sequence[Hashable], events: Events) -> None:
        self._table, self._places, self._events = table, places, events
        self._cores = table.cores
        self._moving: Counter[Hashable] = Counter()
        self._wakings = [0] * len(places)

    def moved(self, rank: int, change: int) -> None:
        """A rank has its first transfer under way (1), or none any more (-1)."""
        self._moving[self._places[rank]] += change

    def is_busy(self, rank: int) -> bool:
        """Whether the cores of a rank's machine are busy with messages."""
        return self._cores is not None and self._moving[self._places[rank]] >= self._cores

    def quiet(self, rank: int, what: str) -> int:
        """How late a thread of the rank is for something, its machine being idle."""
        return self._drawn(self._table, rank, what)

    def extra(self, rank: int, what: str) -> int:
        """How much later, as its machine is now."""
        return self._drawn(self._table.busy, rank, what) if self.is_busy(rank) else 0

    def tell(self, at: int, running: Running) -> None:
        """Have an operation ended when the thread has noticed that has it told to its program: as
        `simulator.events.EndAt`."""
        what = LATE.get(type(running.operation))
        if what is None or running.stream.is_daemon:
            self._events.end_at(at, running)
        else:  # how busy the machine is then nobody knows now
            self._events.call_at(at, partial(self._notice, running, what, at))

    def _notice(self, running: Running, what: str, now: int) -> None:
        rank = running.worker.rank
        running.end_ns = now + self.quiet(rank, what) + self.extra(rank, what)
        self._events.end_at(running.end_ns, running)

    def _drawn(self, means: Lateness, rank: int, what: str) -> int:
        mean: float = getattr(means, what)
        if not mean:
            return 0
        self._wakings[rank] += 1
        return round(mean * 1e9 * late_once(rank, self._wakings[rank]))
