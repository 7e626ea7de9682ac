"""Rings of segments: gloo's loop written down once more, beside the formula and beside messages over a network."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import networkx as nx
import pytest

from schedules.platform.protocols.lateness import LEAST_NS, late
from schedules.platform.protocols.segments import BEGINNING, DRAWS, Ring, RingWay, all_reduce_ring, ring_ends_ns
from simulator.collectives.segments import SegmentRing
from simulator.network.calls import CallClock
from simulator.network.network import Network
from tests.simulator.collectives.collective_rig import fabric
from topologies import link_table, routes

B, L, C = 1e8, 1e-3, 0.2e-3
"""Bytes/s, seconds, and the mean lateness of a thread."""
CASES = [(2, 840_000), (3, 1_000_003), (4, 40 << 20), (8, 3_000_001), (5, 17)]


class Replay:
    """gloo's `ring` of every member, thread by thread: a NIC that sends in the order in which it is given messages,
    announcements among them, and a thread that waits for receive and send of two turns ago."""

    def __init__(self, ring: Ring, bandwidth: float, latency: float, overhead: float, draw: int) -> None:
        self.ring, self.latency = ring, round(latency * 1e9)
        self.bandwidth, self.overhead, self.draw = bandwidth, overhead, draw
        self.queue: list[tuple[int, int, Callable[[int], None]]] = []
        self.order = itertools.count()
        n = ring.n
        self.nic, self.asked, self.sent, self.posted = ([0] * n for _ in range(4))
        self.ready: list[set[int]] = [set() for _ in range(n)]
        self.turn, self.ends, self.begun = [0] * n, [0] * n, [False] * n
        turns = []
        for phase in range(ring.phases):
            first = phase * ring.steps
            for i in range(ring.steps + 2):
                turns.append((first + i - 2 if i >= 2 else None, first + i if i < ring.steps else None))
        self.turns = turns

    def run(self) -> list[int]:
        for member in range(self.ring.n):
            lateness = round(self.overhead * 1e9 * late(DRAWS, self.ring.n, BEGINNING)[self.draw, member])
            self.at(lateness, partial(self.begin, member))
        while self.queue:
            now, _, call = heapq.heappop(self.queue)
            call(now)
        return self.ends

    def at(self, tick: int, call: Callable[[int], None]) -> None:
        heapq.heappush(self.queue, (tick, next(self.order), call))

    def begin(self, member: int, now: int) -> None:
        self.begun[member] = True
        self.go_on(member, now)

    def go_on(self, member: int, now: int) -> None:
        while self.begun[member] and self.turn[member] < len(self.turns):
            awaited, number = self.turns[self.turn[member]]
            if awaited is not None and (awaited not in self.ready[member] or self.sent[member] <= awaited):
                return
            self.turn[member] += 1
            self.ends[member] = now
            if number is not None:
                self.at(max(now, self.nic[member]) + self.latency, partial(self.ask, (member + 1) % self.ring.n))
                self.posted[member] += 1
                self.flush(member, now)

    def ask(self, member: int, now: int) -> None:
        self.asked[member] += 1
        self.flush(member, now)
        self.go_on(member, now)

    def flush(self, member: int, now: int) -> None:
        while self.sent[member] < min(self.posted[member], self.asked[member]):
            number = self.sent[member]
            self.sent[member] += 1
            wire = round(self.ring.bytes_of(member, number) * 1e9 / self.bandwidth)
            self.nic[member] = max(self.nic[member], now) + wire
            target = (member - 1) % self.ring.n
            lateness = round(self.overhead * 1e9 * late(DRAWS, self.ring.n, number)[self.draw, target])
            self.at(self.nic[member] + self.latency + lateness + int(LEAST_NS), partial(self.notice, target, number))

    def notice(self, member: int, number: int, now: int) -> None:
        self.ready[member].add(number)
        self.go_on(member, now)


class Wires:
    """A network for `SegmentRing`: hosts on a switch, or a link for every pair."""

    def __init__(self, graph: nx.Graph[Any] | None, n: int) -> None:
        self.clock = CallClock()
        pairs = list(itertools.permutations(range(n), 2))
        links = dict.fromkeys(pairs, (B, L)) if graph is None else link_table(graph)
        ways = {pair: [pair] for pair in pairs} if graph is None else routes(graph, pairs)
        self.network = Network(links, self.clock.call_at)
        self.ways = {pair: self.network.route(ids) for pair, ids in ways.items()}
        self.queues: dict[tuple[int, int], list[Callable[[], None]]] = {pair: [] for pair in pairs}
        self.began_at: dict[int, int] = {}

    def send(self, source: int, target: int, size: int, now: int, done: Callable[[int], None]) -> None:
        """Messages of a pair go one behind the other; a latency passes while the one before is sending."""
        queue, way = self.queues[source, target], self.ways[source, target]

        def begin() -> None:
            at = self.clock.now
            self.network.start(way, size, at, arrive, max(at, now + way.latency))

        def arrive() -> None:
            queue.pop(0)
            if queue:
                queue[0]()
            done(self.clock.now)

        queue.append(begin)
        if len(queue) == 1:
            begin()

    def latency(self, source: int, target: int) -> int:
        return self.ways[source, target].latency

    def shares_interface(self, source: int, one: int, other: int) -> bool:
        return not set(self.ways[source, one].links).isdisjoint(self.ways[source, other].links)

    def began(self, member: int, now: int) -> None:
        self.began_at[member] = now

    def ended(self, member: int, now: int) -> None:
        assert self.began_at[member] <= now

    def call_at(self, at: int, call: Callable[[], object]) -> None:
        self.clock.call_at(at, call)


def ends(
    ring: Ring,
    graph: nx.Graph[Any] | None,
    *,
    overhead: float = C,
    draw: int = 0,
    arrivals: Sequence[int] | None = None,
) -> list[int]:
    """When each member is through, message by message."""
    wires, found = Wires(graph, ring.n), [-1] * ring.n

    def finished(member: int, now: int) -> None:
        assert found[member] == -1
        found[member] = now

    made = SegmentRing(ring, wires, finished, overhead_ns=round(overhead * 1e9), draw=draw)
    for member, at in enumerate(arrivals or [0] * ring.n):
        wires.call_at(at, partial(made.arrive, member, at))
    wires.clock.run()
    return found


@pytest.mark.parametrize("overhead", [0.0, C])
@pytest.mark.parametrize(("n", "size"), CASES)
def test_formula_and_messages_are_gloos_loop(n: int, size: int, overhead: float) -> None:
    """To a few nanoseconds, for each draw of lateness."""
    ring = all_reduce_ring(n, size)
    formula = ring_ends_ns(ring, RingWay(B, L, overhead), DRAWS)
    for draw in (0, 5):
        replayed = Replay(ring, B, L, overhead, draw).run()
        assert formula[draw] == pytest.approx(replayed, abs=100)
        assert ends(ring, fabric(n, B, L), overhead=overhead, draw=draw) == pytest.approx(replayed, abs=100)


@pytest.mark.parametrize(("n", "size"), CASES)
def test_on_links_of_their_own_announcements_queue_behind_nothing_but_for_two(n: int, size: int) -> None:
    ring = all_reduce_ring(n, size)
    formula = ring_ends_ns(ring, RingWay(B, L, C, has_one_interface=False), DRAWS)
    assert ends(ring, None, draw=3) == pytest.approx(formula[3], abs=100)


def test_a_late_member_holds_up_everybody() -> None:
    """Nobody has the sum before what the late one has for it has gone around twice but for two hops, each at least
    L + s; and others have announced themselves meanwhile, so that it is sooner than if all were late."""
    ring, delay, hop = all_reduce_ring(4, 80_000), 5_000_000, round((L + 10_000 / B) * 1e9)
    on_time = max(ends(ring, fabric(4, B, L), overhead=0.0))
    found = ends(ring, fabric(4, B, L), overhead=0.0, arrivals=[0, 0, delay, 0])
    assert delay + 3 * hop <= min(found)
    assert delay + 6 * hop <= max(found) <= delay + on_time + hop


def test_who_arrives_twice_is_refused() -> None:
    made = SegmentRing(all_reduce_ring(2, 8), Wires(None, 2), lambda member, now: None, overhead_ns=0)
    made.arrive(1, 0)
    with pytest.raises(ValueError, match="member 1: expected to arrive once"):
        made.arrive(1, 0)


def test_alone_one_is_through_at_once() -> None:
    found: list[tuple[int, int]] = []
    made = SegmentRing(all_reduce_ring(1, 8), Wires(None, 1), lambda *end: found.append(end), overhead_ns=0)
    made.arrive(0, 17)
    assert found == [(0, 17)]
