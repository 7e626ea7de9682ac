"""The numbers of one graph or network."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from itertools import permutations

import networkx as nx

import topologies
from topologies.physical import places

Numbers = dict[str, int | float | str]
"""Names of numbers, and the numbers; a range is text."""

MAX_ROUTED = 64
"""Routes are counted between so many workers at most: there are n (n - 1) of them."""


def build_graph(name: str, workers: int, options: Mapping[str, object], *, rate: float, weights: str) -> nx.Graph[int]:
    """A communication graph with its rates.

    Raises:
        ValueError: for an unknown name or option, or an impossible size or value.
    """
    return topologies.with_rates(topologies.build(name, workers, **options), rate, weights)


def build_network(name: str, workers: int, options: Mapping[str, object]) -> nx.Graph[int]:
    """A physical network; the graph that `dedicated` needs is named by its option `graph`.

    Raises:
        ValueError: for an unknown name or option, or an impossible size or value.
    """
    graph = options.get("graph")
    given = {**options, "graph": topologies.build(graph, workers)} if isinstance(graph, str) else options
    return topologies.build_network(name, workers, **given)


def graph_facts(graph: nx.Graph[int]) -> Numbers:
    """Size, degrees, diameter, and what governs gossip on it: chi_1, chi_2, and A²CiD²'s eta and alpha_tilde."""
    degrees = [degree for _, degree in graph.degree]
    chi_1, chi_2 = topologies.chi_1(graph), topologies.chi_2(graph)
    eta, alpha_tilde = topologies.a2cid2_parameters(chi_1, chi_2)
    return {
        "graph": graph.graph["family"],
        "workers": len(graph),
        "edges": graph.number_of_edges(),
        "degree": _range(degrees),
        "diameter": nx.diameter(graph),
        "chi_1": chi_1,
        "chi_2": chi_2,
        "eta": eta,
        "alpha_tilde": alpha_tilde,
    }


def network_facts(network: nx.Graph[int]) -> Numbers:
    """How many nodes of each kind, links, and how many links a message crosses."""
    kinds = Counter(data["kind"] for _, data in network.nodes(data=True))
    routed = min(len(places(network)), MAX_ROUTED)
    hops = [len(route) for route in topologies.routes(network, permutations(range(routed), 2)).values()]
    return {
        "network": network.graph["family"],
        **{kind if kind == "switch" and number == 1 else PLURALS[kind]: number for kind, number in kinds.items()},
        "links": network.number_of_edges(),
        "links of a route": _range(hops),
    }


PLURALS = {"host": "hosts", "nic": "NICs", "switch": "switches", "gpu": "GPUs"}


def _range(numbers: list[int]) -> int | str:
    low, high = min(numbers), max(numbers)
    return low if low == high else f"{low} to {high}"
