"""Links, and routes over them, as a network uses them: who has a link, until when, and what it has carried."""

from __future__ import annotations

import heapq
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

from simulator.network.fair_sharing import INFINITY

if TYPE_CHECKING:
    from simulator.network.transfers import Flow

LinkId = Hashable
Policy = Literal["shared", "fatpipe"]


@dataclass(frozen=True, slots=True)
class Link:
    """One direction of a cable, a NIC or a fabric.

    Args:
        bandwidth: bytes/s, above 0; infinite for a link that only delays.
        latency: seconds, paid once by every transfer over it.
        policy: "shared" (its transfers divide the bandwidth) or "fatpipe" (each may have all of it).
    """

    bandwidth: float
    latency: float = 0.0
    policy: Policy = "shared"


LinkLike = Link | Mapping[str, object] | tuple[float, float, Policy] | tuple[float, float]
Links = Mapping[Any, LinkLike]  # by id, anything hashable; a Mapping's key type has no subtypes, hence Any


class LinkUse(NamedTuple):
    """What a link has done: bytes carried, seconds with a transfer under way, and bytes over what it could carry."""

    link: LinkId
    carried_bytes: float
    busy_s: float
    utilisation: float


ENTERS, LEAVES = range(2)


class SharedLink:
    """A link that divides its bandwidth. It is idle, or booked by one transfer, or the solver divides it.

    A booking is accounted for when it is made, and corrected if it is disturbed: nothing is left to do at its end.
    """

    __slots__ = ("alone", "busy", "busy_since", "carried", "free_at", "index", "link", "num_routes")

    def __init__(self, link: Link, index: int) -> None:
        self.link = link
        self.index = index  # as the solver counts links
        self.free_at: float = -INFINITY  # tick up to which `alone` has it; infinite while the solver divides it
        self.alone: Flow | None = None
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

    __slots__ = ("busy", "busy_since", "carried", "edges", "link", "num_users")

    def __init__(self, link: Link) -> None:
        self.link = link
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
    """A way through the network, resolved once by `Network.route` and used for many transfers."""

    __slots__ = (
        *("changed", "duration", "head", "ids", "latency", "links", "path", "pipes", "queue", "shared", "size"),
        *("ticks_per_byte", "weight"),
    )

    def __init__(self, ids: tuple[LinkId, ...], links: Sequence[SharedLink | FatPipe], ticks_per_second: int) -> None:
        self.ids = ids
        self.links = tuple(links)
        self.shared = tuple(link for link in links if isinstance(link, SharedLink))
        self.pipes = tuple(link for link in links if isinstance(link, FatPipe))
        latency = sum(link.link.latency for link in links)
        self.latency = round(latency * ticks_per_second)
        self.weight = 1 / latency if latency else INFINITY  # of its transfers where sharing is "rtt"
        bandwidth = min((link.link.bandwidth for link in links), default=INFINITY)
        self.ticks_per_byte = ticks_per_second / bandwidth  # of a transfer that is alone
        self.size = 0.0  # of the last transfer; messages come in few sizes
        self.duration = 0  # of a transfer of that size that is alone, without the latency
        # What follows is for transfers in the solver.
        self.path = -1  # the solver's number for this route, once it needs one
        self.queue: list[tuple[float, int, Flow]] = []  # heap by key: the first to end first
        self.head: float | None = None  # key of the transfer that the solver counts down; None: it has none yet
        self.changed = False

    def resize(self, size: float) -> None:
        """Prepare for transfers of `size` bytes."""
        if not 0 <= size < INFINITY:
            raise ValueError(f"size of a transfer must be a finite number of bytes >= 0, got {size!r}")
        self.size = size
        self.duration = round(size * self.ticks_per_byte)


def checked_link(name: LinkId, spec: LinkLike) -> Link:
    """Read a link from any of its forms, or raise a ValueError that names it."""
    if isinstance(spec, Link):
        link = spec
    else:
        try:
            link = Link(**spec) if isinstance(spec, Mapping) else Link(*spec)  # type: ignore[arg-type]
        except TypeError as error:
            raise ValueError(f"link {name!r}: expected bandwidth, latency and policy, got {spec!r}") from error
    if not (isinstance(link.bandwidth, Real) and link.bandwidth > 0):
        raise ValueError(f"bandwidth of link {name!r} must be above 0 bytes/s, got {link.bandwidth!r}")
    if not (isinstance(link.latency, Real) and 0 <= link.latency < INFINITY):
        raise ValueError(f"latency of link {name!r} must be finite and at least 0 s, got {link.latency!r}")
    check_choice(f"policy of link {name!r}", link.policy, Policy)
    return link


def check_choice(what: str, value: object, choices: object) -> None:
    """Refuse a value that is none of a Literal's, naming it."""
    if value not in get_args(choices):
        raise ValueError(f"{what} must be one of {', '.join(map(repr, get_args(choices)))}, got {value!r}")
