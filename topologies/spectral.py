"""The expected Laplacian of a gossip network and the two numbers that govern its speed, chi_1 and chi_2."""

from __future__ import annotations

from collections import OrderedDict
from functools import cached_property
from math import sqrt
from typing import Final

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from topologies.checks import communication_graph, numbered_graph, real_number
from topologies.elimination import Elimination
from topologies.parts import worst

MOST_DENSE: Final = 1024
"""Up to so many workers matrices are dense."""

Array = NDArray[np.float64]
Edges = tuple[NDArray[np.intp], NDArray[np.intp], Array]


def laplacian(graph: nx.Graph[int]) -> Array:
    """Lambda = sum over edges (i, j) of lambda_ij (e_i - e_j)(e_i - e_j)^T, the expected Laplacian per unit time.

    Its diagonal is each worker's rate; half its trace is the number of exchanges per unit time in the network.

    Args:
        graph: nodes 0..n-1, edge attribute `rate` = lambda_ij >= 0 (see `with_rates`).
    Returns:
        float64 [n, n], symmetric, in exchanges per unit time; row and column i belong to worker i.
    Raises:
        ValueError: if the nodes are not 0..n-1, or a rate is missing, negative or not finite.
    Source: A²CiD² (arXiv:2306.08289), section 3.
    """
    numbered_graph(graph)
    return laplacian_of_edges(len(graph), edge_rates(graph))


def chi_1(graph: nx.Graph[int]) -> float:
    """chi_1 = 1 / lambda_2(Lambda), the inverse of the smallest positive eigenvalue: the slowest mode of consensus.

    Returns:
        in units of time (gradient times when rates are per gradient time); of a graph that varies, the largest of its
        parts; 0 for one worker, who agrees with itself.
    Raises:
        ValueError: if the graph is disconnected (edges of rate 0 do not connect), or a rate is impossible.
    Source: A²CiD² (arXiv:2306.08289); `AdelNabli/ACiD` `compute_algebraic_connectivity`.

    Example: `chi_1(with_rates(ring(n)))` is 1 / (1 - cos(2 pi / n)).
    """
    return worst(lambda part: _kept(part).chi_1, graph)


def chi_2(graph: nx.Graph[int]) -> float:
    """chi_2 = (1/2) max over edges of R_ij, half the largest effective resistance; always at most chi_1.

    Returns:
        in units of time (gradient times when rates are per gradient time); of a graph that varies, the largest of its
        parts, which need not be that of the largest chi_1; 0 for one worker.
    Raises:
        ValueError: if the graph is disconnected (edges of rate 0 do not connect), or a rate is impossible.
    Source: A²CiD² (arXiv:2306.08289); `AdelNabli/ACiD` `compute_graph_resistance`.

    Example: (n - 1) / n on every edge-transitive graph with uniform rates and one exchange per worker and unit time.
    """
    # The half is the official code's; one worker has no edge.
    return worst(lambda part: float(_kept(part).resistances.max(initial=0.0)) / 2, graph)


def effective_resistances(graph: nx.Graph[int]) -> dict[tuple[int, int], float]:
    """R_ij = (e_i - e_j)^T Lambda^+ (e_i - e_j) for every edge of positive rate, without the factor 1/2 of chi_2.

    Foster's theorem: sum of lambda_ij R_ij = n - 1.

    Returns:
        (i, j) with i < j -> R_ij, in units of time.
    Raises:
        ValueError: if the graph is disconnected (edges of rate 0 do not connect), or a rate is impossible.
    Source: Klein & Randic 1993; Foster 1949.
    """
    found = _kept(graph)
    i, j, _ = found.edges
    return dict(zip(zip(i.tolist(), j.tolist(), strict=True), found.resistances.tolist(), strict=True))


def a2cid2_parameters(chi_1: float, chi_2: float) -> tuple[float, float]:
    """Momentum rate eta and step alpha_tilde of accelerated gossip.

    eta = 1 / (2 sqrt(chi_1 chi_2)),  alpha_tilde = sqrt(chi_1 / chi_2) / 2.

    Args:
        chi_1: inverse of the Laplacian's smallest positive eigenvalue, in gradient times.
        chi_2: half the largest effective resistance over the edges, in gradient times.
    Returns:
        eta in 1/gradient time; alpha_tilde without unit. Where chi_1 = chi_2 (complete graph) alpha_tilde is 1/2 and
        nothing is accelerated. Where both are 0, of one worker, eta is 0: x and x~ are the same.
    Raises:
        ValueError: if either is not positive (the graph is disconnected or has no rate).
    Source: A²CiD² (arXiv:2306.08289), Prop. 3.6.
    """
    if chi_1 == chi_2 == 0:
        return 0.0, 0.5
    slowest = real_number("chi_1", chi_1, 0, strictly=True)
    largest = real_number("chi_2", chi_2, 0, strictly=True)
    return 1 / (2 * sqrt(slowest * largest)), sqrt(slowest / largest) / 2


class _Spectrum:
    """Of one network, each number worked out when it is first asked for: densely, or of a large network sparsely."""

    def __init__(self, workers: int, edges: Edges) -> None:
        self.edges = edges
        self._workers = workers

    @cached_property
    def chi_1(self) -> float:
        i, j, rates = self.edges
        if not len(rates):  # one worker, who agrees with itself
            return 0.0
        mode = self._slowest_mode()
        mode -= mode.mean()  # what rounding left of the constant mode has length but no differences
        # The Rayleigh quotient of the computed mode, as a sum of positive terms: a small eigenvalue keeps its digits.
        return float(mode @ mode / (rates * (mode[i] - mode[j]) ** 2).sum())

    @cached_property
    def resistances(self) -> Array:
        i, j, rates = self.edges
        if not len(rates):
            return rates
        if self._workers > MOST_DENSE:
            return self._elimination.resistances(i, j)
        # The inverse of the grounded Laplacian rather than pinv, which may fail to cut the zero mode; its constant part
        # drops out of the differences.
        inverse = np.linalg.inv(grounded(laplacian_of_edges(self._workers, self.edges)))
        return on_edges(np.asarray(inverse, dtype=np.float64), i, j)

    @cached_property
    def _elimination(self) -> Elimination:
        return Elimination(self._workers, *self.edges)

    def _slowest_mode(self) -> Array:
        if self._workers > MOST_DENSE:
            return self._elimination.slowest_mode()
        # Eigenvalues ascend, and grounding has moved the constant mode's behind lambda_2: the first is the one.
        modes: Array = np.linalg.eigh(grounded(laplacian_of_edges(self._workers, self.edges)))[1]
        return modes[:, 0]


_RECENT: OrderedDict[tuple[int, bytes], _Spectrum] = OrderedDict()
"""Every worker of a run asks for the numbers of the same network; by its edges and rates, as a graph may be changed."""


def _kept(graph: nx.Graph[int]) -> _Spectrum:
    """The network's numbers, kept for those who ask next."""
    edges = active_edges(graph)
    key = len(graph), b"".join(each.tobytes() for each in edges)
    found = _RECENT.pop(key, None) or _Spectrum(len(graph), edges)
    _RECENT[key] = found
    # A graph that varies may have fifty parts; what is kept of a large network is large.
    while len(_RECENT) > (64 if len(graph) <= MOST_DENSE else 8):
        _RECENT.popitem(last=False)
    return found


def edge_rates(graph: nx.Graph[int]) -> Edges:
    """The edges as arrays: ends i < j, intp [E] each, and rates lambda_ij, float64 [E], sorted by (i, j).

    Raises:
        ValueError: if a rate is missing, negative or not finite.
    """
    # Sorted, as sums of floats depend on the order: equal graphs must have equal numbers to the last digit.
    rows = sorted((min(u, v), max(u, v), _rate(u, v, data)) for u, v, data in graph.edges(data=True))
    ends = np.array([row[:2] for row in rows], dtype=np.intp).reshape(-1, 2)  # also without edges
    return ends[:, 0], ends[:, 1], np.array([row[2] for row in rows], dtype=np.float64)


def active_edges(graph: nx.Graph[int]) -> Edges:
    """`edge_rates` of the edges that tick (positive rate), which must connect all workers.

    Raises:
        ValueError: if they do not, or the nodes are not 0..n-1, or a rate is impossible.
    """
    numbered_graph(graph)
    i, j, rates = edge_rates(graph)
    i, j, rates = i[rates > 0], j[rates > 0], rates[rates > 0]
    active: nx.Graph[int] = nx.empty_graph(len(graph))
    active.add_edges_from(zip(i.tolist(), j.tolist(), strict=True))
    communication_graph(active)
    return i, j, rates


def laplacian_of_edges(workers: int, edges: Edges) -> Array:
    """Lambda, float64 [n, n], from arrays of ends and rates."""
    i, j, rates = edges
    matrix = np.zeros((workers, workers))
    np.add.at(matrix, (i, j), -rates)
    matrix += matrix.T
    matrix[np.diag_indices(workers)] = -matrix.sum(axis=1)
    return matrix


def grounded(matrix: Array) -> Array:
    """Lambda + s 11^T / n: the zero mode is moved to s, twice the mean positive eigenvalue, so above lambda_2.

    Scaled like the rates, so that the inverse is as well conditioned for tiny or huge rates.
    """
    workers = len(matrix)
    grounding: Array = matrix + 2 * np.trace(matrix) / (workers - 1) / workers
    return grounding


def on_edges(matrix: Array, i: NDArray[np.intp], j: NDArray[np.intp]) -> Array:
    """(e_i - e_j)^T M (e_i - e_j) of a symmetric M for every edge: float64 [E]."""
    diagonal = np.diagonal(matrix)
    values: Array = diagonal[i] + diagonal[j] - 2 * matrix[i, j]
    return values


def _rate(u: int, v: int, data: dict[str, object]) -> float:
    if "rate" not in data:
        raise ValueError(f"edge ({u}, {v}): expected a rate, found none; with_rates(graph) gives every edge one")
    return real_number(f"rate of edge ({u}, {v})", data["rate"], 0, unit="exchanges per unit time")
