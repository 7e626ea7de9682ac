"""The numbers of one graph or network."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import permutations

import networkx as nx

import topologies
from schedules.platform.tables import NetworkTable
from schedules.scenario.refusals import validated
from schedules.scenario.tables import TopologyTable
from topologies import chi_1, chi_2, with_rates
from topologies.checks import AnyGraph
from topologies.described import described
from topologies.files import parse, text_of
from topologies.given import Lacking, graph_of, has_kinds, network_of, varying_of, with_rates_of
from topologies.parts import is_varying, parts
from topologies.physical import places
from topologies.rates import communication_cost, optimal_rates, spread

Numbers = dict[str, int | float | str]
"""Names of numbers, and the numbers; a range is text."""

CYCLE = ("count", "period")
"""Options of graphs that change with time, which are no family's."""

MAX_ROUTED = 64
"""Routes are counted between so many workers at most: there are n (n - 1) of them."""

MAX_OPTIMISED = 200
"""Optimal rates of so many edges at most are found unasked: their time goes as the cube."""


def build_graph(name: str, workers: int, options: Mapping[str, object], *, rate: float, weights: str) -> nx.Graph[int]:
    """A communication graph with its rates; with the options `count` and `period`, one that changes with time.

    Raises:
        ValueError: for an unknown name or option, or an impossible size or value.
    """
    of_family = {key: value for key, value in options.items() if key not in CYCLE}
    table = validated(TopologyTable, {**options, "graph": name, "workers": workers}, "topologies")
    graph = described(workers, graph=name, options=of_family, count=table.count, period=table.period)
    return spread(graph, rate, weights)


def graphs_in(files: Sequence[str], rate: float, weights: str, options: Mapping[str, object]) -> nx.Graph[int]:
    """The graph that changes from file to file, with its rates; its `period` is an option.

    Raises:
        ValueError: if a file cannot be read or is no such graph, or has other workers than the first.
    """
    paths = list(files)
    table = validated(TopologyTable, {**options, "file": paths, "workers": 1}, "topologies")
    graph = varying_of([text_of(each) for each in paths], paths, table.period)
    return with_rates_of(graph, paths, rate, weights)


def build_network(name: str, workers: int, options: Mapping[str, object]) -> nx.Graph[int]:
    """A physical network; the graph that `dedicated` needs is named by its option `graph`.

    Raises:
        ValueError: for an unknown name or option, or an impossible size or value.
    """
    graph = options.get("graph")
    given = {**options, "graph": topologies.build(graph, workers)} if isinstance(graph, str) else options
    return topologies.build_network(name, workers, **given)


def is_network(file: str) -> bool:
    """Whether the nodes of a file say what they are.

    Raises:
        ValueError: if it cannot be read.
    """
    return has_kinds(parse(text_of(file), file))


def graph_in(file: str, rate: float, weights: str) -> tuple[nx.Graph[int], Numbers]:
    """The communication graph in a file with its rates, by the edges' own weights where they have some.

    Raises:
        ValueError: if the file cannot be read or is no such graph, or a rate is impossible.
    """
    graph = graph_of(text_of(file), file)
    rated = with_rates_of(graph, file, rate, weights)
    return rated, {**graph_facts(rated), "graph": file}


def network_in(file: str, options: Mapping[str, object]) -> tuple[AnyGraph, Numbers]:
    """The physical network in a file, with what it lacks from the options bandwidth, latency and kind.

    Raises:
        ValueError: if the file cannot be read, or something is lacking or impossible.
    """
    table = validated(NetworkTable, {**options, "file": file}, file)
    network = network_of(text_of(file), file, Lacking(kind=table.kind, **(table.model_extra or {})))
    links = {
        f"{key} of a link ({unit})": _range([data[key] for *_, data in network.edges(data=True)])
        for key, unit in (("bandwidth", "bytes/s"), ("latency", "s"))
        if network.number_of_edges()
    }
    return network, {**network_facts(network), "network": file, **links}


def facts_of(graph: nx.Graph[int], weights: str) -> Numbers:
    """The numbers of a communication graph with its rates, whether it changes with time or not."""
    return varying_facts(graph, weights) if is_varying(graph) else graph_facts(graph)


def varying_facts(graph: nx.Graph[int], weights: str) -> Numbers:
    """Of a graph that changes with time: how many, for how long each, what all are like, and the separate maxima of chi
    with the number of the graph that has each."""
    every = parts(graph)
    chis = {name: list(map(number, every)) for name, number in (("chi_1", chi_1), ("chi_2", chi_2))}
    worst = {name: max(values) for name, values in chis.items()}
    eta, alpha_tilde = topologies.a2cid2_parameters(worst["chi_1"], worst["chi_2"])
    uniform = with_rates(graph)
    cost = communication_cost(graph)
    gain = communication_cost(uniform) / cost if cost else 1.0  # a single worker's is 0
    return {
        "graph": graph.graph["family"],
        "workers": len(graph),
        "graphs": len(every),
        "period": graph.graph["period"],
        "edges": _range([part.number_of_edges() for part in every]),
        "edges of all": graph.number_of_edges(),
        "degree": _range([degree for part in every for _, degree in part.degree]),
        "diameter": _range([nx.diameter(part) for part in every]),
        **worst,
        **{f"graph of {name}": values.index(worst[name]) for name, values in chis.items()},
        "eta": eta,
        "alpha_tilde": alpha_tilde,
        **({"gain": gain} if weights == "optimal" else {}),
    }


def graph_facts(graph: nx.Graph[int]) -> Numbers:
    """Size, degrees, diameter, and what governs gossip on it: chi_1, chi_2, and A²CiD²'s eta and alpha_tilde."""
    degrees = [degree for _, degree in graph.degree]
    chi_1, chi_2 = topologies.chi_1(graph), topologies.chi_2(graph)
    eta, alpha_tilde = topologies.a2cid2_parameters(chi_1, chi_2)
    return {
        "graph": graph.graph.get("family", ""),
        "workers": len(graph),
        "edges": graph.number_of_edges(),
        "degree": _range(degrees),
        "diameter": nx.diameter(graph),
        "chi_1": chi_1,
        "chi_2": chi_2,
        "eta": eta,
        "alpha_tilde": alpha_tilde,
        **_gain(graph),
    }


def _gain(graph: nx.Graph[int]) -> Numbers:
    """What the best edge rates are worth: how many times their sum uniform rates need for the same chi_1 chi_2.

    Told where they were asked for (with both sums), or are quickly known.
    """
    told: Numbers = {key: graph.graph[key] for key in ("sum_of_rates", "uniform_sum") if key in graph.graph}
    if not told and graph.number_of_edges() > MAX_OPTIMISED:
        return {}
    best = graph.graph if told else optimal_rates(graph).graph
    return {**told, "gain": best["uniform_sum"] / best["sum_of_rates"] if best["sum_of_rates"] else 1.0}


def network_facts(network: AnyGraph) -> Numbers:
    """How many nodes of each kind, links, and how many links a message crosses."""
    kinds = Counter(data["kind"] for _, data in network.nodes(data=True))
    routed = min(len(places(network)), MAX_ROUTED)
    hops = [len(route) for route in topologies.routes(network, permutations(range(routed), 2)).values()]
    return {
        "network": network.graph.get("family", ""),
        **{kind if kind == "switch" and number == 1 else PLURALS[kind]: number for kind, number in kinds.items()},
        "links": network.number_of_edges(),
        **({"links of a route": _range(hops)} if hops else {}),  # a single host sends to nobody
    }


PLURALS = {"host": "hosts", "nic": "NICs", "switch": "switches", "gpu": "GPUs"}


def _range(numbers: Sequence[float]) -> float | str:
    low, high = min(numbers), max(numbers)
    return low if low == high else f"{low:g} to {high:g}"
