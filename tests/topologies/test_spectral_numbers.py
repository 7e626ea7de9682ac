"""chi_1, chi_2 and the parameters of A²CiD²: tables, closed forms, Foster's theorem, networkx as an oracle."""

from math import cos, log2, pi, sqrt

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from topologies import a2cid2_parameters, build, chi_1, chi_2, laplacian, with_rates
from topologies.spectral import effective_resistances

# shared/reference/gossip.json, chi_table_r1: [derived] definitions of the official code, uniform edge rates
# n r / (2 |E|), r = 1; twelve significant digits.
CHI_TABLE = [
    ("complete", 4, 6, 0.333333333333, 0.75, 0.75, 0.666666666667, 0.5, 2.0),
    ("complete", 8, 28, 0.142857142857, 0.875, 0.875, 0.571428571429, 0.5, 4.0),
    ("complete", 16, 120, 0.0666666666667, 0.9375, 0.9375, 0.533333333333, 0.5, 8.0),
    ("ring", 4, 4, 0.5, 1.0, 0.75, 0.57735026919, 0.57735026919, 2.0),
    ("ring", 8, 8, 0.5, 3.41421356237, 0.875, 0.289281483686, 0.987668764946, 4.0),
    ("ring", 16, 16, 0.5, 13.1370711845, 0.9375, 0.142473826826, 1.87168880494, 8.0),
    ("star", 4, 3, 0.666666666667, 1.5, 0.75, 0.471404520791, 0.707106781187, 2.0),
    ("star", 8, 7, 0.571428571429, 1.75, 0.875, 0.404061017821, 0.707106781187, 4.0),
    ("star", 16, 15, 0.533333333333, 1.875, 0.9375, 0.377123616633, 0.707106781187, 8.0),
]

FAMILIES = ["ring", "complete", "star", "path", "exponential", "erdos_renyi", "watts_strogatz", "random_geometric"]


@pytest.mark.parametrize(
    ("name", "n", "edges", "rate", "slowest", "largest", "eta", "alpha_tilde", "exchanges"), CHI_TABLE
)
def test_reference_table(name, n, edges, rate, slowest, largest, eta, alpha_tilde, exchanges):
    graph = build(name, n)
    assert graph.number_of_edges() == edges
    assert all(r == pytest.approx(rate, rel=1e-11) for *_, r in graph.edges(data="rate"))
    assert chi_1(graph) == pytest.approx(slowest, rel=1e-11)
    assert chi_2(graph) == pytest.approx(largest, rel=1e-11)
    assert a2cid2_parameters(chi_1(graph), chi_2(graph)) == pytest.approx((eta, alpha_tilde), rel=1e-11)
    assert np.trace(laplacian(graph)) / 2 == pytest.approx(exchanges, rel=1e-14)


# shared/reference/gossip.json, chi_closed_forms: [derived] uniform edge rates.
CHI_1 = {
    "complete": lambda n, r: (n - 1) / (n * r),
    "ring": lambda n, r: 1 / (r * (1 - cos(2 * pi / n))),
    "star": lambda n, r: 2 * (n - 1) / (n * r),
    "hypercube": lambda n, r: log2(n) / (2 * r),
    # lambda_2 of the unweighted path is 2 - 2 cos(pi/n); its uniform rate is n r / (2 (n - 1)).
    "path": lambda n, r: 2 * (n - 1) / (n * r) / (2 - 2 * cos(pi / n)),
}


@pytest.mark.parametrize("rate", [1.0, 0.37])
@pytest.mark.parametrize("name", CHI_1)
def test_closed_forms(name, rate):
    smallest = 3 if name == "star" else 2  # the star of two is a single edge, without the leaf modes of the formula
    sizes = [2, 4, 8, 16, 32, 64] if name == "hypercube" else range(smallest, 65)
    for n in sizes:
        graph = with_rates(build(name, n), rate)
        assert chi_1(graph) == pytest.approx(CHI_1[name](n, rate), rel=0, abs=1e-10)
        assert chi_2(graph) == pytest.approx((n - 1) / (n * rate), rel=0, abs=1e-10)


def test_chi_1_keeps_its_digits_where_the_eigenvalue_is_tiny():
    graph = build("ring", 400)
    assert chi_1(graph) == pytest.approx(1 / (2 * np.sin(pi / 400) ** 2), rel=1e-12)


def test_large_complete_graph_where_a_pseudo_inverse_may_keep_the_zero_mode():
    graph = build("complete", 300)
    assert chi_2(graph) == pytest.approx(299 / 300, rel=1e-12)
    assert chi_1(graph) == pytest.approx(299 / 300, rel=1e-12)


@pytest.mark.parametrize("scale", [1e-12, 1e12])
def test_scaling_of_the_rates(scale):
    """Lambda -> c Lambda divides both chi by c; eta is proportional to r, alpha_tilde does not depend on it."""
    graph, scaled = build("path", 12), with_rates(build("path", 12), scale)
    assert chi_1(scaled) * scale == pytest.approx(chi_1(graph), rel=1e-12)
    assert chi_2(scaled) * scale == pytest.approx(chi_2(graph), rel=1e-12)
    here, there = (a2cid2_parameters(chi_1(g), chi_2(g)) for g in (graph, scaled))
    assert there == pytest.approx((here[0] * scale, here[1]), rel=1e-12)


def rated(name, n, seed, weights):
    graph = build(name, n, **({"seed": seed} if name in FAMILIES[5:] else {}))
    for (u, v), weight in zip(graph.edges, np.resize(weights, graph.number_of_edges()), strict=True):
        graph.edges[u, v]["rate"] = float(weight)
    return graph


graphs = st.builds(
    rated,
    st.sampled_from(FAMILIES),
    st.integers(5, 20),
    st.integers(0, 1000),
    st.lists(st.floats(0.05, 20), min_size=1, max_size=12),
)


@settings(max_examples=60, deadline=None)
@given(graphs)
def test_fosters_theorem(graph):
    """Sum of lambda_e R_e = n - 1, on any graph with any rates."""
    resistances = effective_resistances(graph)
    total = sum(graph.edges[edge]["rate"] * resistance for edge, resistance in resistances.items())
    assert total == pytest.approx(len(graph) - 1, rel=1e-10)


@settings(max_examples=60, deadline=None)
@given(graphs)
def test_chi_2_is_at_most_chi_1_and_at_least_fosters_bound(graph):
    exchanges = sum(rate for *_, rate in graph.edges(data="rate"))
    assert chi_2(graph) <= chi_1(graph) * (1 + 1e-12)
    assert chi_2(graph) >= (len(graph) - 1) / (2 * exchanges) * (1 - 1e-12)


@settings(max_examples=25, deadline=None)
@given(graphs)
def test_resistances_are_those_of_networkx(graph):
    between = nx.resistance_distance(graph, weight="rate", invert_weight=False)
    for (u, v), resistance in effective_resistances(graph).items():
        assert resistance == pytest.approx(between[u][v], rel=1e-8)


@settings(max_examples=25, deadline=None)
@given(graphs)
def test_chi_1_and_the_laplacian_are_those_of_networkx(graph):
    expected = nx.laplacian_matrix(graph, nodelist=range(len(graph)), weight="rate").toarray()
    np.testing.assert_allclose(laplacian(graph), expected, rtol=1e-13, atol=1e-13)
    assert chi_1(graph) == pytest.approx(1 / np.linalg.eigvalsh(expected)[1], rel=1e-9)


def test_the_laplacian_is_in_the_order_of_the_numbers_not_of_the_graph():
    graph = nx.Graph()
    graph.add_edge(2, 1, rate=0.5)
    graph.add_edge(1, 0, rate=2.0)
    assert laplacian(graph).tolist() == [[2.0, -2.0, 0.0], [-2.0, 2.5, -0.5], [0.0, -0.5, 0.5]]


def test_edges_of_rate_zero_do_not_count():
    graph = build("ring", 5)
    graph.edges[0, 4]["rate"] = 0
    line = build("path", 5)
    nx.set_edge_attributes(line, 0.5, "rate")
    assert chi_1(graph) == pytest.approx(chi_1(line), rel=1e-13)
    assert chi_2(graph) == pytest.approx(1.0, rel=1e-13)


def rates(*values):
    graph = nx.path_graph(len(values) + 1)
    for i, value in enumerate(values):
        graph.edges[i, i + 1].update({} if value is None else {"rate": value})
    return graph


@pytest.mark.parametrize("number", [laplacian, chi_1, chi_2])
@pytest.mark.parametrize(
    ("graph", "message"),
    [
        (rates(1.0, None), r"edge \(1, 2\): expected a rate, found none; with_rates\(graph\) gives every edge one"),
        (rates(1.0, -0.5), r"rate of edge \(1, 2\): expected a finite number of at least 0 .*, found -0.5"),
        (rates(float("nan")), r"rate of edge \(0, 1\): expected a finite number .*, found nan"),
        (rates(float("inf")), "found inf"),
        (rates("fast"), "found 'fast'"),
        (nx.relabel_nodes(rates(1.0), {0: 5}), "expected the nodes 0..1, found node 5"),
    ],
)
def test_bad_rates_are_refused(number, graph, message):
    with pytest.raises(ValueError, match=message):
        number(graph)


@pytest.mark.parametrize("number", [chi_1, chi_2])
@pytest.mark.parametrize(
    ("graph", "message"),
    [
        (nx.empty_graph(3), "expected a connected graph, found no path from worker 0 to worker 1"),
        (rates(1.0, 0.0, 1.0), "expected a connected graph, found no path from worker 0 to worker 2"),
        (nx.Graph(), "expected at least 1 worker, found 0"),
    ],
)
def test_disconnected_graphs_are_refused(number, graph, message):
    with pytest.raises(ValueError, match=message):
        number(graph)


@pytest.mark.parametrize(("first", "second"), [(0, 1), (1, -1), (float("inf"), 1), (1, float("nan"))])
def test_impossible_chi_is_refused(first, second):
    with pytest.raises(ValueError, match=r"chi_[12]: expected a finite number above 0, found"):
        a2cid2_parameters(first, second)


def test_parameters_of_the_four_ring():
    assert a2cid2_parameters(1.0, 0.75) == pytest.approx((1 / sqrt(3), 1 / sqrt(3)), rel=1e-15)
