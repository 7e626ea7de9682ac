"""Ranks that fail, come back, and join late (`schedules.platform.outages`), in simulated time.

While a rank is away none of its programs goes on, and what its kernels had done is lost: they begin anew when it is
back, from the state that it had. A message that was on its way from or to it is lost and sent anew then. Who waits for
the rank waits until it is back, but for exchanges of a schedule that survives failures (`SURVIVES_FAILURES`): these are
given up (`simulator.messages.lost_exchanges`). What is computed by a formula (a collective that all have reached) is
finished.

A rank that never comes back is left out of collectives that have not begun, in a schedule that survives; any other
stops with its name. Sends and receives that are on their way then are finished, those that wait are forgotten.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from schedules.driving.board import board
from schedules.driving.driver import Running
from schedules.errors import DeadlockError, DeadRankError
from simulator.events import Due
from simulator.messages.exchanges import Flight
from simulator.messages.lost_exchanges import LostExchanges
from simulator.world import World

PATIENCE = 1000
"""So many outages a rank, and no operation of any rank has ended meanwhile: none ever will."""


class Failures:
    """The outages of a run.

    Args:
        world: in which they happen; it has a fabric, and its kernels can be retimed.
        outages: of every rank, as `schedules.platform.outages.outages` gives them.
        detection: seconds until the others notice.
        survives: whether the schedule goes on without a rank.
    Attributes:
        num_outages: outages that have begun.
        absent_ns: how long each rank has been away, up to the last time it came back.
    """

    def __init__(
        self, world: World, outages: Sequence[Iterator[tuple[float, float]]], *, detection: float, survives: bool
    ) -> None:
        assert world.fabric is not None
        assert world.computing.retiming is not None
        self._world = world
        self._fabric, self._retiming = world.fabric, world.computing.retiming
        self._survives = survives
        self._away = world.away
        self._since: dict[int, int] = {}
        self._lost = LostExchanges(
            world.exchanges, world.traffic, self._away, self._since, detection_ns=round(detection * 1e9)
        )
        self.num_outages = 0
        self.absent_ns = [0] * len(outages)
        self._outages = outages
        self._num_ended = self._num_known = self._num_in_vain = 0
        for rank in range(len(outages)):
            self._expect(rank)

    # ------------------------------------------------------------------ what the world asks

    def end_of(self, running: Running, at: int) -> int | None:
        """When an operation ends that would end at `at`, were its rank there; None: never."""
        back = self._away.get(running.worker.rank, 0)
        if back == math.inf:
            return None
        # Read-outs get on whatever happens: counted, they would hide that nobody else does.
        self._num_ended += not running.stream.is_daemon
        return max(at, int(back))

    def refuse(self, running: Running) -> bool | None:
        """An end of an exchange is issued: see `simulator.messages.exchanges.Losses`."""
        return self._lost.refuse(running)

    def remember(self, running: Running, other: Running, flight: Flight) -> None:
        """An exchange is in the air."""
        self._lost.remember(running, other, flight)

    @property
    def gone(self) -> set[int]:
        """Ranks that never come back."""
        return {rank for rank, back in self._away.items() if back == math.inf}

    def summary(self, makespan_ns: int) -> dict[str, Any]:
        """How many outages began and exchanges were given up; how long the ranks were away in all, in seconds."""
        still = sum(max(0, makespan_ns - since) for since in self._since.values())
        away_s = (sum(self.absent_ns) + still) / 1e9
        return {"outages": self.num_outages, "exchanges_lost": self._lost.num_lost, "away_s": away_s}

    # ------------------------------------------------------------------ failing and coming back

    def _expect(self, rank: int) -> None:
        """Wait for the next outage of a rank."""
        outage = next(self._outages[rank], None)
        if outage is not None:
            begin, until = outage
            back = math.inf if until == math.inf else round(until * 1e9)
            at = max(self._world.now, round(begin * 1e9))
            # A watch, not a call: outages that are drawn without end would keep a run going that nobody is in any more.
            self._world.course.watch(at / self._world.gradient_ns, lambda now: self._fail(rank, now, back))

    def _fail(self, rank: int, now: int, back: float) -> None:
        world = self._world
        streams = [each for each in world.crews[rank].streams if not each.is_daemon]
        if not streams:
            return  # it has done its work
        if back == math.inf and not self._survives:
            raise DeadRankError(
                f"rank {rank} fails at {now / 1e9:.6g} s and does not come back: the schedule cannot go on without it"
            )
        self._check_progress(now)
        self.num_outages += 1
        # Before anything below: whatever ends from here on asks `end_of`, which looks there.
        self._away[rank], self._since[rank] = back, now
        if back < math.inf:  # first of all that happens then, and its kernels before its programs
            world.events.call_at(int(back), partial(self._return, rank, int(back)))
        self._retiming.restart(rank, now, None if back == math.inf else int(back))
        self._put_off(rank, back)
        if self._survives:
            self._lost.give_up(rank, now)
        if back == math.inf:
            world.meetings.end(rank, now)
            self._bury(rank, now)
        else:
            world.meetings.part(rank, now)
            self._fabric.hold(rank, now, int(back))

    def _check_progress(self, now: int) -> None:
        """Ranks that fail for ever would hide that nobody can move, or that no kernel or message is ever through."""
        # Kernels that are retimed end by themselves and do not pass `end_of`.
        ended = self._num_ended + self._retiming.num_ended
        self._num_in_vain = self._num_in_vain + 1 if ended == self._num_known else 0
        self._num_known = ended
        if self._num_in_vain > PATIENCE * len(self._world.crews):
            raise DeadlockError(
                f"DeadlockError at {now / 1e6:.3f} ms: no worker has got on during {self._num_in_vain - 1:,} outages: "
                f"they wait in vain, or fail faster than they can work (platform.faults).\n"
                + board(self._world.streams, now, away=self._away)
            )

    def _return(self, rank: int, now: int) -> None:
        del self._away[rank]
        self.absent_ns[rank] += now - self._since.pop(rank)
        self._world.meetings.come_back(rank, now)
        self._expect(rank)

    def _bury(self, rank: int, now: int) -> None:
        """It never comes back: its programs are over, and nobody waits for it."""
        crew = self._world.crews[rank]
        for each in crew.streams:
            each.end_ns = now  # the makespan is the last end of a stream
        crew.close()
        self._world.sends.forget(rank)
        self._world.collectives.leave(rank, now)

    def _put_off(self, rank: int, back: float) -> None:
        """Whatever would resume one of its programs does so when it is back; nothing does if it never is."""
        # What is due after `back` finds its rank there; of a rank that is gone for good nothing is left.
        late = self._world.events.take_out(lambda at, due: at <= back and _is_of(due, rank))
        for due in late if back < math.inf else ():
            assert isinstance(due, Running)
            due.end_ns = int(back)
            # Not by `World.end_at`: its end was counted as progress when it was queued first.
            self._world.events.end_at(int(back), due)


def _is_of(due: Due, rank: int) -> bool:
    """Whether an operation of this rank ends; those of daemons do not count, as these only look."""
    # `BothEnds` of an exchange, which is no `Running`, is queued only without a fabric; runs with failures have one.
    if not isinstance(due, Running) or due.worker.rank != rank:
        return False
    return not due.stream.is_daemon
