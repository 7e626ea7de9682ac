"""Physical networks with one network port a worker: direct links, one switch, racks, fat tree, dragonfly, torus.

Bandwidths are in bytes/s and latencies in seconds, both of one link: through one switch a message pays two latencies.
The defaults, 10 Gbit/s and 50 us, are an illustration, not a measurement.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from math import prod

import networkx as nx

from topologies.checks import communication_graph, whole_number
from topologies.graphs import sides
from topologies.parts import VARYING
from topologies.physical import Wire, add_node, connect, end_points, wire

TEN_GIGABIT = 1.25e9
FIFTY_MICROSECONDS = 50e-6


def dedicated(
    workers: int,
    *,
    graph: nx.Graph[int],
    bandwidth: float = TEN_GIGABIT,
    latency: float = FIFTY_MICROSECONDS,
    duplex: str = "full",
) -> nx.Graph[int]:
    """One link of its own for every edge of the communication graph, and nothing else.

    Edges of `graph` that carry `bandwidth`, `latency` or `duplex` themselves keep them.

    Raises:
        ValueError: if the graph is disconnected or has another number of workers.
    """
    communication_graph(graph)
    if len(graph) != workers:
        raise ValueError(f"graph: expected {workers} workers, found {len(graph)}")
    network = end_points(workers)
    for node, data in graph.nodes(data=True):
        network.nodes[node].update(data)
    # The family becomes "dedicated" (`registry.build_entry`); how to draw it must survive that.
    told = {key: value for key, value in graph.graph.items() if key not in VARYING}  # the wires do not change
    network.graph.update(told, layout=graph.graph.get("family", ""))
    for u, v, data in graph.edges(data=True):
        own = (data.get("bandwidth", bandwidth), data.get("latency", latency), data.get("duplex", duplex))
        connect(network, u, v, wire(*own, prefix=f"link ({u}, {v}): "))
    return network


def fabric(
    workers: int,
    *,
    bandwidth: float = TEN_GIGABIT,
    latency: float = FIFTY_MICROSECONDS,
    duplex: str = "full",
) -> nx.Graph[int]:
    """Full bisection: every host on one ideal switch, so that only the hosts' own NICs limit.

    From host to host: two links, 2 * latency.

    Raises:
        ValueError: if n < 1 or a link is impossible.
    """
    network = end_points(whole_number("workers", workers, 1))
    _attach(network, range(workers), add_node(network, "switch", "switch", 1), wire(bandwidth, latency, duplex))
    return network


def racks(
    workers: int,
    *,
    hosts_per_rack: int = 8,
    bandwidth: float = TEN_GIGABIT,
    latency: float = FIFTY_MICROSECONDS,
    uplink_bandwidth: float | None = None,
    uplink_latency: float | None = None,
    duplex: str = "full",
) -> nx.Graph[int]:
    """Star of racks: hosts on a switch a rack, every rack with one uplink to the core switch.

    Racks are filled in order; the last one may have fewer hosts. Left out, the uplink is like a host's link, so it is
    oversubscribed hosts_per_rack : 1.

    Raises:
        ValueError: if n < 1 or a link is impossible.
    """
    whole_number("workers", workers, 1)
    whole_number("hosts_per_rack", hosts_per_rack, 1)
    own = wire(bandwidth, latency, duplex)
    uplink = _like(own, uplink_bandwidth, uplink_latency, "uplink_")
    network = end_points(workers)
    tops = []
    for rack, first in enumerate(range(0, workers, hosts_per_rack)):
        tops.append(add_node(network, "switch", f"rack {rack}", 1))
        _attach(network, range(first, min(first + hosts_per_rack, workers)), tops[-1], own)
    _attach(network, tops, add_node(network, "switch", "core", 2), uplink)
    return network


def fat_tree(
    workers: int,
    *,
    k: int | None = None,
    bandwidth: float = TEN_GIGABIT,
    latency: float = FIFTY_MICROSECONDS,
    duplex: str = "full",
) -> nx.Graph[int]:
    """Three-level fat tree of k-port switches: room for k^3 / 4 hosts at full bisection bandwidth.

    k pods of k/2 edge and k/2 aggregation switches each, (k/2)^2 core switches; aggregation switch a of every pod
    reaches the core switches a k/2 .. a k/2 + k/2 - 1. Hosts fill the edge switches in order. Left out, k is the
    smallest that has room. Routes are of 2 links (same edge switch), 4 (same pod) or 6; use `ties="ecmp"` in
    `routes`, or all of them climb through the first core switch.

    Raises:
        ValueError: if k is odd or has no room for n hosts.
    Source: Al-Fares, Loukissas & Vahdat, A scalable, commodity data center network architecture, SIGCOMM 2008.
    """
    k = _ports(whole_number("workers", workers, 1), k)
    half, link, network = k // 2, wire(bandwidth, latency, duplex), end_points(workers)
    edges = [add_node(network, "switch", f"pod {e // half} edge {e % half}", 1) for e in range(k * half)]
    tops = [add_node(network, "switch", f"pod {a // half} aggregation {a % half}", 2) for a in range(k * half)]
    cores = [add_node(network, "switch", f"core {c}", 3) for c in range(half * half)]
    for host in range(workers):
        connect(network, host, edges[host // half], link)
    for place, edge in enumerate(edges):
        pod = place // half
        _attach(network, tops[pod * half : (pod + 1) * half], edge, link)
    for place, top in enumerate(tops):
        first = place % half * half
        _attach(network, cores[first : first + half], top, link)
    return network


def dragonfly(
    workers: int,
    *,
    hosts_per_router: int | None = None,
    routers_per_group: int | None = None,
    global_links: int | None = None,
    bandwidth: float = TEN_GIGABIT,
    latency: float = FIFTY_MICROSECONDS,
    global_bandwidth: float | None = None,
    global_latency: float | None = None,
    duplex: str = "full",
) -> nx.Graph[int]:
    """Dragonfly: groups of fully connected routers, and one global link between every two groups.

    With p hosts a router, a routers a group and h global links a router there may be up to a h + 1 groups, and
    p a (a h + 1) hosts. Left out, p = h and a = 2 h (balanced) with the smallest h that has room. Hosts fill the
    routers in order, and there are only as many groups as that takes. A route is of at most 5 links.

    Raises:
        ValueError: if n hosts do not fit, or a link is impossible.
    Source: Kim, Dally, Scott & Abts, Technology-driven, highly-scalable dragonfly topology, ISCA 2008.
    """
    p, a, h = _balanced(whole_number("workers", workers, 1), hosts_per_router, routers_per_group, global_links)
    link = wire(bandwidth, latency, duplex)
    network, groups = end_points(workers), -(-workers // (p * a))
    routers = [add_node(network, "switch", f"group {r // a} router {r % a}", 1) for r in range(groups * a)]
    for host in range(workers):
        connect(network, host, routers[host // p], link)
        network.nodes[host]["group"] = host // (p * a)
    for place, router in enumerate(routers):
        network.nodes[router]["group"] = place // a
        _attach(network, routers[place + 1 : (place // a + 1) * a], router, link)  # each pair once
    # The links of a group to the others are dealt to its routers in turn, h each.
    for one, other in combinations(range(groups), 2):
        # A group skips itself when it counts the others, so for the earlier one the later is one less.
        ends = routers[one * a + (other - 1) // h], routers[other * a + one // h]
        connect(network, *ends, _like(link, global_bandwidth, global_latency, "global_"))
    return network


def torus(
    workers: int,
    *,
    shape: Sequence[int] | None = None,
    bandwidth: float = TEN_GIGABIT,
    latency: float = FIFTY_MICROSECONDS,
    duplex: str = "full",
) -> nx.Graph[int]:
    """2-D or 3-D torus of hosts with direct links: each is joined to the next and the last along every side.

    `shape` is (rows, columns) or (layers, rows, columns), numbered row-major; left out, the most square rectangle. A
    side of 2 has one link, not two. The distance is the sum over the sides s of min(d, s - d).

    Raises:
        ValueError: if the shape does not multiply to n or has not two or three sides.
    Source: Dally & Seitz 1986 (k-ary n-cube).
    """
    layers, rows, columns = _shape(workers, shape)
    network, link = end_points(workers), wire(bandwidth, latency, duplex)
    for host in range(workers):
        layer, row, column = host // (rows * columns), host // columns % rows, host % columns
        after = (
            ((layer + 1) % layers, row, column),
            (layer, (row + 1) % rows, column),
            (layer, row, (column + 1) % columns),
        )
        for z, y, x in after:
            neighbour = (z * rows + y) * columns + x
            # In a side of 1 the next is oneself. In a side of 2 the same link comes twice, which a Graph keeps once.
            if neighbour != host:
                connect(network, host, neighbour, link)
    network.graph.update(layers=layers, rows=rows, columns=columns)
    return network


def _attach(network: nx.Graph[int], nodes: Sequence[int], switch: int, link: Wire) -> None:
    for node in nodes:
        connect(network, node, switch, link)


def _like(link: Wire, bandwidth: float | None, latency: float | None, prefix: str) -> Wire:
    """The same link, with whatever is given in place of its own."""
    own_bandwidth = link.bandwidth if bandwidth is None else bandwidth
    own_latency = link.latency if latency is None else latency
    return wire(own_bandwidth, own_latency, link.duplex, prefix)


def _ports(workers: int, k: int | None) -> int:
    if k is None:
        k = 2
        while k**3 // 4 < workers:  # exact, as k is even
            k += 2
    if whole_number("k", k, 2) % 2:
        raise ValueError(f"k: expected an even number of ports, found {k}")
    if workers > k**3 // 4:
        raise ValueError(f"workers: expected at most k^3 / 4 = {k**3 // 4} hosts, found {workers}")
    return k


def _balanced(workers: int, hosts: int | None, routers: int | None, links: int | None) -> tuple[int, int, int]:
    h = whole_number("global_links", 1 if links is None else links, 1)
    while True:
        p = whole_number("hosts_per_router", h if hosts is None else hosts, 1)
        a = whole_number("routers_per_group", 2 * h if routers is None else routers, 1)
        room = p * a * (a * h + 1)
        if room >= workers:
            return p, a, h
        if links is not None:
            raise ValueError(f"workers: expected at most p a (a h + 1) = {room} hosts, found {workers}")
        h += 1  # there is more room even where p and a are given, so this ends


def _shape(workers: int, shape: Sequence[int] | None) -> tuple[int, int, int]:
    if shape is None:
        return (1, *sides(workers, None, None)) if whole_number("workers", workers, 1) > 1 else (1, 1, 1)
    if isinstance(shape, str) or not isinstance(shape, Sequence) or len(shape) not in (2, 3):  # text is a sequence, too
        raise ValueError(f"shape: expected (rows, columns) or (layers, rows, columns), found {shape!r}")
    # Two sides get a layer before them; of three that layer is cut off again.
    full = [whole_number("shape", side, 1) for side in (1, *shape)[-3:]]
    if prod(full) != workers:
        raise ValueError(f"shape: expected sides that multiply to {workers}, found {' x '.join(map(str, shape))}")
    return full[0], full[1], full[2]
