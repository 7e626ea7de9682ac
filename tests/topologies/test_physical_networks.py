"""Sizes, degrees, distances and capacities of the physical networks."""

from collections import Counter
from itertools import pairwise, product

import networkx as nx
import pytest

from topologies import build, build_network, link_table, routes
from topologies.physical import check_network, places


def kinds(network):
    return Counter(kind for _, kind in network.nodes(data="kind"))


def lengths(network, ties="smallest"):
    workers = range(len(places(network)))
    pairs = [(i, j) for i in workers for j in workers if i != j]
    return {pair: len(route) for pair, route in routes(network, pairs, ties=ties).items()}


def capacity(network, one, other):
    """Largest flow from one set of end points to another, in bytes/s."""
    directed = nx.DiGraph()
    for (u, v), (bandwidth, _) in link_table(network).items():
        directed.add_edge(u, v, capacity=bandwidth)
    directed.add_edges_from(("source", node) for node in one)
    directed.add_edges_from((node, "sink") for node in other)
    return nx.maximum_flow_value(directed, "source", "sink")


# --- dedicated links


def test_dedicated_links_are_the_edges_of_the_graph():
    graph = build("exponential", 16)
    network = build_network("dedicated", 16, graph=graph, bandwidth=2e9, latency=1e-5)
    assert list(network.edges) == list(graph.edges)
    assert link_table(network)[0, 1] == (2e9, 1e-5)


@pytest.mark.parametrize("n", [2, 3, 8, 17])
def test_a_ring_on_dedicated_links_crosses_exactly_one_link_a_pair(n):
    ring = build("ring", n)
    network = build_network("dedicated", n, graph=ring)
    pairs = [pair for u, v in ring.edges for pair in ((u, v), (v, u))]
    assert routes(network, pairs) == {pair: [pair] for pair in pairs}


def test_dedicated_edges_may_have_bandwidths_of_their_own():
    graph = build("path", 3)
    graph.edges[1, 2].update(bandwidth=5e8, duplex="half")
    table = link_table(build_network("dedicated", 3, graph=graph, bandwidth=1e9, latency=0))
    assert table == {(0, 1): (1e9, 0.0), (1, 0): (1e9, 0.0), (1, 2): (5e8, 0.0)}
    graph.edges[0, 1]["bandwidth"] = -1
    with pytest.raises(ValueError, match=r"link \(0, 1\): bandwidth: expected a finite number above 0 bytes/s"):
        build_network("dedicated", 3, graph=graph)


# --- one switch, racks


def test_fabric_is_two_links_and_full_bisection():
    network = build_network("fabric", 8, bandwidth=1e9)
    assert set(lengths(network).values()) == {2}
    assert capacity(network, range(4), range(4, 8)) == pytest.approx(4e9)


def test_racks_share_their_uplink():
    network = build_network("racks", 10, hosts_per_rack=4, bandwidth=1e9, uplink_bandwidth=2e9, uplink_latency=1e-3)
    assert kinds(network) == {"host": 10, "switch": 4}
    assert capacity(network, range(4), range(4, 10)) == pytest.approx(2e9)
    hops = lengths(network)
    assert (hops[0, 3], hops[0, 4], hops[9, 8], hops[9, 0]) == (2, 4, 2, 4)
    table = link_table(network)
    assert [table[link] for link in routes(network, [(0, 4)])[0, 4]] == [
        (1e9, 50e-6),
        (2e9, 1e-3),
        (2e9, 1e-3),
        (1e9, 50e-6),
    ]


# --- fat tree


@pytest.mark.parametrize("k", [2, 4, 6, 8])
def test_fat_tree_counts(k):
    """Al-Fares et al. 2008: k^3/4 hosts, k^2 pod switches, (k/2)^2 core switches, all of k ports."""
    hosts = k**3 // 4
    network = build_network("fat_tree", hosts)
    assert kinds(network) == {"host": hosts, "switch": k**2 + k**2 // 4}
    assert network.number_of_edges() == 3 * hosts
    switches = [node for node, kind in network.nodes(data="kind") if kind == "switch"]
    assert {network.degree[switch] for switch in switches} == {k}


def test_fat_tree_of_four_ports_has_sixteen_hosts():
    network = build_network("fat_tree", 16)
    assert [data["label"] for node, data in network.nodes(data=True) if node in (0, 16, 24, 32)] == [
        "host 0",
        "pod 0 edge 0",
        "pod 0 aggregation 0",
        "core 0",
    ]


def test_fat_tree_distances():
    k = 4
    for (i, j), hops in lengths(build_network("fat_tree", 16)).items():
        same_edge, same_pod = i // (k // 2) == j // (k // 2), i // (k * k // 4) == j // (k * k // 4)
        assert hops == (2 if same_edge else 4 if same_pod else 6)


@pytest.mark.parametrize("half", [range(8), range(0, 16, 2), [0, 1, 2, 3, 8, 9, 10, 11]])
def test_fat_tree_has_full_bisection_bandwidth(half):
    network = build_network("fat_tree", 16, bandwidth=1e9)
    assert capacity(network, half, set(range(16)) - set(half)) == pytest.approx(8e9)


def test_fat_tree_with_spare_room():
    network = build_network("fat_tree", 5)
    assert kinds(network) == {"host": 5, "switch": 20}
    assert build_network("fat_tree", 5, k=6).number_of_nodes() == 5 + 45


# --- dragonfly


@pytest.mark.parametrize(("p", "a", "h"), [(1, 2, 1), (2, 4, 2), (3, 6, 3), (1, 3, 2), (4, 2, 1)])
def test_dragonfly_of_full_size(p, a, h):
    """Kim et al. 2008: g = a h + 1 groups, N = p a g hosts, routers of p + a + h - 1 ports."""
    groups = a * h + 1
    hosts = p * a * groups
    network = build_network("dragonfly", hosts, hosts_per_router=p, routers_per_group=a, global_links=h)
    assert kinds(network) == {"host": hosts, "switch": a * groups}
    routers = [node for node, kind in network.nodes(data="kind") if kind == "switch"]
    assert {network.degree[router] for router in routers} == {p + a + h - 1}
    group = network.nodes(data="group")
    between = Counter(frozenset((group[u], group[v])) for u, v in network.edges if group[u] != group[v])
    assert len(between) == groups * (groups - 1) // 2
    assert set(between.values()) == {1}


def test_dragonfly_diameter_is_five_links():
    network = build_network("dragonfly", 72)
    hops = lengths(network)
    assert max(hops.values()) == 5
    assert (hops[0, 1], hops[0, 2]) == (2, 3)


def test_dragonfly_with_few_groups_keeps_to_its_ports():
    network = build_network("dragonfly", 20, hosts_per_router=2, routers_per_group=4, global_links=2)
    assert kinds(network) == {"host": 20, "switch": 12}
    assert max(network.degree[node] for node in range(20, 32)) <= 2 + 4 + 2 - 1
    assert nx.is_connected(network)


def test_dragonfly_global_links_have_their_own_speed():
    network = build_network("dragonfly", 6, bandwidth=1e9, global_bandwidth=4e9, global_latency=1e-6)
    group = network.nodes(data="group")
    speeds = {(group[u] != group[v], table) for (u, v), table in link_table(network).items()}
    assert speeds == {(False, (1e9, 50e-6)), (True, (4e9, 1e-6))}


# --- torus


@pytest.mark.parametrize("shape", [(3, 4), (2, 5), (3, 3, 4), (2, 2, 2), (1, 5)])
def test_torus_distances(shape):
    workers = 1
    for side in shape:
        workers *= side
    places_of = list(product(*map(range, shape)))
    for (i, j), hops in lengths(build_network("torus", workers, shape=shape)).items():
        steps = [abs(a - b) for a, b in zip(places_of[i], places_of[j], strict=True)]
        assert hops == sum(min(d, side - d) for d, side in zip(steps, shape, strict=True))


def test_torus_has_two_links_a_host_and_side():
    assert build_network("torus", 27, shape=[3, 3, 3]).number_of_edges() == 81
    assert build_network("torus", 16).number_of_edges() == 32
    assert kinds(build_network("torus", 16)) == {"host": 16}


# --- nodes of GPUs


def test_gpu_nodes_routes():
    """Two links inside a node, four on the same rail, six to another rail through NVLink."""
    hops = lengths(build_network("gpu_nodes", 12, gpus_per_node=4))
    for (i, j), length in hops.items():
        assert length == (2 if i // 4 == j // 4 else 4 if i % 4 == j % 4 else 6)


def test_gpu_nodes_rails_join_equal_nics():
    network = build_network("gpu_nodes", 16, gpus_per_node=8, nics_per_node=4)
    assert kinds(network) == {"gpu": 16, "switch": 4 + 2, "nic": 8}
    labels = network.nodes(data="label")
    rails = [node for node in network if labels[node].startswith("rail")]
    assert [sorted(labels[nic] for nic in network[rail]) for rail in rails] == [
        [f"node {node} NIC {r}" for node in range(2)] for r in range(4)
    ]
    assert [labels[nic] for gpu in (0, 1, 2, 7) for nic in network[gpu] if "NIC" in labels[nic]] == [
        "node 0 NIC 0",
        "node 0 NIC 0",
        "node 0 NIC 1",
        "node 0 NIC 3",
    ]


def test_gpu_nodes_cross_rail_message_changes_gpu_over_nvlink():
    network = build_network("gpu_nodes", 4, gpus_per_node=2)
    labels = network.nodes(data="label")
    route = routes(network, [(0, 3)])[0, 3]
    assert [labels[u] for u, _ in route] + [labels[route[-1][1]]] == [
        "node 0 GPU 0",
        "node 0 NVSwitch",
        "node 0 GPU 1",
        "node 0 NIC 1",
        "rail 1",
        "node 1 NIC 1",
        "node 1 GPU 1",
    ]


def test_gpu_nodes_without_rails_share_one_switch():
    network = build_network("gpu_nodes", 8, gpus_per_node=4, nics_per_node=1, rails=False, bandwidth=1e9)
    assert kinds(network) == {"gpu": 8, "switch": 3, "nic": 2}
    assert set(lengths(network).values()) == {2, 4}
    assert capacity(network, range(4), range(4, 8)) == pytest.approx(1e9)


def test_gpu_links_have_their_own_speeds():
    options = {"nvlink_bandwidth": 4e11, "pcie_bandwidth": 6e10, "bandwidth": 5e10, "latency": 2e-6}
    network = build_network("gpu_nodes", 8, gpus_per_node=4, nvlink_latency=0, pcie_latency=1e-7, **options)
    table = link_table(network)
    assert [table[link] for link in routes(network, [(0, 4)])[0, 4]] == [
        (6e10, 1e-7),
        (5e10, 2e-6),
        (5e10, 2e-6),
        (6e10, 1e-7),
    ]
    assert {table[link] for link in routes(network, [(0, 1)])[0, 1]} == {(4e11, 0.0)}


# --- links


def test_full_duplex_is_a_resource_a_direction_and_half_duplex_one_for_both():
    full, half = (build_network("fabric", 2, bandwidth=1e9, latency=0, duplex=duplex) for duplex in ("full", "half"))
    assert list(link_table(full)) == [(0, 2), (2, 0), (1, 2), (2, 1)]
    assert link_table(half) == {(0, 2): (1e9, 0.0), (1, 2): (1e9, 0.0)}
    assert routes(full, [(0, 1), (1, 0)]) == {(0, 1): [(0, 2), (2, 1)], (1, 0): [(1, 2), (2, 0)]}
    assert routes(half, [(0, 1), (1, 0)]) == {(0, 1): [(0, 2), (1, 2)], (1, 0): [(1, 2), (0, 2)]}


@pytest.mark.parametrize("duplex", ["full", "half"])
@pytest.mark.parametrize(("name", "workers"), [("fat_tree", 16), ("dragonfly", 30), ("torus", 12), ("racks", 20)])
def test_every_link_of_every_route_is_in_the_table(name, workers, duplex):
    network = build_network(name, workers, duplex=duplex)
    table = link_table(network)
    pairs = [(i, j) for i in range(workers) for j in range(workers) if i != j]
    for (i, j), route in routes(network, pairs).items():
        assert all(link in table for link in route)
        if duplex == "full":
            assert (route[0][0], route[-1][1]) == (i, j)
            assert all(here[1] == there[0] for here, there in pairwise(route))


def test_a_network_must_say_what_its_nodes_are():
    with pytest.raises(ValueError, match=r"kind of node 0: expected one of 'host', .*, found None"):
        check_network(nx.path_graph(2))
