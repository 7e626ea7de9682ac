"""A ring of segments under way, message by message: see `schedules.platform.protocols.segments`.

Each member goes through its loop as its segments come over the network, so that late members, slow links and other
traffic are felt as in any collective. It knows no clock: it is handed the time, and asks to be called.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Protocol

from schedules.platform.protocols.lateness import LEAST_NS, late
from schedules.platform.protocols.segments import BEGINNING, IN_FLIGHT, Ring, num_draws


class RingNetwork(Protocol):
    """What a ring asks of the network: members are counted in their group, and times are ticks."""

    def send(self, source: int, target: int, size: int, now: int, done: Callable[[int], None], /) -> object:
        """Send bytes that leave now; `done(tick)` is called when the last of them is there."""

    def latency(self, source: int, target: int, /) -> int:
        """Of the way between two members."""

    def shares_interface(self, source: int, one: int, other: int, /) -> bool:
        """Whether what a member has for one waits behind what it has for another."""

    def began(self, member: int, now: int, /) -> object:
        """A member and the one that it receives from are there."""

    def ended(self, member: int, now: int, /) -> object:
        """A member is through."""

    def call_at(self, at: int, call: Callable[[], object], /) -> object:
        """Have something called at a tick."""


class _Member:
    """Where a member is in its loop. Numbers of segments count on over the phases."""

    __slots__ = (
        *("announced", "come", "has_begun", "is_there", "is_told", "left", "noticed", "posted", "through"),
        "waiting",
    )

    def __init__(self) -> None:
        self.is_there = self.has_begun = self.is_told = False
        self.posted = 0  # segments that it has announced, and has begun to send as soon as they are asked for
        self.announced = 0  # that have been asked of it
        self.left = 0  # that it has sent
        self.through = 0  # of these, that are there
        self.come = 0  # that have come to it
        self.noticed: set[int] = set()  # of these, that its thread has noticed
        self.waiting: list[tuple[int, Callable[[int], None]]] = []  # announcements behind its segment of a number


class SegmentRing:
    """A ring of segments: members come, and are told when they are through (as `Lowered`).

    Args:
        ring: its segments.
        network: see `RingNetwork`.
        overhead_ns: mean lateness of a thread.
        draw: which draw of lateness, of those over which the formula is the mean.
        finished: called as `finished(member, tick)`, once for each.
    """

    def __init__(
        self,
        ring: Ring,
        network: RingNetwork,
        finished: Callable[[int, int], object],
        *,
        overhead_ns: int,
        draw: int = 0,
    ) -> None:
        n = ring.n
        self._ring, self._network, self._finished = ring, network, finished
        self._overhead_ns, self._draw = overhead_ns, draw % num_draws(n)
        self._members = [_Member() for _ in range(n)]
        # Segments go to the member before, announcements to the one after.
        self._is_behind = [n <= 2 or network.shares_interface(i, (i - 1) % n, (i + 1) % n) for i in range(n)]

    def arrive(self, member: int, now: int) -> None:
        """A member takes part from tick `now` on.

        Raises:
            ValueError: if it is there already.
        """
        if self._members[member].is_there:
            raise ValueError(f"member {member}: expected to arrive once, found it there already")
        self._members[member].is_there = True
        if self._ring.n == 1:
            self._finished(member, now)
            return
        for each in dict.fromkeys((member, (member - 1) % self._ring.n)):
            if self._members[each].is_there and self._members[(each + 1) % self._ring.n].is_there:
                self._network.began(each, now)
        begins = now + self._late(member, BEGINNING)
        if begins == now:
            self._begin(member, now)
        else:
            self._network.call_at(begins, partial(self._begin, member, begins))

    def _begin(self, member: int, now: int) -> None:
        """Its thread has noticed that it takes part."""
        self._members[member].has_begun = True
        self._go_on(member, now)

    def _late(self, member: int, number: int) -> int:
        return round(self._overhead_ns * float(late(self._draw + 1, self._ring.n, number)[self._draw, member]))

    def _go_on(self, member: int, now: int) -> None:
        """Post what the loop comes to, or end."""
        at, ring = self._members[member], self._ring
        if not at.has_begun:
            return  # asked for a segment before it has come
        while at.posted < ring.num_messages and self._is_free(at, at.posted):
            at.posted += 1
            self._announce(member, now)
            self._send(member, now)
        is_through = at.posted == ring.num_messages and self._has_all(at, ring.num_messages)
        if is_through and not at.is_told:
            at.is_told = True
            self._network.ended(member, now)
            self._finished(member, now)

    def _is_free(self, at: _Member, number: int) -> bool:
        """Whether a segment may be posted: those two before it are over, or all of the phase before."""
        step = number % self._ring.steps
        return self._has_all(at, number - IN_FLIGHT + 1 if step >= IN_FLIGHT else number - step)

    def _has_all(self, at: _Member, number: int) -> bool:
        """Whether the first segments up to a number have come and been noticed, and one's own have left."""
        while at.come in at.noticed:
            at.noticed.remove(at.come)
            at.come += 1
        return at.come >= number and at.left >= number

    def _announce(self, member: int, now: int) -> None:
        """Tell the member after that this one is ready for its next segment."""
        at, source = self._members[member], (member + 1) % self._ring.n
        there = now + self._network.latency(member, source)
        ready = partial(self._asked, source)

        def behind(end: int) -> None:
            self._network.call_at(max(end, there), partial(ready, max(end, there)))

        if self._is_behind[member] and at.through < at.left:
            at.waiting.append((at.left, behind))
        else:
            behind(there)

    def _asked(self, member: int, now: int) -> None:
        """The member before is ready for a segment."""
        self._members[member].announced += 1
        self._send(member, now)
        self._go_on(member, now)  # its own may be what it has waited for

    def _send(self, member: int, now: int) -> None:
        at, target = self._members[member], (member - 1) % self._ring.n
        while at.left < min(at.posted, at.announced):
            size = self._ring.bytes_of(member, at.left)
            at.left += 1
            self._network.send(member, target, size, now, partial(self._come, member, target, at.left))

    def _come(self, source: int, target: int, number: int, now: int) -> None:
        """Segment number `number` - 1 is there."""
        sender = self._members[source]
        sender.through = number
        released = [behind for last, behind in sender.waiting if last <= number]
        sender.waiting = [each for each in sender.waiting if each[0] > number]
        for behind in released:
            behind(now)
        noticed = now + self._late(target, number - 1) + round(LEAST_NS)
        self._network.call_at(noticed, partial(self._notice, target, number - 1, noticed))

    def _notice(self, member: int, number: int, now: int) -> None:
        self._members[member].noticed.add(number)
        self._go_on(member, now)
