"""Optimal edge rates: the fewest exchanges per unit time that decentralised optimisation needs on a given graph.

Decentralised asynchronous optimisation (DADAO) runs at full speed while 2 chi_1 chi_2 <= 1. With R_ij the effective
resistances, 2 chi_2 = max R_ij, so the rates that need the fewest exchanges solve one convex problem in lambda and l:

    minimise sum lambda_ij  such that  lambda_2(Lambda) >= l,  R_ij <= l on every edge,  lambda_ij >= 0.

R_ij is convex in lambda, as R_ij = max over x of (x_i - x_j)^2 / x^T Lambda x, and lambda_2 is concave: a semidefinite
programme. Since Lambda -> c Lambda divides both chi by c, its value is the least of the scale-free

    J(lambda) = sum lambda_ij sqrt(2 chi_1 chi_2),

whose logarithm is convex where the sum is one. So a subgradient gives a lower bound on every other choice of rates.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, sqrt

import networkx as nx
import numpy as np

from topologies.checks import one_of, real_number
from topologies.conventions import CONVENTIONS, has_weights, with_own_rates, with_rates
from topologies.parts import in_each
from topologies.semidefinite import central_path
from topologies.spectral import Array, Edges, active_edges, chi_1, chi_2, grounded, laplacian_of_edges, on_edges

WAYS = (*CONVENTIONS, "optimal")
"""How rates are spread over the edges."""
PRECISION = 5e-6
"""Of J, relative to its lower bound."""


def communication_cost(graph: nx.Graph[int]) -> float:
    """J = sum lambda_ij sqrt(2 chi_1 chi_2): exchanges per unit time once the rates are scaled to 2 chi_1 chi_2 = 1.

    It does not depend on the scale of the rates. With uniform rates it is DADAO's lambda_mix. Of a graph that varies,
    the sum is the mean over its parts, and chi_1 and chi_2 are the largest of each.

    Raises:
        ValueError: if the graph is disconnected or a rate is impossible.
    Source: DADAO (arXiv:2208.00779), `AdelNabli/DADAO` `run_optimizers.py`: lambda_mix = sqrt(2 chi_1 chi_2) of L/|E|.

    Example: n - 1 on the star of n, (n - 1) / sqrt(2) on the complete graph.
    """
    return float(active_edges(graph)[2].sum()) * sqrt(2 * chi_1(graph) * chi_2(graph))


def sufficient_rates(graph: nx.Graph[int]) -> nx.Graph[int]:
    """Copy of the graph, its rates scaled by one factor (in all its parts) to 2 chi_1 chi_2 = 1; they then sum to J.

    Raises:
        ValueError: if the graph is disconnected or a rate is impossible.
    Source: DADAO (arXiv:2208.00779), `AdelNabli/DADAO` `run_optimizers.py`.
    """
    return _scaled_to(graph, communication_cost(graph))  # chi_1 chi_2 falls with the square of the scale


def sufficient_rate(graph: nx.Graph[int]) -> float:
    """2 J / n: exchanges per worker and unit time with which 2 chi_1 chi_2 = 1, spread as the graph's rates are.

    Raises:
        ValueError: if the graph is disconnected or a rate is impossible.
    Source: DADAO (arXiv:2208.00779), `AdelNabli/DADAO` `run_optimizers.py`: lambda_mix = J with uniform rates.

    Example: 2 (n - 1) / n on the star of n.
    """
    return 2 * communication_cost(graph) / len(graph)


@dataclass(frozen=True, slots=True)
class Optimum:
    """Rates that minimise J, and a proof of how close: no rates on these edges have a J below the bound."""

    graph: nx.Graph[int]
    cost: float
    lower_bound: float


def optimal_rates(graph: nx.Graph[int], per_worker: float | None = None) -> nx.Graph[int]:
    """Copy of the graph whose edge rates minimise sum lambda_ij subject to 2 chi_1 chi_2 <= 1.

    On edge-transitive graphs these are the uniform rates; a bottleneck edge gets a larger one. Edges that the optimum
    does not use keep a rate close to zero, and R_ij counts on them too.

    Args:
        graph: connected, nodes 0..n-1; rates that it already carries are ignored. Of one that varies, each part gets
            the best of its own, and the union has none of the attributes below.
        per_worker: r; if given, the rates are scaled to sum lambda_ij = n r / 2, the best use of that budget.
    Returns:
        a new graph with the edge attribute `rate`, and of its own `chi_1`, `chi_2`, `sum_of_rates`, and `uniform_sum`,
        the sum that uniform rates need for the same chi_1 chi_2. The sum is within 1e-5 of the least.
    Raises:
        ValueError: if the graph is disconnected, or r is not positive.
    Source: the edge rates that one version of the DADAO abstract (arXiv:2208.00779) finds by an SDP; equivalent
        convex problem, reconstructed (gossip.md, section 6.6).

    Example: on a barbell of two cliques of 8, J falls from 126.1 (uniform rates) to 32.9.
    """
    return in_each(lambda part: _optimal_rates(part, per_worker), graph)


def _optimal_rates(graph: nx.Graph[int], per_worker: float | None) -> nx.Graph[int]:
    optimum, total = optimise(graph), None
    if per_worker is not None:
        rate = real_number("per_worker", per_worker, 0, strictly=True, unit="exchanges per worker and unit time")
        total = len(graph) * rate / 2
    rated = _scaled_to(optimum.graph, optimum.cost if total is None else total)
    sum_of_rates = float(active_edges(rated)[2].sum())
    uniform_sum = sum_of_rates * communication_cost(with_rates(graph)) / (optimum.cost or 1.0)
    rated.graph.update(
        chi_1=chi_1(rated), chi_2=chi_2(rated), sum_of_rates=sum_of_rates, uniform_sum=float(uniform_sum)
    )
    return rated


def spread(
    graph: nx.Graph[int], per_worker: float = 1.0, weights: str = "uniform", *, own: bool = False
) -> nx.Graph[int]:
    """Copy of the graph whose edges carry rates that sum to n r / 2, by a convention or at their best.

    Args:
        graph: connected, nodes 0..n-1; of one that varies, each part gets rates of its own with that sum.
        per_worker: r, positive, in exchanges per gradient time.
        weights: "uniform" or "neighbour" (`with_rates`), or "optimal" (`optimal_rates`).
        own: whether the graph's own weights count, where it has some (`with_own_rates`); not for "optimal".
    Raises:
        ValueError: if the graph is disconnected, or a rate or the word is impossible.
    """
    if one_of("weights", weights, WAYS) == "optimal" and len(graph) > 1:
        return optimal_rates(graph, per_worker)
    convention = weights if weights in CONVENTIONS else CONVENTIONS[0]
    # Part by part, as each file of a list may have weights or none.
    return in_each(
        lambda part: (with_own_rates if own and has_weights(part) else with_rates)(part, per_worker, convention), graph
    )


def optimise(graph: nx.Graph[int]) -> Optimum:
    """Minimise J over the edge rates, and prove how close the result is.

    By an interior point: its dual variables are the weights of a linearisation that is below log J everywhere.

    Args:
        graph: connected, nodes 0..n-1; rates that it already carries are ignored.
    Returns:
        the best rates found (they are uniform if nothing is better), their J, and a lower bound of J.
    Raises:
        ValueError: if the graph is disconnected.
    """
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    with threadpool_limits(1):  # the matrices are small: on busy cores BLAS's threads would mostly wait for each other
        return _optimum(graph)


def _optimum(graph: nx.Graph[int]) -> Optimum:
    uniform = with_rates(graph)
    if len(graph) == 1:
        return Optimum(uniform, 0.0, 0.0)
    edges, cost = active_edges(uniform), communication_cost(uniform)
    bound = _bound(len(graph), edges, *_extremes(len(graph), edges))
    if cost <= bound * (1 + 1e-9):  # as on an edge-transitive graph, which so keeps exactly uniform rates
        return Optimum(uniform, cost, bound)
    best = uniform
    for point in central_path(len(graph), edges):
        found = (*edges[:2], point.rates)
        # Each bound holds by itself, so the highest counts.
        bound = max(bound, _bound(len(graph), found, point.modes, point.weights))
        # To seven digits, so that machines whose rounding differs draw the same clocks.
        digits = np.array([float(f"{rate:.7g}") for rate in point.rates])
        shape = _with_edge_rates(graph, (*edges[:2], digits))
        if (shaped := communication_cost(shape)) < cost * (1 - 1e-9):
            best, cost = shape, shaped
        if cost <= bound * (1 + PRECISION):
            break
    return Optimum(best, cost, bound)


def _extremes(workers: int, edges: Edges) -> tuple[Array, Array]:
    """The projector on the slowest modes, [n, n], and weights of the edges with the largest resistance, [E]."""
    values, modes = np.linalg.eigh(grounded(laplacian_of_edges(workers, edges)))
    slowest = modes[:, values <= values[0] * (1 + 1e-9)]
    resistances = on_edges((modes / values) @ modes.T, *edges[:2])
    return slowest @ slowest.T, np.asarray(resistances >= resistances.max() * (1 - 1e-9), dtype=np.float64)


def _bound(workers: int, edges: Edges, modes: Array, weights: Array) -> float:
    """Lower bound of J over all rates, from some rates, any weights of modes and any weights of edges.

    With M a matrix of trace 1 without negative eigenvalues that leaves the constant mode out, lambda_2 <= <M, Lambda>,
    and with weights p that sum to one max R_ij >= exp sum p_ij log R_ij. So 2 log J is at least
    -log <M, Lambda> + sum p_ij log R_ij, which is convex: at least its linearisation at the rates that are given.

    Args:
        workers: n.
        edges: of rates of any scale.
        modes: float64 [n, n], M times a number.
        weights: float64 [E], p times a number.
    """
    i, j, rates = edges
    share = rates / rates.sum()
    matrix, far = modes / np.trace(modes), weights / weights.sum()
    inverse = np.asarray(np.linalg.inv(grounded(laplacian_of_edges(workers, (i, j, share)))), dtype=np.float64)
    resistances, slow = on_edges(inverse, i, j), on_edges(matrix, i, j)
    # By an edge's rate: d <M, Lambda> = b^T M b, and d Lambda^+ = -Lambda^+ b b^T Lambda^+.
    pulled = inverse @ laplacian_of_edges(workers, (i, j, far / resistances)) @ inverse
    slope = -slow / (slow @ share) - on_edges(pulled, i, j)
    value = -np.log(slow @ share) + far @ np.log(resistances)
    # What is linear is smallest at a corner of the simplex of rates: hence the smallest derivative.
    return exp((value + slope.min() - slope @ share) / 2)


def _scaled_to(graph: nx.Graph[int], total: float) -> nx.Graph[int]:
    rates = active_edges(graph)[2]
    factor = total / rates.sum() if len(rates) else 1.0
    return in_each(lambda part: _scaled_by(part, factor), graph)


def _scaled_by(graph: nx.Graph[int], factor: float) -> nx.Graph[int]:
    i, j, rates = active_edges(graph)
    return _with_edge_rates(graph, (i, j, rates * factor))


def _with_edge_rates(graph: nx.Graph[int], edges: Edges) -> nx.Graph[int]:
    rated = graph.copy()
    for u, v, rate in zip(*(column.tolist() for column in edges), strict=True):
        rated.edges[u, v]["rate"] = rate
    return rated
