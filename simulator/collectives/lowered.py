"""A collective under way, message by message.

A message leaves when its sender and its receiver are both in its round, as with receives that are posted round by
round; so a member that comes late holds up those that have messages with it, then those that have messages with these,
and nobody else. This knows no clock: it is handed the time, and told when a message is there.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

from simulator.collectives.rounds import Pattern

# Not -1: that is a member that has come and is about to enter round 0.
ABSENT = -2


class SendMessage(Protocol):
    """How a message gets on its way."""

    def __call__(self, source: int, target: int, size: int, now: int, done: Callable[[int], None], /) -> object:
        """Send `size` bytes from member to member at tick `now`; `done(tick)` is to be called when the last is there.

        `done` may be called from in here, and with a later tick than `now`.
        """


class Abreast:
    """Several collectives at once, which are one to its members.

    Args:
        parts: of each, what makes it, from `finished(member, tick)`.
        finished: called when a member is through with all of them.
    """

    def __init__(
        self,
        parts: Sequence[Callable[[Callable[[int, int], object]], Lowered]],
        finished: Callable[[int, int], object],
    ) -> None:
        self._finished = finished
        self._left: dict[int, int] = {}
        self._parts = [make(self._through) for make in parts]

    def arrive(self, member: int, now: int) -> None:
        """A member takes part from tick `now` on."""
        self._left[member] = len(self._parts)
        for each in self._parts:
            each.arrive(member, now)

    def _through(self, member: int, now: int) -> None:
        self._left[member] -= 1
        if not self._left[member]:
            self._finished(member, now)


class Lowered:
    """The members of a collective, each in its round.

    Args:
        pattern: who sends what to whom.
        send: see `SendMessage`.
        finished: called as `finished(member, tick)` when a member has all its rounds behind it, once for each.
    """

    __slots__ = (
        *("_entered", "_finished", "_is_busy", "_moving", "_open", "_over_at", "_pattern", "_round", "_send"),
        "_waiting",
    )

    def __init__(self, pattern: Pattern, send: SendMessage, finished: Callable[[int, int], object]) -> None:
        n = pattern.num_members
        self._pattern, self._send, self._finished = pattern, send, finished
        self._round = [ABSENT] * n
        self._entered = [0] * n  # tick at which it entered its round
        self._over_at = [0] * n  # tick at which the last of its messages of this round was over, up to now
        self._open = [0] * n  # messages of its round that are not over
        self._waiting: list[dict[int, int]] = [{} for _ in range(n)]  # its messages that have not left: target -> bytes
        self._moving: deque[int] = deque()  # members with a round behind them
        self._is_busy = False

    def arrive(self, member: int, now: int) -> None:
        """A member, counted in its group, takes part from tick `now` on.

        Raises:
            ValueError: if it is there already.
        """
        if self._round[member] != ABSENT:
            raise ValueError(f"member {member}: expected to arrive once, found it there already")
        self._round[member] = -1
        self._over_at[member] = now
        self._move(member)

    def entered(self, member: int) -> int:
        """When a member entered its round."""
        return self._entered[member]

    def _move(self, member: int) -> None:
        """Take a member on. What that brings about at once waits in line: messages that take no time nest no calls."""
        self._moving.append(member)
        if self._is_busy:
            return
        self._is_busy = True
        while self._moving:
            self._enter_next(self._moving.popleft())
        self._is_busy = False

    def _enter_next(self, member: int) -> None:
        """The next round in which a member has messages, or the end."""
        pattern, number = self._pattern, self._round[member] + 1
        now = self._entered[member] = self._over_at[member]
        while number < pattern.num_rounds:
            sends, sources = pattern.step(member, number)
            if sends or sources:
                self._round[member] = number
                self._open[member] = len(sends) + len(sources)
                # By target: no pattern sends a member two messages in one round.
                self._waiting[member] = {target: pattern.size(parts) for target, parts in sends}
                self._meet(member, sources)
                return
            number += 1
        self._round[member] = number
        self._finished(member, now)

    def _meet(self, member: int, sources: tuple[int, ...]) -> None:
        """Launch what waited for a member to come to its round, and what it has for those who are there already."""
        rounds, number = self._round, self._round[member]
        for source in sources:
            if rounds[source] == number:
                self._launch(source, member)
        # A list of its own, since launching takes them out.
        for target in [each for each in self._waiting[member] if rounds[each] == number]:
            self._launch(member, target)

    def _launch(self, source: int, target: int) -> None:
        size = self._waiting[source].pop(target)
        now = max(self._entered[source], self._entered[target])
        self._send(source, target, size, now, partial(self._over, source, target))

    def _over(self, source: int, target: int, now: int) -> None:
        for member in (source, target):
            # Ends may be told ahead of time, and then not in their order.
            self._over_at[member] = max(self._over_at[member], now)
            self._open[member] -= 1
            if self._open[member] == 0:
                self._move(member)
