"""A graph that changes with time, as one networkx graph: the union of its parts, which it carries.

Who asks the union for its edges has all that there ever are, with their mean rates over the cycle; who knows of parts
asks for these. So whatever is handed a graph may be handed one that varies.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import TypeVar

import networkx as nx

Made = TypeVar("Made")

VARYING = ("parts", "period", "count")
"""Attributes of the union; the first can stand in no file."""


def parts(graph: nx.Graph[int]) -> tuple[nx.Graph[int], ...]:
    """The graphs that it is in turn; of one that does not vary, itself."""
    found: tuple[nx.Graph[int], ...] = graph.graph.get("parts", (graph,))
    return found


def is_varying(graph: nx.Graph[int]) -> bool:
    """Whether it changes with time (it may be a cycle of a single graph)."""
    return "parts" in graph.graph


def union(graphs: Sequence[nx.Graph[int]], period: float) -> nx.Graph[int]:
    """All edges of the graphs, each with the numbers of its `graphs`, as text, and its mean `rate` over the cycle.

    Args:
        graphs: of the same workers; where they have no rates yet, neither has the union.
        period: for how long each is there, in the unit of time of the rates.
    Returns:
        a new graph, whose attributes are its `parts`, `period` and `count`; of its nodes' attributes it has what all
        parts say alike.
    """
    joined: nx.Graph[int] = nx.empty_graph(len(graphs[0]))
    for node, data in graphs[0].nodes(data=True):
        joined.nodes[node].update({key: each for key, each in data.items() if _is_common(graphs, node, key, each)})
    found: dict[tuple[int, int], dict[int, float | None]] = defaultdict(dict)
    for number, graph in enumerate(graphs):
        for u, v, data in graph.edges(data=True):
            found[min(u, v), max(u, v)][number] = data.get("rate")
    for edge, rates in sorted(found.items()):
        joined.add_edge(*edge, graphs=" ".join(map(str, rates)))
        known = [rate for rate in rates.values() if rate is not None]
        if len(known) == len(rates):
            joined.edges[edge]["rate"] = sum(known) / len(graphs)
    families = dict.fromkeys(str(graph.graph.get("family", "")) for graph in graphs)
    family = f"time-varying {' '.join(families)}".strip()
    joined.graph.update(parts=tuple(graphs), period=period, count=len(graphs), family=family)
    return joined


def in_each(change: Callable[[nx.Graph[int]], nx.Graph[int]], graph: nx.Graph[int]) -> nx.Graph[int]:
    """What a change of rates makes of a graph: of one that varies, the union of its changed parts.

    Raises:
        ValueError: what the change raises; of one that varies, with the number of the part.
    """
    if not is_varying(graph):
        return change(graph)
    return union([of_part(change, part, number) for number, part in enumerate(parts(graph))], graph.graph["period"])


def worst(number_of: Callable[[nx.Graph[int]], float], graph: nx.Graph[int]) -> float:
    """The largest of a number over the parts.

    Raises:
        ValueError: as `in_each`.
    """
    if not is_varying(graph):
        return number_of(graph)
    return max(of_part(number_of, part, number) for number, part in enumerate(parts(graph)))


def of_part(function: Callable[[nx.Graph[int]], Made], part: nx.Graph[int], number: int) -> Made:
    """What a function makes of a part; what it raises is told with the part's number.

    Raises:
        ValueError: see there.
    """
    try:
        return function(part)
    except ValueError as error:
        raise ValueError(f"graph {number}: {error}") from error


def _is_common(graphs: Sequence[nx.Graph[int]], node: int, key: str, value: object) -> bool:
    return all(key in graph.nodes[node] and graph.nodes[node][key] == value for graph in graphs)
