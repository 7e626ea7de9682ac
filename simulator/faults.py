"""Ranks that fail, come back, and join late (`schedules.platform.outages`), in simulated time.

While a rank is away none of its programs goes on, and what its kernels had done is lost: they begin anew when it is
back, from the state that it had. A message that was on its way from or to it is lost and sent anew then. Who waits for
the rank waits until it is back, but for exchanges of a schedule that survives failures (`SURVIVES_FAILURES`): these are
given up at both ends, which are answered None, unless one end has its data already. The other end is told when it has
noticed, the failed one when it is back. What is computed by a formula (a collective that all have reached) is finished.

A rank that never comes back is left out of collectives that have not begun, in a schedule that survives; any other
stops with its name. Sends and receives that are on their way then are finished, those that wait are forgotten.
"""

from __future__ import annotations

import heapq
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from schedules.driving.driver import Running, board
from schedules.driving.replay import LOST
from schedules.errors import DeadlockError, DeadRankError
from schedules.operations import Exchange
from schedules.record.ledger import pack_transfer
from simulator.messages.fabric import Message
from simulator.world import World

Flight = list[tuple[Message, Running]]

PATIENCE = 1000
"""So many outages a rank, and no operation of any rank has ended meanwhile: none ever will."""


class Faults:
    """The outages of a run.

    Args:
        world: in which they happen; it has a fabric, and its kernels can be retimed.
        outages: of every rank, as `schedules.platform.outages.outages` gives them.
        detection: seconds until the others notice.
        survives: whether the schedule goes on without a rank.
    Attributes:
        away: ranks that are away, and the tick at which each is back (infinite: never).
        num_outages, num_lost: outages that have begun, and exchanges that were given up.
        absent_ns: how long each rank has been away, up to the last time it came back.
    """

    def __init__(
        self, world: World, outages: Sequence[Iterator[tuple[float, float]]], *, detection: float, survives: bool
    ) -> None:
        assert world.fabric is not None
        assert world.retiming is not None
        self.world = world
        self.fabric, self.retiming = world.fabric, world.retiming
        self.survives = survives
        self.detection_ns = round(detection * 1e9)
        self.away: dict[int, float] = {}
        self.since: dict[int, int] = {}
        self.num_outages = self.num_lost = 0
        self.absent_ns = [0] * len(outages)
        self._outages = outages
        self._meets: set[int] = set()
        self._given_up: Counter[tuple[int, int, int]] = Counter()  # by the rank that has not issued it, peer and tag
        self._flights: dict[tuple[int, int], list[Flight]] = {}
        self._num_ended = self._num_known = self._num_in_vain = 0
        self._end_at = world.end_at
        world.end_at = self._end_when_back  # type: ignore[method-assign]
        world.gatherings.away = self.away
        if survives:
            world.gatherings.is_lowered = False
            world.handlers[Exchange] = self._exchange
            self._fly: Callable[[Running, Running], Flight] = world.exchange_by_flows
            world.exchange_by_flows = self._exchange_by_flows  # type: ignore[method-assign]
        for rank in range(len(outages)):
            self._expect(rank)

    # ------------------------------------------------------------------ failing and coming back

    def _expect(self, rank: int) -> None:
        """Wait for the next outage of a rank."""
        outage = next(self._outages[rank], None)
        if outage is not None:
            begin, until = outage
            back = math.inf if until == math.inf else round(until * 1e9)
            at = max(self.world.now, round(begin * 1e9))
            self.world.course.watch(at / self.world.gradient_ns, lambda now: self._fail(rank, now, back))

    def _fail(self, rank: int, now: int, back: float) -> None:
        world = self.world
        streams = [each for each in world.workers[rank].streams if not each.is_daemon]
        if not streams:
            return  # it has done its work
        if back == math.inf and not self.survives:
            raise DeadRankError(
                f"rank {rank} fails at {now / 1e9:.6g} s and does not come back: the schedule cannot go on without it"
            )
        self._check_progress(now)
        self.num_outages += 1
        self.away[rank], self.since[rank] = back, now
        if back < math.inf:  # first of all that happens then, and its kernels before its programs
            world.schedule(int(back), lambda: self._return(rank, int(back)))
        self.retiming.restart(rank, now, None if back == math.inf else int(back))
        self._put_off(rank)
        if self.survives:
            self._give_up_exchanges(rank, now)
        if not world.coordinator.has_left(rank):
            world.withdraw(rank, now)
            self._meets.add(rank)
        if back == math.inf:
            self._bury(rank, now)
        else:
            self.fabric.hold(rank, now, int(back))

    def _check_progress(self, now: int) -> None:
        """Ranks that fail for ever would hide that nobody can move, or that no kernel or message is ever through."""
        ended = self._num_ended + self.retiming.num_ended
        self._num_in_vain = self._num_in_vain + 1 if ended == self._num_known else 0
        self._num_known = ended
        if self._num_in_vain > PATIENCE * len(self.world.workers):
            raise DeadlockError(
                f"DeadlockError at {now / 1e6:.3f} ms: no worker has got on during {self._num_in_vain - 1:,} outages: "
                f"they wait in vain, or fail faster than they can work (platform.faults).\n"
                + board(self.world.streams, now)
            )

    def _return(self, rank: int, now: int) -> None:
        del self.away[rank]
        self.absent_ns[rank] += now - self.since.pop(rank)
        if rank in self._meets:
            self._meets.remove(rank)
            self.world.rejoin(rank, now)
        self._expect(rank)

    def _bury(self, rank: int, now: int) -> None:
        """It never comes back: its programs are over, and nobody waits for it."""
        worker = self.world.workers[rank]
        for each in list(worker.streams):
            each.is_over, each.end_ns = True, now
            each.program.close()
        worker.streams.clear()
        self.world.messages.forget(rank)
        self.world.gatherings.leave(rank, now)

    def _put_off(self, rank: int) -> None:
        """Whatever would resume one of its programs does so when it is back."""
        queue: list[Any] = self.world.events
        back = self.away[rank]
        if back == math.inf:
            for *_, event in queue:
                if _is_of(event, rank):
                    event.callbacks = ()  # nobody is resumed
            return
        late = sorted(entry for entry in queue if _is_of(entry[3], rank) and entry[0] <= back)
        queue[:] = [entry for entry in queue if not (_is_of(entry[3], rank) and entry[0] <= back)]
        heapq.heapify(queue)
        for *_, event in late:
            self._end_at(event, int(back))

    def _end_when_back(self, running: Running, at: int) -> None:
        back = self.away.get(running.worker.rank, 0)
        if back < math.inf:
            self._num_ended += not getattr(running.stream, "is_daemon", False)
            self._end_at(running, max(at, int(back)))

    @property
    def gone(self) -> set[int]:
        """Ranks that never come back."""
        return {rank for rank, back in self.away.items() if back == math.inf}

    def summary(self, makespan_ns: int) -> dict[str, Any]:
        """How many outages began and exchanges were given up; how long the ranks were away in all, in seconds."""
        still = sum(max(0, makespan_ns - since) for since in self.since.values())
        away_s = (sum(self.absent_ns) + still) / 1e9
        return {"outages": self.num_outages, "exchanges_lost": self.num_lost, "away_s": away_s}

    # ------------------------------------------------------------------ exchanges of schedules that survive

    def _exchange(self, running: Running) -> bool:
        operation, rank, now = running.operation, running.worker.rank, running.start_ns
        if self._given_up[rank, operation.peer, operation.tag]:
            self._given_up[rank, operation.peer, operation.tag] -= 1
            running.note = LOST
            return True
        if operation.peer not in self.away:
            return self.world.exchange(running)
        waiting = self.world.take_waiting(rank, operation.peer, operation.tag)
        if waiting is None:
            self._given_up[operation.peer, rank, operation.tag] += 1
        else:
            self._lose(waiting, now)
        self._lose(running, max(now, self.since[operation.peer] + self.detection_ns))
        self.num_lost += 1
        return False

    def _exchange_by_flows(self, running: Running, other: Running) -> Flight:
        """Remember what is in the air."""
        flight = self._fly(running, other)
        low, high = sorted((running.worker.rank, other.worker.rank))
        flights = [each for each in self._flights.get((low, high), []) if not _is_over(each)]
        self._flights[low, high] = [*flights, flight]
        return flight

    def _give_up_exchanges(self, rank: int, now: int) -> None:
        """Those in the air, and those that others have issued and wait for."""
        noticed = now + self.detection_ns
        for pair in [pair for pair in self._flights if rank in pair]:
            self._flights[pair] = [each for each in self._flights[pair] if not self._crash(each, rank, now)]
        for peer, tag in self.world.waiting_for(rank):
            waiting = self.world.take_waiting(rank, peer, tag)
            assert waiting is not None
            self._given_up[rank, peer, tag] += 1
            self._lose(waiting, noticed)
            self.num_lost += 1

    def _crash(self, flight: Flight, rank: int, now: int) -> bool:
        """An exchange in the air is given up, at both ends. Where ends are over one by one and one has its data, the
        other gets its own, sent anew when the rank is back: else only one of them would average.

        Returns:
            whether this was the end of it.
        """
        under_way = [(message, receiver) for message, receiver in flight if not message.is_over]
        is_half_over = len(under_way) == 1 and not self.world.transport.ends_together
        if is_half_over and self.away[rank] < math.inf:
            return False
        for message, _ in under_way:
            message.connection.drop(message, now)
        if under_way:
            self.num_lost += 1
            for _, receiver in under_way if is_half_over else flight:
                self.world.transfer_ended(now, receiver.worker.rank)
                self._lose(receiver, now if receiver.worker.rank == rank else now + self.detection_ns)
        return True

    def _lose(self, running: Running, at: int) -> None:
        """End an exchange with nothing, unless its program is over for good."""
        if self.away.get(running.worker.rank) == math.inf:
            return
        running.result, running.note, running.ready_ns = None, LOST, at
        entry = (running.worker.rank, running.start_ns, at, at, 0, 0, 2 * running.operation.size)
        self.world.ledger.transfers += pack_transfer(*entry)
        self.world.end_at(running, at)


def _is_of(event: Any, rank: int) -> bool:
    return isinstance(event, Running) and event.worker.rank == rank and not getattr(event.stream, "is_daemon", False)


def _is_over(flight: Flight) -> bool:
    return all(message.is_over for message, _ in flight)
