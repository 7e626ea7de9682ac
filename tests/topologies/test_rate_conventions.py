"""Edge rates: the uniform and the neighbour convention."""

import math

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from topologies import build, laplacian, with_rates
from topologies.spectral import edge_rates


def official_laplacian(neighbours, rate):
    """r (I - W) with W from neighbour lists, as `AdelNabli/ACiD` `compute_laplacian` defines it."""
    weights = np.zeros((len(neighbours), len(neighbours)))
    for i, listed in enumerate(neighbours):
        for j in listed:
            weights[i, j] += 1 / len(listed)
    return rate * (np.eye(len(neighbours)) - weights)


def ring_list(n):
    return [[(i - 1) % n, (i + 1) % n] for i in range(n)]


def exponential_list(n):
    return [[(i + sign * 2**k) % n for sign in (1, -1) for k in range(int(math.log2(n)))] for i in range(n)]


@pytest.mark.parametrize("n", range(2, 65))
@pytest.mark.parametrize(("name", "listed"), [("ring", ring_list), ("exponential", exponential_list)])
def test_neighbour_convention_is_the_official_laplacian(name, listed, n):
    ours = laplacian(with_rates(build(name, n), per_worker=1.5, convention="neighbour"))
    np.testing.assert_allclose(ours, official_laplacian(listed(n), 1.5), rtol=0, atol=1e-14)


@pytest.mark.parametrize("name", ["ring", "complete", "hypercube", "torus"])
def test_conventions_coincide_without_repeated_neighbours_on_regular_graphs(name):
    graph = build(name, 16)
    uniform, neighbour = (laplacian(with_rates(graph, 2.0, c)) for c in ("uniform", "neighbour"))
    np.testing.assert_allclose(uniform, neighbour, rtol=0, atol=1e-15)


def test_exponential_antipode_gets_double_rate_in_the_neighbour_convention_only():
    graph = build("exponential", 8)
    neighbour = with_rates(graph, convention="neighbour")
    assert neighbour.edges[0, 4]["rate"] == pytest.approx(2 / 6, abs=1e-15)
    assert neighbour.edges[0, 1]["rate"] == pytest.approx(1 / 6, abs=1e-15)
    assert {rate for *_, rate in with_rates(graph).edges(data="rate")} == {8 / (2 * 20)}


@given(
    name=st.sampled_from(["ring", "complete", "star", "path", "exponential", "erdos_renyi", "watts_strogatz"]),
    n=st.integers(5, 24),
    rate=st.floats(0.01, 100),
    convention=st.sampled_from(["uniform", "neighbour"]),
)
def test_both_conventions_make_half_an_exchange_a_worker_at_rate_one(name, n, rate, convention):
    graph = with_rates(build(name, n), rate, convention)
    assert edge_rates(graph)[2].sum() == pytest.approx(n * rate / 2, rel=1e-12)
    assert np.trace(laplacian(graph)) / 2 == pytest.approx(n * rate / 2, rel=1e-12)


@pytest.mark.parametrize("name", ["ring", "exponential", "torus"])
def test_on_regular_lists_every_worker_has_the_rate_of_one_worker(name):
    matrix = laplacian(with_rates(build(name, 16), 3.0, "neighbour"))
    np.testing.assert_allclose(np.diagonal(matrix), 3.0, rtol=1e-14)


def test_irregular_neighbour_rates_are_the_mean_of_both_ends():
    rated = with_rates(build("path", 3), 1.0, "neighbour")
    assert dict(nx.get_edge_attributes(rated, "rate")) == {(0, 1): 0.75, (1, 2): 0.75}
    rated = with_rates(build("barbell", 6), 1.0, "neighbour")
    assert rated.edges[2, 3]["rate"] == pytest.approx(1 / 3)
    assert rated.edges[0, 2]["rate"] == pytest.approx((1 / 2 + 1 / 3) / 2)


def test_the_graph_handed_in_is_left_alone():
    graph = build("grid", 6)
    rated = with_rates(graph, 7.0)
    assert graph.edges[0, 1]["rate"] != rated.edges[0, 1]["rate"]
    assert rated.graph == graph.graph


@pytest.mark.parametrize(
    ("graph", "arguments", "message"),
    [
        (nx.path_graph(3), {"per_worker": 0}, "per_worker: expected a finite number above 0 .*, found 0"),
        (nx.path_graph(3), {"per_worker": float("nan")}, "per_worker: expected a finite number"),
        (nx.path_graph(3), {"per_worker": "fast"}, "per_worker: expected a finite number .*, found 'fast'"),
        (nx.path_graph(3), {"convention": "U"}, "convention: expected one of 'uniform', 'neighbour', found 'U'"),
        (nx.empty_graph(3), {}, "expected a connected graph, found no path from worker 0 to worker 1"),
        (nx.Graph(), {}, "expected at least 1 worker, found 0"),
        (nx.Graph([("a", "b")]), {}, "expected the nodes 0..1, found node 'a'"),
        (nx.Graph([(1, 2)]), {}, "expected the nodes 0..1, found node 2"),
        (nx.DiGraph([(0, 1)]), {}, "expected an undirected networkx.Graph without parallel edges, found DiGraph"),
        (nx.MultiGraph([(0, 1)]), {}, "without parallel edges, found MultiGraph"),
        (nx.Graph([(0, 1), (1, 1)]), {}, "expected no self-loops, found one at node 1"),
    ],
)
def test_refused(graph, arguments, message):
    with pytest.raises(ValueError, match=message):
        with_rates(graph, **arguments)


def test_impossible_multiplicity_is_refused():
    graph = nx.path_graph(3)
    graph.edges[0, 1]["multiplicity"] = 0
    with pytest.raises(
        ValueError, match=r"multiplicity of edge \(0, 1\): expected a whole number of at least 1, found 0"
    ):
        with_rates(graph, convention="neighbour")
