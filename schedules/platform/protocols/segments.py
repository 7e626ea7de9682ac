"""Rings that go by segments, two in flight, each announced by its receiver: gloo's all-reduce and its reduce.

n members with S bytes each cut them into N segments of at most 1 MiB, equally many for every member and two at least.
Each member sends to the one before it, and for its segment number i, in this order,

    waits until segment i-2 has come, adds it up, and until its own segment i-2 has been handed to the network;
    announces that it is ready for segment i from the member after it;
    sends its own segment i as soon as that has been announced.

An announcement leaves by the interface by which segments leave, and queues there behind a segment that left before it.
So with latency L and s seconds for a segment on the wire a pair of segments takes 2 L + s where L > s, and less than a
microsecond decides between s + L and the like where it is not. How late the threads are (`lateness`) decides which:
that is why one number fits measurements that no formula of L and s does. It is late at the beginning, too: members that
began in one instant would stay in step for long where s is much more than a thread is late, which no real ones do.

An all-reduce hands on N - N/n segments in each of two such phases (reduce-scatter, all-gather); a reduce N - 2 in one,
since its loop goes around once more than it must, and then every member sends its chunk to the root.

Sources: gloo, `allreduce.cc` (ring), `reduce.cc`, `transport/tcp/pair.cc`; measurements: real-hardware.md, sections 4
and 9.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from schedules.platform.protocols.lateness import LEAST_NS, Numbers, late
from schedules.platform.protocols.windows import OPEN, Windows

LARGEST = 1 << 20
"""Most bytes of a segment."""

IN_FLIGHT = 2

DRAWS = 8
"""Over so many draws of lateness is a formula the mean; the collectives of a run take them in turn."""

MOST_LATE = 64
"""Members of all draws together: of larger rings there are fewer draws, as each has more members to be late."""

BEGINNING = -1
"""The number of the message, as it were, by which a member is woken to begin."""

MOST_STEPS = 2048
"""Segments of a phase that are worked out one by one: what more there are goes on at the same pace."""


class Ring(NamedTuple):
    """The segments of a ring.

    Attributes:
        n, size: members, and bytes of each.
        num_segments: into which all are cut, a multiple of n.
        segment: bytes of each but the last ones.
        steps, phases: that a member sends in a phase; how many phases there are.
    """

    n: int
    size: int
    num_segments: int
    segment: int
    steps: int
    phases: int

    @property
    def num_messages(self) -> int:
        """How many segments a member sends in all."""
        return self.steps * self.phases

    def bytes_of(self, member: int, number: int) -> int:
        """Bytes of the segment that a member sends as its number `number`, counted over all phases."""
        # In the first phase it begins with the chunk that the member after it ends with, in the second with its own.
        phase, step = divmod(number, self.steps)
        place = ((member + 1 - phase) * (self.num_segments // self.n) + step) % self.num_segments
        return min(self.segment, max(0, self.size - place * self.segment))


def all_reduce_ring(n: int, size: int) -> Ring:
    """The segments of an all-reduce."""
    num_segments, segment = _cut(n, size)
    return Ring(n, size, num_segments, segment, num_segments - num_segments // n, 2)


def reduce_ring(n: int, size: int) -> Ring:
    """The segments of a reduce, before its chunks are gathered."""
    num_segments, segment = _cut(n, size)
    return Ring(n, size, num_segments, segment, num_segments - IN_FLIGHT, 1)


def _cut(n: int, size: int) -> tuple[int, int]:
    num_segments = max(-(-size // LARGEST), IN_FLIGHT * n)
    num_segments = -(-num_segments // n) * n
    return num_segments, -(-size // num_segments)


class RingWay(NamedTuple):
    """From a member to the next.

    Attributes:
        bandwidth, latency: in bytes/s and seconds.
        overhead: mean lateness of a thread, in seconds.
        windows: of the connection.
        has_one_interface: whether announcements leave by the link by which segments leave. Of two members they do.
    """

    bandwidth: float
    latency: float
    overhead: float = 0.0
    windows: Windows = OPEN
    has_one_interface: bool = True


@lru_cache(maxsize=1024)
def ring_seconds(ring: Ring, way: RingWay) -> float:
    """What a ring takes that finds its links idle and its members there at once; the mean over `DRAWS` draws."""
    if ring.steps <= MOST_STEPS:
        return _seconds(ring, way)
    half = MOST_STEPS // 2
    first, both = (_seconds(ring._replace(steps=steps), way) for steps in (half, MOST_STEPS))
    return both + (both - first) / half * (ring.steps - MOST_STEPS)


def num_draws(n: int) -> int:
    """How many draws of lateness a ring of `n` has."""
    return max(1, min(DRAWS, MOST_LATE // n))


def _seconds(ring: Ring, way: RingWay) -> float:
    draws = num_draws(ring.n) if way.overhead else 1
    return float(ring_ends_ns(ring, way, draws).max(axis=1).mean()) / 1e9


def ring_ends_ns(ring: Ring, way: RingWay, draws: int) -> Numbers:
    """When each member is through, in nanoseconds, for each of some draws of lateness: float64 [draws, n].

    Step by step for all members at once. In whole nanoseconds, as messages are: what is at once there is at once here.
    """
    pace = _Pace(ring, way)
    shape = draws, ring.n
    never = np.full(shape, -np.inf)
    posted = pace.begins(draws)
    # Of the last two segments that each has sent: when they left, and when their last byte was on the wire.
    left, through = [never, never], [never, never]
    waiting: list[tuple[Numbers, Numbers]] = []  # for a segment that comes, and until one's own has left
    for number, is_sent in _loop(ring):
        if len(waiting) == IN_FLIGHT or not is_sent:
            comes, leaves = waiting.pop(0)
            posted = np.maximum(np.maximum(posted, comes), leaves)
        if not is_sent:
            continue
        announced = pace.announced(posted, left, through)
        begin = np.maximum(posted, np.roll(announced, 1, axis=1))
        end = np.maximum(begin, through[1]) + pace.opening(number) + pace.wire(number)
        waiting.append((np.roll(end, -1, axis=1) + pace.latency + pace.late(draws, number), begin))
        left, through = [left[1], begin], [through[1], end]
    return posted


def _loop(ring: Ring) -> list[tuple[int, bool]]:
    """The turns of a member's loop: the number of a segment and True, or, at the end of a phase, False twice."""
    turns = []
    for phase in range(ring.phases):
        turns += [(phase * ring.steps + step, True) for step in range(ring.steps)]
        turns += [(0, False)] * IN_FLIGHT
    return turns


class _Pace:
    """How long things take, in whole nanoseconds."""

    def __init__(self, ring: Ring, way: RingWay) -> None:
        self._ring, self._way = ring, way
        self.latency = float(round(way.latency * 1e9))
        self._rate = way.windows.rate(way.bandwidth, 2 * way.latency)
        # A connection whose window is its limit leaves the interface free for announcements.
        self._has_queue = self._rate == way.bandwidth and (way.has_one_interface or ring.n == 2)
        self._late_ns = way.overhead * 1e9
        self._members = np.arange(ring.n)
        self._whole = float(round(ring.segment * 1e9 / self._rate))
        self._is_even = ring.segment * ring.num_segments == ring.size

    def wire(self, number: int) -> Numbers | float:
        """Of each member's segment."""
        if self._is_even:
            return self._whole
        ring = self._ring
        phase, step = divmod(number, ring.steps)
        # `Ring.bytes_of`, for all members at once.
        places = ((self._members + 1 - phase) * (ring.num_segments // ring.n) + step) % ring.num_segments
        sizes = np.minimum(ring.segment, np.maximum(0, ring.size - places * ring.segment))
        found: Numbers = np.rint(sizes * 1e9 / self._rate)
        return found

    def begins(self, draws: int) -> Numbers:
        """When members begin that are all called at 0."""
        found: Numbers = np.rint(self._late_ns * late(draws, self._ring.n, BEGINNING))
        return found

    def late(self, draws: int, number: int) -> Numbers:
        """Until the segment that has come is noticed."""
        return np.rint(self._late_ns * late(draws, self._ring.n, number)) + LEAST_NS

    def announced(self, posted: Numbers, left: list[Numbers], through: list[Numbers]) -> Numbers:
        """When what each member announces is there."""
        if not self._has_queue:
            return posted + self.latency
        behind = np.where(left[1] <= posted, through[1], through[0])
        found: Numbers = np.maximum(posted, behind) + self.latency
        return found

    def opening(self, number: int) -> float:
        """What a segment loses while its connection opens."""
        size = self._ring.segment
        return float(round(self._way.windows.opening(size, self._rate, 2 * self._way.latency, number * size) * 1e9))
