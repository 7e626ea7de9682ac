"""Max-min fair rates on shared links, kept up to date where a change is felt and nowhere else.

Flows that take the same route get the same rate, so the unknowns are the *paths* (routes in use, with the number of
flows on each). An allocation is max-min fair if no link is over-full and every path has a bottleneck: a full link on
which nobody has more (Bertsekas and Gallager, Data Networks, 2nd ed., section 6.5.2). In other words every link l has
a level a_l, and each flow of path p the rate

    x_p = w_p min(c_p, min over l in p of a_l),      sum over p of n_p w_p min(a_l, offer_p(l)) = C_l,

where n_p flows of weight w_p share the path, c_p is what limits each flow on its own (links that are not shared), and
offer_p(l) is the level that p could have if l were not there. A link that does not fill has an infinite level. Both
formulas together have one solution. A change of some paths makes their links *stale*; a stale link works its level
out again, and where that moves the offer that a neighbour's level rests on, the neighbour is stale too. Links with the
least capacity per flow go first, since low levels never depend on high ones: from scratch that is progressive
filling, with about one evaluation a link; after a change it ends where the change is no longer felt. The number of
evaluations is finite, by induction over the levels from the lowest one up.

Time is a float in any unit; capacities are bytes per that unit.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from typing import Protocol

INFINITY = math.inf
LEVEL_TOLERANCE = 1e-12
"""Levels that differ by less than this (relative) count as equal: rounding noise must not travel through a network."""
MAX_EVALUATIONS_PER_LINK = 1000
"""One update never comes near this; it stops a defect from becoming an endless loop."""


class Sharing(Protocol):
    """What a solver offers. The Python and the compiled solver do the same float operations in the same order."""

    def add_path(self, links: Sequence[int], weight: float, cap: float) -> int:
        """Make a path known (without any flow) and return its number.

        Args:
            links: positions of the links that it shares, at least one, each once.
            weight: of each of its flows; a flow of weight 2 gets twice the rate on a common bottleneck.
            cap: the rate that no single flow exceeds, bytes per unit of time; may be infinite.
        """

    def change(self, path: int, flows: int, remaining: float) -> None:
        """Note that `path` has `flows` flows from the next `settle` on, and the bytes left to the first to end."""

    def settle(self, now: float) -> float:
        """Apply the changes noted, share anew, and return the time at which the first flow ends (or infinity)."""

    def due(self, limit: float) -> list[int]:
        """Paths whose first flow ends by `limit`. Each must be changed before the next `settle`."""

    def remaining(self, path: int, now: float) -> float:
        """Bytes left at `now` to the flow of `path` that ends first; below 0 by rounding, where it is overdue."""

    def rate(self, path: int) -> float:
        """Rate of each flow of `path`, bytes per unit of time."""


class _Link:
    __slots__ = ("capacity", "flows", "index", "is_stale", "level", "paths")

    def __init__(self, index: int, capacity: float) -> None:
        self.index = index
        self.capacity = capacity
        self.level = INFINITY
        self.flows = 0
        self.is_stale = False
        self.paths: dict[_Path, None] = {}  # a dict for its order: the same sums, in the same order, in every run


class _Path:
    __slots__ = (
        *("alarm", "bottleneck", "cap", "finish", "flows", "index", "level", "links", "load"),
        *("rate", "remaining", "since", "spare", "weight"),
    )

    def __init__(self, index: int, links: tuple[_Link, ...], weight: float, cap: float) -> None:
        self.index = index
        self.links = links
        self.weight = weight
        self.cap = cap / weight  # as a level
        self.flows = 0
        self.load = 0.0  # flows * weight
        self.level = INFINITY  # the least of the cap and the levels of the links
        self.spare = INFINITY  # the second least
        self.bottleneck: _Link | None = None  # the link of the least level; None: the cap
        self.rate = 0.0  # of each flow
        self.remaining = 0.0  # bytes that the flow which ends first still had at `since`
        self.since = 0.0
        self.finish = INFINITY
        self.alarm = INFINITY  # the key of the path's one valid entry in the heap; never later than `finish`


class FairSharing:
    """The solver in plain Python; `Sharing` says what its methods do.

    Args:
        capacities: of the links, bytes per unit of time; finite and positive. Links are named by their position.
    """

    def __init__(self, capacities: Sequence[float]) -> None:
        self._links = [_Link(index, capacity) for index, capacity in enumerate(capacities)]
        self._paths: list[_Path] = []
        self._changes: list[tuple[_Path, int, float]] = []
        self._stale: list[tuple[float, int, _Link]] = []
        self._moved: list[_Path] = []
        self._alarms: list[tuple[float, int, _Path]] = []
        self._is_even = True  # all flows weigh 1
        self.evaluations = 0  # of a link's level, since the start: the solver's work, for tests and benchmarks

    def add_path(self, links: Sequence[int], weight: float, cap: float) -> int:
        """Make a path known and return its number."""
        path = _Path(len(self._paths), tuple(self._links[link] for link in links), weight, cap)
        self._paths.append(path)
        self._is_even = self._is_even and weight == 1.0
        return path.index

    def change(self, path: int, flows: int, remaining: float) -> None:
        """Note that a path has `flows` flows from the next `settle` on, the first to end with `remaining` bytes."""
        self._changes.append((self._paths[path], flows, remaining))

    def settle(self, now: float) -> float:
        """Apply the changes, share anew, and return when the first flow ends."""
        for path, flows, remaining in self._changes:
            if flows != path.flows:
                self._recount(path, flows)
            path.rate = 0.0  # so that _retime works its end out anew
            path.remaining = remaining
            path.since = now
            self._moved.append(path)
        self._changes.clear()
        if self._stale:
            self._relax()
        for path in self._moved:
            self._retime(path, now)
        self._moved.clear()
        return self._first_finish()

    def due(self, limit: float) -> list[int]:
        """Paths whose first flow ends by `limit`."""
        ended = []
        while self._first_finish() <= limit:
            path = heapq.heappop(self._alarms)[2]
            path.alarm = path.finish = INFINITY
            ended.append(path.index)
        return ended

    def remaining(self, path: int, now: float) -> float:
        """Bytes left at `now` to the flow of a path that ends first."""
        at = self._paths[path]
        return at.remaining - at.rate * (now - at.since)

    def rate(self, path: int) -> float:
        """Rate of each flow of a path."""
        return self._paths[path].rate

    def _recount(self, path: _Path, flows: int) -> None:
        for link in path.links:
            link.flows += flows - path.flows
            if flows == 0:
                del link.paths[path]
            elif path.flows == 0:
                link.paths[path] = None
            if flows > path.flows or link.level < INFINITY:  # less load on a link that does not fill changes nothing
                self._make_stale(link)
        path.flows = flows
        path.load = flows * path.weight
        path.level, path.spare, path.bottleneck = _limits(path)

    def _make_stale(self, link: _Link) -> None:
        if not link.is_stale:
            link.is_stale = True
            # A link that has lost its last flow is infinite whenever its turn comes.
            heapq.heappush(self._stale, (link.capacity / (link.flows or 1), link.index, link))

    def _relax(self) -> None:
        """Evaluate stale links until there are none."""
        stale = self._stale
        last = self.evaluations + MAX_EVALUATIONS_PER_LINK * len(self._links)
        while stale:
            link = heapq.heappop(stale)[2]
            link.is_stale = False
            self.evaluations += 1
            assert self.evaluations <= last, f"max-min update does not converge at link {link.index}"
            level, old = _level(link, is_even=self._is_even), link.level
            if level != old and abs(level - old) > LEVEL_TOLERANCE * min(level, old):
                link.level = level
                self._spread(link, old)

    def _spread(self, link: _Link, old: float) -> None:
        """Tell the paths of a link that its level has moved; most can tell at a glance that they do not care."""
        new = link.level
        for path in link.paths:
            if path.bottleneck is link:
                if new <= path.spare:
                    self._relimit(path, link, new, path.spare, link)
                else:
                    self._relimit(path, link, *_limits(path))
            elif new < path.level:
                self._relimit(path, link, new, path.level, link)
            # Equal to the last bit if it was this link's, as it is a copy; then the second least is another's now.
            elif new < path.spare or old == path.spare:
                self._relimit(path, link, *_limits(path))

    def _relimit(self, path: _Path, moved: _Link, level: float, spare: float, bottleneck: _Link | None) -> None:
        """Give a path its new limits; links whose own level rested on the old ones are stale."""
        old, old_spare, old_bottleneck = path.level, path.spare, path.bottleneck
        if level != old:
            self._moved.append(path)  # perhaps twice: the second time its rate is what it was
        elif spare == old_spare and bottleneck is old_bottleneck:
            return
        path.level, path.spare, path.bottleneck = level, spare, bottleneck
        for link in path.links:
            if not link.is_stale and link is not moved:
                # What the path could have if this link were not there; a link's level does not depend on offers above
                # it.
                before = old_spare if link is old_bottleneck else old
                after = spare if link is bottleneck else level
                if before != after and (before < link.level or after < link.level):
                    self._make_stale(link)

    def _retime(self, path: _Path, now: float) -> None:
        """Work out when the path's first flow ends, if its rate has changed."""
        rate = path.level * path.weight
        if rate == path.rate or path.flows == 0:
            return
        path.remaining = max(0.0, path.remaining - path.rate * (now - path.since))  # it may be overdue by rounding
        path.since = now
        path.rate = rate
        path.finish = now + path.remaining / rate
        if path.finish < path.alarm:  # an entry that is too early is put right when it comes up
            path.alarm = path.finish
            heapq.heappush(self._alarms, (path.finish, path.index, path))

    def _first_finish(self) -> float:
        alarms = self._alarms
        while alarms:
            at, _, path = alarms[0]
            if at == path.alarm and at == path.finish and path.flows:
                return at
            heapq.heappop(alarms)
            if at == path.alarm:
                path.alarm = path.finish if path.flows else INFINITY
                if path.alarm < INFINITY:
                    heapq.heappush(alarms, (path.alarm, path.index, path))
        return INFINITY


def _level(link: _Link, *, is_even: bool) -> float:
    """The level at which the link fills, given what its paths can have elsewhere; infinite if it does not fill.

    Paths that are offered less elsewhere take that; the others share the rest evenly, which raises the level, until
    no further path is offered less. Where all flows weigh the same (`is_even`) the first round needs no sums.
    """
    if not link.flows:
        return INFINITY
    offers = [path.spare if path.bottleneck is link else path.level for path in link.paths]
    if not is_even:
        return _filled(link.capacity, 0.0, offers, [path.load for path in link.paths])
    level = link.capacity / link.flows
    if min(offers) >= level:
        return level
    # As many flows as paths in use, so each has one, and all loads are one.
    if link.flows == len(offers):
        return _evenly_filled(link.capacity, level, offers)
    return _filled(link.capacity, level, offers, [path.load for path in link.paths])


def _filled(capacity: float, level: float, offers: list[float], loads: list[float]) -> float:
    """Raise `level`, which is not above the one sought, to where the paths fill the capacity."""
    while True:
        room, load = capacity, 0.0
        for offer, weight in zip(offers, loads, strict=True):
            if offer < level:
                room -= offer * weight
            else:
                load += weight
        if load == 0.0:  # exactly: only ever added to
            return INFINITY
        fuller = room / load
        if fuller <= level:
            return level
        level = fuller


def _evenly_filled(capacity: float, level: float, offers: list[float]) -> float:
    """`_filled` for loads of one: the same numbers in half the time, and by far the most frequent case."""
    while True:
        room, load = capacity, len(offers)
        for offer in offers:
            if offer < level:
                room -= offer
                load -= 1
        if not load:
            return INFINITY
        fuller = room / load
        if fuller <= level:
            return level
        level = fuller


def _limits(path: _Path) -> tuple[float, float, _Link | None]:
    """The least limit of a path, the second least, and the link that sets the least (None: the path's own cap)."""
    level, spare, bottleneck = path.cap, INFINITY, None
    for link in path.links:
        offer = link.level
        if offer < level:
            level, spare, bottleneck = offer, level, link
        elif offer < spare:
            spare = offer
    return level, spare, bottleneck
