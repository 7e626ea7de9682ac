"""Transfers that share links: who stands in which queue, what is left to each, and when the next one ends.

Transfers over the same route move at the same rate, so the solver knows routes only. A route in use counts the bytes
that each of its transfers has moved (its *volume*), and a transfer ends when the volume reaches its *key*: the volume
at which it came, and its size. So whatever happens to the rates, the order of a queue stays; its first, the head, is
the one whose bytes the solver counts down.
"""

from __future__ import annotations

import heapq
import importlib.util
from collections.abc import Sequence
from typing import Literal

from simulator.network.calls import CallAt
from simulator.network.fair_sharing import INFINITY, FairSharing, Sharing
from simulator.network.flows import ARRIVED, SHARED, FatPipe, Flow, Route, SharedLink

SharingRule = Literal["max-min", "rtt"]
Solver = Literal["auto", "python", "numba"]

LINKS_WORTH_COMPILING = 256
"""From here on "auto" takes the compiled solver, which costs about a second to load."""


class Contention:
    """The transfers of a network that are not alone on their links.

    Args:
        capacities: of the links that are shared, bytes per tick; read when the first transfers meet, and not again.
        call_at: has something called at a tick.
        rule: what a transfer counts beside others.
        solver: that divides the links.
    """

    def __init__(self, capacities: Sequence[float], call_at: CallAt, *, rule: SharingRule, solver: Solver) -> None:
        self._capacities = capacities
        self._call_at = call_at
        self._rule = rule
        self._choice: Solver = solver
        self.solver: Sharing | None = None  # made when first needed: in many runs no two transfers ever meet
        self.num_entered = 0
        self._routes: list[Route] = []  # by their numbers in the solver
        self._changed: list[Route] = []
        self._settle_at: int | None = None
        self._alarms: list[int] = []  # wake-ups that are out, the next one last

    def enter(self, flow: Flow, size: float, now: int) -> None:
        """Take a transfer in, with `size` bytes to go."""
        route = flow.route
        flow.state = SHARED
        flow.end = -1
        if not route.queue:
            for link in route.links:
                link.enter(now)
        flow.key = size + self._volume(route, now)
        self.num_entered += 1
        # The number keeps equals in their order of coming, and the heap from comparing flows.
        heapq.heappush(route.queue, (flow.key, self.num_entered, flow))
        self._note_change(route, now)

    def withdraw(self, flow: Flow, now: int) -> None:
        """Take a transfer out before its end."""
        route = flow.route
        moved = flow.size - self.remaining(flow, now)
        route.queue = [entry for entry in route.queue if entry[2] is not flow]
        heapq.heapify(route.queue)
        self._leave(route, now, moved)

    def remaining(self, flow: Flow, now: int) -> float:
        """Bytes that one of these transfers has still to move."""
        # The volume is a difference of floats: by rounding it may be a little past the key, or short of its start.
        return min(flow.size, max(0.0, flow.key - self._volume(flow.route, now)))

    def rate(self, flow: Flow) -> float:
        """Bytes per tick at which one of these transfers moves; 0 until the instant in which it came is settled."""
        route = flow.route
        return 0.0 if self.solver is None or route.head is None else self.solver.rate(route.path)

    def moved(self, link: SharedLink | FatPipe, now: int) -> float:
        """Bytes that the transfers over a link have moved, of those that are here now."""
        routes = (route for route in self._routes if link in route.links)
        return sum(sum(flow.size - self.remaining(flow, now) for _, _, flow in route.queue) for route in routes)

    def _leave(self, route: Route, now: int, moved: float) -> None:
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
        assert self.solver is not None
        return route.head - self.solver.remaining(route.path, float(now))

    def _note_change(self, route: Route, now: int) -> None:
        if not route.changed:
            route.changed = True
            self._changed.append(route)
        if self._settle_at != now:
            self._settle_at = now
            self._call_at(now, self._settle)  # after what else is called in this tick, so once for all of it

    def _settle(self) -> None:
        """At the end of an instant: share out anew for all that began or ended in it."""
        now, self._settle_at = self._settle_at, None
        assert now is not None
        if self.solver is None:
            self.solver = make_sharing(self._capacities, self._choice)
        sharing = self.solver
        for route in self._changed:
            route.changed = False
            if route.path < 0:
                self._make_path(route, sharing)
            if route.queue:
                head = route.queue[0][0]
                sharing.change(route.path, len(route.queue), max(0.0, head - self._volume(route, now)))
                # Only now: until here volumes were told by the head that the solver has counted down.
                route.head = head
            else:
                sharing.change(route.path, 0, 0.0)
        self._changed.clear()
        self._set_alarm(sharing, now)

    def _make_path(self, route: Route, sharing: Sharing) -> None:
        weight = route.weight if self._rule == "rtt" else 1.0
        route.path = sharing.add_path([link.index for link in route.shared], weight, route.cap)
        self._routes.append(route)

    def _set_alarm(self, sharing: Sharing, now: int) -> None:
        first = sharing.settle(float(now))
        if first < INFINITY:
            # By rounding the first end may lie a little before now.
            at = max(now, round(first))
            # A wake-up that is out already and comes sooner sets the next one itself: it may find that nobody ends.
            if not self._alarms or at < self._alarms[-1]:
                self._alarms.append(at)
                self._call_at(at, self._on_alarm)

    def _on_alarm(self) -> None:
        """End the transfers that are due, in the order in which they came to share."""
        now = self._alarms.pop()
        sharing = self.solver
        assert sharing is not None
        ended: list[tuple[int, Flow]] = []
        # Sorted, since the two solvers keep different heaps, and find ends of one tick in different orders.
        for path in sorted(
            sharing.due(now + 0.5)
        ):  # an end is rounded to the tick, so this tick's lie up to half later
            self._take_ended(self._routes[path], now, ended)
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
            flow.state = ARRIVED  # not ended: another that ends in this tick may cancel it before it is told
            flow.end = now
            ended.append((order, flow))
            self._leave(route, now, flow.size)
        # Whether any has ended or not: what was due must be changed before the next `settle`.
        self._note_change(route, now)


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
