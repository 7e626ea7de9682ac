"""Positions for drawing: one for every node, none twice, the same every time."""

import networkx as nx
import pytest

from topologies import GRAPHS, NETWORKS, build, build_network, layout
from topologies.registry import Entry

GRAPH_SIZES = {"hypercube": 16}
DRAWN = [build(name, GRAPH_SIZES.get(name, 12)) for name in GRAPHS]
DRAWN += [build("barbell", 13, bridge=5), build("barbell", 4), build("ring", 2), build("grid", 12, rows=1)]
DRAWN += [build_network(name, 24, **({"graph": build("grid", 24)} if name == "dedicated" else {})) for name in NETWORKS]
DRAWN += [build_network("torus", 24, shape=(2, 3, 4)), build_network("dragonfly", 2), build_network("fabric", 1)]


@pytest.mark.parametrize("graph", DRAWN, ids=lambda graph: graph.graph["family"])
def test_every_node_has_a_place_of_its_own(graph):
    positions = layout(graph)
    assert list(positions) == list(graph) or graph.graph["family"] == "hypercube"
    assert set(positions) == set(graph)
    assert len({(round(x, 9), round(y, 9)) for x, y in positions.values()}) == len(graph)
    assert all(type(x) is float and type(y) is float for x, y in positions.values())


def test_ring_is_a_circle_from_the_top_clockwise():
    positions = layout(build("ring", 4))
    assert positions[0] == pytest.approx((0, 1))
    assert positions[1] == pytest.approx((1, 0))


def test_star_has_its_hub_in_the_middle():
    assert layout(build("star", 5))[0] == (0.0, 0.0)


def test_grid_is_drawn_row_by_row_downwards():
    assert list(layout(build("grid", 6)).values()) == [(0, 0), (1, 0), (2, 0), (0, -1), (1, -1), (2, -1)]


def test_dedicated_links_are_drawn_like_their_graph():
    graph = build("grid", 6)
    assert layout(build_network("dedicated", 6, graph=graph)) == layout(graph)


def test_geometric_graphs_are_drawn_where_their_points_are():
    graph = build("random_geometric", 10)
    assert layout(graph)[3] == (graph.nodes[3]["x"], graph.nodes[3]["y"])


def test_fat_tree_has_a_row_a_level():
    network = build_network("fat_tree", 16)
    heights = {
        level: {layout(network)[n][1] for n, at in network.nodes(data="level") if at == level} for level in range(4)
    }
    assert all(len(rows) == 1 for rows in heights.values())
    assert [next(iter(rows)) for rows in heights.values()] == sorted(next(iter(rows)) for rows in heights.values())


def test_graphs_from_elsewhere_are_circles_and_switched_networks_layers():
    assert layout(nx.path_graph(4)) == layout(build("ring", 4))
    network = nx.Graph()
    network.add_nodes_from("ab", kind="host")
    network.add_node("s", kind="switch")
    assert layout(network) == {"a": (0.5, 0.0), "b": (1.5, 0.0), "s": (1.0, 2.0)}
    assert layout(nx.Graph()) == {}


def test_a_family_without_its_attributes_is_refused():
    with pytest.raises(ValueError, match="layout: expected a grid graph to have the attribute 'rows', found none"):
        layout(nx.Graph([(0, 1)], family="grid"))


def test_entries_are_plain_values():
    assert Entry(build, "nowhere") == Entry(build, "nowhere")


def test_barbell_faces_its_bridge():
    positions = layout(build("barbell", 8))
    assert positions[3] == pytest.approx((-1, 0))
    assert positions[4] == pytest.approx((1, 0))
