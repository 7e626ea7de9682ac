"""Which route is taken: shortest, fastest, then the same one every time."""

import os
import subprocess
import sys
import time
from collections import Counter
from itertools import pairwise

import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from topologies import build, build_network, routes


def network_of(edges, hosts):
    """Edges (u, v, latency in microseconds); nodes in the order in which they appear."""
    network = nx.Graph()
    network.add_nodes_from(hosts, kind="host")
    for u, v, latency in edges:
        for node in (u, v):
            network.add_node(node, kind="host" if node in hosts else "switch")
        network.add_edge(u, v, bandwidth=1e9, latency=latency * 1e-6)
    return network


def test_fewest_links_win_over_latency():
    network = network_of([("a", "s", 100), ("s", "b", 100), ("a", "t", 1), ("t", "u", 1), ("u", "b", 1)], "ab")
    assert routes(network, [(0, 1)])[0, 1] == [("a", "s"), ("s", "b")]


def test_latency_wins_over_order():
    network = network_of([("a", "s", 10), ("s", "b", 10), ("a", "t", 1), ("t", "b", 18)], "ab")
    assert routes(network, [(0, 1)])[0, 1] == [("a", "t"), ("t", "b")]


def test_equal_latencies_fall_to_the_smallest_sequence_of_nodes_whatever_the_rounding():
    """0.2 + 1.1 microseconds are more than 0.3 + 1.0 in floats; z stands before c in the graph."""
    network = network_of([("a", "z", 0.2), ("z", "b", 1.1), ("a", "c", 0.3), ("c", "b", 1.0)], "ab")
    assert routes(network, [(0, 1)])[0, 1] == [("a", "z"), ("z", "b")]


def test_smallest_sequence_is_decided_at_the_first_fork():
    network = network_of(
        [(0, 2, 1), (0, 3, 1), (2, 5, 1), (3, 4, 1), (5, 1, 1), (4, 1, 1)],
        (0, 1),
    )
    network = nx.relabel_nodes(network, {node: node for node in range(6)})
    assert routes(network, [(0, 1)])[0, 1] == [(0, 2), (2, 5), (5, 1)]


def brute_force(network, source, target):
    order = {node: i for i, node in enumerate(network)}

    def cost(path):
        latency = sum(round(network.edges[link]["latency"] * 1e12) for link in pairwise(path))
        return len(path), latency, [order[node] for node in path]

    return min(nx.all_shortest_paths(network, source, target), key=cost)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.lists(st.sampled_from([1, 1, 2]), min_size=1, max_size=7))
def test_routes_are_the_best_of_all_shortest_paths(seed, latencies):
    graph = build("erdos_renyi", 9, seed=seed)
    for k, (u, v) in enumerate(graph.edges):
        graph.edges[u, v]["latency"] = latencies[k % len(latencies)] * 1e-6
    network = build_network("dedicated", 9, graph=graph)
    for pair, route in routes(network, [(0, j) for j in range(1, 9)]).items():
        assert route == list(pairwise(brute_force(network, *pair)))


def test_ecmp_takes_shortest_routes_and_spreads_them():
    network = build_network("fat_tree", 128)  # k = 8: 16 routes between pods
    pairs = [(i, (i + 64) % 128) for i in range(128)]
    plain, spread = (routes(network, pairs, ties=ties) for ties in ("smallest", "ecmp"))
    assert {len(route) for route in spread.values()} == {6}
    busiest = [max(Counter(link for route in taken.values() for link in route).values()) for taken in (plain, spread)]
    assert busiest[0] == 16  # all hosts of a pod climb through the same core switch
    assert busiest[1] <= 6


PROGRAM = """
from topologies import GRAPHS, NETWORKS, build, build_network, routes
graphs = [build(name, 16, **({"seed": 4} if "seed" in entry.options else {})) for name, entry in GRAPHS.items()]
print([list(graph.edges(data=True)) for graph in graphs])
for name in NETWORKS:
    network = build_network(name, 16, **({"graph": graphs[0]} if name == "dedicated" else {}))
    pairs = [(i, j) for i in range(16) for j in range(16) if i != j]
    print(list(network.edges), routes(network, pairs), routes(network, pairs, ties="ecmp"))
"""


def test_graphs_and_routes_do_not_depend_on_the_hash_seed():
    outputs = [
        subprocess.run(
            [sys.executable, "-c", PROGRAM],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert outputs[0] == outputs[1]
    assert len(outputs[0]) > 10_000


def test_a_thousand_hosts_are_routed_in_seconds():
    network = build_network("fat_tree", 1024)
    pairs = [(i, (i + 2**k) % 1024) for i in range(0, 1024, 4) for k in range(10)]
    start = time.perf_counter()
    taken = routes(network, pairs)
    assert time.perf_counter() - start < 20  # about half a second
    assert len(taken) == 2560


# --- placement and given routes


def test_placement_and_shared_hosts():
    network = build_network("fabric", 3)
    assert routes(network, [(0, 1), (0, 2)], placement=[2, 0, 2]) == {(0, 1): [(2, 3), (3, 0)], (0, 2): []}


def test_workers_go_on_gpus_where_there_are_any():
    network = nx.Graph()
    network.add_node("cpu", kind="host")
    network.add_nodes_from(["g0", "g1"], kind="gpu")
    network.add_edges_from([("cpu", "g0"), ("cpu", "g1")], bandwidth=1e9, latency=0)
    assert routes(network, [(0, 1)])[0, 1] == [("g0", "cpu"), ("cpu", "g1")]


def test_given_routes_are_taken_as_they_are():
    network = build_network("dedicated", 4, graph=build("ring", 4), duplex="half")
    taken = routes(network, [(0, 1), (1, 0)], given={(0, 1): [0, 3, 2, 1], (3, 0): [3, 0]})
    assert taken == {(0, 1): [(0, 3), (2, 3), (1, 2)], (1, 0): [(0, 1)]}


def test_order_of_the_pairs_is_kept_and_repeats_are_dropped():
    network = build_network("torus", 4)
    assert list(routes(network, [(3, 0), (0, 1), (3, 0)])) == [(3, 0), (0, 1)]
    assert routes(network, []) == {}


ISLANDS = network_of([("a", "s", 1), ("b", "t", 1)], "ab")


@pytest.mark.parametrize(
    ("network", "pairs", "options", "message"),
    [
        (ISLANDS, [(0, 1)], {}, r"pair \(0, 1\): expected a connected network, found no route from 'a' to 'b'"),
        (ISLANDS, [(0, 0)], {}, r"pair \(0, 0\): expected two different workers, found the same"),
        (ISLANDS, [(0, 2)], {}, r"pair \(0, 2\): expected workers 0..1, the places that the network has"),
        (ISLANDS, [(-1, 0)], {}, r"pair \(-1, 0\): expected workers 0..1"),
        (ISLANDS, [], {"placement": ["x"]}, "placement: expected nodes of the network, found 'x'"),
        (ISLANDS, [], {"ties": "random"}, "ties: expected one of 'smallest', 'ecmp', found 'random'"),
        (
            ISLANDS,
            [(0, 1)],
            {"given": {(0, 1): ["a", "b"]}},
            r"route of \(0, 1\): expected links .*, found \('a', 'b'\)",
        ),
        (ISLANDS, [(0, 1)], {"given": {(0, 1): ["a", "s"]}}, "expected it to lead from 'a' to 'b'"),
        (ISLANDS, [(0, 1)], {"given": {(0, 1): []}}, r"expected it to lead from 'a' to 'b', found \[\]"),
        (nx.path_graph(2), [(0, 1)], {}, "kind of node 0: expected one of"),
    ],
)
def test_refused(network, pairs, options, message):
    with pytest.raises(ValueError, match=message):
        routes(network, pairs, **options)
