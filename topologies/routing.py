"""Laying a communication graph over a physical network: which links a message from worker i to worker j crosses."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, TypeAlias
from zlib import crc32

import networkx as nx

from topologies.checks import one_of
from topologies.physical import Link, N, Node, check_network, places

Pair: TypeAlias = tuple[int, int]
Neighbours: TypeAlias = list[list[tuple[int, int]]]

TIES = ("smallest", "ecmp")


def routes(
    network: nx.Graph[N],
    pairs: Iterable[Pair],
    *,
    placement: Sequence[Node] | None = None,
    given: Mapping[Pair, Sequence[Node]] | None = None,
    ties: str = "smallest",
) -> dict[Pair, list[Link]]:
    """The links, in order, that a message crosses from worker i to worker j, for every ordered pair (i, j).

    The fewest links win, then the smallest sum of latencies (compared to the picosecond), then

    * ties="smallest": the smallest sequence of nodes, in the order of the graph;
    * ties="ecmp": a node is chosen at every fork by a hash of (source, target, node), as equal-cost multi-path
      routing in real switches does: flows are spread over the network, and some collide.

    Neither depends on PYTHONHASHSEED. The graph of a gossip schedule needs both directions of each of its edges.

    Args:
        network: see `topologies.physical`.
        pairs: ordered pairs of two different workers.
        placement: the node of every worker; left out, worker i is on the i-th GPU or, without GPUs, host. Several
            workers may share a node: the route between them is empty.
        given: routes to take as they are, as sequences of nodes from i's node to j's, for some of the pairs.
        ties: "smallest" or "ecmp".
    Returns:
        (i, j) -> link ids, keys of `link_table(network)`; a half-duplex link has one id for both directions.
    Raises:
        ValueError: if there is no route, a worker has no place, or a given route does not follow links.

    Example: on dedicated links, `routes(network, [(0, 1)])` is `{(0, 1): [(0, 1)]}`.
    """
    return Router(network, placement=placement, given=given, ties=ties).find(pairs)


class Router:
    """`routes` for whoever asks again and again: the network is checked once. Arguments and errors are its."""

    def __init__(
        self,
        network: nx.Graph[Any],
        *,
        placement: Sequence[Node] | None = None,
        given: Mapping[Pair, Sequence[Node]] | None = None,
        ties: str = "smallest",
    ) -> None:
        check_network(network)
        one_of("ties", ties, TIES)
        self._network = network
        self._spots = _placed(network, placement)
        self._given = {} if given is None else dict(given)
        self._ties = ties
        self._links = _link_ids(network)
        self._nodes = list(network)
        self._index = {node: i for i, node in enumerate(self._nodes)}
        self._neighbours = _neighbours(network, self._index)

    def find(self, pairs: Iterable[Pair]) -> dict[Pair, list[Link]]:
        """The links of each pair, as `routes` gives them."""
        wanted = list(dict.fromkeys(pairs))
        for pair in wanted:
            _check_pair(pair, len(self._spots))
        paths = {
            pair: _given_path(self._network, self._spots, pair, self._given[pair])
            for pair in wanted
            if pair in self._given
        }
        paths |= self._shortest([pair for pair in wanted if pair not in paths])
        return {pair: [self._links[step] for step in pairwise(paths[pair])] for pair in wanted}

    def _shortest(self, pairs: list[Pair]) -> dict[Pair, list[Node]]:
        nodes, index, spots = self._nodes, self._index, self._spots
        by_source: dict[int, list[Pair]] = {}  # one search finds all routes from a place
        for pair in pairs:
            by_source.setdefault(index[spots[pair[0]]], []).append(pair)
        paths: dict[Pair, list[Node]] = {}
        for source, here in by_source.items():
            targets = {pair: index[spots[pair[1]]] for pair in here}
            before = _search(self._neighbours, source, set(targets.values()))
            for pair, target in targets.items():
                if target not in before:
                    ends = f"from {nodes[source]!r} to {nodes[target]!r}"
                    raise ValueError(f"pair {pair}: expected a connected network, found no route {ends}")
                paths[pair] = [nodes[i] for i in _walk(before, source, target, self._ties)]
        return paths


def _placed(network: nx.Graph[N], placement: Sequence[Node] | None) -> list[Node]:
    spots = places(network) if placement is None else list(placement)
    missing = next((spot for spot in spots if spot not in network), None)
    if missing is not None:
        raise ValueError(f"placement: expected nodes of the network, found {missing!r}")
    return spots


def _check_pair(pair: Pair, workers: int) -> None:
    if pair[0] == pair[1]:
        raise ValueError(f"pair {pair}: expected two different workers, found the same")
    if not all(0 <= worker < workers for worker in pair):
        raise ValueError(f"pair {pair}: expected workers 0..{workers - 1}, the places that the network has")


def _given_path(network: nx.Graph[Any], spots: list[Node], pair: Pair, path: Sequence[Node]) -> list[Node]:
    ends = [spots[pair[0]], spots[pair[1]]]
    if [*path[:1], *path[-1:]] != ends:
        raise ValueError(f"route of {pair}: expected it to lead from {ends[0]!r} to {ends[1]!r}, found {list(path)!r}")
    for u, v in pairwise(path):
        if not network.has_edge(u, v):
            raise ValueError(f"route of {pair}: expected links of the network, found ({u!r}, {v!r})")
    return list(path)


def _neighbours(network: nx.Graph[N], index: Mapping[Node, int]) -> Neighbours:
    """For every node its (neighbour, latency in picoseconds): whole numbers, so that equal sums are equal."""
    return [[(index[v], round(data["latency"] * 1e12)) for v, data in network.adj[u].items()] for u in network]


def _search(neighbours: Neighbours, source: int, targets: set[int]) -> dict[int, list[int]]:
    """Best predecessors of every node reached, breadth first, until all targets are reached.

    A level is kept in the order of its nodes' smallest best paths, so the first predecessor is on the smallest path.
    """
    before: dict[int, list[int]] = {source: []}
    latency = {source: 0}
    level, missing = [source], targets - {source}  # workers of one node cross nothing
    while level and missing:
        found: dict[int, list[int]] = {}
        for u in level:
            for v, step in neighbours[u]:
                if v in before:
                    continue
                through = latency[u] + step
                if v not in found or through < latency[v]:
                    found[v], latency[v] = [u], through
                elif through == latency[v]:
                    found[v].append(u)
        place = {u: k for k, u in enumerate(level)}
        level = sorted(found, key=lambda v: (place[found[v][0]], v))
        before |= found  # only now: until then others of this level may be predecessors, too
        missing -= found.keys()
    return before


def _walk(before: dict[int, list[int]], source: int, target: int, ties: str) -> list[int]:
    path = [target]
    while path[-1] != source:
        forks = before[path[-1]]  # backwards, so a fork is where routes come together
        # Python's own hash of a text is another one in each process.
        choice = crc32(f"{source} {target} {path[-1]}".encode()) % len(forks) if ties == "ecmp" else 0
        path.append(forks[choice])
    return path[::-1]


def _link_ids(network: nx.Graph[N]) -> dict[Link, Link]:
    """The link id of every step (u, v); networkx lists an edge with the end that is first in the graph first."""
    ids: dict[Link, Link] = {}
    for u, v, data in network.edges(data=True):
        ids[u, v] = (u, v)
        ids[v, u] = (u, v) if data.get("duplex", "full") == "half" else (v, u)
    return ids
