"""The solver of `fair_sharing`, compiled: the same float operations in the same order, so the same bits.

Where an order is free in the mathematics it is fixed here as there: paths of a link in the order in which they came
into use, stale links by capacity per flow and then by position. Comments on the method are in `fair_sharing`. The
state is a few record arrays, so that one call crosses from Python with few arguments. The fields of LIST, and those
of LINK that are named after the heap, are arrays of their own that happen to be as long.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar, cast

import numba  # type: ignore[import-untyped, unused-ignore]
import numpy as np
from numpy.typing import NDArray

from simulator.fair_sharing import INFINITY, LEVEL_TOLERANCE, MAX_EVALUATIONS_PER_LINK

Records = NDArray[np.void]
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
        *((name, np.int64) for name in ("flows", "place", "unused")),
    ]
)
HOP = np.dtype([(name, np.int32) for name in ("link", "path", "before", "after")])
LIST = np.dtype([("offer", np.float64), ("load", np.float64), ("moved", np.int64), ("heap_path", np.int64)])
CHANGE = np.dtype([("path", np.int64), ("flows", np.int64), ("remaining", np.float64)])
NUM_STALE, NUM_MOVED, NUM_ALARMS, EVALUATIONS = range(4)


class State(NamedTuple):
    """Everything that the compiled functions know, one record a link, path, hop, list entry; and four counts."""

    links: Records
    paths: Records
    hops: Records
    lists: Records
    counts: NDArray[np.int64]


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
        self._state = State(links, *empty, np.zeros(4, np.int64))
        self._num_paths = self._num_hops = self._num_changes = 0
        self._changes = np.zeros(0, CHANGE)
        self._make_room(16, 64)
        self._make_changes(16)

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
        self._num_paths, self._num_hops = index + 1, end
        return index

    def change(self, path: int, flows: int, remaining: float) -> None:
        """Note that a path has `flows` flows from the next `settle` on, the first to end with `remaining` bytes."""
        index = self._num_changes
        if index == len(self._changes):
            self._make_changes(2 * index)
        self._changed_path[index] = path
        self._changed_flows[index] = flows
        self._changed_remaining[index] = remaining
        self._num_changes = index + 1

    def settle(self, now: float) -> float:
        """Apply the changes, share anew, and return when the first flow ends."""
        num_changes, self._num_changes = self._num_changes, 0
        return _settle(*self._state, self._changes, num_changes, now)

    def due(self, limit: float) -> list[int]:
        """Paths whose first flow ends by `limit`."""
        num_due = _due(*self._state, limit)
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
        if num_paths > len(state.paths) or num_hops > len(state.hops):
            paths, lists = (_grown(records, num_paths) for records in (state.paths, state.lists))
            self._state = State(state.links, paths, _grown(state.hops, num_hops), lists, state.counts)
            self._moved: memoryview[int] = memoryview(cast(Any, lists["moved"]))

    def _make_changes(self, length: int) -> None:
        changes = np.zeros(length, CHANGE)
        changes[: len(self._changes)] = self._changes
        self._changes = changes
        # To write single items through a memoryview is three times as fast as through numpy.
        fields: list[Any] = [changes[name] for name in ("path", "flows", "remaining")]
        self._changed_path, self._changed_flows = memoryview(fields[0]), memoryview(fields[1])
        self._changed_remaining: Any = memoryview(fields[2])


def _grown(records: Records, length: int) -> Records:
    if length <= len(records):
        return records
    grown = np.zeros(max(length, 2 * len(records)), records.dtype)
    grown[: len(records)] = records
    return grown


@compiled
def _settle(
    links: Records,
    paths: Records,
    hops: Records,
    lists: Records,
    counts: NDArray[np.int64],
    changes: Records,
    num: int,
    now: float,
) -> float:
    state = State(links, paths, hops, lists, counts)  # to hand it over whole would take Python three times as long
    for index in range(num):
        change = changes[index]
        path = paths[change.path]
        if change.flows != path.flows:
            _recount(state, change.path, change.flows)
        path.rate = 0.0
        path.remaining = change.remaining
        path.since = now
        _note_moved(state, change.path)
    _relax(state)
    for index in range(counts[NUM_MOVED]):
        _retime(state, lists[index].moved, now)
    counts[NUM_MOVED] = 0
    return paths[lists[0].heap_path].finish if counts[NUM_ALARMS] else INFINITY


@compiled
def _due(
    links: Records, paths: Records, hops: Records, lists: Records, counts: NDArray[np.int64], limit: float
) -> int:
    """Take the paths that end by `limit` off the heap and leave their numbers in `lists.moved`."""
    state = State(links, paths, hops, lists, counts)
    num = 0
    while counts[NUM_ALARMS] and paths[lists[0].heap_path].finish <= limit:
        path = lists[0].heap_path
        paths[path].finish = INFINITY
        _remove_alarm(state, path)
        lists[num].moved = path
        num += 1
    return num


@compiled
def _recount(state: State, index: int, flows: int) -> None:
    links, paths, hops = state.links, state.paths, state.hops
    path = paths[index]
    for hop in range(path.begin, path.end):
        link = links[hops[hop].link]
        link.flows += flows - path.flows
        if flows == 0:
            _unlink(link, hops, hop)
        elif path.flows == 0:
            _append(link, hops, hop)
        if flows > path.flows or link.level < INFINITY:
            _make_stale(state, hops[hop].link)
    path.flows = flows
    path.load = flows * path.weight
    if flows == 0 and path.place != NONE:
        _remove_alarm(state, index)
    path.level, path.spare, path.bottleneck = _limits(state, path)


@compiled
def _append(link: Any, hops: Records, hop: int) -> None:
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
def _unlink(link: Any, hops: Records, hop: int) -> None:
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
def _relax(state: State) -> None:
    links, hops, counts = state.links, state.hops, state.counts
    last = counts[EVALUATIONS] + MAX_EVALUATIONS_PER_LINK * len(links)
    while counts[NUM_STALE]:
        index = _pop_stale(state)
        counts[EVALUATIONS] += 1
        assert counts[EVALUATIONS] <= last, "max-min update does not converge"
        link = links[index]
        level, old = _level(state, index), link.level
        if level != old and abs(level - old) > LEVEL_TOLERANCE * min(level, old):
            link.level = level
            hop = link.first_hop
            while hop != NONE:
                _reconsider(state, hops[hop].path, index)
                hop = hops[hop].after


@compiled
def _level(state: State, index: int) -> float:
    paths, hops, lists = state.paths, state.hops, state.lists
    link = state.links[index]
    num = 0
    hop = link.first_hop
    while hop != NONE:
        path = paths[hops[hop].path]
        lists[num].offer = path.spare if path.bottleneck == index else path.level
        lists[num].load = path.load
        num += 1
        hop = hops[hop].after
    level = 0.0
    while True:
        room, load = link.capacity, 0.0
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
def _reconsider(state: State, index: int, moved: int) -> None:
    links, paths, hops = state.links, state.paths, state.hops
    path = paths[index]
    old, old_spare, old_bottleneck = path.level, path.spare, path.bottleneck
    level, spare, bottleneck = _limits(state, path)
    if level != old:
        _note_moved(state, index)
    elif spare == old_spare and bottleneck == old_bottleneck:
        return
    path.level, path.spare, path.bottleneck = level, spare, bottleneck
    for hop in range(path.begin, path.end):
        at = hops[hop].link
        if not links[at].is_stale and at != moved:
            before = old_spare if at == old_bottleneck else old
            after = spare if at == bottleneck else level
            if before != after and (before < links[at].level or after < links[at].level):
                _make_stale(state, at)


@compiled
def _limits(state: State, path: Any) -> tuple[float, float, int]:
    links, hops = state.links, state.hops
    level, spare, bottleneck = path.cap, INFINITY, NONE
    for hop in range(path.begin, path.end):
        offer = links[hops[hop].link].level
        if offer < level:
            level, spare, bottleneck = offer, level, hops[hop].link
        elif offer < spare:
            spare = offer
    return level, spare, bottleneck


@compiled
def _note_moved(state: State, index: int) -> None:
    paths, lists, counts = state.paths, state.lists, state.counts
    if not paths[index].is_moved:
        paths[index].is_moved = 1
        lists[counts[NUM_MOVED]].moved = index
        counts[NUM_MOVED] += 1


@compiled
def _retime(state: State, index: int, now: float) -> None:
    paths, lists, counts = state.paths, state.lists, state.counts
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
    _sift_alarm(state, path.place)


@compiled
def _make_stale(state: State, index: int) -> None:
    """Push onto the heap of stale links, ordered by capacity per flow, then position."""
    links, counts = state.links, state.counts
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
def _pop_stale(state: State) -> int:
    links, counts = state.links, state.counts
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
def _remove_alarm(state: State, index: int) -> None:
    paths, lists, counts = state.paths, state.lists, state.counts
    place = paths[index].place
    paths[index].place = NONE
    counts[NUM_ALARMS] -= 1
    last = lists[counts[NUM_ALARMS]].heap_path
    if last != index:
        lists[place].heap_path = last
        paths[last].place = place
        _sift_alarm(state, place)


@compiled
def _sift_alarm(state: State, place: int) -> None:
    """Move an entry of the heap of ends up or down to where it belongs."""
    paths, lists, counts = state.paths, state.lists, state.counts
    index = lists[place].heap_path
    finish = paths[index].finish
    while place > 0 and finish < paths[lists[(place - 1) >> 1].heap_path].finish:
        _put_alarm(state, place, lists[(place - 1) >> 1].heap_path)
        place = (place - 1) >> 1
    num = counts[NUM_ALARMS]
    while 2 * place + 1 < num:
        below = 2 * place + 1
        if below + 1 < num and paths[lists[below + 1].heap_path].finish < paths[lists[below].heap_path].finish:
            below += 1
        if finish <= paths[lists[below].heap_path].finish:
            break
        _put_alarm(state, place, lists[below].heap_path)
        place = below
    _put_alarm(state, place, index)


@compiled
def _put_alarm(state: State, place: int, index: int) -> None:
    paths, lists = state.paths, state.lists
    lists[place].heap_path = index
    paths[index].place = place
