"""Sends and receives: whom they are paired with, in which order, and when the message is there."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial

from schedules.driving.checks import check_send
from schedules.driving.driver import Handler, Running
from schedules.errors import ProgramError
from schedules.operations import Operation, Receive, Send
from simulator.messages.traffic import Traffic

Channel = tuple[int, int, str]
"""A rank, its peer, and the channel between them."""

Message = tuple[int, int, int, str]
"""By what a send and its receive find each other: who sends, who receives, the tag and the channel."""


class Sends:
    """The sends and receives that wait.

    Args:
        is_in_order: whether those of one rank, peer and channel are posted one after the other, each when the one
            before it has met its other end, as on one communicator. Their bytes queue on the link.
    """

    def __init__(self, traffic: Traffic, *, is_in_order: bool) -> None:
        self._traffic, self._pairs, self._transport = traffic, traffic.pairs, traffic.transport
        self._passed, self._end_at = traffic.ledger.passed, traffic.events.end_at  # looked up once: for every message
        self.is_in_order = is_in_order
        self._turns: dict[Channel, deque[Running]] = {}
        self._next: deque[Running] = deque()  # whose turn has come
        # What waits for its other end: the first of each message, and those behind it, which are few.
        self._first: dict[Message, Running] = {}
        self._behind: dict[Message, deque[Running]] = {}

    def handlers(self) -> dict[type[Operation], Handler]:
        """What it answers."""
        return {Send: self._send, Receive: self.post}

    def _send(self, running: Running) -> bool:
        if running.operation.limit is not None:
            check_send(running)
        return self.post(running)

    def post(self, running: Running) -> bool:
        """A send or a receive has been issued."""
        rank, peer = running.worker.rank, running.operation.peer
        if peer not in self._pairs[rank]:
            self._traffic.pair(rank, peer)  # which refuses a peer that is not there
        if not self.is_in_order:
            self._match(running)
            return False
        turns = self._turns.setdefault(_channel(running), deque())
        turns.append(running)
        if len(turns) == 1:
            self._match(running)
            self._go_on()
        return False

    def withdraw(self, running: Running, now: int) -> None:
        """One of them is cancelled."""
        self._forget(lambda waiting: waiting is running)
        # What has met its other end is in no queue any more: it goes on, and nobody is told.
        if running in self._turns.get(_channel(running), ()):
            self._leave_turn(running, now)
            self._go_on()

    def forget(self, rank: int) -> None:
        """A rank has failed for good: what it has posted is paired with nothing any more."""
        self._forget(lambda waiting: waiting.worker.rank == rank)

    def _forget(self, is_meant: Callable[[Running], bool]) -> None:
        """Have some wait no longer."""
        for behind in self._behind.values():
            for running in [each for each in behind if is_meant(each)]:
                behind.remove(running)
        for message in [message for message, first in self._first.items() if is_meant(first)]:
            self._take_first(message)

    def _take_first(self, message: Message) -> None:
        """Who has waited longest waits no longer; the next is in its place."""
        del self._first[message]  # tags may be as many as messages
        behind = self._behind.get(message)
        if behind:
            self._first[message] = behind.popleft()
        if not behind:
            self._behind.pop(message, None)

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
        peer, is_sender = operation.peer, operation.__class__ is Send
        message = (rank if is_sender else peer), (peer if is_sender else rank), operation.tag, operation.channel
        first = self._first.setdefault(message, running)
        if first is running:
            return
        # All that wait for one message are of one kind, or they would have been paired: the first tells.
        if (first.operation.__class__ is Send) == is_sender:
            self._behind.setdefault(message, deque()).append(running)
            return
        if message in self._behind:
            self._take_first(message)
        else:
            del self._first[message]  # of most there is one: without a call
        # `ready_ns`, since in order it is not when it was issued but when its turn came.
        if is_sender:
            self._deliver(running, first, running.ready_ns)
        else:
            self._deliver(first, running, running.ready_ns)

    def _deliver(self, sender: Running, receiver: Running, now: int) -> None:
        sent, asked, traffic = sender.operation, receiver.operation.size, self._traffic
        payload, size = sent.payload, sent.payload.size
        most = size if sent.limit is None else sent.limit
        if most != asked:
            check_sizes(sender, receiver, most, asked)
        source, target = sender.worker.rank, receiver.worker.rank
        send_ns, receive_ns = sender.ready_ns, receiver.ready_ns  # read before they are overwritten
        receiver.result, sender.result = payload if payload.kept is None else payload.sent(), None
        sender.ready_ns = receiver.ready_ns = now
        if traffic.slowed is not None:
            traffic.began(now, source, target)
        if self.is_in_order:
            self._leave_turn(sender, now)
            self._leave_turn(receiver, now)
        transport, passed, end_at = self._transport, self._passed, self._end_at
        if traffic.fabric is not None:
            leaves = transport.leaves(send_ns, receive_ns, traffic.fabric.route(target, source).latency)
            end_both = partial(self._end_both, sender, receiver, now)
            traffic.fabric.send(source, target, size, leaves, now, end_both)
            return
        # On a link of its own nothing moves the end of a message any more: no rank fails, none shares its machine.
        end = transport.message(self._pairs[source][target], source > target, send_ns, receive_ns, size)
        end += transport.overhead_ns
        passed(source, sender.start_ns, target, receiver.start_ns, now, end, size)
        if traffic.slowed is not None:
            traffic.ended(end, source, target)
        sender.end_ns = receiver.end_ns = end
        end_at(end, sender)
        end_at(end, receiver)

    def _end_both(self, sender: Running, receiver: Running, ready: int, left: int) -> None:
        """The last byte of a message whose ends were both there at `ready` is over its network."""
        traffic, one, other = self._traffic, sender.worker.rank, receiver.worker.rank
        end, size = left + self._transport.overhead_ns, receiver.result.size  # more may have been asked for than came
        self._passed(one, sender.start_ns, other, receiver.start_ns, ready, end, size)
        traffic.ended(end, one, other)
        traffic.end(sender, end)
        traffic.end(receiver, end)


def _channel(running: Running) -> Channel:
    return running.worker.rank, running.operation.peer, running.operation.channel


def check_sizes(one: Running, other: Running, mine: int, theirs: int) -> None:
    """Both ends of a message must mean the same number of bytes."""
    if mine != theirs:
        raise ProgramError(
            f"rank {one.worker.rank} {one.operation} and rank {other.worker.rank} {other.operation}: "
            f"expected equal sizes, found {mine} and {theirs} bytes"
        )
