"""Exchanges with ranks that fail, where the schedule survives that: they are given up at both ends, answered None.

Unless one end has its data already: then the other gets its own, sent anew when the rank is back. The other end is told
when it has noticed, the failed one when it is back.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping

from schedules.driving.driver import Running
from schedules.driving.replay import LOST
from schedules.record.trace import due_ns
from simulator.messages.exchanges import Exchanges, Flight
from simulator.messages.traffic import Traffic


class LostExchanges:
    """What is given up.

    Args:
        exchanges, traffic: of the world.
        away: ranks that are away, and the tick at which each is back (infinite: never).
        since: when each of them failed.
        detection_ns: until the others notice.
    Attributes:
        num_lost: exchanges that were given up.
    """

    def __init__(
        self,
        exchanges: Exchanges,
        traffic: Traffic,
        away: Mapping[int, float],
        since: Mapping[int, int],
        detection_ns: int,
    ) -> None:
        self._exchanges, self._traffic = exchanges, traffic
        self._away, self._since = away, since
        self._detection_ns = detection_ns
        self._given_up: Counter[tuple[int, int, int]] = Counter()  # by the rank that has not issued it, peer and tag
        self._flights: dict[tuple[int, int], list[Flight]] = {}
        self.num_lost = 0

    def refuse(self, running: Running) -> bool | None:
        """An end is issued: see `simulator.messages.exchanges.Losses`."""
        operation, rank, now = running.operation, running.worker.rank, running.start_ns
        # First of all: whether its peer is away by now does not matter to an end whose other end was given up already.
        if self._given_up[rank, operation.peer, operation.tag]:
            self._given_up[rank, operation.peer, operation.tag] -= 1
            running.note = LOST
            return True
        if operation.peer not in self._away:
            return None
        waiting = self._exchanges.take_waiting(rank, operation.peer, operation.tag)
        if waiting is None:
            # Counted, not marked: nothing forbids a program to use a tag again.
            self._given_up[operation.peer, rank, operation.tag] += 1
        else:
            self._lose(waiting, now)  # its rank is away, so the world puts this off until it is back
        # who asks late has noticed before
        self._lose(running, max(now, self._since[operation.peer] + self._detection_ns))
        self.num_lost += 1
        return False

    def remember(self, running: Running, other: Running, flight: Flight) -> None:
        """An exchange is in the air."""
        low, high = sorted((running.worker.rank, other.worker.rank))
        # Those that are over are let go here: a list of all exchanges would grow with the run.
        flights = [each for each in self._flights.get((low, high), []) if not _is_over(each)]
        self._flights[low, high] = [*flights, flight]

    def give_up(self, rank: int, now: int) -> None:
        """A rank fails: those in the air, and those that others have issued and wait for."""
        noticed = now + self._detection_ns
        for pair in [pair for pair in self._flights if rank in pair]:
            self._flights[pair] = [each for each in self._flights[pair] if not self._crash(each, rank, now)]
        for peer, tag in self._exchanges.waiting_for(rank):
            waiting = self._exchanges.take_waiting(rank, peer, tag)
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
        is_half_over = len(under_way) == 1 and not self._traffic.transport.ends_together
        if is_half_over and self._away[rank] < math.inf:
            return False
        for message, _ in under_way:
            message.connection.drop(message, now)
        if under_way:
            self.num_lost += 1
            # Where both ends are over together neither has been told, even if one of the messages is there.
            for _, receiver in under_way if is_half_over else flight:
                # Begun for both ends when they met (`Exchanges._fly`), so it has to end for both.
                self._traffic.ended(now, receiver.worker.rank)
                self._lose(receiver, now if receiver.worker.rank == rank else now + self._detection_ns)
        return True

    def _lose(self, running: Running, at: int) -> None:
        """End an exchange with nothing, unless its program is over for good."""
        rank = running.worker.rank
        if self._away.get(rank) == math.inf:
            return
        # Ready only now: all its time was waiting, and it counts neither as an exchange nor as bytes sent.
        running.result, running.note, running.ready_ns = None, LOST, at
        held = 2 * running.operation.size
        self._traffic.ledger.transferred(rank, running.start_ns, at, at, held=held, due=due_ns(running))
        self._traffic.end(running, at)


def _is_over(flight: Flight) -> bool:
    return all(message.is_over for message, _ in flight)
