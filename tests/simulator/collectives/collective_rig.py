"""Collectives run message by message on a real network, and other ways to work out when they end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import permutations
from typing import Any, NamedTuple

import networkx as nx

from schedules.operations import AllGather, AllReduce, AllToAll, Barrier, Broadcast, Operation, ReduceScatter
from schedules.platform.volumes import ALGORITHMS
from simulator.collectives.lowered import Lowered
from simulator.collectives.rounds import Pattern
from simulator.network.calls import CallClock
from simulator.network.network import Network
from topologies import build_network, link_table, routes

KINDS: dict[str, type[Operation]] = {
    kind.__name__: kind for kind in (AllReduce, ReduceScatter, AllGather, Broadcast, AllToAll, Barrier)
}
EVERY = [(KINDS[kind], algorithm) for kind, algorithms in ALGORITHMS.items() for algorithm in algorithms]
"""Every collective with each of its algorithms."""


class Sent(NamedTuple):
    """A message and when it left."""

    at: int
    source: int
    target: int


class Competitor(NamedTuple):
    """A transfer from host to host that is none of the collective's."""

    source: int
    target: int
    size: float


class Outcome(NamedTuple):
    """When each member was through, in nanoseconds, and all messages in their order."""

    ends: list[int]
    log: list[Sent]


def fabric(n: int, bandwidth: float, latency: float) -> nx.Graph[int]:
    """Hosts on one ideal switch; `latency` is of the way from host to host, half of it on each of its two links."""
    return build_network("fabric", n, bandwidth=bandwidth, latency=latency / 2)


def run(
    network: nx.Graph[Any],
    pattern: Pattern,
    *,
    arrivals: Sequence[int] | None = None,
    slow: Mapping[tuple[Any, Any], float] | None = None,
    competitors: Sequence[Competitor] = (),
    copies: int = 1,
) -> Outcome:
    """Run a collective of the first hosts, or several of the kind at once.

    Args:
        arrivals: when members are there, in ns.
        slow: links with another bandwidth, in bytes/s.
        competitors: other transfers, from the beginning on.
    """
    n = pattern.num_members
    links = link_table(network)
    links |= {link: (bandwidth, links[link][1]) for link, bandwidth in (slow or {}).items()}
    clock = CallClock()
    wires = Network(links, clock.call_at)
    pairs = [*permutations(range(n), 2), *(each[:2] for each in competitors)]
    ways = {pair: wires.route(ids) for pair, ids in routes(network, pairs).items()}
    outcome, through = Outcome([-1] * n, []), Counter[int]()

    def send(source: int, target: int, size: int, now: int, done: Any) -> None:
        assert now == clock.now
        outcome.log.append(Sent(now, source, target))
        wires.start(ways[source, target], size, now, lambda: done(clock.now))

    def finished(member: int, now: int) -> None:
        assert now == clock.now
        through[member] += 1
        outcome.ends[member] = now

    all_lowered = [Lowered(pattern, send, finished) for _ in range(copies)]
    for source, target, size in competitors:
        wires.start(ways[source, target], size, 0, lambda: None)
    for member, at in enumerate(arrivals or [0] * n):
        for lowered in all_lowered:
            clock.call_at(at, partial(lowered.arrive, member, at))
    clock.run()
    assert through == Counter(dict.fromkeys(range(n), copies))
    return outcome


def max_plus(pattern: Pattern, bandwidth: float, latency: float, arrivals: Sequence[float]) -> list[float]:
    """When members are through where no two messages share a link: round by round, the maximum and then the message.

    A second definition of what `Lowered` does, without events; in seconds.
    """
    ready = list(arrivals)
    for number in range(pattern.num_rounds):
        after = list(ready)
        for source in range(pattern.num_members):
            for target, parts in pattern.step(source, number).sends:
                over = max(ready[source], ready[target]) + latency + pattern.size(parts) / bandwidth
                after[source], after[target] = max(after[source], over), max(after[target], over)
        ready = after
    return ready
