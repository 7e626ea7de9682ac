"""The solver of `fair_sharing`, compiled: the same float operations in the same order, so the same bits.

Where an order is free in the mathematics it is fixed here as there: paths of a link in the order in which they came
into use, stale links by capacity per flow and then by position. Comments on the method are in `fair_sharing`. The
state is a few record arrays, so that a call from Python has few arguments; they cross as plain integers, which numba
takes in a third of the time, and are records again on the other side. The fields of LIST, and those of LINK that are
named after the heap, are arrays of their own that happen to be as long.

The file is long because it must be one: numba keeps compiled functions on disk and compiles a function again when its
own file has changed, but not when a function that it calls has changed in another.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar, cast

import numba  # type: ignore[import-untyped, unused-ignore]
import numpy as np
from numpy.typing import NDArray

from simulator.network.fair_sharing import INFINITY, LEVEL_TOLERANCE, MAX_EVALUATIONS_PER_LINK

Records = NDArray[np.void]
Integers = NDArray[np.int64]
Function = TypeVar("Function", bound=Callable[..., Any])

NONE = -1
LINK = np.dtype(
    [
        *((name, np.float64) for name in ("capacity", "level", "heap_key")),
        *((name, np.int64) for name in ("flows", "is_stale", "first_hop", "last_hop", "heap_link")),
    ]
)
PATH = np.dtype(  # what is read most often shares a cache line
    [
        *((name, np.float64) for name in ("level", "spare", "load", "cap")),
        *((name, np.int64) for name in ("bottleneck", "begin", "end", "is_moved")),
        *((name, np.float64) for name in ("weight", "rate", "remaining", "since", "finish")),
        # Unused: with it a record is 128 bytes, which is two cache lines.
        *((name, np.int64) for name in ("flows", "place", "unused")),
    ]
)
# Of four bytes: a record must be a number of int64s, as which it crosses.
HOP = np.dtype([(name, np.int32) for name in ("link", "path", "before", "after")])
LIST = np.dtype(
    [
        *((name, np.int64) for name in ("changed_path", "changed_flows")),
        ("changed_remaining", np.float64),
        *((name, np.float64) for name in ("offer", "load")),
        *((name, np.int64) for name in ("moved", "heap_path")),
    ]
)
NUM_STALE, NUM_MOVED, NUM_ALARMS, NUM_UNEVEN, EVALUATIONS = range(5)


class HopList(Protocol):
    """A record of LINK: where its list of hops begins and where it ends."""

    first_hop: int
    last_hop: int


class Change(Protocol):
    """A record of LIST: what a path has from now on."""

    changed_path: int
    changed_flows: int
    changed_remaining: float


class Way(Protocol):
    """A record of PATH: its hops, and what limits each of its flows on its own."""

    begin: int
    end: int
    cap: float


class SolverState(NamedTuple):
    """Everything that the compiled functions know, one record a link, path, hop, list entry; and five counts."""

    links: Records
    paths: Records
    hops: Records
    lists: Records
    counts: Integers


def compiled(function: Function) -> Function:
    """Compile a function when it is first called, and keep the result on disk."""
    return cast(Function, numba.njit(cache=True)(function))


class CompiledSharing:
    """`fair_sharing.FairSharing`, compiled; see there. Compiling takes seconds once; later runs load it from disk."""

    def __init__(self, capacities: Sequence[float]) -> None:
        links = np.zeros(len(capacities), LINK)
        links["capacity"] = capacities
        links["level"] = INFINITY
        links["first_hop"] = links["last_hop"] = NONE
        empty = np.zeros(0, PATH), np.zeros(0, HOP), np.zeros(0, LIST)
        self._state = SolverState(links, *empty, np.zeros(5, np.int64))
        self._num_paths = self._num_hops = self._num_changes = 0
        self._make_room(16, 64)

    @property
    def evaluations(self) -> int:
        """Of a link's level, since the start."""
        return int(self._state.counts[EVALUATIONS])

    def add_path(self, links: Sequence[int], weight: float, cap: float) -> int:
        """Make a path known and return its number."""
        begin, end, index = self._num_hops, self._num_hops + len(links), self._num_paths
        self._make_room(index + 1, end)
        path, hops = self._state.paths[index], self._state.hops[begin:end]
        path["weight"], path["cap"] = weight, cap / weight
        path["begin"], path["end"] = begin, end
        path["level"] = path["spare"] = path["finish"] = INFINITY
        path["bottleneck"] = path["place"] = NONE
        hops["link"] = links
        hops["path"] = index
        self._state.counts[NUM_UNEVEN] += weight != 1.0
        self._num_paths, self._num_hops = index + 1, end
        return index

    def change(self, path: int, flows: int, remaining: float) -> None:
        """Note that a path has `flows` flows from the next `settle` on, the first to end with `remaining` bytes."""
        index = self._num_changes
        # There is room: `Contention` notes a route once, however much changes on it before it is settled.
        self._changed_path[index] = path
        self._changed_flows[index] = flows
        self._changed_remaining[index] = remaining
        self._num_changes = index + 1

    def settle(self, now: float) -> float:
        """Apply the changes, share anew, and return when the first flow ends."""
        num_changes, self._num_changes = self._num_changes, 0
        links, paths, hops, lists, counts = self._raw
        return _settle(links, paths, hops, lists, counts, num_changes, now)

    def due(self, limit: float) -> list[int]:
        """Paths whose first flow ends by `limit`."""
        _, paths, _, lists, counts = self._raw
        num_due = _due(paths, lists, counts, limit)
        return [self._moved[index] for index in range(num_due)]

    def remaining(self, path: int, now: float) -> float:
        """Bytes left at `now` to the flow of a path that ends first."""
        at = self._state.paths[path]
        return float(at["remaining"] - at["rate"] * (now - at["since"]))

    def rate(self, path: int) -> float:
        """Rate of each flow of a path."""
        return float(self._state.paths[path]["rate"])

    def _make_room(self, num_paths: int, num_hops: int) -> None:
        state = self._state
        if num_paths <= len(state.paths) and num_hops <= len(state.hops):
            return
        paths, lists = (_grown(records, num_paths) for records in (state.paths, state.lists))
        self._state = SolverState(state.links, paths, _grown(state.hops, num_hops), lists, state.counts)
        # All views anew: those of the arrays before would be written to in vain.
        self._raw: list[Integers] = [records.view(np.int64) for records in self._state]
        # To read or write single items through a memoryview is three times as fast as through numpy.
        views: list[Any] = [lists[name].data for name in LIST.names or ()]
        self._changed_path, self._changed_flows, self._changed_remaining = views[:3]
        self._moved = views[5]  # as LIST has them


def _grown(records: Records, length: int) -> Records:
    if length <= len(records):
        return records
    grown = np.zeros(max(length, 2 * len(records)), records.dtype)
    grown[: len(records)] = records
    return grown


@compiled
def _settle(
    raw_links: Integers,
    raw_paths: Integers,
    raw_hops: Integers,
    raw_lists: Integers,
    counts: Integers,
    num: int,
    now: float,
) -> float:
    links, paths, hops, lists = raw_links.view(LINK), raw_paths.view(PATH), raw_hops.view(HOP), raw_lists.view(LIST)
    for index in range(num):
        _apply(links, paths, hops, lists, counts, lists[index], now)
    _relax(links, paths, hops, lists, counts)
    for index in range(counts[NUM_MOVED]):
        _retime(paths, lists, counts, lists[index].moved, now)
    counts[NUM_MOVED] = 0
    return paths[lists[0].heap_path].finish if counts[NUM_ALARMS] else INFINITY


@compiled
def _apply(
    links: Records, paths: Records, hops: Records, lists: Records, counts: Integers, change: Change, now: float
) -> None:
    path = paths[change.changed_path]
    if change.changed_flows != path.flows:
        _recount(links, paths, hops, lists, counts, change.changed_path, change.changed_flows)
    path.rate = 0.0
    path.remaining = change.changed_remaining
    path.since = now
    _note_moved(paths, lists, counts, change.changed_path)


@compiled
def _due(raw_paths: Integers, raw_lists: Integers, counts: Integers, limit: float) -> int:
    """Take the paths that end by `limit` off the heap and leave their numbers in `lists.moved`."""
    paths, lists = raw_paths.view(PATH), raw_lists.view(LIST)
    num = 0
    while counts[NUM_ALARMS] and paths[lists[0].heap_path].finish <= limit:
        path = lists[0].heap_path
        paths[path].finish = INFINITY
        _remove_alarm(paths, lists, counts, path)
        lists[num].moved = path
        num += 1
    return num


@compiled
def _recount(
    links: Records, paths: Records, hops: Records, lists: Records, counts: Integers, index: int, flows: int
) -> None:
    path = paths[index]
    for hop in range(path.begin, path.end):
        link = links[hops[hop].link]
        link.flows += flows - path.flows
        if flows == 0:
            _unlink(link, hops, hop)
        elif path.flows == 0:
            _append(link, hops, hop)
        if flows > path.flows or link.level < INFINITY:
            _make_stale(links, counts, hops[hop].link)
    path.flows = flows
    path.load = flows * path.weight
    if flows == 0 and path.place != NONE:
        _remove_alarm(paths, lists, counts, index)
    path.level, path.spare, path.bottleneck = _limits(links, hops, path)


@compiled
def _append(link: HopList, hops: Records, hop: int) -> None:
    """Put a hop at the end of its link's list."""
    last = link.last_hop
    hops[hop].before = last
    hops[hop].after = NONE
    if last == NONE:
        link.first_hop = hop
    else:
        hops[last].after = hop
    link.last_hop = hop


@compiled
def _unlink(link: HopList, hops: Records, hop: int) -> None:
    before, after = hops[hop].before, hops[hop].after
    if before == NONE:
        link.first_hop = after
    else:
        hops[before].after = after
    if after == NONE:
        link.last_hop = before
    else:
        hops[after].before = before


@compiled
def _relax(links: Records, paths: Records, hops: Records, lists: Records, counts: Integers) -> None:
    last = counts[EVALUATIONS] + MAX_EVALUATIONS_PER_LINK * len(links)
    while counts[NUM_STALE]:
        index = _pop_stale(links, counts)
        counts[EVALUATIONS] += 1
        assert counts[EVALUATIONS] <= last, "max-min update does not converge"
        link = links[index]
        level, old = _level(links, paths, hops, lists, counts, index), link.level
        if level != old and abs(level - old) > LEVEL_TOLERANCE * min(level, old):
            link.level = level
            _spread(links, paths, hops, lists, counts, index, old)


@compiled
def _level(links: Records, paths: Records, hops: Records, lists: Records, counts: Integers, index: int) -> float:
    link = links[index]
    if not link.flows:
        return INFINITY
    num, least = 0, INFINITY
    hop = link.first_hop
    while hop != NONE:
        path = paths[hops[hop].path]
        offer = path.spare if path.bottleneck == index else path.level
        lists[num].offer, lists[num].load = offer, path.load
        least = min(least, offer)
        num += 1
        hop = hops[hop].after
    level = 0.0 if counts[NUM_UNEVEN] else link.capacity / link.flows
    return level if 0.0 < level <= least else _filled(link.capacity, level, lists, num)


@compiled
def _filled(capacity: float, level: float, lists: Records, num: int) -> float:
    while True:
        room, load = capacity, 0.0
        for at in range(num):
            if lists[at].offer < level:
                room -= lists[at].offer * lists[at].load
            else:
                load += lists[at].load
        if load == 0.0:
            return INFINITY
        fuller = room / load
        if fuller <= level:
            return level
        level = fuller


@compiled
def _spread(
    links: Records, paths: Records, hops: Records, lists: Records, counts: Integers, index: int, old: float
) -> None:
    new = links[index].level
    hop = links[index].first_hop
    while hop != NONE:
        at = hops[hop].path
        path = paths[at]
        if path.bottleneck == index and new <= path.spare:
            _relimit(links, paths, hops, lists, counts, at, index, new, path.spare, index)
        elif path.bottleneck != index and new < path.level:
            _relimit(links, paths, hops, lists, counts, at, index, new, path.level, index)
        elif path.bottleneck == index or new < path.spare or old == path.spare:
            level, spare, bottleneck = _limits(links, hops, path)
            _relimit(links, paths, hops, lists, counts, at, index, level, spare, bottleneck)
        hop = hops[hop].after


@compiled
def _relimit(
    links: Records,
    paths: Records,
    hops: Records,
    lists: Records,
    counts: Integers,
    index: int,
    moved: int,
    level: float,
    spare: float,
    bottleneck: int,
) -> None:
    path = paths[index]
    old, old_spare, old_bottleneck = path.level, path.spare, path.bottleneck
    if level != old:
        _note_moved(paths, lists, counts, index)
    elif spare == old_spare and bottleneck == old_bottleneck:
        return
    path.level, path.spare, path.bottleneck = level, spare, bottleneck
    for hop in range(path.begin, path.end):
        at = hops[hop].link
        if not links[at].is_stale and at != moved:
            before = old_spare if at == old_bottleneck else old
            after = spare if at == bottleneck else level
            if before != after and (before < links[at].level or after < links[at].level):
                _make_stale(links, counts, at)


@compiled
def _limits(links: Records, hops: Records, path: Way) -> tuple[float, float, int]:
    level, spare, bottleneck = path.cap, INFINITY, NONE
    for hop in range(path.begin, path.end):
        offer = links[hops[hop].link].level
        if offer < level:
            level, spare, bottleneck = offer, level, hops[hop].link
        elif offer < spare:
            spare = offer
    return level, spare, bottleneck


@compiled
def _note_moved(paths: Records, lists: Records, counts: Integers, index: int) -> None:
    # Once only, as the list has room for every path once.
    if not paths[index].is_moved:
        paths[index].is_moved = 1
        lists[counts[NUM_MOVED]].moved = index
        counts[NUM_MOVED] += 1


@compiled
def _retime(paths: Records, lists: Records, counts: Integers, index: int, now: float) -> None:
    path = paths[index]
    path.is_moved = 0
    rate = path.level * path.weight
    if rate == path.rate or path.flows == 0:
        return
    path.remaining = max(0.0, path.remaining - path.rate * (now - path.since))
    path.since = now
    path.rate = rate
    path.finish = now + path.remaining / rate
    if path.place == NONE:
        path.place = counts[NUM_ALARMS]
        lists[path.place].heap_path = index
        counts[NUM_ALARMS] += 1
    _sift_alarm(paths, lists, counts, path.place)


@compiled
def _make_stale(links: Records, counts: Integers, index: int) -> None:
    """Push onto the heap of stale links, ordered by capacity per flow, then position."""
    link = links[index]
    if link.is_stale:
        return
    link.is_stale = 1
    key = link.capacity / max(1, link.flows)
    place = counts[NUM_STALE]
    counts[NUM_STALE] += 1
    while place > 0:
        above = (place - 1) >> 1
        if not _is_before(key, index, links[above].heap_key, links[above].heap_link):
            break
        links[place].heap_key, links[place].heap_link = links[above].heap_key, links[above].heap_link
        place = above
    links[place].heap_key, links[place].heap_link = key, index


@compiled
def _pop_stale(links: Records, counts: Integers) -> int:
    first: int = links[0].heap_link
    links[first].is_stale = 0
    counts[NUM_STALE] -= 1
    num = counts[NUM_STALE]
    key, index = links[num].heap_key, links[num].heap_link
    place = 0
    while 2 * place + 1 < num:
        below = 2 * place + 1
        if below + 1 < num and _is_before(
            links[below + 1].heap_key, links[below + 1].heap_link, links[below].heap_key, links[below].heap_link
        ):
            below += 1
        if not _is_before(links[below].heap_key, links[below].heap_link, key, index):
            break
        links[place].heap_key, links[place].heap_link = links[below].heap_key, links[below].heap_link
        place = below
    links[place].heap_key, links[place].heap_link = key, index
    return first


@compiled
def _is_before(key: float, index: int, other_key: float, other_index: int) -> bool:
    return key < other_key or (key == other_key and index < other_index)


@compiled
def _remove_alarm(paths: Records, lists: Records, counts: Integers, index: int) -> None:
    place = paths[index].place
    paths[index].place = NONE
    counts[NUM_ALARMS] -= 1
    # Taken out at once, as every path knows its place; `heapq` does not, and void entries stay until they come up.
    last = lists[counts[NUM_ALARMS]].heap_path
    if last != index:
        lists[place].heap_path = last
        paths[last].place = place
        _sift_alarm(paths, lists, counts, place)


@compiled
def _sift_alarm(paths: Records, lists: Records, counts: Integers, place: int) -> None:
    """Move an entry of the heap of ends up or down to where it belongs."""
    index = lists[place].heap_path
    finish = paths[index].finish
    while place > 0 and finish < paths[lists[(place - 1) >> 1].heap_path].finish:
        _put_alarm(paths, lists, place, lists[(place - 1) >> 1].heap_path)
        place = (place - 1) >> 1
    num = counts[NUM_ALARMS]
    while 2 * place + 1 < num:
        below = 2 * place + 1
        if below + 1 < num and paths[lists[below + 1].heap_path].finish < paths[lists[below].heap_path].finish:
            below += 1
        if finish <= paths[lists[below].heap_path].finish:
            break
        _put_alarm(paths, lists, place, lists[below].heap_path)
        place = below
    _put_alarm(paths, lists, place, index)


@compiled
def _put_alarm(paths: Records, lists: Records, place: int, index: int) -> None:
    lists[place].heap_path = index
    paths[index].place = place
