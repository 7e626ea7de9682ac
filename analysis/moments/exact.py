"""Means and second moments of gossip, by linear algebra: what a Monte Carlo would tend to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Final, ParamSpec, TypeVar

import networkx as nx
import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import expm
from scipy.optimize import brentq
from scipy.sparse.linalg import LinearOperator, eigs, gmres
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from analysis.moments.equations import Equations, equations
from analysis.moments.methods import LinearMethod, Vector, method_of
from topologies.spectral import grounded, laplacian

DIMENSION: Final = 40
"""Of a Krylov space: more makes longer steps, and costs more a step."""
PRECISION: Final = 1e-12
"""Of a step in time, relative to S."""
VANISHED: Final = 1e-140
"""Of an S that began with variances of 1: from here on it is 0, as the squares in its norm run out of digits."""

P = ParamSpec("P")
R = TypeVar("R")


def on_one_thread(function: Callable[P, R]) -> Callable[P, R]:
    """A function with BLAS on one thread.

    The matrices are small: on cores that others use too, threads wait for each other a hundred times as long.
    """

    @wraps(function)
    def limited(*arguments: P.args, **options: P.kwargs) -> R:
        with threadpool_limits(1):
            return function(*arguments, **options)

    return limited


def first_moment(
    graph: nx.Graph[int], method: str | LinearMethod, times: ArrayLike, start: Sequence[float] | None = None
) -> Vector:
    """How much of a disagreement is left in the mean: <pi x_0, E pi x_t> / ||pi x_0||^2.

    From the Fiedler vector it is e^{-t / (2 chi_1)} for the baseline, and for A²CiD²
    K e^{-eta t} + (1 - K) e^{-(eta + 1 / (2 chi_1)) t} with K = sqrt(chi_1 / chi_2).

    Args:
        graph: connected, with the edge attribute `rate` = lambda_ij in exchanges per gradient time.
        method: "baseline", "a2cid2", "dadao", or a method of one's own.
        times: in gradient times, from 0 on.
        start: x_0 of n workers, not all equal; None: the Fiedler vector, the slowest mode.
    Returns:
        float64 of the times' shape, without unit.
    Raises:
        ValueError: if the graph is disconnected, or a method, a time or the start is impossible.
    Source: gossip.md, section 7; A²CiD² (arXiv:2306.08289), equation 4.
    """
    given = np.linalg.eigh(grounded(laplacian(graph)))[1][:, 0] if start is None else _numbers(graph, "start", start)
    apart = given - given.mean()
    if not apart.any():
        raise ValueError("start: expected workers that differ, found all alike")
    left: Vector = mean_disagreement(graph, method, times, apart) @ apart / (apart @ apart)
    return left


@on_one_thread
def mean_disagreement(
    graph: nx.Graph[int], method: str | LinearMethod, times: ArrayLike, start: Sequence[float] | Vector
) -> Vector:
    """E pi x_t, how far each worker is from the mean of all, in the mean.

    Args:
        graph, method, times: as for `first_moment`.
        start: x_0 of n workers.
    Returns:
        float64 [..., n], in front the times' shape, in the unit of x.
    Raises:
        ValueError: as `first_moment`.
    Source: gossip.md, section 7.
    """
    joined, at = equations(graph, method_of(graph, method)), _times(times)
    begun = joined.start.T @ _numbers(graph, "start", start)
    found = np.empty((at.size, len(graph)))
    for place, time in enumerate(at.flat):
        found[place] = joined.x @ expm(time * joined.drift) @ begun
    found -= found.mean(axis=1, keepdims=True)
    return found.reshape(*at.shape, len(graph))


@on_one_thread
def second_moment(graph: nx.Graph[int], method: str | LinearMethod, times: ArrayLike) -> Vector:
    """E ||pi x_t||^2 of workers that start apart: x_i(0) independent, of mean 0 and variance 1.

    The solution of S' = L S, in which no event is simulated, by Krylov spaces. On the complete graph it is
    (n - 1) exp(-n r t / (2 (n - 1))) for baseline and A²CiD².

    Args:
        graph, method, times: as for `first_moment`.
    Returns:
        float64 of the times' shape, a coordinate; n - 1 at time 0, and 0 where it is below 1e-140.
    Raises:
        ValueError: as `first_moment`.
    Source: gossip.md, section 7, [derived].
    """
    joined, at = equations(graph, method_of(graph, method)), _times(times)
    found, second, before = np.empty(at.size), joined.start.T @ joined.start, 0.0
    for place in np.argsort(at.ravel(), kind="stable"):
        second = _carried(joined, second, float(at.flat[place]) - before)
        found[place], before = joined.disagreement(second), float(at.flat[place])
    return found.reshape(at.shape)


@on_one_thread
def stationary(graph: nx.Graph[int], method: str | LinearMethod, momentum: float = 0.0) -> float:
    """E ||pi x||^2 / (gamma^2 sigma^2) in the long run, with gradients that are noise of variance sigma^2.

    Every worker makes one gradient a unit of time. Values go as 1/r without momentum. For the baseline
    E x^T Lambda x = 2 (n - 1) gamma^2 sigma^2 on every graph.

    Args:
        graph: as for `first_moment`.
        method: as for `first_moment`; for DADAO (curvatures of 1) gamma is 1 / (4 L), the step of its X.
        momentum: in [0, 1), of SGD: m_i <- momentum m_i + xi, x_i (and x~_i) -= gamma m_i, each worker its own m.
    Returns:
        without unit.
    Raises:
        ValueError: if something is impossible (momentum for DADAO, too), or the second moment grows for ever.
    Source: gossip.md, sections 7 and 13, [derived].
    """
    joined = equations(graph, method_of(graph, method, momentum=momentum or None))
    if joined.slowest >= 0 or _feedback(joined, 0.0) >= 1:
        raise ValueError("expected a method whose second moments stay bounded, found one whose disagreement grows")
    by_noise = joined.flown(joined.noise.T @ joined.noise)
    without = _operator(_size(joined), lambda each: each - joined.squares(joined.flown(joined.pushed(each))))
    squares, told = gmres(without, joined.squares(by_noise), rtol=1e-12, restart=200)
    assert told == 0, "GMRES did not converge"
    # The step of x is the unit: 1 but for DADAO.
    return joined.disagreement(by_noise + joined.flown(joined.pushed(squares))) / joined.step**2


@on_one_thread
def heterogeneity(graph: nx.Graph[int], method: str | LinearMethod, drift: Sequence[float] | Vector) -> Vector:
    """E pi x / gamma in the long run, of workers whose gradients are constants zeta_i.

    It is -(2 / (1/2 + alpha~)) Lambda^+ zeta, for the baseline with alpha~ = 1/2, and 0 for DADAO.

    Args:
        graph, method: as for `first_moment`.
        drift: zeta, n numbers; what is common to all moves the mean and makes no disagreement.
    Returns:
        float64 [n], in units of gamma zeta.
    Raises:
        ValueError: as `first_moment`.
    Source: gossip.md, section 7, [derived].
    """
    joined = equations(graph, method_of(graph, method))
    if joined.slowest >= 0:
        raise ValueError("expected a method whose means stay bounded, found one whose disagreement grows")
    pulled = joined.noise.T @ _numbers(graph, "drift", drift)
    found = joined.x @ np.linalg.solve(joined.drift, -pulled) / joined.step
    return np.asarray(found - found.mean())


@on_one_thread
def abscissa(
    graph: nx.Graph[int], method: str | LinearMethod, curvatures: Sequence[float] | Vector | None = None
) -> float:
    """The asymptotic rate of second moments: E ||pi x_t||^2 goes as e^{abscissa t}, or faster from a special start.

    It is the largest real part of an eigenvalue of L. As e^{tL} keeps covariances covariances, that eigenvalue is real.
    The resolvent of L is the one of the flow with feedback by events, so it is where the feedback has the norm 1.

    Args:
        graph, method: as for `first_moment`.
        curvatures: a_i of n quadratics a_i (x - b_i)^2 / 2. For DADAO above 0, and mu and L are the smallest and the
            largest; None: all 1. For baseline and A²CiD² gamma a_i, without unit; None: 0, consensus alone.
    Returns:
        in 1/gradient time; negative where all moments decay.
    Raises:
        ValueError: as `first_moment`, or if the curvatures are impossible.
    Source: gossip.md, section 6.4, [derived].
    """
    joined = equations(graph, method_of(graph, method, curvatures=curvatures))
    floor = 2 * joined.slowest  # of the flow alone; events add to it
    # Close to the pole at the floor the radius is about residue / excess: its inverse is nearly a straight line.
    low = high = 1e-4 * joined.norm
    while (radius := _feedback(joined, floor + high)) > 1:
        low, high = high, 1.5 * high * radius
    while _feedback(joined, floor + low) < 1:
        low, high = low / 16, low
        if low < 1e-12 * joined.norm:
            return floor  # events do not feed the slowest mode
    return floor + float(brentq(lambda excess: 1 / _feedback(joined, floor + excess) - 1, low, high, rtol=1e-9))


def _feedback(joined: Equations, rate: float) -> float:
    """The spectral radius of what the events' mean squares cause, by e^{-rate t}, in those of later events.

    The matrix has no negative entries, so the radius is its largest eigenvalue.
    """
    size = _size(joined)
    operator = _operator(size, lambda each: joined.squares(joined.flown(joined.pushed(each), rate)))
    return float(eigs(operator, k=1, v0=np.ones(size), which="LR", return_eigenvectors=False, tol=1e-11)[0].real)


def _operator(size: int, applied: Callable[[Vector], Vector]) -> LinearOperator:
    return LinearOperator((size, size), matvec=applied, dtype=np.float64)


def _size(joined: Equations) -> int:
    """How many mean squares there are: one an edge and one a worker."""
    return len(joined.edges[0]) + len(joined.x)


def _carried(joined: Equations, second: Vector, span: float) -> Vector:
    """e^{span L} S, each step in the Krylov space of the S that it begins with."""
    left, step = span, 50 / joined.norm  # beyond, the exponential of a small matrix may overflow
    while left > 0:
        if (size := float(np.linalg.norm(second))) < VANISHED:
            return np.zeros_like(second)
        space, small = _krylov(joined, second / size)
        step = min(left, 2 * step)  # nearly what the last space was good for
        # What leaks out of the space bounds the error, and a thousandth that is left has lost three digits. A shorter
        # step costs no new space.
        while (rest := np.linalg.norm(column := expm(step * small)[:, 0])) < 1e-3 or abs(column[-1]) > PRECISION * rest:
            step *= 0.8
        second = size * np.tensordot(column[: len(space)], space, axes=1)
        left = 0.0 if step == left else left - step
    return second


def _krylov(joined: Equations, unit: Vector) -> tuple[Vector, Vector]:
    """An orthonormal basis of S, L S, L^2 S, ..., [k, N, N], and L in it, what leaks out as the last row, [k+1, k+1].

    By Arnoldi, orthogonalised twice. All stays symmetric: where little is left of a vector, its rounding would not be,
    and L is not L there.
    """
    space, small = [unit.ravel()], np.zeros((DIMENSION + 1, DIMENSION + 1))
    for k in range(DIMENSION):
        found = joined.change(space[k].reshape(unit.shape)).ravel()
        basis = np.array(space)
        for _ in range(2):
            part = basis @ found
            found = _symmetric((found - part @ basis).reshape(unit.shape)).ravel()
            small[: k + 1, k] += part
        small[k + 1, k] = length = float(np.linalg.norm(found))
        if length <= 1e-14 * joined.norm:  # rounding alone: the space holds all that L makes of S
            small[k + 1, k] = 0.0
            break
        space.append(found / length)
    used = k + 1
    return np.array(space[:used]).reshape(used, *unit.shape), small[: used + 1, : used + 1]


def _symmetric(matrix: Vector) -> Vector:
    return (matrix + matrix.T) / 2


def _times(times: ArrayLike) -> Vector:
    try:
        found = np.asarray(times, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"times: expected finite numbers of at least 0, found {times!r}") from None
    if not (np.isfinite(found) & (found >= 0)).all():
        raise ValueError(f"times: expected finite numbers of at least 0, found {found.tolist()}")
    return found


def _numbers(graph: nx.Graph[int], name: str, numbers: Sequence[float] | Vector) -> Vector:
    found = np.asarray(numbers, dtype=np.float64)
    if found.shape != (len(graph),) or not np.isfinite(found).all():
        raise ValueError(f"{name}: expected {len(graph)} finite numbers, one a worker, found {np.shape(numbers)}")
    return found
