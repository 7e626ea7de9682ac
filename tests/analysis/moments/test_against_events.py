"""Exact moments against the events themselves: every event a matrix, their squares Kronecker products, all dense."""

from __future__ import annotations

from math import sqrt

import networkx as nx
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.linalg import null_space
from scipy.sparse.linalg import expm_multiply

from analysis.moments import LinearMethod, a2cid2, abscissa, baseline, dadao, second_moment, stationary
from topologies import a2cid2_parameters, chi_1, chi_2
from topologies.rates import sufficient_rates

Matrix = NDArray[np.float64]

TRIANGLE = nx.Graph([(0, 1, {"rate": 0.5}), (1, 2, {"rate": 1.5}), (0, 2, {"rate": 0.25})])
PATH = nx.Graph([(0, 1, {"rate": 0.4}), (1, 2, {"rate": 1.3}), (2, 3, {"rate": 0.9})])


class Dense:
    """All vectors of all workers in one, vector by vector: [x of all, x~ of all, ...]."""

    def __init__(self, workers: int, vectors: int, flow: Matrix) -> None:
        self.workers, self.size = workers, workers * vectors
        one = np.eye(self.size)
        drift = np.kron(flow, np.eye(workers))
        self.means, self.second = drift, np.kron(drift, one) + np.kron(one, drift)

    def at(self, vector: int, worker: int) -> int:
        return vector * self.workers + worker

    def event(self, rate: float, jump: Matrix) -> None:
        """z <- jump z, as often as the rate says: by what is left after it, not by its change."""
        self.means = self.means + rate * (jump - np.eye(self.size))
        self.second = self.second + rate * (np.kron(jump, jump) - np.eye(self.size**2))

    def disagreement(self, second: Matrix) -> float:
        of_x = second.reshape(self.size, self.size)[: self.workers, : self.workers]
        return float(np.trace(of_x) - of_x.sum() / self.workers)

    def after(self, time: float, start: list[float]) -> float:
        begun = np.kron(np.array(start)[:, None], np.eye(self.workers))
        return self.disagreement(expm_multiply(time * self.second, (begun @ begun.T).ravel()))

    def in_the_long_run(self, noise: list[float]) -> float:
        added = np.kron(np.array(noise)[:, None], np.eye(self.workers))
        # The mean of x moves for ever, and is orthogonal to what is told: the least squares leave it out.
        found = np.linalg.lstsq(self.second_of_disagreements(), -self.apart(added @ added.T).ravel(), rcond=None)[0]
        return self.disagreement(found)

    copies: int = 1

    def apart(self, second: Matrix) -> Matrix:
        """Without the means of x and x~."""
        parts = np.eye(self.size)
        for k in range(self.copies):
            part = slice(k * self.workers, (k + 1) * self.workers)
            parts[part, part] -= 1 / self.workers
        return parts @ second @ parts

    def second_of_disagreements(self) -> Matrix:
        columns = [
            self.apart((self.second @ each).reshape(self.size, self.size)).ravel() for each in np.eye(self.size**2)
        ]
        return np.array(columns).T


def averaging(
    graph: nx.Graph[int], accelerated: bool, momentum: float = 0.0, slopes: list[float] | None = None
) -> Dense:
    """Sections 2.2 and 13, event by event; gamma is 1."""
    eta, alpha_tilde = a2cid2_parameters(chi_1(graph), chi_2(graph)) if accelerated else (0.0, 0.5)
    copies, workers = 2, len(graph)
    vectors = copies + (momentum > 0)
    flow = np.zeros((vectors, vectors))
    flow[:2, :2] = eta * np.array([[-1, 1], [1, -1]])
    dense = Dense(workers, vectors, flow)
    dense.copies = copies
    for i, j, rate in graph.edges(data="rate"):
        jump = np.eye(dense.size)
        for k, step in enumerate((0.5, alpha_tilde)):
            for worker, other in ((i, j), (j, i)):
                jump[dense.at(k, worker), dense.at(0, worker)] -= step
                jump[dense.at(k, worker), dense.at(0, other)] += step
        dense.event(rate, jump)
    for i in range(workers):
        jump = np.eye(dense.size)
        if momentum:
            jump[dense.at(2, i), dense.at(2, i)] = momentum
        for k in range(copies):
            jump[dense.at(k, i), dense.at(0, i)] -= slopes[i] if slopes else 0
            if momentum:
                jump[dense.at(k, i), dense.at(2, i)] -= momentum
        dense.event(1.0, jump)
    return dense


def accelerated_dual(graph: nx.Graph[int], slopes: list[float]) -> Dense:
    """DADAO, sections 6.2 to 6.4, event by event."""
    nu, smoothness = min(slopes) / 2, max(slopes)
    s = sqrt(nu / smoothness)
    flow = np.zeros((6, 6))
    for k, other, rate in ((0, 1, s / 8), (1, 0, s / 8), (2, 3, s / 4), (4, 5, s / 4), (5, 4, s / 8)):
        flow[k, k], flow[k, other] = -rate, rate
    flow[3, [1, 2, 4]] = -np.array([nu, 1, 1]) / (2 * s)
    dense = Dense(len(graph), 6, flow)
    for i, j, rate in graph.edges(data="rate"):
        jump = np.eye(dense.size)
        for k, step in ((4, 0.5), (5, 2 * chi_1(graph) / s)):
            for worker, other in ((i, j), (j, i)):
                for read in (2, 4):
                    jump[dense.at(k, worker), dense.at(read, worker)] -= step
                    jump[dense.at(k, worker), dense.at(read, other)] += step
        dense.event(rate, jump)
    steps = ((0, -1 / (4 * smoothness)), (1, -1 / (4 * sqrt(smoothness * nu))), (3, s / 4 + 1))
    for i, slope in enumerate(slopes):
        jump = np.eye(dense.size)
        for k, step in steps:
            jump[dense.at(k, i), dense.at(0, i)] += step * (slope - nu)
            jump[dense.at(k, i), dense.at(3, i)] -= step
        dense.event(1.0, jump)
    return dense


@pytest.mark.parametrize("graph", [TRIANGLE, PATH])
@pytest.mark.parametrize("method", ["baseline", "a2cid2"])
def test_averaging(graph: nx.Graph[int], method: str) -> None:
    dense = averaging(graph, method == "a2cid2")
    expected = [dense.after(time, [1, 1]) for time in (0.7, 3.0)]
    np.testing.assert_allclose(second_moment(graph, method, [0.7, 3.0]), expected, rtol=1e-9)
    assert stationary(graph, method) == pytest.approx(dense.in_the_long_run([-1, -1]), rel=1e-9)


@pytest.mark.parametrize("method", ["baseline", "a2cid2"])
@pytest.mark.parametrize("momentum", [0.5, 0.9])
def test_momentum(method: str, momentum: float) -> None:
    dense = averaging(TRIANGLE, method == "a2cid2", momentum)
    assert stationary(TRIANGLE, method, momentum) == pytest.approx(dense.in_the_long_run([-1, -1, 1]), rel=1e-8)


@pytest.mark.parametrize("method", [baseline, a2cid2])
def test_curvatures(method: type) -> None:
    """Here the means count, as gradients depend on them."""
    slopes = [0.1, 0.4, 1.2]
    dense = averaging(TRIANGLE, method is a2cid2, slopes=slopes)
    found = second_moment(TRIANGLE, method(TRIANGLE, curvatures=slopes), 2.0)
    assert found == pytest.approx(dense.after(2.0, [1, 1]), rel=1e-9)
    expected = np.linalg.eigvals(dense.second).real
    if method is a2cid2:  # the oracle has x~ for the baseline too, which nothing pulls to x without mixing
        assert abscissa(TRIANGLE, method.__name__, slopes) == pytest.approx(expected.max(), rel=1e-8)


def without_sums(workers: int) -> Matrix:
    """Columns that span all second moments in which the sums of Z and Z~ are 0, as they stay."""
    basis = null_space(np.kron(np.eye(6)[4:], np.ones(workers)))
    return np.kron(basis, basis)


def test_dadao() -> None:
    slopes = [1.0, 3.0, 2.0]
    dense = accelerated_dual(TRIANGLE, slopes)
    found = second_moment(TRIANGLE, dadao(TRIANGLE, curvatures=slopes), [0.5, 6.0])
    np.testing.assert_allclose(found, [dense.after(time, [1, 0, 0, 0, 0, 0]) for time in (0.5, 6.0)], rtol=1e-8)
    both = without_sums(3)
    expected = np.linalg.eigvals(both.T @ dense.second @ both).real.max()
    assert abscissa(TRIANGLE, "dadao", slopes) == pytest.approx(expected, rel=1e-8)


def test_dadao_with_noise() -> None:
    graph = sufficient_rates(TRIANGLE)
    dense = accelerated_dual(graph, [1.0] * 3)
    gamma, s = 1 / 4, sqrt(1 / 2)
    noise = np.kron(np.array([-gamma, -1 / (4 * s), 0, s / 4 + 1, 0, 0])[:, None], np.eye(3))
    both = without_sums(3)
    found = both @ np.linalg.solve(both.T @ dense.second @ both, -both.T @ (noise @ noise.T).ravel())
    assert stationary(graph, "dadao") == pytest.approx(dense.disagreement(found) / gamma**2, rel=1e-8)


def test_a_method_of_ones_own() -> None:
    """Averaging by a third of the difference, from the formulas: per exchange of two, d^2 <- (1 - 2/3)^2 d^2."""
    pair = nx.Graph([(0, 1, {"rate": 2.0})])
    third = LinearMethod([[0]], [1], [1 / 3], [0], [0], [-1], [1], [False])
    assert second_moment(pair, third, 0.5) == pytest.approx(np.exp(-0.5 * 2 * (1 - 1 / 9)), rel=1e-10)
    assert abscissa(pair, third) == pytest.approx(-2 * (1 - 1 / 9), rel=1e-9)
    # Two gradients a unit of time add 2 * (1/2); exchanges take 2 * 8/9 of what is there.
    assert stationary(pair, third) == pytest.approx(1 / (2 * 8 / 9), rel=1e-9)


def test_what_grows_is_no_stationary_state() -> None:
    pair = nx.Graph([(0, 1, {"rate": 2.0})])
    wild = LinearMethod([[0]], [1], [1.5], [0], [0], [-1], [1], [False])  # d <- -2 d
    assert abscissa(pair, wild) == pytest.approx(2 * (4 - 1), rel=1e-9)
    for graph, method in ((pair, wild), (PATH, "dadao")):  # the path's rates are below DADAO's: 2 chi_1 chi_2 is 14
        with pytest.raises(ValueError, match="found one whose disagreement grows"):
            stationary(graph, method)


CASES = [
    (lambda: stationary(PATH, "adam"), "method: expected one of 'baseline', 'a2cid2', 'dadao', found 'adam'"),
    (lambda: stationary(PATH, "dadao", 0.9), "momentum: expected 0 for dadao, found 0.9"),
    (lambda: stationary(PATH, "baseline", 1.0), r"momentum: expected a number in \[0, 1\), found 1.0"),
    (lambda: stationary(PATH, "a2cid2", -0.1), "momentum: expected a finite number of at least 0, found -0.1"),
    (
        lambda: second_moment(PATH, "baseline", [1, -1]),
        r"times: expected finite numbers of at least 0, found \[1.0, -1",
    ),
    (lambda: abscissa(PATH, "dadao", [1, 2]), "curvatures: expected 4 numbers, one a worker, found 2"),
    (lambda: abscissa(PATH, "dadao", [0, 1, 2, 3]), "curvatures: expected a finite number above 0, found 0"),
    (lambda: abscissa(PATH, dadao(PATH), [1] * 4), "curvatures: expected none beside a method of one's own"),
    (lambda: baseline(PATH, momentum=0.5, curvatures=[1] * 4), "curvatures: expected none beside momentum"),
    (lambda: second_moment(nx.empty_graph(3), "baseline", 1.0), "expected a connected graph"),
    (lambda: second_moment(nx.path_graph(3), "baseline", 1.0), r"edge \(0, 1\): expected a rate, found none"),
    (lambda: LinearMethod([[0]], [1], [1, 2], [0], [0], [0], [1], [True]), r"exchange_jump: expected the shape \[1\]"),
    (lambda: second_moment(PATH, dadao(TRIANGLE), 1.0), "gradient_read: expected a row for each of 4 workers, found 3"),
]


@pytest.mark.parametrize(("call", "message"), CASES)
def test_mistakes(call, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=message):
        call()
