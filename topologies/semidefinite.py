"""The semidefinite programme of the optimal edge rates, by an interior point and without a solver library.

Over the rates lambda and l, with R_e(lambda) = b^T Lambda^+ b for every edge, b = e_i - e_j, minimise

    t sum lambda - log det (Lambda - l) - sum log (l - R_e) - sum log lambda_e

by Newton's method for growing t. The determinant is that on the vectors whose entries sum to 0. All terms are convex,
and the minima, the central path, lead to the least sum such that lambda_2(Lambda) >= l >= R_e. A step takes time as the
cube of the number of edges, and there are 40 to 100 of them.

Source: Boyd and Vandenberghe 2004, Convex optimization, sections 11.2, 11.3 and 11.6.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import inf

import numpy as np
from numpy.typing import NDArray

from topologies.spectral import Array, Edges, grounded, laplacian_of_edges, on_edges

Ends = tuple[NDArray[np.intp], NDArray[np.intp]]

GROWTH = 20.0
"""Of t from one minimum to the next."""
NUM_POINTS = 9
"""What is left to gain is about the sum of the rates, and shrinks by GROWTH each time, then rounding is left."""
CLOSE = 1e-4
"""To a minimum, in the barrier's value. What a point says of the dual is a bound however close it is."""


@dataclass(frozen=True, slots=True)
class Point:
    """A point near the central path, with what it says of the dual.

    Attributes:
        rates: float64 [E], feasible.
        modes: float64 [n, n], (Lambda - l)^-1 on the vectors whose entries sum to 0: the dual of lambda_2 >= l.
        weights: float64 [E], 1 / (l - R_e): the dual of R_e <= l.
    """

    rates: Array
    modes: Array
    weights: Array


def central_path(workers: int, edges: Edges) -> Iterator[Point]:
    """Points on the central path, each closer to the optimum, from the rates that are given.

    Args:
        workers: n.
        edges: ends and positive rates of a connected graph, of any scale.
    """
    ends, place = edges[:2], _feasible(workers, edges)
    strength = (workers + 2 * len(edges[2])) / place[:-1].sum()
    for _ in range(NUM_POINTS):
        place = _minimum(workers, ends, place, strength)
        modes, inverse = _inverses(workers, ends, place)
        yield Point(place[:-1], modes - modes.mean(), 1 / (place[-1] - on_edges(inverse, *ends)))
        strength *= GROWTH


def _feasible(workers: int, edges: Edges) -> Array:
    """The rates scaled so that all R_e < l < lambda_2, and l: float64 [E + 1]."""
    i, j, rates = edges
    matrix = grounded(laplacian_of_edges(workers, edges))
    slowest = np.linalg.eigvalsh(matrix)[0]
    largest = on_edges(np.asarray(np.linalg.inv(matrix), dtype=np.float64), i, j).max()
    # R_e / lambda_2 falls with the square of a scale of the rates; the means of both ends stay where they are.
    place: Array = np.append(1.5 * np.sqrt(largest / slowest) * rates, np.sqrt(largest * slowest))
    return place


def _minimum(workers: int, ends: Ends, place: Array, strength: float) -> Array:
    """The minimum of the barrier, by Newton's method with damped steps."""
    value = _barrier(workers, ends, place, strength)
    for _ in range(200):
        gradient, hessian = _derivatives(workers, ends, place, strength)
        direction = -np.linalg.solve(hessian, gradient)
        slope = float(gradient @ direction)
        step = 1.0
        while (tried := _barrier(workers, ends, place + step * direction, strength)) > value + 0.1 * step * slope:
            step /= 2
            if step < 1e-9:  # rounding hides what is left of the descent
                return place
        place, value = place + step * direction, tried
        if -slope < CLOSE:
            break
    return place


def _barrier(workers: int, ends: Ends, place: Array, strength: float) -> float:
    """What is minimised; infinite outside."""
    rates, level = place[:-1], place[-1]
    if rates.min() <= 0:
        return inf
    matrix, raised = _matrices(workers, ends, place)
    slack = level - on_edges(np.asarray(np.linalg.inv(matrix), dtype=np.float64), *ends)
    if slack.min() <= 0:
        return inf
    try:
        triangle = np.linalg.cholesky(raised)
    except np.linalg.LinAlgError:
        return inf
    constant = np.log(raised.sum() / workers)  # the eigenvalue of the constant mode
    return float(
        strength * rates.sum()
        - (2 * np.log(np.diagonal(triangle)).sum() - constant)
        - np.log(slack).sum()
        - np.log(rates).sum()
    )


def _derivatives(workers: int, ends: Ends, place: Array, strength: float) -> tuple[Array, Array]:
    """Gradient, float64 [E + 1], and Hessian, [E + 1, E + 1], of the barrier."""
    rates, level = place[:-1], place[-1]
    modes, inverse = _inverses(workers, ends, place)
    modes = modes - modes.mean()  # the constant mode's part of the trace
    steep, far = _between_edges(modes, ends), _between_edges(inverse, ends)
    squares = far**2  # d R_e / d lambda_f = -(b_e^T Lambda^+ b_f)^2
    weights = 1 / (level - np.diagonal(far))
    gradient = np.append(strength - np.diagonal(steep) - weights @ squares - 1 / rates, np.trace(modes) - weights.sum())
    hessian = np.empty((len(place), len(place)))
    hessian[:-1, :-1] = steep**2 + (squares * weights**2) @ squares + 2 * far * ((far * weights) @ far)
    hessian[:-1, :-1] += np.diag(1 / rates**2)
    hessian[-1, :-1] = hessian[:-1, -1] = weights**2 @ squares - on_edges(modes @ modes, *ends)
    hessian[-1, -1] = (modes**2).sum() + (weights**2).sum()
    return gradient, hessian


def _matrices(workers: int, ends: Ends, place: Array) -> tuple[Array, Array]:
    """Lambda, and Lambda - l, each with the constant mode moved to where it is not 0: float64 [n, n]."""
    matrix = grounded(laplacian_of_edges(workers, (*ends, place[:-1])))
    level = place[-1]
    return matrix, matrix - level * np.eye(workers) + level / workers


def _inverses(workers: int, ends: Ends, place: Array) -> tuple[Array, Array]:
    """(Lambda - l)^-1 and Lambda^-1, each with a part of the constant mode, which differences do not see."""
    matrix, raised = _matrices(workers, ends, place)
    return np.asarray(np.linalg.inv(raised)), np.asarray(np.linalg.inv(matrix))


def _between_edges(matrix: Array, ends: Ends) -> Array:
    """b_e^T M b_f for all pairs of edges: float64 [E, E]."""
    i, j = ends
    half = matrix[i] - matrix[j]
    between: Array = half[:, i] - half[:, j]
    return between
