"""Sends and receives: whom they are paired with, in which order, and when the message is there."""

from __future__ import annotations

from collections import deque

from schedules.driving.checks import check_send
from schedules.driving.driver import Handler, Running
from schedules.errors import ProgramError
from schedules.operations import Operation, Receive, Send
from simulator.messages.traffic import Traffic

Channel = tuple[int, int, str]
"""A rank, its peer, and the channel between them."""


class Sends:
    """The sends and receives that wait.

    Args:
        is_in_order: whether those of one rank, peer and channel are posted one after the other, each when the one
            before it has met its other end, as on one communicator. Their bytes queue on the link.
    """

    def __init__(self, traffic: Traffic, *, is_in_order: bool) -> None:
        self._traffic = traffic
        self.is_in_order = is_in_order
        self._turns: dict[Channel, deque[Running]] = {}
        self._next: deque[Running] = deque()  # whose turn has come
        self._waiting: dict[tuple[int, int, int, str], deque[Running]] = {}

    def handlers(self) -> dict[type[Operation], Handler]:
        """What it answers."""
        return {Send: self._send, Receive: self.post}

    def _send(self, running: Running) -> bool:
        check_send(running)
        return self.post(running)

    def post(self, running: Running) -> bool:
        """A send or a receive has been issued."""
        # Asked for its refusal of a peer that is not there.
        self._traffic.pair(running.worker.rank, running.operation.peer)
        if self.is_in_order:
            turns = self._turns.setdefault(_channel(running), deque())
            turns.append(running)
            if len(turns) > 1:
                return False
        self._match(running)
        self._go_on()
        return False

    def withdraw(self, running: Running, now: int) -> None:
        """One of them is cancelled."""
        for waiting in self._waiting.values():
            if running in waiting:
                waiting.remove(running)
        # What has met its other end is in no queue any more: it goes on, and nobody is told.
        if running in self._turns.get(_channel(running), ()):
            self._leave_turn(running, now)
            self._go_on()

    def forget(self, rank: int) -> None:
        """A rank has failed for good: what it has posted is paired with nothing any more."""
        for waiting in self._waiting.values():
            for running in [each for each in waiting if each.worker.rank == rank]:
                waiting.remove(running)

    def blocked(self) -> str:
        """A remark on messages that wait behind others of their channel, for the board of a deadlock."""
        blocked = sum(len(turns) - 1 for turns in self._turns.values() if turns)
        told = (
            f"\n  {blocked} of the sends and receives are blocked by earlier ones of their channels: they go in order"
        )
        return f"{told} (platform.order)." if blocked else ""

    def _leave_turn(self, running: Running, now: int) -> None:
        """It has met its other end, or is cancelled: whoever is behind it is posted."""
        turns = self._turns[_channel(running)]
        is_first = turns[0] is running
        turns.remove(running)
        if is_first and turns:
            turns[0].ready_ns = now  # posted only now
            self._next.append(turns[0])

    def _go_on(self) -> None:
        """Post those whose turn has come. In a loop: one that meets its other end at once brings on the next."""
        while self._next:
            self._match(self._next.popleft())

    def _match(self, running: Running) -> None:
        """Pair a send with its receive, in the order in which they were posted."""
        rank, operation = running.worker.rank, running.operation
        is_sender = operation.__class__ is Send
        source, target = (rank, operation.peer) if is_sender else (operation.peer, rank)
        key = source, target, operation.tag, operation.channel
        waiting = self._waiting.get(key)
        if waiting is None:
            self._waiting[key] = deque((running,))
            return
        # All that wait under one key are of one kind, or they would have been paired: the first tells.
        if not waiting or (waiting[0].operation.__class__ is Send) == is_sender:
            waiting.append(running)
            return
        other = waiting.popleft()
        if not waiting:
            del self._waiting[key]  # tags may be as many as messages
        # `ready_ns`, since in order it is not when it was issued but when its turn came.
        self._deliver(*((running, other) if is_sender else (other, running)), now=running.ready_ns)

    def _deliver(self, sender: Running, receiver: Running, *, now: int) -> None:
        payload, traffic = sender.operation.payload, self._traffic
        limit = sender.operation.limit
        check_sizes(sender, receiver, payload.size if limit is None else limit, receiver.operation.size)
        source, target = sender.worker.rank, receiver.worker.rank
        posted = sender.ready_ns, receiver.ready_ns  # read before they are overwritten
        receiver.result, sender.result = payload.sent(), None
        sender.ready_ns = receiver.ready_ns = now
        if traffic.slowed is not None:
            traffic.began(now, source, target)
        if self.is_in_order:
            self._leave_turn(sender, now)
            self._leave_turn(receiver, now)
        transport = traffic.transport
        if traffic.fabric is None:
            pair, direction = traffic.pair(source, target), int(source > target)
            end = transport.message(pair, direction, *posted, payload.size) + transport.overhead_ns
            traffic.end_message(sender, receiver, now, end)
        else:

            def end_both(end: int) -> None:
                traffic.end_message(sender, receiver, now, end + transport.overhead_ns)

            leaves = transport.leaves(*posted, traffic.fabric.route(target, source).latency)
            traffic.fabric.send(source, target, payload.size, leaves, now, end_both)


def _channel(running: Running) -> Channel:
    return running.worker.rank, running.operation.peer, running.operation.channel


def check_sizes(one: Running, other: Running, mine: int, theirs: int) -> None:
    """Both ends of a message must mean the same number of bytes."""
    if mine != theirs:
        raise ProgramError(
            f"rank {one.worker.rank} {one.operation} and rank {other.worker.rank} {other.operation}: "
            f"expected equal sizes, found {mine} and {theirs} bytes"
        )
