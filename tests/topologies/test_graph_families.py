"""The shapes of the communication graphs."""

import networkx as nx
import pytest

from topologies import GRAPHS, build
from topologies.graphs import from_neighbours

SIZES = {"hypercube": 16, "barbell": 12}


@pytest.mark.parametrize("name", GRAPHS)
def test_every_family_is_connected_numbered_from_zero_and_sorted(name):
    workers = SIZES.get(name, 12)
    graph = build(name, workers)
    assert list(graph) == list(range(workers))
    assert nx.is_connected(graph)
    assert list(graph.edges) == sorted(graph.edges)
    assert all(u < v for u, v in graph.edges)
    assert type(graph) is nx.Graph


@pytest.mark.parametrize("name", GRAPHS)
def test_uniform_rates_come_with_the_graph(name):
    graph = build(name, SIZES.get(name, 12))
    rates = {rate for *_, rate in graph.edges(data="rate")}
    assert rates == {len(graph) / (2 * graph.number_of_edges())}


@pytest.mark.parametrize(
    ("name", "options", "oracle"),
    [
        ("ring", {}, nx.cycle_graph(16)),
        ("complete", {}, nx.complete_graph(16)),
        ("star", {}, nx.star_graph(15)),
        ("path", {}, nx.path_graph(16)),
        ("grid", {"rows": 2}, nx.convert_node_labels_to_integers(nx.grid_2d_graph(2, 8))),
        ("torus", {}, nx.convert_node_labels_to_integers(nx.grid_2d_graph(4, 4, periodic=True))),
        ("exponential", {}, nx.circulant_graph(16, [1, 2, 4, 8])),
        ("barbell", {"bridge": 4}, nx.barbell_graph(6, 4)),
        (
            "hypercube",
            {},
            nx.relabel_nodes(nx.hypercube_graph(4), lambda bits: int("".join(map(str, bits)), 2)),
        ),
    ],
)
def test_edges_are_those_of_networkx(name, options, oracle):
    expected = sorted(tuple(sorted(edge)) for edge in oracle.edges)
    assert list(build(name, 16, **options).edges) == expected


@pytest.mark.parametrize("workers", range(2, 65))
def test_exponential_neighbours_follow_the_official_list(workers):
    """Neighbours i +- 2^k, k = 0..floor(log2 n) - 1 (papers/gossip.md 2.7)."""
    hops = [2**k for k in range(len(bin(workers)) - 3)]
    graph = build("exponential", workers)
    assert set(graph[0]) == {hop % workers for hop in hops} | {-hop % workers for hop in hops}


def multiplicities(graph):
    return {(u, v): m for u, v, m in graph.edges(data="multiplicity") if m is not None}


@pytest.mark.parametrize("workers", [2, 4, 8, 16])
def test_exponential_antipode_counts_twice_for_powers_of_two(workers):
    half = workers // 2
    assert multiplicities(build("exponential", workers)) == {(i, i + half): 2 for i in range(half)}


def test_multiplicity_is_absent_where_no_neighbour_is_listed_twice():
    assert multiplicities(build("exponential", 12)) == {}
    assert multiplicities(build("ring", 3)) == {}


def test_ring_and_torus_of_side_two_list_a_neighbour_twice():
    assert multiplicities(build("ring", 2)) == {(0, 1): 2}
    assert multiplicities(build("torus", 6)) == {(0, 3): 2, (1, 4): 2, (2, 5): 2}


@pytest.mark.parametrize(("workers", "sides"), [(4, (2, 2)), (12, (3, 4)), (16, (4, 4)), (10, (2, 5)), (36, (6, 6))])
def test_grid_is_as_square_as_it_can_be(workers, sides):
    graph = build("grid", workers)
    assert (graph.graph["rows"], graph.graph["columns"]) == sides


def test_grid_completes_the_missing_side():
    assert build("grid", 12, columns=2).graph["rows"] == 6
    assert build("torus", 7, rows=1).number_of_edges() == 7


def test_from_neighbours_drops_itself_and_counts():
    graph = from_neighbours(3, lambda i: [i, (i + 1) % 3, (i - 1) % 3])
    assert list(graph.edges(data=True)) == [(0, 1, {}), (0, 2, {}), (1, 2, {})]


def test_random_regular_is_regular():
    assert {degree for _, degree in build("random_regular", 20, degree=3, seed=5).degree} == {3}


def test_erdos_renyi_with_certainty_is_complete():
    assert build("erdos_renyi", 9, p=1).number_of_edges() == 36


def test_watts_strogatz_without_rewiring_is_a_ring_lattice():
    assert set(build("watts_strogatz", 12, k=4, p=0).edges) == set(build("exponential", 12).edges) - {
        (i, (i + 4) % 12) for i in range(12)
    } - {((i + 4) % 12, i) for i in range(12)}


def test_random_geometric_joins_exactly_the_close_points():
    graph = build("random_geometric", 25, radius=0.35, seed=3)
    points = {node: complex(data["x"], data["y"]) for node, data in graph.nodes(data=True)}
    close = {(u, v) for u in graph for v in graph if u < v and abs(points[u] - points[v]) <= 0.35}
    assert set(graph.edges) == close


def test_random_geometric_joins_its_components_when_asked():
    graph = build("random_geometric", 30, radius=0.05, seed=1, join=True)
    assert nx.is_connected(graph)
    with pytest.raises(ValueError, match=r"found none in 100 draws with radius=0\.05, seed=1"):
        build("random_geometric", 30, radius=0.05, seed=1)


RANDOM = [name for name, entry in GRAPHS.items() if "seed" in entry.options]


@pytest.mark.parametrize("name", RANDOM)
def test_equal_seeds_equal_graphs_and_other_seeds_others(name):
    draws = [nx.to_dict_of_dicts(build(name, 24, seed=seed)) for seed in (3, 3, 4)]
    assert draws[0] == draws[1]
    assert draws[0] != draws[2]
