"""The drawing of a network shows every link where it is, in the colour of what it carried."""

import networkx as nx
import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import LineCollection
from matplotlib.colors import to_hex

import topologies
import topologies.files
from analysis.figures.graph import graph_figure, utilisations
from analysis.figures.style import inline_svg, save, utilisation_map

COLUMNS = ["source", "target", "bandwidth", "latency", "carried_bytes", "busy_s", "utilisation"]


def links_of(graph, used):
    """Both directions of every edge; `used(u, v)` is the utilisation."""
    ways = [way for u, v in graph.edges for way in ((u, v), (v, u))]
    return pd.DataFrame([(str(u), str(v), 1e9, 0.0, 1, 0.1, used(u, v)) for u, v in ways], columns=COLUMNS)


def lines(figure):
    """The edges of the graph, then the coloured links: (segments, colours)."""
    found = [each for each in figure.axes[0].collections if isinstance(each, LineCollection)]
    return [(each.get_segments(), [to_hex(colour) for colour in each.get_colors()]) for each in found]


def test_a_graph_alone_has_its_edges_and_no_colour_bar():
    graph = topologies.build("ring", 6)
    figure = graph_figure(graph)
    assert len(figure.axes) == 1
    ((edges, _),) = lines(figure)
    positions = topologies.layout(graph)
    assert [tuple(map(tuple, each)) for each in edges] == [
        (pytest.approx(positions[u]), pytest.approx(positions[v])) for u, v in graph.edges
    ]
    assert [text.get_text() for text in figure.axes[0].texts] == list("012345")


def test_links_have_the_colours_of_their_utilisation_and_keep_to_the_right():
    graph = topologies.build("path", 2)
    figure = graph_figure(graph, links_of(graph, lambda u, v: 0.5 if u == 0 else 0.125))
    _, (drawn, colours) = lines(figure)
    assert colours == [to_hex(utilisation_map()(0.25)), to_hex(utilisation_map()(1.0))]  # of 50 %, the busier on top
    there, back = drawn[1], drawn[0]
    assert there[0][0] < there[1][0]
    assert (there[:, 1] < 0).all()  # from left to right, below the middle
    assert (back[:, 1] > 0).all()
    assert figure.axes[1].get_xlabel() == "utilisation of the links (%)"
    assert figure.axes[1].get_xlim() == (0, 50)


def test_links_of_one_utilisation_need_no_order_of_their_names():
    graph = nx.Graph([(0, "s"), ("s", 1)])
    _, (drawn, _) = lines(graph_figure(graph, links_of(graph, lambda u, v: 0.5)))
    assert len(drawn) == 4


def test_of_many_links_the_busier_direction_is_shown():
    graph = topologies.build("ring", 70)
    figure = graph_figure(graph, links_of(graph, lambda u, v: 0.9 if u < v else 0.1))
    _, (drawn, colours) = lines(figure)
    assert len(drawn) == 70
    assert set(colours) == {to_hex(utilisation_map()(0.9))}
    assert "busier direction" in figure.axes[1].get_xlabel()
    labels = [text.get_text() for text in figure.axes[0].texts]
    assert labels == [str(node) for node in range(0, 70, 4)]


def test_links_that_carried_nothing_stay_grey():
    graph = topologies.build("ring", 4)
    figure = graph_figure(graph, links_of(graph, lambda u, v: 0.3 if {u, v} == {0, 1} else 0.0))
    (edges, _), (drawn, _) = lines(figure)
    assert (len(edges), len(drawn)) == (4, 2)


def test_a_half_duplex_link_is_one_line_in_the_middle():
    network = topologies.build_network("racks", 2, hosts_per_rack=2, duplex="half")
    u, v = next(iter(network.edges))
    links = pd.DataFrame([(str(u), str(v), 1e9, 0.0, 1, 0.1, 0.7)], columns=COLUMNS)
    _, (drawn, _) = lines(graph_figure(network, links))
    positions = topologies.layout(network)
    np.testing.assert_allclose(drawn[0], [positions[u], positions[v]])


def test_links_are_found_by_the_names_of_the_nodes():
    graph = topologies.build("path", 3)
    links = pd.DataFrame([("0", "1", 1e9, 0.0, 1, 0.1, 0.7), ("1", "9", 1e9, 0.0, 1, 0.1, 0.7)], columns=COLUMNS)
    assert utilisations(graph, links) == {(0, 1): 0.7}


@pytest.mark.parametrize("name", ["fabric", "racks", "fat_tree", "dragonfly", "torus", "gpu_nodes"])
def test_every_network_can_be_drawn_and_saved(name, tmp_path):
    network = topologies.build_network(name, 16)
    png, svg = save(graph_figure(network, links_of(network, lambda u, v: 0.4)), tmp_path / "network")
    assert png.read_bytes().startswith(b"\x89PNG")
    page = inline_svg(svg.read_text(), "network")
    assert "data:image" not in page
    assert "http" not in page


def test_one_node_alone_can_be_drawn():
    assert len(graph_figure(topologies.build_network("fabric", 1)).axes) == 1


def test_colours_run_from_light_to_dark():
    shades = utilisation_map()(np.linspace(0, 1, 11))[:, :3] @ (0.2126, 0.7152, 0.0722)
    assert (np.diff(shades) < 0).all()


def test_the_first_graphs_of_one_that_changes_stand_below_all_edges(tmp_path):
    graphs = [topologies.build("erdos_renyi", 7, seed=seed) for seed in range(8)]
    union = topologies.TimeVaryingGraph(tuple(graphs)).union()
    figure = graph_figure(union, links_of(union, lambda u, v: 0.01))
    *_, below = figure.axes
    assert len(figure.axes) == 3
    assert [text.get_text() for text in below.texts] == ["graph 0 of 8", "1", "2", "3", "4"]
    assert [len(each.get_segments()) for each in below.collections if isinstance(each, LineCollection)] == [
        graph.number_of_edges() for graph in graphs[:5]
    ]
    topologies.files.save(union, tmp_path / "union.json")  # as a run directory has it
    again = graph_figure(topologies.files.load(tmp_path / "union.json"), links_of(union, lambda u, v: 0.01))
    assert save(again, tmp_path / "again")[1].read_bytes() == save(figure, tmp_path / "figure")[1].read_bytes()
