"""Optimal edge rates: the fewest exchanges per unit time that decentralised optimisation needs on a given graph.

Decentralised asynchronous optimisation (DADAO) runs at full speed while 2 chi_1 chi_2 <= 1. Since Lambda -> c Lambda
divides both chi by c, the total rate sum lambda_ij that a shape of rates needs is the scale-free

    J(lambda) = sum lambda_ij sqrt(2 chi_1 chi_2).

With sum lambda_ij = 1, log J = (-log lambda_2(Lambda) + max log R_ij) / 2 over the edges, and this is convex in lambda:
-log lambda_2 because lambda_2 is concave, log R_ij because R_ij = max over x of (x_i - x_j)^2 / x^T Lambda x. So a
stationary point is the optimum, and a subgradient gives a lower bound on every other choice of rates.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, log, sqrt

import networkx as nx
import numpy as np

from topologies.checks import real_number
from topologies.conventions import with_rates
from topologies.spectral import Array, Edges, active_edges, chi_1, chi_2, laplacian_of_edges, on_edges

# A p-norm of m numbers is above their maximum by a factor m^(1/p) at most: 0.2 % at the last p with a thousand edges.
SHARPNESS = (4.0, 16.0, 64.0, 256.0, 1024.0, 4096.0)


def communication_cost(graph: nx.Graph[int]) -> float:
    """J = sum lambda_ij sqrt(2 chi_1 chi_2): exchanges per unit time once the rates are scaled to 2 chi_1 chi_2 = 1.

    It does not depend on the scale of the rates. With uniform rates it is DADAO's lambda_mix.

    Raises:
        ValueError: if the graph is disconnected or a rate is impossible.
    Source: DADAO (arXiv:2208.00779), `AdelNabli/DADAO` `run_optimizers.py`: lambda_mix = sqrt(2 chi_1 chi_2) of L/|E|.

    Example: n - 1 on the star of n, (n - 1) / sqrt(2) on the complete graph.
    """
    return float(active_edges(graph)[2].sum()) * sqrt(2 * chi_1(graph) * chi_2(graph))


def sufficient_rates(graph: nx.Graph[int]) -> nx.Graph[int]:
    """Copy of the graph with its rates scaled by one factor to 2 chi_1 chi_2 = 1; they then sum to J.

    Raises:
        ValueError: if the graph is disconnected or a rate is impossible.
    Source: DADAO (arXiv:2208.00779), `AdelNabli/DADAO` `run_optimizers.py`.
    """
    return _scaled_to(graph, communication_cost(graph))  # chi_1 chi_2 falls with the square of the scale


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
        graph: connected, nodes 0..n-1; rates that it already carries are ignored.
        per_worker: r; if given, the rates are scaled to sum lambda_ij = n r / 2, the best use of that budget.
    Returns:
        a new graph with the edge attribute `rate`; its J is within about a thousandth of the optimum.
    Raises:
        ValueError: if the graph is disconnected, or r is not positive.
    Source: the edge rates that one version of the DADAO abstract (arXiv:2208.00779) finds by an SDP; equivalent
        convex problem, reconstructed.

    Example: on a barbell of two cliques of 8, J falls from 126.1 (uniform rates) to 32.9.
    """
    optimum = optimise(graph)
    if per_worker is None:
        return _scaled_to(optimum.graph, optimum.cost)
    rate = real_number("per_worker", per_worker, 0, strictly=True, unit="exchanges per worker and unit time")
    return _scaled_to(optimum.graph, len(graph) * rate / 2)


def optimise(graph: nx.Graph[int]) -> Optimum:
    """Minimise J over the edge rates, and prove how close the result is.

    The two maxima in log J are smoothed by p-norms with rising p, each minimum started from the one before. At each,
    the linearisation of log J is below log J everywhere, so its smallest value is a lower bound.

    Args:
        graph: connected, nodes 0..n-1; rates that it already carries are ignored.
    Returns:
        the best rates found (they sum to one, or are uniform if nothing is better), their J, and a lower bound of J.
    Raises:
        ValueError: if the graph is disconnected.
    """
    best = with_rates(graph)
    cost, lower_bound = communication_cost(best), 0.0
    i, j, rates = active_edges(best)
    for sharpness in SHARPNESS:
        edges = (i, j, _smoothed_optimum(len(graph), (i, j, rates), sharpness))
        rates = edges[2]
        # Each of these bounds holds by itself, so the highest counts.
        lower_bound = max(lower_bound, exp(_linear_bound(len(graph), edges, sharpness)))
        shape = _with_edge_rates(graph, edges)
        found = communication_cost(shape)
        if found < cost * (1 - 1e-9):  # so that an edge-transitive graph keeps exactly uniform rates
            best, cost = shape, found
    return Optimum(best, cost, lower_bound)


@dataclass(frozen=True, slots=True)
class _Smoothed:
    """2 log J, smoothed, and what it was computed from."""

    value: float
    gradient: Array  # float64 [E], with respect to the rates, without the term of the sum
    slowest: float  # the weighted mean eigenvalue, at least lambda_2
    log_resistance: float  # the weighted mean of log R_ij, at most its maximum


def _smoothed(workers: int, edges: Edges, sharpness: float) -> _Smoothed:
    """P-norms in place of the two maxima: log of |1/lambda_k|_p + log of |R_ij|_p, p = sharpness."""
    i, j, _ = edges
    values, modes = _positive_modes(workers, edges)
    inverse = (modes / values) @ modes.T
    resistances = on_edges(inverse, i, j)
    slow, log_chi_1 = _soft_maximum(-np.log(values), sharpness)
    far, log_chi_2 = _soft_maximum(np.log(resistances), sharpness)
    weights = slow / values
    pulled = inverse @ laplacian_of_edges(workers, (i, j, far / resistances)) @ inverse
    # By an edge's rate: d lambda_k = (v_ki - v_kj)^2 and d Lambda^+ = -Lambda^+ (e_i - e_j)(e_i - e_j)^T Lambda^+.
    gradient = -on_edges((modes * weights) @ modes.T, i, j) - on_edges(pulled, i, j)
    slowest = float(1 / weights.sum())
    return _Smoothed(log_chi_1 + log_chi_2, gradient, slowest, float(far @ np.log(resistances)))


def _positive_modes(workers: int, edges: Edges) -> tuple[Array, Array]:
    """The n - 1 positive eigenvalues, float64 [n-1], and their modes, float64 [n, n-1]."""
    matrix = laplacian_of_edges(workers, edges)
    values, modes = np.linalg.eigh(matrix + 2 * np.trace(matrix) / workers)  # the constant mode becomes the largest
    return values[:-1], modes[:, :-1]


def _soft_maximum(logs: Array, sharpness: float) -> tuple[Array, float]:
    """Gradient and value of log (sum exp(p a_k))^(1/p): weights that sum to one, and at least max a_k."""
    powers = np.exp(sharpness * (logs - logs.max()))  # the largest is 1: nothing overflows
    weights: Array = powers / powers.sum()
    return weights, float(logs.max() + log(powers.sum()) / sharpness)


def _smoothed_optimum(workers: int, edges: Edges, sharpness: float) -> Array:
    """The rates, summing to one, that minimise the smoothed log J, started from those of `edges`.

    In the rates themselves, bounded below, and not in their logarithms: there an edge that falls to zero stays there.
    """
    from scipy.optimize import minimize  # here, so that importing topologies stays light

    i, j, start = edges

    def objective(rates: Array) -> tuple[float, Array]:
        smoothed = _smoothed(workers, (i, j, rates), sharpness)
        # 2 log J: with the sum in it the scale is free, so the search needs no constraint.
        return smoothed.value + 2 * log(rates.sum()), smoothed.gradient + 2 / rates.sum()

    # Scaled to a mean rate of one, where the optimiser's tolerances fit.
    found = minimize(
        objective,
        start * len(start) / start.sum(),
        method="L-BFGS-B",
        jac=True,
        bounds=[(1e-6, None)] * len(start),
        options={"ftol": 1e-11, "gtol": 1e-7, "maxcor": 30, "maxiter": 2000, "maxfun": 4000},
    )
    return np.asarray(found.x / found.x.sum(), dtype=np.float64)


def _linear_bound(workers: int, edges: Edges, sharpness: float) -> float:
    """Lower bound of log J from the subgradient at rates that sum to one."""
    at = _smoothed(workers, edges, sharpness)
    # With M = sum over k of slow_k v_k v_k^T / lambda_k: lambda_2(Lambda') <= <M, Lambda'> / tr M for any rates, and
    # <M, Lambda> = 1. What is linear is smallest at a corner of the simplex of rates: hence the smallest derivative.
    descent = float(at.gradient @ edges[2] - at.gradient.min())
    return (-log(at.slowest) + at.log_resistance - descent) / 2


def _scaled_to(graph: nx.Graph[int], total: float) -> nx.Graph[int]:
    i, j, rates = active_edges(graph)
    return _with_edge_rates(graph, (i, j, rates * (total / rates.sum())))


def _with_edge_rates(graph: nx.Graph[int], edges: Edges) -> nx.Graph[int]:
    rated = graph.copy()
    for u, v, rate in zip(*(column.tolist() for column in edges), strict=True):
        rated.edges[u, v]["rate"] = rate
    return rated
