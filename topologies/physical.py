"""Physical networks: hosts, GPUs, NICs and switches, joined by links with a bandwidth and a latency.

A network is a networkx.Graph. Every node has `kind`, one of KINDS; every edge has `bandwidth` (bytes/s, in each
direction when full duplex), `latency` (seconds, of this one link) and `duplex` ("full", the default: a resource a
direction; or "half": one resource for both). The builders number the end points 0..n-1 and the switches and NICs after
them, and add `label` (text), `level` and `group` (for drawing). Any node forwards, a host on a ring or torus too.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import asdict, dataclass
from typing import TypeAlias, TypeVar

import networkx as nx

from topologies.checks import one_of, real_number, simple_graph

Node: TypeAlias = Hashable
N = TypeVar("N", bound=Hashable)  # whatever the nodes are: a Graph[Node] would not take a Graph[int]
Link: TypeAlias = tuple[Node, Node]

KINDS = ("host", "nic", "switch", "gpu")
DUPLEX = ("full", "half")


@dataclass(frozen=True, slots=True)
class Wire:
    """What one link is made of: bandwidth in bytes/s (> 0), latency in seconds (>= 0), "full" or "half" duplex."""

    bandwidth: float
    latency: float
    duplex: str = "full"


def wire(bandwidth: object, latency: object, duplex: object = "full", prefix: str = "") -> Wire:
    """Return a checked `Wire`; `prefix` is put before the names in errors, as in `uplink_bandwidth`.

    Raises:
        ValueError: if the bandwidth is not above 0, the latency is below 0, or the duplex is something else.
    """
    return Wire(
        real_number(f"{prefix}bandwidth", bandwidth, 0, strictly=True, unit="bytes/s"),
        real_number(f"{prefix}latency", latency, 0, unit="seconds"),
        one_of("duplex", duplex, DUPLEX),  # without the prefix: one option for all links
    )


def end_points(workers: int, kind: str = "host", level: int = 0) -> nx.Graph[int]:
    """Return a network of n unconnected hosts (or GPUs), the nodes 0..n-1."""
    network: nx.Graph[int] = nx.Graph()
    network.add_nodes_from((i, {"kind": kind, "label": f"{kind} {i}", "level": level}) for i in range(workers))
    return network


def add_node(network: nx.Graph[int], kind: str, label: str, level: int) -> int:
    """Add a switch or a NIC under the next free number, and return the number."""
    node = len(network)  # nothing is ever taken out, so this one is free
    network.add_node(node, kind=kind, label=label, level=level)
    return node


def connect(network: nx.Graph[int], u: int, v: int, link: Wire) -> None:
    """Add a link between two nodes."""
    network.add_edge(u, v, **asdict(link))


def check_network(network: nx.Graph[N]) -> None:
    """Check that the nodes have kinds, the links have bandwidths and latencies, and there is an end point.

    Raises:
        ValueError: naming the node or link that is not as it should be.
    """
    simple_graph(network)
    for node, data in network.nodes(data=True):
        one_of(f"kind of node {node!r}", data.get("kind"), KINDS)
    for u, v, data in network.edges(data=True):
        where = f"link ({u!r}, {v!r}): "
        real_number(f"{where}bandwidth", data.get("bandwidth"), 0, strictly=True, unit="bytes/s")
        real_number(f"{where}latency", data.get("latency"), 0, unit="seconds")
        one_of(f"{where}duplex", data.get("duplex", "full"), DUPLEX)
    if not places(network):
        raise ValueError("expected at least one node of kind 'host' or 'gpu', found none")


def places(network: nx.Graph[N]) -> list[Node]:
    """Where workers go: the GPUs in the order of the graph or, where there are none, the hosts."""
    kinds = [(node, data.get("kind")) for node, data in network.nodes(data=True)]
    # Where there are GPUs the hosts around them only forward.
    return [n for n, kind in kinds if kind == "gpu"] or [n for n, kind in kinds if kind == "host"]


def link_table(network: nx.Graph[N]) -> dict[Link, tuple[float, float]]:
    """Every link id with its (bandwidth in bytes/s, latency in seconds), in the order of the graph.

    A full-duplex link is two resources, (u, v) and (v, u), each with the whole bandwidth; a half-duplex link is one,
    (u, v) with u before v in the order of the nodes.

    Raises:
        ValueError: if the network is not as described above.
    """
    check_network(network)
    table: dict[Link, tuple[float, float]] = {}
    for u, v, data in network.edges(data=True):
        table[u, v] = (float(data["bandwidth"]), float(data["latency"]))
        if data.get("duplex", "full") == "full":  # networks from files need not say it
            table[v, u] = table[u, v]
    return table
