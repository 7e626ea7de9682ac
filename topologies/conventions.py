"""Rates of pairwise exchanges on the edges, from the rate of one worker, by two conventions; and by own weights."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import networkx as nx

from topologies.checks import communication_graph, connected, one_of, real_number, whole_number
from topologies.parts import in_each, is_varying

CONVENTIONS = ("uniform", "neighbour")

WEIGHTS = ("weight", "rate")
"""Edge attributes that say how often an edge is used beside the others; the first that a graph has counts."""

WIDEST = 1e9
"""The largest weight over the least that is not 0: beyond, the graph's numbers are lost in rounding."""


def with_rates(graph: nx.Graph[int], per_worker: float = 1.0, convention: str = "uniform") -> nx.Graph[int]:
    """Copy of the graph whose edges carry `rate` = lambda_ij, the expected exchanges on (i, j) per unit time.

    With r exchanges per worker and unit time (one exchange counts once at each end), both conventions have
    sum of lambda_ij = n r / 2:

    * "uniform": lambda_ij = n r / (2 |E|), the same on every edge.
    * "neighbour": the official Lambda = r (I - W), W_ij = m_ij / d_i, with m_ij the number of times that j is in i's
      neighbour list (edge attribute `multiplicity`, 1 if absent) and d_i = sum_j m_ij; so lambda_ij = r m_ij / d for
      lists of equal length. For lists of unequal length W is not symmetric, and its symmetric part is taken:
      lambda_ij = (r / 2) m_ij (1/d_i + 1/d_j), that is: each worker picks a partner from its list at rate r / 2.
      The sum is still n r / 2, but a worker of high degree exchanges more often than r.

    Args:
        graph: connected, nodes 0..n-1; rates that it already carries are replaced. Of one that varies, each part gets
            rates of its own, whose sum is n r / 2.
        per_worker: r, in exchanges per gradient time (or whatever the unit of time is); positive.
        convention: "uniform" or "neighbour".
    Returns:
        a new graph; node, edge and graph attributes are kept.
    Raises:
        ValueError: if the graph is disconnected or not numbered 0..n-1, or r or the convention is impossible.
    Source: A²CiD² (arXiv:2306.08289) and `AdelNabli/ACiD` `compute_laplacian`; the symmetric part is ours.

    Example: every edge of `with_rates(ring(16))` has rate 0.5.
    """
    return in_each(lambda part: _with_rates(part, per_worker, convention), graph)


def _with_rates(graph: nx.Graph[int], per_worker: float, convention: str) -> nx.Graph[int]:
    communication_graph(graph)
    rate = real_number("per_worker", per_worker, 0, strictly=True, unit="exchanges per worker and unit time")
    rated = graph.copy()  # with attributes of its own: the graph handed in keeps its rates
    if one_of("convention", convention, CONVENTIONS) == "uniform":
        # A single worker has no edge.
        rates = dict.fromkeys(rated.edges, len(rated) * rate / (2 * max(1, rated.number_of_edges())))
    else:
        rates = _neighbour_rates(rated, rate)
    nx.set_edge_attributes(rated, rates, "rate")
    return rated


def _neighbour_rates(graph: nx.Graph[int], rate: float) -> dict[tuple[int, int], float]:
    multiplicity = {
        (u, v): whole_number(f"multiplicity of edge ({u}, {v})", data.get("multiplicity", 1), 1)
        for u, v, data in graph.edges(data=True)
    }
    degree = dict.fromkeys(graph, 0)
    for (u, v), times in multiplicity.items():
        degree[u] += times
        degree[v] += times
    return {(u, v): rate * times * (1 / degree[u] + 1 / degree[v]) / 2 for (u, v), times in multiplicity.items()}


def has_weights(graph: nx.Graph[int]) -> bool:
    """Whether a graph's edges, or some of them, say how often they are used."""
    return any(key in data for *_, data in graph.edges(data=True) for key in WEIGHTS)


def with_own_rates(graph: nx.Graph[int], per_worker: float = 1.0, convention: str = "uniform") -> nx.Graph[int]:
    """`with_rates` of a graph whose edges have weights: w_ij is the edge's `weight` or, where none has any, its `rate`.

    * "uniform": lambda_ij = n r w_ij / (2 sum w), so a weight of 2 is twice as often;
    * "neighbour": lambda_ij = (r / 2) w_ij (1/d_i + 1/d_j), d_i = sum_j w_ij: each worker picks its partners so.

    The sum is n r / 2 either way. An edge of weight 0 is never used.

    Args:
        graph: as for `with_rates`.
        per_worker: r, positive.
        convention: "uniform" or "neighbour".
    Raises:
        ValueError: as `with_rates`; also if an edge has no weight or a negative one, or those above 0 do not connect.

    Example: weights 1 and 3 on the path of three give the uniform rates 3/8 and 9/8.
    """
    return in_each(lambda part: _with_own_rates(part, per_worker, convention), graph)


def _with_own_rates(graph: nx.Graph[int], per_worker: float, convention: str) -> nx.Graph[int]:
    rated = with_rates(graph, per_worker, convention)  # which refuses what is wrong with these
    key = next((each for each in WEIGHTS if any(each in data for *_, data in graph.edges(data=True))), WEIGHTS[0])
    weights = {
        (u, v): real_number(f"{key} of edge ({u}, {v})", data.get(key), 0) for u, v, data in graph.edges(data=True)
    }
    _check_width(weights, key)
    used: nx.Graph[int] = nx.empty_graph(len(graph))
    used.add_weighted_edges_from((*edge, weight) for edge, weight in weights.items() if weight > 0)
    connected(used)
    if convention == "uniform":
        scale = len(graph) * per_worker / (2 * sum(weights.values()))
        rates = {edge: scale * weight for edge, weight in weights.items()}
    else:
        degree = dict(used.degree(weight="weight"))
        rates = {(u, v): per_worker * each * (1 / degree[u] + 1 / degree[v]) / 2 for (u, v), each in weights.items()}
    nx.set_edge_attributes(rated, rates, "rate")
    return rated


def _check_width(weights: Mapping[tuple[int, int], float], key: str) -> None:
    """Of weights that differ by more no spectrum can be worked out."""
    heaviest = max(weights.values(), default=0.0)
    for (u, v), weight in weights.items():
        if 0 < weight < heaviest / WIDEST:
            told = f"expected 0, or at least {1 / WIDEST:g} of the largest ({heaviest:g})"
            raise ValueError(f"{key} of edge ({u}, {v}): {told}, found {weight:g}")


def with_counted_rates(graph: nx.Graph[int], counted: Iterable[Sequence[float]]) -> nx.Graph[int]:
    """Copy of the graph whose edges carry the rates that were counted on them, and 0 where none was.

    Args:
        counted: (i, j, lambda_ij), in exchanges per unit time.
    Raises:
        ValueError: if one is of no edge, an edge has two, one is below 1e-9 of the largest, those above 0 do not
            connect all workers, or the graph varies: its parts have rates of their own.

    Example: `with_counted_rates(path(3), [(0, 1, 0.4), (1, 2, 0.6)])` has these two rates.
    """
    if is_varying(graph):
        raise ValueError("expected a graph that stays the same for rates that were counted, found one that varies")
    rated = graph.copy()
    nx.set_edge_attributes(rated, dict.fromkeys(rated.edges, 0.0), "rate")
    seen: set[frozenset[int]] = set()
    for first, second, rate in counted:
        i, j = int(first), int(second)
        if (i, j) != (first, second) or not rated.has_edge(i, j):
            raise ValueError(f"expected rates of edges of the graph, found one of {first:g} and {second:g}")
        if frozenset((i, j)) in seen:
            raise ValueError(f"expected one rate of each edge, found two of {i} and {j}")
        seen.add(frozenset((i, j)))
        rated.edges[i, j]["rate"] = real_number(f"rate of edge ({i}, {j})", rate, 0, unit="exchanges per unit time")
    _check_width({(i, j): data["rate"] for i, j, data in rated.edges(data=True)}, "rate")
    used: nx.Graph[int] = nx.empty_graph(len(rated))
    used.add_edges_from((u, v) for u, v, data in rated.edges(data=True) if data["rate"] > 0)
    connected(used)
    return rated
