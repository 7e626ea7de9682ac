"""Transfers on a network of links: latency first, then bytes at a max-min fair rate.

The fluid model of SimGrid (Velho and Legrand 2009, "Accuracy study and improvement of network simulation in the
SimGrid framework"): a transfer pays the latency of its route, then moves at a rate that changes only when another
transfer begins or ends on a link they share. A link is "shared" (its bandwidth is divided, see `fair_sharing`) or a
"fatpipe" (it limits each transfer on its own, as a full-bisection fabric does).

Most transfers meet nobody. One that finds its links idle is booked from end to end with one scheduled call; it enters
the solver only if another begins beside it. Whatever begins or ends in one instant is shared out once, at its end.

Time is counted in integer ticks, nanoseconds unless told otherwise. The network never asks for the time: it is handed
it, and asks to be called back through the `schedule` function that it was given. Wherever a time is worked out, one
function rounds it to a tick (`round`); inside, the bytes left are floats.

>>> clock = Clock()
>>> network = Network({"cable": Link(bandwidth=1e9, latency=1e-6)}, clock.schedule)
>>> cable = network.route(["cable"])
>>> first = network.start(cable, 1000, now=0, done=lambda: print("first at", clock.now))
>>> second = network.start(cable, 500, now=0, done=lambda: print("second at", clock.now))
>>> clock.run()
second at 2000
first at 2500
"""

from __future__ import annotations

import heapq
import importlib.util
import math
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Literal

from simulator.network.fair_sharing import INFINITY, FairSharing, Sharing
from simulator.network.links import (
    FatPipe,
    Link,
    LinkId,
    Links,
    LinkUse,
    Route,
    SharedLink,
    check_choice,
    checked_link,
)

SharingRule = Literal["max-min", "rtt"]
Solver = Literal["auto", "python", "numba"]
Callback = Callable[[], object]
Schedule = Callable[[int, Callable[..., object]], object]

NANOSECONDS = 10**9
FINE_TICKS = 2**80
"""Ticks a second where results are wanted in float seconds: a power of two, so nothing is lost by scaling."""
LINKS_WORTH_COMPILING = 256
"""From here on "auto" takes the compiled solver, which costs about a second to load."""


LATENT, SHARED, ALONE, ARRIVED, ENDED = range(5)


class Flow:
    """A transfer under way. Ticks: `begin` is when its bytes start, `end` when they are there, if nobody disturbs it.

    Where others share its way, `end` is -1 until it has ended.
    """

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

    def arrive(self, _: object = None) -> None:
        """The end scheduled for a transfer that was alone; void if it is not any more."""
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


class Network:
    """Transfers on links, for a simulation engine.

    Args:
        links: by their ids (any hashable).
        schedule: `schedule(at, callback)` must call `callback()` at tick `at`, which is never in the past; calls of
            one instant in the order in which they were scheduled. Nothing is ever taken back: calls that a change
            has made void do nothing.
        sharing: "max-min" (every transfer counts the same) or "rtt" (weighted by 1 / latency of its route, as TCP
            shares a bottleneck and SimGrid does by default).
        solver: "python", "numba" (the `fast` extra) or "auto", which compiles for large networks if it can. Both
            give the same results to the last bit.
        ticks_per_second: the unit of every time here.
    Raises:
        ValueError: for a link whose bandwidth, latency or policy is impossible, naming it.
    """

    def __init__(
        self,
        links: Links,
        schedule: Schedule,
        *,
        sharing: SharingRule = "max-min",
        solver: Solver = "auto",
        ticks_per_second: int = NANOSECONDS,
    ) -> None:
        check_choice("sharing", sharing, SharingRule)
        check_choice("solver", solver, Solver)
        self._links: dict[LinkId, SharedLink | FatPipe] = {}
        self._capacities: list[float] = []  # of the shared links, bytes per tick
        self._ticks = ticks_per_second
        for name, spec in links.items():
            self.add_link(name, checked_link(name, spec))
        self._schedule = schedule
        self._rule = sharing
        self._solver = solver
        self._routes: dict[tuple[LinkId, ...], Route] = {}
        self._sharing: Sharing | None = None  # made when first needed
        self._routes_by_path: list[Route] = []
        self._changed: list[Route] = []
        self._num_shared = 0
        self._settle_at: int | None = None
        self._alarms: list[int] = []  # wake-ups that are out, the next one last

    def add_link(self, name: LinkId, link: Link) -> None:
        """One more link; once transfers have shared links, only one that nobody will share."""
        if link.policy == "fatpipe" or link.bandwidth == INFINITY:
            self._links[name] = FatPipe(link)
        else:
            self._links[name] = SharedLink(link, len(self._capacities))
            self._capacities.append(link.bandwidth / self._ticks)

    def route(self, links: Iterable[LinkId]) -> Route:
        """Resolve a sequence of link ids. Equal sequences give the same object; none means a copy within a host.

        Raises:
            ValueError: for an unknown link, a link that occurs twice, or (where sharing is "rtt") no latency.
        """
        names = tuple(links)
        route = self._routes.get(names)
        if route is None:
            route = self._routes[names] = self._resolve(names)
        return route

    def start(self, route: Route, size: float, now: int, done: Callback, begin: int | None = None) -> Flow:
        """Begin to send `size` bytes over `route`; `done()` is called when the last one is there.

        A transfer of no bytes (or of less than half a tick) takes the latency, one over no links takes no time.
        `done` is never called from in here. `begin`, if given, is the tick (now or later) at which the latency is over.

        Raises:
            ValueError: if the size is negative or not finite.
        """
        if size != route.size:
            route.resize(size)
        flow = Flow()  # without an __init__: this is the hot path
        flow.route = route
        flow.size = size
        flow.done = done
        flow.begin = now + route.latency if begin is None else begin
        for link in route.shared:
            if link.free_at > now:
                self._start_beside_others(flow, now)
                return flow
        self._book(flow, route.duration, now)
        return flow

    def cancel(self, flow: Flow, now: int) -> bool:
        """Abandon a transfer: its bytes so far count, `done` is not called. False if it had ended already."""
        if flow.state == ENDED:
            return False
        if flow.state == ALONE:
            self._unbook(flow, now, flow.size - flow.left_alone(now))
        elif flow.state == SHARED:
            self._withdraw(flow, now)
        flow.state = ENDED
        flow.end = now
        return True

    def _book(self, flow: Flow, duration: int, now: int) -> None:
        """Take the idle links of a route for all of a transfer."""
        route, begin, size = flow.route, flow.begin, flow.size
        flow.end = end = begin + duration
        flow.state = ALONE
        if duration:
            for link in route.shared:
                link.alone = flow
                link.free_at = end
                link.carried += size
                link.busy += duration
            for pipe in route.pipes:
                pipe.book(flow, now)
        else:
            self._pass(flow)
        self._schedule(end, flow.arrive)

    def _pass(self, flow: Flow) -> None:
        """A transfer that keeps no link busy."""
        flow.state = ARRIVED
        for link in flow.route.links:
            link.carried += flow.size

    def _unbook(self, flow: Flow, now: int, moved: float) -> None:
        """Give the links of a transfer that is alone back before its end, with `moved` bytes to its account."""
        if flow.end > now:
            for link in flow.route.shared:
                link.free_at = now
                link.carried -= flow.size - moved
                link.busy -= flow.ticks_left(now)
            for pipe in flow.route.pipes:
                pipe.unbook(flow, now, moved)

    def _start_beside_others(self, flow: Flow, now: int) -> None:
        flow.state = LATENT
        if flow.begin > now and flow.route.duration:
            self._wait_out_latency(flow)
        else:
            self._begin(flow)

    def _wait_out_latency(self, flow: Flow) -> None:
        flow.state = LATENT
        flow.end = -1
        self._schedule(flow.begin, partial(self._begin, flow))

    def _begin(self, flow: Flow, _: object = None) -> None:
        """The latency is over: send, alone if nobody else is sending now, else with a share."""
        if flow.state == ENDED:  # cancelled
            return
        now, route = flow.begin, flow.route
        duration = round(flow.size * route.ticks_per_byte)
        is_contended = False
        for link in route.shared if duration else ():
            if now < link.free_at < INFINITY and link.alone is not None:
                self._displace(link.alone, now)
            is_contended |= link.free_at > now
        if is_contended:
            self._share(flow, flow.size, now)
        else:
            self._book(flow, duration, now)

    def _displace(self, flow: Flow, now: int) -> None:
        """A transfer that was alone has company now."""
        remaining = flow.left_alone(now)
        self._unbook(flow, now, 0.0)  # all of it counts when it ends
        if flow.begin > now:
            self._wait_out_latency(flow)
        else:
            self._share(flow, remaining, now)

    def _share(self, flow: Flow, size: float, now: int) -> None:
        """Hand a transfer with `size` bytes to go to the solver."""
        route = flow.route
        flow.state = SHARED
        flow.end = -1
        if not route.queue:
            for link in route.links:
                link.enter(now)
        flow.key = size + self._volume(route, now)
        self._num_shared += 1
        heapq.heappush(route.queue, (flow.key, self._num_shared, flow))
        self._note_change(route, now)

    def _withdraw(self, flow: Flow, now: int) -> None:
        route = flow.route
        moved = flow.size - self.remaining(flow, now)
        route.queue = [entry for entry in route.queue if entry[2] is not flow]
        heapq.heapify(route.queue)
        self._leave_route(route, now, moved)

    def _leave_route(self, route: Route, now: int, moved: float) -> None:
        """Account for a transfer that has just been taken out of a route's queue."""
        for link in route.links:
            link.carried += moved
        if not route.queue:
            route.head = None
            for link in route.links:
                link.leave(now)
        self._note_change(route, now)

    def _volume(self, route: Route, now: int) -> float:
        """Bytes that every transfer of a route has moved since the route's queue was last empty."""
        if route.head is None:
            return 0.0
        assert self._sharing is not None
        return route.head - self._sharing.remaining(route.path, float(now))

    def _note_change(self, route: Route, now: int) -> None:
        if not route.changed:
            route.changed = True
            self._changed.append(route)
        if self._settle_at != now:
            self._settle_at = now
            self._schedule(now, self._settle)

    def _settle(self, _: object = None) -> None:
        """At the end of an instant: share out anew for all that began or ended in it."""
        now, self._settle_at = self._settle_at, None
        assert now is not None
        sharing = self._sharing or self._make_sharing()
        for route in self._changed:
            route.changed = False
            if route.path < 0:
                self._make_path(route, sharing)
            if route.queue:
                head = route.queue[0][0]
                sharing.change(route.path, len(route.queue), max(0.0, head - self._volume(route, now)))
                route.head = head
            else:
                sharing.change(route.path, 0, 0.0)
        self._changed.clear()
        self._set_alarm(sharing, now)

    def _set_alarm(self, sharing: Sharing, now: int) -> None:
        first = sharing.settle(float(now))
        if first < INFINITY:
            at = max(now, round(first))
            if not self._alarms or at < self._alarms[-1]:
                self._alarms.append(at)
                self._schedule(at, self._on_alarm)

    def _on_alarm(self, _: object = None) -> None:
        """End the transfers that are due, in the order in which they came to share."""
        now = self._alarms.pop()
        sharing = self._sharing
        assert sharing is not None
        ended: list[tuple[int, Flow]] = []
        for path in sorted(sharing.due(now + 0.5)):
            self._take_ended(self._routes_by_path[path], now, ended)
        if not ended:
            self._set_alarm(sharing, now)
            return
        ended.sort()
        for _, flow in ended:
            flow.arrive()

    def _take_ended(self, route: Route, now: int, ended: list[tuple[int, Flow]]) -> None:
        head, queue = route.head, route.queue
        while head is not None and queue and queue[0][0] <= head:
            _, order, flow = heapq.heappop(queue)
            flow.state = ARRIVED
            flow.end = now
            ended.append((order, flow))
            self._leave_route(route, now, flow.size)
        self._note_change(route, now)

    def remaining(self, flow: Flow, now: int) -> float:
        """Bytes that a transfer has still to move."""
        if flow.state == SHARED:
            return min(flow.size, max(0.0, flow.key - self._volume(flow.route, now)))
        if flow.state == ALONE:
            return flow.left_alone(now)
        return flow.size if flow.state == LATENT else 0.0

    def rate(self, flow: Flow, now: int) -> float:
        """Bytes/s at which a transfer moves; a change in the instant `now` itself counts once it is settled."""
        route = flow.route
        if flow.state == SHARED and self._sharing is not None and route.head is not None:
            return self._sharing.rate(route.path) * self._ticks
        return self._ticks / route.ticks_per_byte if flow.state == ALONE and flow.begin <= now < flow.end else 0.0

    def use(self, link: LinkId, now: int) -> LinkUse:
        """What a link has done from tick 0 to `now`; O(1) unless transfers are sharing it just now."""
        at = self._links[link]
        carried, busy = at.use(now)
        if isinstance(at, FatPipe) or at.num_routes:
            carried += sum(self._moved(route, now) for route in self._routes_by_path if at in route.links)
        utilisation = carried / (at.link.bandwidth * now / self._ticks) if now > 0 else 0.0
        return LinkUse(link, carried, busy / self._ticks, utilisation)

    def _moved(self, route: Route, now: int) -> float:
        return sum(flow.size - self.remaining(flow, now) for _, _, flow in route.queue)

    def busiest(self, now: int, count: int = 10) -> list[LinkUse]:
        """The links with the most bytes for their bandwidth, the busiest first; equals in the order of `links`."""
        uses = [self.use(name, now) for name in self._links]
        return heapq.nlargest(count, uses, key=lambda use: (use.utilisation, use.busy_s))

    def _resolve(self, names: tuple[LinkId, ...]) -> Route:
        for name in names:
            if name not in self._links:
                raise ValueError(f"route {list(names)} goes over an unknown link {name!r}")
            if names.count(name) > 1:
                raise ValueError(f"route {list(names)} goes over link {name!r} twice")
        route = Route(names, [self._links[name] for name in names], self._ticks)
        if self._rule == "rtt" and names and route.weight == INFINITY:
            raise ValueError(f"route {list(names)} has no latency, so sharing='rtt' gives it no weight")
        return route

    def _make_path(self, route: Route, sharing: Sharing) -> None:
        weight = route.weight if self._rule == "rtt" else 1.0
        cap = min((pipe.link.bandwidth for pipe in route.pipes), default=INFINITY)
        route.path = sharing.add_path([link.index for link in route.shared], weight, cap / self._ticks)
        self._routes_by_path.append(route)

    def _make_sharing(self) -> Sharing:
        self._sharing = make_sharing(self._capacities, self._solver)
        return self._sharing


def completion_times(
    links: Links,
    flows: Sequence[tuple[float, float, Iterable[LinkId]]],
    *,
    sharing: SharingRule = "max-min",
    solver: Solver = "auto",
) -> list[float]:
    """When each of a set of transfers ends.

    Args:
        links: id -> (bandwidth in bytes/s, latency in s, "shared" or "fatpipe"), or a mapping or `Link` of these.
        flows: (size in bytes, start in s, ids of the links on the route) each.
        sharing, solver: as for `Network`.
    Returns:
        the end of each transfer in seconds on the clock of the starts; relative error below 1e-9.
    Raises:
        ValueError: for an impossible link, route, size or start, naming it.

    Two transfers share a link of 100 MB/s until the shorter is through:

    >>> completion_times({"l": (100e6, 0.0, "shared")}, [(100e6, 0.0, ["l"]), (200e6, 0.0, ["l"])])
    [2.0, 3.0]
    """
    clock = Clock()
    network = Network(links, clock.schedule, sharing=sharing, solver=solver, ticks_per_second=FINE_TICKS)
    ends = [0.0] * len(flows)

    def note_end(index: int) -> None:
        ends[index] = clock.now / FINE_TICKS

    def start(index: int, route: Route, size: float) -> None:
        network.start(route, size, clock.now, partial(note_end, index))

    for index, (size, start_s, ids) in enumerate(flows):
        if not math.isfinite(start_s):
            raise ValueError(f"flow {index} starts at {start_s!r} s, expected a finite number")
        clock.schedule(round(start_s * FINE_TICKS), partial(start, index, network.route(ids), size))
    clock.run()
    return ends


class Clock:
    """The smallest engine that can drive a network: calls in the order of their time, then of their scheduling."""

    def __init__(self) -> None:
        self.now = 0
        self.num_calls = 0
        self._calls: list[tuple[int, int, Callback]] = []
        self._num_scheduled = 0

    def schedule(self, at: int, callback: Callback) -> None:
        """Have `callback()` called at tick `at`."""
        self._num_scheduled += 1
        heapq.heappush(self._calls, (at, self._num_scheduled, callback))

    def run(self, until: float = INFINITY) -> None:
        """Make all calls up to and including tick `until`."""
        calls = self._calls
        while calls and calls[0][0] <= until:
            self.now, _, callback = heapq.heappop(calls)
            self.num_calls += 1
            callback()


def make_sharing(capacities: Sequence[float], solver: Solver) -> Sharing:
    """The solver of that name over links of these capacities.

    Raises:
        ValueError: if the compiled solver is asked for and numba is not installed.
    """
    has_numba = importlib.util.find_spec("numba") is not None
    if solver == "numba" and not has_numba:
        raise ValueError("solver='numba' needs numba: install the extra `fast`, or take solver='python'")
    if solver == "numba" or (solver == "auto" and has_numba and len(capacities) >= LINKS_WORTH_COMPILING):
        from simulator.network.fair_sharing_numba import CompiledSharing  # loading numba takes a second

        return CompiledSharing(capacities)
    return FairSharing(capacities)
