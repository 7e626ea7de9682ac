"""Graphs and networks in files that other tools wrote: what such a file lacks is filled in, and what is double joined.

The files of the Topology Zoo (Knight et al., IEEE JSAC 2011) are of this kind: nodes with a latitude and a longitude,
links without latency, whose speed is told as `LinkSpeedRaw` (bit/s) if at all, and now and then two links between the
same nodes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any, TypeAlias

import networkx as nx

from topologies.checks import communication_graph, one_of, real_number
from topologies.coordinates import light_time, place
from topologies.files import parse
from topologies.graphs import canonical
from topologies.parts import parts, union
from topologies.physical import KINDS, check_network
from topologies.rates import spread
from topologies.varying import fastest_cycle

Join: TypeAlias = Callable[[tuple[Any, Any], list[dict[str, Any]]], dict[str, Any]]
"""What is said of an edge, told several times, as one."""

SPEED = "LinkSpeedRaw"
"""What the Topology Zoo calls the speed of a link, in bit/s."""

COORDINATES = "coordinates"
"""In the place of a latency: that of light between the two ends."""


@dataclass(frozen=True)
class Lacking:
    """What a network's file may lack; what it has itself is kept.

    Attributes:
        bandwidth: of a link, in bytes/s, each way; None: every link must have its own.
        latency: of a link, in seconds; "coordinates": of light from end to end; None: every link must have its own.
        kind: of a node, one of `physical.KINDS`; None: host where no node has any, and something else is given.
    """

    bandwidth: object = None
    latency: object = None
    kind: str | None = None


def graph_of(text: str, path: str | PathLike[str]) -> nx.Graph[int]:
    """The communication graph in the text of a file: nodes 0..n-1, in the order of their numbers.

    Nodes with other names are numbered as the file has them, and keep the name as their `label`. An edge that is there
    m times has `multiplicity` m, and the sum of the weights (or rates).

    Raises:
        ValueError: if it is no connected undirected graph; the file is named.
    """
    try:
        graph = _joined(parse(text, path), _sum_of_weights)
        if any(not isinstance(node, int) for node in graph):
            graph = _numbered(graph)
        communication_graph(graph)
        return canonical(graph)
    except ValueError as error:
        raise _named(error, path) from error


def varying_of(
    texts: Sequence[str], paths: Sequence[str | PathLike[str]], period: float | None = None
) -> nx.Graph[int]:
    """The graph that varies from file to file, in a circle: the union of theirs (`topologies.parts`), without rates.

    Args:
        period: for how long each is there, in gradient times; None: as DADAO has it (`topologies.varying`).
    Raises:
        ValueError: as `graphs_of`.
    """
    graphs = graphs_of(texts, paths)
    return union(graphs, fastest_cycle(graphs) if period is None else period)


def graphs_of(texts: Sequence[str], paths: Sequence[str | PathLike[str]]) -> tuple[nx.Graph[int], ...]:
    """The communication graphs in the texts of several files, of the same workers, each as `graph_of` has one.

    Where the first has names for its nodes, the others must have the same, in any order: worker i is the i-th of the
    first file in all of them.

    Raises:
        ValueError: if one is no such graph, or has other workers than the first; the file is named.
    """
    graphs = [graph_of(text, path) for text, path in zip(texts, paths, strict=True)]
    names = _names(graphs[0])
    return tuple(_with_workers(graph, names, (path, paths[0])) for graph, path in zip(graphs, paths, strict=True))


def _names(graph: nx.Graph[int]) -> list[object]:
    """What the file calls the workers."""
    return [graph.nodes[node].get("label", node) for node in range(len(graph))]


def _with_workers(
    graph: nx.Graph[int], names: Sequence[object], paths: tuple[str | PathLike[str], str | PathLike[str]]
) -> nx.Graph[int]:
    """The graph with its workers numbered as those of the first file are, by their names."""
    (path, first), mine = paths, _names(graph)
    if len(mine) != len(names):
        raise ValueError(f"{path}: expected {len(names)} workers, as {first} has, found {len(mine)}")
    if mine == names:
        return graph
    # Labels may be there beside numbers, and be no names: then only the numbers say who is who.
    if len(set(mine)) < len(mine) or len(set(names)) < len(names):
        return graph
    stranger = next((name for name in mine if name not in set(names)), None)
    if stranger is not None:
        raise ValueError(f"{path}: expected the workers of {first}, found {stranger!r}, who is not there")
    number = {name: node for node, name in enumerate(names)}
    return canonical(nx.relabel_nodes(graph, {node: number[name] for node, name in enumerate(mine)}))


def with_rates_of(
    graph: nx.Graph[int], path: str | Sequence[str], per_worker: float = 1.0, weights: str = "uniform"
) -> nx.Graph[int]:
    """The graph of a file with its rates: by its own weights, where it has any (`topologies.rates.spread`).

    Args:
        path: of the file; of a graph that varies, those of its parts.
    Raises:
        ValueError: as there; the file is named.
    """
    if isinstance(path, str):
        return _with_rates_of(graph, path, per_worker, weights)
    rated = [_with_rates_of(part, file, per_worker, weights) for part, file in zip(parts(graph), path, strict=True)]
    return union(rated, graph.graph["period"])


def _with_rates_of(graph: nx.Graph[int], path: str, per_worker: float, weights: str) -> nx.Graph[int]:
    try:
        return spread(graph, per_worker, weights, own=True)
    except ValueError as error:
        raise _named(error, path) from error


def network_of(text: str, path: str | PathLike[str], lacking: Lacking) -> nx.Graph[Any]:
    """The physical network in the text of a file, with what it lacks filled in.

    Links that are there several times are one with the sum of their bandwidths. `LinkSpeedRaw` of a link, in bit/s,
    is its bandwidth unless it has one in bytes/s.

    Raises:
        ValueError: if something is neither in the file nor in `lacking`, or is impossible; the file is named.
    """
    try:
        graph = parse(text, path)
        _read_speeds(graph)
        if lacking != Lacking():
            _fill_kinds(graph, lacking.kind)
            _fill_links(graph, lacking)
        network = _joined(graph, _trunk)
    except ValueError as error:
        raise _named(error, path) from error
    try:
        check_network(network)
    except ValueError as error:
        hint = "" if lacking != Lacking() else "; what it lacks may be said beside it: bandwidth, latency, kind"
        raise ValueError(f"{error} in {path}{hint}") from error
    return network


def has_kinds(graph: nx.Graph[Any]) -> bool:
    """Whether a file's nodes say what they are, so that it is a physical network."""
    return any("kind" in data for _, data in graph.nodes(data=True))


def _named(error: ValueError, path: str | PathLike[str]) -> ValueError:
    told = str(error)
    return ValueError(told if told.startswith(f"{path}: ") else f"{path}: {told}")


def _numbered(graph: nx.Graph[Any]) -> nx.Graph[int]:
    numbered = nx.relabel_nodes(graph, {node: number for number, node in enumerate(graph)})
    for node, number in zip(graph, numbered, strict=True):
        numbered.nodes[number].setdefault("label", str(node))
    return numbered


# ---- what is lacking


def _fill_kinds(graph: nx.Graph[Any], kind: str | None) -> None:
    if kind is not None:
        one_of("kind", kind, KINDS)
    default = kind if kind is not None or has_kinds(graph) else "host"
    for node, data in graph.nodes(data=True):
        if "kind" not in data:
            if default is None:
                told = (
                    f"expected one of {', '.join(map(repr, KINDS))}, as other nodes have, or one for all that lack it"
                )
                raise ValueError(f"kind of node {node!r}: {told}, found none")
            data["kind"] = default


def _read_speeds(graph: nx.Graph[Any]) -> None:
    """A link without bandwidth has that of its `LinkSpeedRaw`, where it has one."""
    for u, v, data in graph.edges(data=True):
        if SPEED in data and "bandwidth" not in data:
            where = f"link ({u!r}, {v!r}): {SPEED}"
            data["bandwidth"] = real_number(where, data[SPEED], 0, strictly=True, unit="bit/s") / 8


def _fill_links(graph: nx.Graph[Any], lacking: Lacking) -> None:
    if lacking.bandwidth is not None:
        real_number("bandwidth", lacking.bandwidth, 0, strictly=True, unit="bytes/s")
    if lacking.latency is not None and lacking.latency != COORDINATES:
        real_number("latency", lacking.latency, 0, unit="seconds")
    for u, v, data in graph.edges(data=True):
        for key, value in (("bandwidth", lacking.bandwidth), ("latency", lacking.latency)):
            if key not in data:
                if value is None:
                    told = f"expected one in the file, or a {key} for all links that lack it, found none"
                    raise ValueError(f"link ({u!r}, {v!r}): {key}: {told}")
                data[key] = _between(graph, u, v) if value == COORDINATES else value


def _between(graph: nx.Graph[Any], u: object, v: object) -> float:
    """Seconds of light between two nodes."""
    places = []
    for node in (u, v):
        try:
            found = place(graph.nodes[node])
        except ValueError as error:
            raise ValueError(f"node {node!r}: {error}") from None
        if found is None:
            raise ValueError(f"node {node!r}: expected Latitude and Longitude for latency = 'coordinates', found none")
        places.append(found)
    return light_time(*places)


# ---- what is double


def _joined(graph: nx.Graph[Any], join: Join) -> nx.Graph[Any]:
    """A multigraph as a graph: what is said of one edge several times is joined."""
    if not graph.is_multigraph() or graph.is_directed():
        return graph  # a directed one is refused by whoever looks at it
    simple: nx.Graph[Any] = nx.Graph(**graph.graph)
    simple.add_nodes_from(graph.nodes(data=True))
    told: dict[frozenset[Any], list[dict[str, Any]]] = {}
    for u, v, data in graph.edges(data=True):
        told.setdefault(frozenset((u, v)), []).append(data)
        simple.add_edge(u, v)
    for u, v in simple.edges:
        simple.edges[u, v].update(join((u, v), told[frozenset((u, v))]))
    return simple


def _sum_of_weights(edge: tuple[Any, Any], each: list[dict[str, Any]]) -> dict[str, Any]:
    if len(each) == 1:
        return each[0]
    sums = {
        key: sum(real_number(f"{key} of edge {edge}", data[key], 0) for data in each)
        for key in ("weight", "rate")
        if all(key in data for data in each)
    }
    return {**each[0], **sums, "multiplicity": len(each)}


def _trunk(link: tuple[Any, Any], each: list[dict[str, Any]]) -> dict[str, Any]:
    """Parallel links carry what they carry together; they must be alike but for their bandwidths."""
    where = f"link ({link[0]!r}, {link[1]!r}): "
    for key, default in (("latency", None), ("duplex", "full")):
        found = list(dict.fromkeys(data.get(key, default) for data in each))
        if len(found) > 1:
            raise ValueError(f"{where}expected one {key} for the {len(each)} links that are there, found {found}")
    bandwidths = [
        real_number(f"{where}bandwidth", data.get("bandwidth"), 0, strictly=True, unit="bytes/s") for data in each
    ]
    return {**each[0], "bandwidth": sum(bandwidths)}
