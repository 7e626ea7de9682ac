"""Transfers on a network of links: latency first, then bytes at a max-min fair rate.

The fluid model of SimGrid (Velho and Legrand 2009, "Accuracy study and improvement of network simulation in the
SimGrid framework"): a transfer pays the latency of its route, then moves at a rate that changes only when another
transfer begins or ends on a link they share. A link is "shared" (its bandwidth is divided, see `fair_sharing`) or a
"fatpipe" (it limits each transfer on its own, as a full-bisection fabric does).

Most transfers meet nobody. One that finds its links idle is booked from end to end, and the engine is asked for one
call, at its end; it is shared out (`sharing`) only if another begins beside it. Whatever begins or ends in one instant
is shared out once, at its end.

Time is counted in integer ticks, nanoseconds unless told otherwise. The network never asks for the time: it is handed
it, and asks to be called back through the `call_at` function that it was given. Wherever a time is worked out, one
function rounds it to a tick (`round`); inside, the bytes left are floats.

>>> from simulator.network.calls import CallClock
>>> clock = CallClock()
>>> network = Network({"cable": LinkSpec(bandwidth=1e9, latency=1e-6)}, clock.call_at)
>>> cable = network.route(["cable"])
>>> first = network.start(cable, 1000, now=0, done=lambda: print("first at", clock.now))
>>> second = network.start(cable, 500, now=0, done=lambda: print("second at", clock.now))
>>> clock.run()
second at 2000
first at 2500
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from functools import partial

from simulator.network.calls import CallAt, Callback
from simulator.network.fair_sharing import INFINITY
from simulator.network.flows import ALONE, ENDED, LATENT, SHARED, FatPipe, Flow, Route, SharedLink
from simulator.network.links import LinkId, Links, LinkSpec, LinkUse, check_choice, checked_link
from simulator.network.sharing import Contention, SharingRule, Solver

NANOSECONDS = 10**9


class Network:
    """Transfers on links, for a simulation engine.

    Args:
        links: by their ids (any hashable).
        call_at: `call_at(at, call)` must call `call()` at tick `at`, which is never in the past; calls of one
            instant in the order in which they were asked for. Nothing is ever taken back: calls that a change has
            made void do nothing.
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
        call_at: CallAt,
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
        self._call_at = call_at
        self._rule = sharing
        self._routes: dict[tuple[tuple[LinkId, ...], float], Route] = {}
        # The list itself: links may be added until the first transfers share some.
        self.contention = Contention(self._capacities, call_at, rule=sharing, solver=solver)

    def add_link(self, name: LinkId, link: LinkSpec) -> None:
        """One more link; once transfers have shared links, only one that nobody will share."""
        if link.policy == "fatpipe" or link.bandwidth == INFINITY:
            self._links[name] = FatPipe(link)  # without a limit there is nothing to divide either
        else:
            self._links[name] = SharedLink(link, len(self._capacities))
            self._capacities.append(link.bandwidth / self._ticks)

    def route(self, links: Iterable[LinkId], limit: float = INFINITY) -> Route:
        """Resolve a sequence of link ids. Equal sequences give the same object; none means a copy within a host.

        Args:
            limit: bytes/s that no transfer on it exceeds, whatever its links could carry.
        Raises:
            ValueError: for an unknown link, a link that occurs twice, or (where sharing is "rtt") no latency.
        """
        names = tuple(links)
        route = self._routes.get((names, limit))
        if route is None:
            route = self._routes[names, limit] = self._resolve(names, limit)
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
        flow = Flow()
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
            flow.give_back(now, flow.size - flow.left_alone(now))
        elif flow.state == SHARED:
            self.contention.withdraw(flow, now)
        # In its latency, or through but not told yet, it has no link to give back.
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
            flow.pass_by()
        # A transfer that was displaced in its latency and is alone again has the end that it had: it is called twice in
        # one tick, and the second call finds it ended.
        self._call_at(end, flow.arrive)

    def _start_beside_others(self, flow: Flow, now: int) -> None:
        flow.state = LATENT  # a new flow has no state, and `_begin` looks whether it was cancelled
        if flow.begin > now and flow.route.duration:
            self._wait_out_latency(flow)
        else:
            self._begin(flow)  # without bytes to send, too: it will be in nobody's way, and ends after its latency

    def _wait_out_latency(self, flow: Flow) -> None:
        # Only then is it seen who is in the way: it may be gone, and until then this one is in nobody's.
        flow.state = LATENT
        flow.end = -1
        self._call_at(flow.begin, partial(self._begin, flow))

    def _begin(self, flow: Flow) -> None:
        """The latency is over: send, alone if nobody else is sending now, else with a share."""
        if flow.state == ENDED:  # cancelled
            return
        now, route = flow.begin, flow.route
        # Not `route.duration`: a message of another size may have been started on the route meanwhile.
        duration = round(flow.size * route.ticks_per_byte)
        is_contended = False
        for link in route.shared if duration else ():
            if now < link.free_at < INFINITY and link.alone is not None:
                self._displace(link.alone, now)
            # After that: whoever was alone there has a share now, or has given the link back for the rest of its
            # latency.
            is_contended |= link.free_at > now
        if is_contended:
            self.contention.enter(flow, flow.size, now)
        else:
            self._book(flow, duration, now)

    def _displace(self, flow: Flow, now: int) -> None:
        """A transfer that was alone has company now."""
        remaining = flow.left_alone(now)
        flow.give_back(now, 0.0)  # all of it counts when it ends
        if flow.begin > now:
            self._wait_out_latency(flow)
        else:
            self.contention.enter(flow, remaining, now)

    def remaining(self, flow: Flow, now: int) -> float:
        """Bytes that a transfer has still to move."""
        if flow.state == SHARED:
            return self.contention.remaining(flow, now)
        if flow.state == ALONE:
            return flow.left_alone(now)
        return flow.size if flow.state == LATENT else 0.0

    def rate(self, flow: Flow, now: int) -> float:
        """Bytes/s at which a transfer moves; a change in the instant `now` itself counts once it is settled."""
        if flow.state == SHARED:
            return self.contention.rate(flow) * self._ticks
        return self._ticks / flow.route.ticks_per_byte if flow.state == ALONE and flow.begin <= now < flow.end else 0.0

    def use(self, link: LinkId, now: int) -> LinkUse:
        """What a link has done from tick 0 to `now`; O(1) unless transfers are sharing it just now."""
        at = self._links[link]
        carried, busy = at.use(now)
        if isinstance(at, FatPipe) or at.num_routes:
            carried += self.contention.moved(at, now)
        utilisation = carried / (at.spec.bandwidth * now / self._ticks) if now > 0 else 0.0
        return LinkUse(link, carried, busy / self._ticks, utilisation)

    def busiest(self, now: int, count: int = 10) -> list[LinkUse]:
        """The links with the most bytes for their bandwidth, the busiest first; equals in the order of `links`."""
        uses = [self.use(name, now) for name in self._links]
        # It keeps equals in their order.
        return heapq.nlargest(count, uses, key=lambda use: (use.utilisation, use.busy_s))

    def _resolve(self, names: tuple[LinkId, ...], limit: float) -> Route:
        for name in names:
            if name not in self._links:
                raise ValueError(f"route {list(names)} goes over an unknown link {name!r}")
            if names.count(name) > 1:
                raise ValueError(f"route {list(names)} goes over link {name!r} twice")
        route = Route(names, [self._links[name] for name in names], self._ticks, limit)
        if self._rule == "rtt" and names and route.weight == INFINITY:
            raise ValueError(f"route {list(names)} has no latency, so sharing='rtt' gives it no weight")
        return route
