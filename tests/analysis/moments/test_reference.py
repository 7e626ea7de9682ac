"""Exact moments against the reference: shared/reference/gossip.json, and closed forms of gossip.md, section 7."""

from __future__ import annotations

from math import exp, sqrt

import networkx as nx
import numpy as np
import pytest

from analysis.moments import abscissa, first_moment, heterogeneity, second_moment, stationary
from topologies import a2cid2_parameters, build, chi_1, chi_2, laplacian, with_rates
from topologies.rates import sufficient_rates

# gossip.json, first_moment_fiedler_mode [derived]: graph, n, t, baseline, A²CiD².
FIEDLER = [
    ("ring", 4, 1.0, 0.606530659713, 0.595555307035),
    ("ring", 4, 5.0, 0.0820849986239, 0.0636746642085),
    ("ring", 4, 20.0, 4.53999297625e-05, 1.11600465483e-05),
    ("ring", 8, 1.0, 0.863771848395, 0.848293465971),
    ("ring", 8, 5.0, 0.480834065275, 0.35461948679),
    ("ring", 8, 20.0, 0.0534540865892, 0.00590687532727),
    ("ring", 16, 1.0, 0.962654954832, 0.956057295422),
    ("ring", 16, 5.0, 0.826710117218, 0.723655175984),
    ("ring", 16, 20.0, 0.467103380222, 0.142483619305),
    ("star", 16, 1.0, 0.765928338365, 0.752326511543),
    ("star", 16, 5.0, 0.263597138116, 0.198018751891),
    ("star", 16, 20.0, 0.00482794999383, 0.000748593970469),
]

# gossip.json, dadao_second_moment_abscissa [derived]: graph, n, kappa, abscissa, -eta.
DADAO = [
    ("complete", 3, 4, -0.0708854167736, -0.0441941738242),
    ("ring", 4, 4, -0.0696707846602, -0.0441941738242),
    ("star", 4, 4, -0.0688172053305, -0.0441941738242),
    ("star", 5, 10, -0.0426639109629, -0.0279508497187),
]

IRREGULAR = nx.Graph([(0, 1, {"rate": 0.3}), (1, 2, {"rate": 1.1}), (2, 3, {"rate": 0.7}), (1, 3, {"rate": 0.2})])


@pytest.mark.parametrize(("name", "n", "time", "plain", "accelerated"), FIEDLER)
def test_slowest_mode(name: str, n: int, time: float, plain: float, accelerated: float) -> None:
    graph = build(name, n)
    assert first_moment(graph, "baseline", time) == pytest.approx(plain, rel=1e-9)
    assert first_moment(graph, "a2cid2", [time]) == pytest.approx([accelerated], rel=1e-9)


def test_slowest_mode_of_any_graph_and_rates() -> None:
    """Section 7: e^{-t / (2 chi_1)}, and K e^{-eta t} + (1 - K) e^{-(eta + 1 / (2 chi_1)) t}, K = sqrt(chi_1/chi_2)."""
    slow, far = chi_1(IRREGULAR), chi_2(IRREGULAR)
    eta, share = a2cid2_parameters(slow, far)[0], sqrt(slow / far)
    assert first_moment(IRREGULAR, "baseline", 3.0) == pytest.approx(exp(-3 / (2 * slow)), rel=1e-12)
    expected = share * exp(-3 * eta) + (1 - share) * exp(-3 * (eta + 1 / (2 * slow)))
    assert first_moment(IRREGULAR, "a2cid2", 3.0) == pytest.approx(expected, rel=1e-10)


def test_ring_of_eight() -> None:
    """gossip.json, second_moment_ring8_baseline [derived]."""
    graph = build("ring", 8)
    found = second_moment(graph, "baseline", [20.0, 0.0, 1.0, 5.0])
    np.testing.assert_allclose(found, [0.0146253770818, 7, 4.13993035314, 0.904566210227], rtol=1e-9)
    assert abscissa(graph, "baseline", np.zeros(8)) == pytest.approx(-0.268055735567, rel=1e-9)


@pytest.mark.parametrize("method", ["baseline", "a2cid2"])
def test_times_of_any_shape_and_however_late(method: str) -> None:
    graph = build("path", 6)
    found = second_moment(graph, method, [[1e5, 300.0], [200.0, 0.0]])
    assert found.shape == first_moment(graph, method, [[1, 2], [3, 0]]).shape == (2, 2)
    assert (found[0, 0], found[1, 1]) == (0, pytest.approx(5))
    assert np.log(found[0, 1] / found[1, 0]) / 100 == pytest.approx(abscissa(graph, method), rel=1e-6)
    assert second_moment(graph, method, []).shape == first_moment(graph, method, []).shape == (0,)


@pytest.mark.parametrize("rate", [1e-4, 1e4])
def test_a_rate_is_a_unit_of_time(rate: float) -> None:
    graph, scaled = build("ring", 8), with_rates(build("ring", 8), rate)
    assert abscissa(scaled, "a2cid2") == pytest.approx(rate * abscissa(graph, "a2cid2"), rel=1e-7)
    assert stationary(scaled, "a2cid2") == pytest.approx(stationary(graph, "a2cid2") / rate, rel=1e-9)
    assert second_moment(scaled, "a2cid2", 5 / rate) == pytest.approx(second_moment(graph, "a2cid2", 5), rel=1e-9)


@pytest.mark.parametrize("method", ["baseline", "a2cid2"])
@pytest.mark.parametrize(("n", "rate"), [(2, 1.0), (5, 1.0), (16, 3.0)])
def test_complete_graph(method: str, n: int, rate: float) -> None:
    """gossip.json, second_moment_complete_graph and stationary_baseline_iid_noise [derived]: closed forms."""
    graph = with_rates(nx.complete_graph(n), rate)
    times = np.array([0.0, 0.5, 4.0])
    decay = n * rate / (2 * (n - 1))
    np.testing.assert_allclose(second_moment(graph, method, times), (n - 1) * np.exp(-decay * times), rtol=1e-9)
    assert stationary(graph, method) == pytest.approx(2 * (n - 1) ** 2 / n / rate, rel=1e-9)


@pytest.mark.parametrize(("n", "value"), [(4, 4.75), (8, 16.625)])
def test_noise_on_rings(n: int, value: float) -> None:
    """gossip.json, stationary_baseline_iid_noise [derived]."""
    assert stationary(build("ring", n), "baseline") == pytest.approx(value, rel=1e-9)
    assert stationary(with_rates(build("ring", n), 4.0), "baseline") == pytest.approx(value / 4, rel=1e-9)


def test_acceleration_without_and_with_momentum() -> None:
    """Section 7: a slight gain without momentum; with it, that of a doubled rate only from n = 16 to 32 on."""
    ring = build("ring", 16)
    assert 0.9 < stationary(ring, "a2cid2") / stationary(ring, "baseline") < 1
    for n, is_doubled in ((8, False), (32, True)):
        found = stationary(build("ring", n), "a2cid2", 0.9)
        assert (found < stationary(with_rates(build("ring", n), 2.0), "baseline", 0.9)) == is_doubled
    large = build("exponential", 64)
    assert stationary(large, "a2cid2") > stationary(large, "baseline")


@pytest.mark.parametrize("graph", [build("ring", 7), build("star", 6), IRREGULAR])
def test_constant_gradients(graph: nx.Graph[int]) -> None:
    """gossip.json, heterogeneity_offset [derived]: -(2 gamma / (1/2 + alpha~)) Lambda^+ zeta."""
    drift = np.cos(np.arange(len(graph))) + 3  # the 3 is common to all and moves the mean alone
    offset = -2 * np.linalg.pinv(laplacian(graph)) @ drift
    np.testing.assert_allclose(heterogeneity(graph, "baseline", drift), offset, rtol=0, atol=1e-10)
    alpha_tilde = a2cid2_parameters(chi_1(graph), chi_2(graph))[1]
    expected = offset / (0.5 + alpha_tilde)
    np.testing.assert_allclose(heterogeneity(graph, "a2cid2", drift), expected, rtol=0, atol=1e-10)
    np.testing.assert_allclose(heterogeneity(graph, "dadao", drift), np.zeros(len(graph)), rtol=0, atol=1e-10)


@pytest.mark.parametrize(("name", "n", "kappa", "expected", "guaranteed"), DADAO)
def test_dadao_abscissa(name: str, n: int, kappa: int, expected: float, guaranteed: float) -> None:
    graph, curvatures = sufficient_rates(build(name, n)), np.linspace(1, kappa, n)
    found = abscissa(graph, "dadao", curvatures)
    assert found == pytest.approx(expected, rel=1e-8)
    assert found < guaranteed == pytest.approx(-sqrt(1 / kappa) / (8 * sqrt(2)))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ring", "star"])
def test_64_workers(name: str) -> None:
    """The identity E x^T Lambda x = 2 (n - 1) has no known value of the disagreement: bounds of it by Lambda's ends."""
    graph = build(name, 64)
    values = np.linalg.eigvalsh(laplacian(graph))
    assert 126 / values[-1] < stationary(graph, "baseline") < 126 / values[1]
    assert abscissa(graph, "a2cid2") < abscissa(graph, "baseline") < -1 / (2 * chi_1(graph)) * (1 - 1e-9)
    found = second_moment(graph, "a2cid2", [0.0, 1.0, 200.0, 201.0])
    assert found[0] == pytest.approx(63)
    assert np.log(found[3] / found[2]) == pytest.approx(abscissa(graph, "a2cid2"), rel=0.05)


@pytest.mark.slow
def test_dadao_of_16_workers() -> None:
    graph, curvatures = sufficient_rates(build("ring", 16)), np.linspace(1, 10, 16)
    assert abscissa(graph, "dadao", curvatures) < -sqrt(0.1) / (8 * sqrt(2))
    assert stationary(graph, "dadao") > 0
    assert second_moment(graph, "dadao", [0.0, 100.0]) == pytest.approx([15, 0], abs=1e-3)
