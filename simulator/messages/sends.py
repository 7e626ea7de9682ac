"""Sends and receives: whom they are paired with, in which order, and when the message is there."""

from __future__ import annotations

from collections import deque

from schedules.driving.driver import Handler, Running, Stream
from schedules.errors import ProgramError
from schedules.operations import Operation, Receive, Send
from simulator.messages.traffic import Traffic


class Sends:
    """The sends and receives that wait.

    Args:
        is_in_order: whether those of one stream go one behind the other, as on one communicator.
    """

    def __init__(self, traffic: Traffic, *, is_in_order: bool) -> None:
        self._traffic = traffic
        self.is_in_order = is_in_order
        self._turns: dict[Stream, deque[Running]] = {}
        self._waiting: dict[tuple[int, int, int], deque[Running]] = {}

    def handlers(self) -> dict[type[Operation], Handler]:
        """What it answers."""
        return {Send: self.post, Receive: self.post}

    def post(self, running: Running) -> bool:
        """A send or a receive has been issued."""
        return self._take_turn(running) if self.is_in_order else self._match(running)

    def withdraw(self, running: Running, now: int) -> None:
        """One of them is cancelled."""
        for waiting in self._waiting.values():
            if running in waiting:
                waiting.remove(running)
        if running in self._turns.get(running.stream, ()):
            self._leave_turn(running, now)

    def forget(self, rank: int) -> None:
        """A rank has failed for good: what it has posted is paired with nothing any more."""
        for waiting in self._waiting.values():
            for running in [each for each in waiting if each.worker.rank == rank]:
                waiting.remove(running)

    def blocked(self) -> str:
        """A remark on messages that wait behind others of their stream, for the board of a deadlock."""
        blocked = sum(len(turns) - 1 for turns in self._turns.values() if turns)
        told = f"\n  {blocked} of the sends and receives are blocked by earlier ones of their streams: they go in order"
        return f"{told} (platform.order)." if blocked else ""

    def _take_turn(self, running: Running) -> bool:
        """Sends and receives of one stream go in order: this one waits until those before it are over."""
        turns = self._turns.setdefault(running.stream, deque())
        turns.append(running)
        running.hook = self._pass_turn
        return self._match(running) if len(turns) == 1 else False

    def _pass_turn(self, running: Running) -> None:
        self._leave_turn(running, running.end_ns)

    def _leave_turn(self, running: Running, now: int) -> None:
        turns = self._turns[running.stream]
        is_first = turns[0] is running
        turns.remove(running)
        if is_first and turns:
            turns[0].ready_ns = now  # posted only now
            self._match(turns[0])

    def _match(self, running: Running) -> bool:
        """Pair a send with its receive, in the order in which they were posted."""
        rank, operation = running.worker.rank, running.operation
        is_sender = isinstance(operation, Send)
        # Asked for its refusal of a peer that is not there.
        self._traffic.pair(rank, operation.peer)
        key = (rank, operation.peer, operation.tag) if is_sender else (operation.peer, rank, operation.tag)
        waiting = self._waiting.setdefault(key, deque())
        # All that wait under one key are of one kind, or they would have been paired: the first tells.
        if not waiting or isinstance(waiting[0].operation, Send) == is_sender:
            waiting.append(running)
            return False
        other = waiting.popleft()
        if not waiting:
            del self._waiting[key]  # tags may be as many as messages
        # `ready_ns`, since in order it is not when it was issued but when its turn came.
        self._deliver(*((running, other) if is_sender else (other, running)), now=running.ready_ns)
        return False

    def _deliver(self, sender: Running, receiver: Running, *, now: int) -> None:
        payload, traffic = sender.operation.payload, self._traffic
        check_sizes(sender, receiver, payload.size, receiver.operation.size)
        source, target = sender.worker.rank, receiver.worker.rank
        posted = sender.ready_ns, receiver.ready_ns  # read before they are overwritten
        receiver.result, sender.result = payload, None
        sender.ready_ns = receiver.ready_ns = now
        traffic.began(now, source, target)

        def end_both(end: int) -> None:
            for each in (sender, receiver):
                traffic.end_transfer(each, now, end + traffic.transport.overhead_ns)

        if traffic.fabric is None:
            end_both(
                traffic.transport.message(traffic.pair(source, target), int(source > target), *posted, payload.size)
            )
        else:
            leaves = traffic.transport.leaves(*posted, traffic.fabric.route(target, source).latency)
            traffic.fabric.send(source, target, payload.size, max(now, leaves), now, end_both)


def check_sizes(one: Running, other: Running, mine: int, theirs: int) -> None:
    """Both ends of a message must mean the same number of bytes."""
    if mine != theirs:
        raise ProgramError(
            f"rank {one.worker.rank} {one.operation} and rank {other.worker.rank} {other.operation}: "
            f"expected equal sizes, found {mine} and {theirs} bytes"
        )
