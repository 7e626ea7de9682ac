"""A collective under way whose members hand bytes on while they come.

A message leaves as soon as the first bytes of those that it follows on have come, and its sender and its receiver take
part; it is over when its last byte is there, and not before a latency has passed since those were over. So on an idle
network latency is paid once a hop for the first byte, and not for every message. This knows no clock: it is handed the
time, and told when a message begins to come, and when it is there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from functools import partial
from typing import Protocol

from simulator.collectives.relays.courses import Handed, Handover

At = Callable[[int], None]
"""Called at a tick, with that tick."""


class RelayNetwork(Protocol):
    """What a relay asks of the network; members are counted in their group, and times are ticks."""

    def send(self, message: Handed, size: int, now: int, /, *, comes: At, done: At) -> object:
        """Send bytes that leave now: `comes` is called when the first of them is there, `done` when the last is."""

    def latency(self, source: int, target: int, /) -> int:
        """Of the way between two members."""

    def call_at(self, at: int, call: Callable[[], object], /) -> object:
        """Have something called at a tick, now or later."""


class _Message:
    """One that something has come for: what it waits for until it may leave, and until it is over."""

    __slots__ = ("over_at", "to_come", "to_end")

    def __init__(self, needs: int) -> None:
        self.to_come = needs
        self.to_end = needs + 1  # its own last byte, too
        self.over_at = 0


class Relay:
    """The members of a collective, and the messages between them.

    Args:
        course: which message follows on which.
        num_members: how many there are.
        network: see `RelayNetwork`.
        finished: called as `finished(member, tick)` when all messages of a member are over, once for each.
    """

    def __init__(
        self, course: Handover, num_members: int, network: RelayNetwork, finished: Callable[[int, int], object]
    ) -> None:
        self._course, self._network, self._finished = course, network, finished
        self._is_there = [False] * num_members
        self._left = [course.count(member) for member in range(num_members)]
        self._parked: dict[int, list[Handed]] = defaultdict(list)  # until a member takes part
        self._messages: dict[Handed, _Message] = {}

    def arrive(self, member: int, now: int) -> None:
        """A member, counted in its group, takes part from tick `now` on.

        Raises:
            ValueError: if it is there already.
        """
        if self._is_there[member]:
            raise ValueError(f"member {member}: expected to arrive once, found it there already")
        self._is_there[member] = True
        if not self._left[member]:
            self._finished(member, now)
            return
        for message in self._course.first(member):
            self._leave(message, now)
        for message in self._parked.pop(member, ()):
            self._leave(message, now)

    def _leave(self, message: Handed, now: int) -> None:
        """It has all that it follows on; send it, if both its ends take part."""
        absent = next((each for each in (message.source, message.target) if not self._is_there[each]), None)
        if absent is not None:
            self._parked[absent].append(message)
            return
        self._state(message)
        self._network.send(
            message,
            self._course.size(message),
            now,
            comes=partial(self._comes, message),
            done=partial(self._ended, message),
        )

    def _state(self, message: Handed) -> _Message:
        if message not in self._messages:
            self._messages[message] = _Message(self._course.needs(message))
        return self._messages[message]

    def _comes(self, message: Handed, now: int) -> None:
        """Its first bytes are there: its receiver hands them on."""
        for following in self._course.after(message):
            state = self._state(following)
            state.to_come -= 1
            if state.to_come == 0:
                self._leave(following, now)

    def _ended(self, message: Handed, now: int) -> None:
        """Its last byte, or one latency ago that of a message before it, is there."""
        state = self._messages[message]
        state.over_at = max(state.over_at, now)
        state.to_end -= 1
        if state.to_end == 0:
            self._over(message, state.over_at)

    def _over(self, message: Handed, now: int) -> None:
        del self._messages[message]
        for following in self._course.after(message):
            later = now + self._network.latency(following.source, following.target)
            self._network.call_at(later, partial(self._ended, following, later))
        for member in (message.source, message.target):
            self._left[member] -= 1
            if not self._left[member]:
                self._finished(member, now)
