"""Flows, and the links and routes that they use, as a network keeps them: who has a link, until when, what it carried.

The four classes stand in one file since each knows the next: a link its flow, a flow its route, a route its links.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence

from simulator.network.calls import Callback
from simulator.network.fair_sharing import INFINITY
from simulator.network.links import LinkId, LinkSpec

LATENT, SHARED, ALONE, ARRIVED, ENDED = range(5)
"""What a flow is about: its latency, sending with a share, sending alone, waiting to be told of its end, nothing."""


class Flow:
    """A transfer under way. Ticks: `begin` is when its bytes start, `end` when they are there, if nobody disturbs it.

    Where others share its way, `end` is -1 until it has ended.
    """

    # There is no __init__: `Network.start`, the hot path, writes the fields itself and saves a call for every message.
    __slots__ = ("begin", "done", "end", "key", "route", "size", "state")
    route: Route
    size: float
    done: Callback
    begin: int
    end: int
    state: int
    key: float

    @property
    def is_done(self) -> bool:
        """Whether the transfer has ended or was cancelled."""
        return self.state == ENDED

    def arrive(self) -> None:
        """The end that was asked for when the transfer was alone; void if it is not any more."""
        if self.state == ALONE or self.state == ARRIVED:
            self.state = ENDED
            self.done()

    def ticks_left(self, now: int) -> int:
        """Ticks for which a transfer that is alone will still send."""
        return max(0, self.end - max(now, self.begin))

    def left_alone(self, now: int) -> float:
        """Bytes that a transfer that is alone has still to send."""
        moved = max(0, now - self.begin) / self.route.ticks_per_byte
        return max(0.0, self.size - moved) if now < self.end else 0.0

    def pass_by(self) -> None:
        """Be through without keeping any link busy: what takes no time disturbs nobody."""
        self.state = ARRIVED
        for link in self.route.links:
            link.carried += self.size

    def give_back(self, now: int, moved: float) -> None:
        """Give the links of a transfer that is alone back before its end, with `moved` bytes to its account."""
        # At the tick of its end it may still be called alone, but its links are free, and may be another's by now.
        if self.end > now:
            for link in self.route.shared:
                link.free_at = now
                link.carried -= self.size - moved
                link.busy -= self.ticks_left(now)
            for pipe in self.route.pipes:
                pipe.unbook(self, now, moved)


ENTERS, LEAVES = range(2)


class SharedLink:
    """A link that divides its bandwidth. It is idle, or booked by one transfer, or the solver divides it.

    A booking is accounted for when it is made, and corrected if it is disturbed: nothing is left to do at its end.
    """

    __slots__ = ("alone", "busy", "busy_since", "carried", "free_at", "index", "num_routes", "spec")

    def __init__(self, spec: LinkSpec, index: int) -> None:
        self.spec = spec
        self.index = index  # as the solver counts links
        self.free_at: float = -INFINITY  # tick up to which `alone` has it; infinite while the solver divides it
        self.alone: Flow | None = None  # never taken back: after `free_at` it means nothing, and nobody is woken for it
        self.num_routes = 0  # in use over it, in the solver
        self.busy_since = 0  # while there are any
        self.carried = 0.0  # bytes
        self.busy = 0  # ticks

    def enter(self, now: int) -> None:
        """A route over this link has come into use in the solver."""
        if self.num_routes == 0:
            self.busy_since = now
            self.free_at = INFINITY
        self.num_routes += 1

    def leave(self, now: int) -> None:
        """A route over this link has fallen out of use."""
        self.num_routes -= 1
        if self.num_routes == 0:
            self.busy += now - self.busy_since
            self.free_at = now

    def use(self, now: int) -> tuple[float, int]:
        """Bytes and busy ticks up to `now`, without the bytes of transfers that the solver has under way."""
        if self.num_routes:
            return self.carried, self.busy + now - self.busy_since
        if self.alone is None or now >= self.free_at:
            return self.carried, self.busy
        return self.carried - self.alone.left_alone(now), self.busy - self.alone.ticks_left(now)


class FatPipe:
    """A link that limits each of its transfers on its own. All it has to do is to keep an account."""

    __slots__ = ("busy", "busy_since", "carried", "edges", "num_users", "spec")

    def __init__(self, spec: LinkSpec) -> None:
        self.spec = spec
        self.num_users = 0  # transfers that are alone, and routes in the solver
        self.busy_since = 0  # while there are any
        self.carried = 0.0  # bytes
        self.busy = 0  # ticks
        # Bookings, as a heap of what is to come: (tick, ENTERS or LEAVES, begin, bytes). Nobody has to be woken for
        # it: it is enough to catch up before the next thing happens here.
        self.edges: list[tuple[int, int, int, float]] = []

    def enter(self, now: int) -> None:
        """A route over this link has come into use in the solver."""
        self._catch_up(now)
        self._admit(now)

    def leave(self, now: int) -> None:
        """A route over this link has fallen out of use."""
        self._catch_up(now)
        self._dismiss(now)

    def book(self, flow: Flow, now: int) -> None:
        """Note a transfer that is alone on the shared links of its route."""
        self._catch_up(now)
        heapq.heappush(self.edges, (flow.begin, ENTERS, flow.begin, flow.size))
        heapq.heappush(self.edges, (flow.end, LEAVES, flow.begin, flow.size))

    def unbook(self, flow: Flow, now: int, moved: float) -> None:
        """Undo `book` for a transfer that leaves at `now`, before its end, with `moved` bytes to its account."""
        self._catch_up(now)
        self.carried += moved
        # A search through all bookings, and a new heap: there are few, and few transfers are disturbed.
        self.edges.remove((flow.end, LEAVES, flow.begin, flow.size))
        if flow.begin > now:
            self.edges.remove((flow.begin, ENTERS, flow.begin, flow.size))
        else:
            self._dismiss(now)
        heapq.heapify(self.edges)

    def use(self, now: int) -> tuple[float, int]:
        """Bytes and busy ticks up to `now`, without the bytes of transfers that the solver has under way."""
        self._catch_up(now)
        booked = [(end, begin, size) for end, edge, begin, size in self.edges if edge == LEAVES and begin < now]
        moved = sum(size * (now - begin) / (end - begin) for end, begin, size in booked)
        return self.carried + moved, self.busy + (now - self.busy_since if self.num_users else 0)

    def _catch_up(self, now: int) -> None:
        while self.edges and self.edges[0][0] <= now:
            at, edge, _, size = heapq.heappop(self.edges)
            if edge == ENTERS:
                self._admit(at)
            else:
                self._dismiss(at)
                self.carried += size

    def _admit(self, at: int) -> None:
        if self.num_users == 0:
            self.busy_since = at
        self.num_users += 1

    def _dismiss(self, at: int) -> None:
        self.num_users -= 1
        if self.num_users == 0:
            self.busy += at - self.busy_since


class Route:
    """A way through the network, resolved once by `Network.route` and used for many transfers.

    Attributes:
        is_limited: whether a transfer that is alone is slower than the links, by a limit of its own.
    """

    __slots__ = (
        *(
            "cap",
            "changed",
            "duration",
            "head",
            "ids",
            "is_limited",
            "latency",
            "links",
            "path",
            "pipes",
            "queue",
            "shared",
            "size",
        ),
        *("ticks_per_byte", "weight", "wire_ticks_per_byte"),
    )

    def __init__(
        self,
        ids: tuple[LinkId, ...],
        links: Sequence[SharedLink | FatPipe],
        ticks_per_second: int,
        limit: float = INFINITY,
    ) -> None:
        self.ids = ids
        self.links = tuple(links)
        self.shared = tuple(link for link in links if isinstance(link, SharedLink))
        self.pipes = tuple(link for link in links if isinstance(link, FatPipe))
        latency = sum(link.spec.latency for link in links)
        # Rounded once for the route, not link by link.
        self.latency = round(latency * ticks_per_second)
        self.weight = 1 / latency if latency else INFINITY  # of its transfers where sharing is "rtt"
        bandwidth = min((link.spec.bandwidth for link in links), default=INFINITY)
        self.is_limited = limit < bandwidth
        self.wire_ticks_per_byte = ticks_per_second / bandwidth
        self.ticks_per_byte = ticks_per_second / min(bandwidth, limit)  # of a transfer that is alone
        self.size = 0.0  # of the last transfer; messages come in few sizes
        self.duration = 0  # of a transfer of that size that is alone, without the latency
        # What follows is for transfers in the solver.
        caps = [limit, *(pipe.spec.bandwidth for pipe in self.pipes)]
        self.cap = min(caps) / ticks_per_second  # of each
        self.path = -1  # the solver's number for this route, once it needs one
        self.queue: list[tuple[float, int, Flow]] = []  # heap by key: the first to end first
        self.head: float | None = None  # key of the transfer that the solver counts down; None: it has none yet
        self.changed = False

    def resize(self, size: float) -> None:
        """Prepare for transfers of `size` bytes."""
        if not 0 <= size < INFINITY:  # so that NaN is refused, too
            raise ValueError(f"size of a transfer must be a finite number of bytes >= 0, got {size!r}")
        self.size = size
        self.duration = round(size * self.ticks_per_byte)
