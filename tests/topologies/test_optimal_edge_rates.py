"""The fewest exchanges: DADAO's rates, uniform optima, the barbell's gain, and the proof of closeness."""

from math import cos, pi, sqrt

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from topologies import build, chi_1, chi_2, optimal_rates, with_rates
from topologies.rates import communication_cost, optimise, spread, sufficient_rates
from topologies.spectral import edge_rates

# shared/reference/gossip.json, dadao_lambda_mix: [derived] lambda_mix, chi1, chi2 at n = 16 with 2 chi1 chi2 = 1.
DADAO = [
    ("star", 15.0, 1.0, 0.5),
    ("complete", 10.6066017178, 0.707106781187, 0.707106781187),
    ("ring", 39.7045153874, 2.64696769249, 0.188895392044),
]


@pytest.mark.parametrize(("name", "mixing", "slowest", "largest"), DADAO)
def test_dadao_rates(name, mixing, slowest, largest):
    graph = sufficient_rates(build(name, 16))
    assert communication_cost(graph) == pytest.approx(mixing, rel=1e-11)
    assert edge_rates(graph)[2].sum() == pytest.approx(mixing, rel=1e-11)
    assert (chi_1(graph), chi_2(graph)) == pytest.approx((slowest, largest), rel=1e-11)


@pytest.mark.parametrize("n", [3, 7, 20, 51])
def test_dadao_closed_forms(n):
    ring = sqrt(n * (n - 1) / (2 * (1 - cos(2 * pi / n))))
    expected = {"star": n - 1, "complete": (n - 1) / sqrt(2), "ring": ring}
    for name, mixing in expected.items():
        assert communication_cost(build(name, n)) == pytest.approx(mixing, rel=1e-12)


@pytest.mark.parametrize(("name", "n"), [("ring", 9), ("complete", 6), ("star", 7), ("hypercube", 8), ("ring", 2)])
def test_uniform_rates_are_optimal_on_edge_transitive_graphs(name, n):
    optimum = optimise(build(name, n))
    assert {rate for *_, rate in optimum.graph.edges(data="rate")} == {n / (2 * optimum.graph.number_of_edges())}
    assert optimum.lower_bound == pytest.approx(optimum.cost, rel=1e-9)


def test_barbell_gains_by_a_faster_bridge():
    graph = build("barbell", 16)
    best = optimal_rates(graph)
    assert communication_cost(graph) == pytest.approx(126.148041, rel=1e-6)
    assert communication_cost(best) == pytest.approx(32.9239, rel=1e-4)
    rate = nx.get_edge_attributes(best, "rate")
    assert max(rate, key=rate.get) == (7, 8)
    assert rate[7, 8] > 5 * max(r for edge, r in rate.items() if edge != (7, 8))


def test_barbell_optimum_is_that_of_its_three_kinds_of_edges():
    """By symmetry and convexity the optimum has one rate for the bridge, one for its neighbours, one for the rest."""
    graph = build("barbell", 12)

    def cost(logs):
        for u, v, data in graph.edges(data=True):
            ends = (u in (5, 6)) + (v in (5, 6))
            data["rate"] = float(np.exp(logs[ends]))
        return communication_cost(graph)

    oracle = min(minimize(cost, start, method="Nelder-Mead").fun for start in ([0, 0, 0], [0, 1, 3]))
    assert communication_cost(optimal_rates(build("barbell", 12))) == pytest.approx(oracle, rel=1e-5)


@settings(max_examples=8, deadline=None)
@given(
    name=st.sampled_from(["path", "grid", "torus", "exponential", "erdos_renyi", "random_geometric"]),
    n=st.sampled_from([6, 9, 12, 16]),
)
def test_the_optimum_is_proven_and_never_worse_than_uniform(name, n):
    graph = build(name, n)
    optimum = optimise(graph)
    assert optimum.lower_bound * (1 - 1e-9) <= optimum.cost <= communication_cost(graph)
    assert optimum.cost <= optimum.lower_bound * 1.00001
    assert communication_cost(optimum.graph) == pytest.approx(optimum.cost, rel=1e-12)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(0.01, 10), min_size=16, max_size=16))
def test_no_rates_are_below_the_lower_bound(weights):
    graph = build("barbell", 8, bridge=2)
    bound = BARBELL_BOUND
    for (u, v), weight in zip(graph.edges, weights, strict=False):
        graph.edges[u, v]["rate"] = weight
    assert communication_cost(graph) >= bound


BARBELL_BOUND = optimise(build("barbell", 8, bridge=2)).lower_bound * (1 - 1e-9)


def test_optimal_rates_meet_the_condition_or_the_budget():
    graph = build("grid", 6)
    free, budget = optimal_rates(graph), optimal_rates(graph, per_worker=2.0)
    assert 2 * chi_1(free) * chi_2(free) == pytest.approx(1, rel=1e-12)
    assert edge_rates(budget)[2].sum() == pytest.approx(6 * 2 / 2, rel=1e-12)
    assert chi_1(budget) * chi_2(budget) < chi_1(with_rates(graph, 2.0)) * chi_2(with_rates(graph, 2.0))


def test_the_graph_carries_what_the_rates_are_worth():
    graph = build("barbell", 10)
    for best in (optimal_rates(graph), optimal_rates(graph, per_worker=3.0)):
        told = best.graph
        assert (told["chi_1"], told["chi_2"]) == (chi_1(best), chi_2(best))
        assert told["sum_of_rates"] == pytest.approx(edge_rates(best)[2].sum(), rel=1e-12)
        uniform = with_rates(graph, 2 * told["uniform_sum"] / 10)
        assert chi_1(uniform) * chi_2(uniform) == pytest.approx(told["chi_1"] * told["chi_2"], rel=1e-9)
        assert told["uniform_sum"] > 1.5 * told["sum_of_rates"]
        assert all(type(told[key]) is float for key in ("chi_1", "chi_2", "sum_of_rates", "uniform_sum"))
    assert "chi_1" not in graph.graph


def test_ways_to_spread_a_rate():
    graph = build("barbell", 8)
    assert edge_rates(spread(graph, 2.0))[2].tolist() == edge_rates(with_rates(graph, 2.0))[2].tolist()
    neighbours = edge_rates(with_rates(graph, 2.0, "neighbour"))[2].tolist()
    assert edge_rates(spread(graph, 2.0, "neighbour"))[2].tolist() == neighbours
    best = edge_rates(optimal_rates(graph, per_worker=2.0))[2].tolist()
    nx.set_edge_attributes(graph, {(0, 1): 7.0}, "rate")
    assert edge_rates(spread(graph, 2.0, "optimal", own=True))[2].tolist() == best
    with pytest.raises(ValueError, match="weights: expected one of 'uniform', 'neighbour', 'optimal', found 'best'"):
        spread(graph, 2.0, "best")


def test_refused():
    with pytest.raises(ValueError, match="expected a connected graph"):
        optimal_rates(nx.empty_graph(3))
    with pytest.raises(ValueError, match=r"per_worker: expected a finite number above 0 .*, found -1"):
        optimal_rates(nx.path_graph(3), per_worker=-1)
