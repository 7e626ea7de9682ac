"""Exchanges: both ends rendezvous, and each has the other's payload when it has crossed."""

from __future__ import annotations

from functools import partial
from typing import Protocol

from schedules.driving.driver import Handler, Running
from schedules.errors import ProgramError
from schedules.operations import Exchange, Operation
from simulator.messages.connections import Message
from simulator.messages.sends import check_sizes
from simulator.messages.traffic import Traffic

Flight = list[tuple[Message, Running]]
"""The two messages of an exchange in the air, each with the end that receives it."""


class Losses(Protocol):
    """What ranks that fail do to exchanges (`simulator.faults`)."""

    def refuse(self, running: Running) -> bool | None:
        """An end is issued. True: it is given up at once; False: it will be told; None: it goes its way."""

    def remember(self, running: Running, other: Running, flight: Flight) -> None:
        """An exchange is in the air."""


class BothEnds(tuple[Running, Running]):
    """The two ends of an exchange that is over at both at once. A bare tuple, since one is made for every exchange."""

    __slots__ = ()

    def ended(self) -> None:
        """It is over."""
        first, second = self
        first.ended()
        second.ended()


class Exchanges:
    """The exchanges of a run.

    Attributes:
        losses: what gives exchanges up, where ranks fail and the schedule goes on; None: nothing does.
    """

    def __init__(self, traffic: Traffic, gradient_ns: float) -> None:
        self._traffic, self._gradient_ns = traffic, gradient_ns
        self.losses: Losses | None = None
        # Looked up once: of a simulation of gossip every second event passes here.
        self._pairs, self._is_flown = traffic.pairs, traffic.fabric is not None
        self._exchange, self._exchanged = traffic.transport.exchange, traffic.ledger.exchanged
        self._end_at = traffic.events.end_at

    def handlers(self) -> dict[type[Operation], Handler]:
        """What it answers."""
        return {Exchange: self.post}

    def post(self, running: Running) -> bool:
        """One end of an exchange has been issued."""
        if self.losses is not None:
            told = self.losses.refuse(running)
            if told is not None:
                return told
        operation, worker = running.operation, running.worker
        rank, peer, payload = worker.rank, operation.peer, operation.payload
        pair = self._pairs[rank].get(peer) or self._traffic.pair(rank, peer)
        other: Running | None = pair.waiting.pop(operation.tag, None)
        if other is None:
            pair.waiting[operation.tag] = running
            return False
        if other.worker is worker:
            raise ProgramError(f"rank {rank}: two exchanges with rank {peer} have the tag {operation.tag}")
        now, other_start, size = running.start_ns, other.start_ns, payload.size
        theirs = other.operation.payload
        if theirs.kept is not None:
            theirs = theirs.sent()
        if theirs.size != size:  # compared here: to call for every exchange costs more than to compare
            check_sizes(running, other, size, theirs.size)
        running.result = theirs
        other.result = payload if payload.kept is None else payload.sent()
        other.ready_ns = now
        if self._is_flown:
            self._fly(running, other)
            return False
        # By names of their own: to call an attribute that is no method costs a look-up in the class.
        exchange, exchanged, end_at = self._exchange, self._exchanged, self._end_at
        if rank < peer:
            end, other_end = exchange(pair, now, other_start, size)
        else:
            other_end, end = exchange(pair, other_start, now, size)
        # The tick as `schedules.record.trace.due_ns` has it: a call of ours for every exchange would cost too much.
        due = -1 if operation.due is None else int(operation.due * self._gradient_ns + 0.5)
        exchanged(rank, peer, other_start, now, end, other_end, size, due)
        slowed = self._traffic.slowed
        if slowed is not None:
            slowed.transfer(rank, now, end)
            slowed.transfer(peer, now, other_end)
        running.end_ns, other.end_ns = end, other_end
        if end == other_end:  # one entry in the queue for both ends
            end_at(end, BothEnds((other, running)))  # in the order that two entries would have
        else:
            end_at(other_end, other)
            end_at(end, running)
        return False

    def withdraw(self, running: Running, now: int) -> None:
        """An end is cancelled: it does not wait for the other one any more."""
        pair = self._traffic.pair(running.worker.rank, running.operation.peer)
        # It may have met its other end already; what waits under its tag then is the next exchange's.
        if pair.waiting.get(running.operation.tag) is running:
            del pair.waiting[running.operation.tag]

    def waiting_for(self, rank: int) -> list[tuple[int, int]]:
        """The exchanges that others have issued with a rank and that it has not: (peer, tag)."""
        return [
            (peer, tag)
            for peer, pair in self._traffic.pairs[rank].items()
            for tag, each in pair.waiting.items()
            if each.worker.rank == peer  # both ends wait in one place: its own may be there, too
        ]

    def take_waiting(self, rank: int, peer: int, tag: int) -> Running | None:
        """Take out the end of an exchange that waits for the other one."""
        waiting: Running | None = self._traffic.pair(rank, peer).waiting.pop(tag, None)
        return waiting

    def _fly(self, running: Running, other: Running) -> None:
        """Both directions at once; with gloo each end is over when it has the other's data, else both together."""
        traffic, now = self._traffic, running.start_ns
        fabric, transport = traffic.fabric, traffic.transport
        assert fabric is not None
        ends: list[int] = []
        traffic.began(now, running.worker.rank, other.worker.rank)

        def arrived(ending: Running, at: int) -> None:
            ends.append(at)
            if not transport.ends_together:
                traffic.end_exchange(ending, now, at + transport.overhead_ns)
            elif len(ends) == 2:
                for each in (other, running):
                    traffic.end_exchange(each, now, at + transport.overhead_ns)

        def send(sender: Running, receiver: Running) -> tuple[Message, Running]:
            source, target = sender.worker.rank, receiver.worker.rank
            # The announcement goes the other way than the message, and routes may differ.
            leaves = transport.leaves(sender.start_ns, receiver.start_ns, fabric.route(target, source).latency)
            done = partial(arrived, receiver)
            return fabric.send(source, target, sender.operation.size, max(now, leaves), now, done), receiver

        flight = [send(running, other), send(other, running)]
        if self.losses is not None:
            self.losses.remember(running, other, flight)
