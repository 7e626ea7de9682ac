"""Files of other tools: what they lack of a network is filled in, what is double is joined, nodes get numbers."""

import json
from pathlib import Path

import networkx as nx
import pytest

from topologies import chi_1, coordinates, files, layout, with_rates
from topologies.conventions import has_weights, with_own_rates
from topologies.given import Lacking, graph_of, network_of

ABILENE = Path(__file__).parents[1] / "data" / "Abilene.graphml"
"""Of the Topology Zoo, reduced to nodes, links and coordinates; neither bandwidth nor latency nor kinds."""

LIGHT = {
    (0, 1): 0.00572918594406073, (0, 2): 0.0016424536135976663, (1, 10): 0.0013166240277047215,
    (2, 9): 0.0043596323367935536, (3, 4): 0.005693002655325401, (3, 6): 0.008205580097749354,
    (4, 5): 0.002515782344091007, (4, 6): 0.007517967857218973, (5, 8): 0.011033797765433537,
    (6, 7): 0.004459024340469192, (7, 8): 0.005209735387562249, (7, 10): 0.0036532344385213607,
    (8, 9): 0.005637792407167999, (9, 10): 0.003438016757044956,
}  # fmt: skip
"""Seconds of light at 2e8 m/s on a sphere of 6,371 km, worked out by another program."""


def graphml(graph):
    return "\n".join(nx.generate_graphml(graph))


def two(node=None, **link):
    graph = nx.Graph()
    graph.add_nodes_from([(0, node or {}), (1, {})])
    graph.add_edge(0, 1, **link)
    return graphml(graph)


def test_a_file_of_the_topology_zoo_is_a_communication_graph():
    graph = graph_of(files.text_of(ABILENE), ABILENE)
    assert (len(graph), graph.number_of_edges()) == (11, 14)
    assert list(graph) == list(range(11))
    assert graph.nodes[0]["label"] == "New York"
    assert chi_1(with_rates(graph)) > 0


def test_a_file_of_the_topology_zoo_is_a_network_with_what_it_lacks():
    network = network_of(files.text_of(ABILENE), ABILENE, Lacking(1.25e9, "coordinates"))
    assert {data["kind"] for _, data in network.nodes(data=True)} == {"host"}
    assert {data["bandwidth"] for *_, data in network.edges(data=True)} == {1.25e9}
    assert {(u, v): data["latency"] for u, v, data in network.edges(data=True)} == pytest.approx(LIGHT, rel=1e-12)


def test_what_a_file_has_is_kept():
    text = two({"kind": "gpu"}, bandwidth=3.0)
    network = network_of(text, "a.graphml", Lacking(7.0, 0.5, "switch"))
    assert [data["kind"] for _, data in network.nodes(data=True)] == ["gpu", "switch"]
    assert network.edges[0, 1] == {"bandwidth": 3.0, "latency": 0.5}


def test_speeds_of_the_topology_zoo_are_bandwidths():
    """`LinkSpeedRaw` is in bit/s, a bandwidth in bytes/s; what a link says in our own words goes before it, and the
    table's bandwidth is for those that say nothing."""
    graph = nx.path_graph(4)
    graph.edges[0, 1].update(LinkSpeed="10", LinkSpeedUnits="G", LinkSpeedRaw=10_000_000_000.0)
    graph.edges[1, 2].update(LinkSpeedRaw=155_000_000.0, bandwidth=3.0)
    network = network_of(graphml(graph), "a.graphml", Lacking(7.0, 0.5))
    assert nx.get_edge_attributes(network, "bandwidth") == {(0, 1): 1.25e9, (1, 2): 3.0, (2, 3): 7.0}


def test_parallel_links_of_the_topology_zoo_add_up_their_speeds():
    graph = nx.MultiGraph([(0, 1, {"LinkSpeedRaw": 8e9}), (0, 1, {"LinkSpeedRaw": 16e9})])
    assert network_of(graphml(graph), "a.graphml", Lacking(latency=0.5)).edges[0, 1]["bandwidth"] == 3e9


@pytest.mark.parametrize("speed", [0.0, -8.0, float("inf"), "fast"])
def test_an_impossible_speed_is_named(speed):
    with pytest.raises(ValueError, match=r"^a\.graphml: link \(0, 1\): LinkSpeedRaw: expected a finite number above 0"):
        network_of(two(LinkSpeedRaw=speed), "a.graphml", Lacking(7.0, 0.5))


@pytest.mark.parametrize(
    ("text", "lacking", "message"),
    [
        (two(), Lacking(), r"^kind of node 0: .* found None in a\.graphml; what it lacks may be said beside it"),
        (two(), Lacking(latency=1.0), r"^a\.graphml: link \(0, 1\): bandwidth: expected one in the file, or a bandw"),
        (two(), Lacking(bandwidth=1.0), r"^a\.graphml: link \(0, 1\): latency: expected one in the file, or a latency"),
        (two(), Lacking(1.0, "coordinates"), r"node 0: expected Latitude and Longitude for latency = 'coordinates', f"),
        (two({"Latitude": 1.0}), Lacking(1.0, "coordinates"), r"node 0: Longitude: expected a finite .*, found None"),
        (two({"lat": 91.0, "lon": 0.0}), Lacking(1.0, "coordinates"), "Latitude: expected at most 90 .*, found 91.0"),
        (
            two({"kind": "gpu"}),
            Lacking(1.0, 1.0),
            r"kind of node 1: expected one of .*, as other nodes have, or one for",
        ),
        (two(), Lacking(1.0, 1.0, "hub"), r"^a\.graphml: kind: expected one of 'host'.*, found 'hub'"),
        (two(), Lacking(0.0, 1.0), r"^a\.graphml: bandwidth: expected a finite number above 0 bytes/s, found 0.0"),
        (
            two(),
            Lacking(1.0, -1.0),
            r"^a\.graphml: latency: expected a finite number of at least 0 seconds, found -1.0",
        ),
        (two(bandwidth=-1.0), Lacking(latency=1.0), r"^link \(0, 1\): bandwidth: .*, found -1.0 in a\.graphml$"),
    ],
)
def test_what_is_nowhere_or_impossible_is_told(text, lacking, message):
    with pytest.raises(ValueError, match=message):
        network_of(text, "a.graphml", lacking)


def parallel(**second):
    graph = nx.MultiGraph()
    graph.add_nodes_from(range(3))
    graph.add_edge(0, 1, weight=1.0, latency=0.5)
    graph.add_edge(1, 2, weight=2.0, latency=0.5)
    graph.add_edge(1, 0, weight=4.0, **{"latency": 0.5, **second})
    return graph


@pytest.mark.parametrize("suffix", ["graphml", "json"])
def test_edges_that_are_double_are_one(suffix):
    text = graphml(parallel()) if suffix == "graphml" else json.dumps(nx.node_link_data(parallel(), edges="edges"))
    graph = graph_of(text, f"a.{suffix}")
    assert graph.edges[0, 1]["multiplicity"] == 2
    assert graph.edges[0, 1]["weight"] == 5
    assert "multiplicity" not in graph.edges[1, 2]
    network = network_of(text, f"a.{suffix}", Lacking(10.0))
    assert [data["bandwidth"] for *_, data in network.edges(data=True)] == [20.0, 10.0]


def test_double_links_must_be_alike():
    with pytest.raises(
        ValueError, match=r"link \(0, 1\): expected one latency for the 2 links .*, found \[0\.5, 0\.7\]"
    ):
        network_of(graphml(parallel(latency=0.7)), "a.graphml", Lacking(10.0))


def test_nodes_with_names_are_numbered_as_the_file_has_them():
    graph = graph_of(graphml(nx.Graph([("zoe", "adam"), ("adam", "eve")])), "a.graphml")
    assert list(graph.edges) == [(0, 1), (1, 2)]
    assert [data["label"] for _, data in graph.nodes(data=True)] == ["zoe", "adam", "eve"]


@pytest.mark.parametrize("suffix", files.SUFFIXES)
def test_a_byte_order_mark_is_no_part_of_a_file(suffix, tmp_path):
    graph = with_rates(nx.path_graph(3))
    files.save(graph, tmp_path / f"g{suffix}")
    plain = (tmp_path / f"g{suffix}").read_bytes()
    (tmp_path / f"g{suffix}").write_bytes(b"\xef\xbb\xbf" + plain)
    assert list(files.load(tmp_path / f"g{suffix}").edges(data=True)) == list(graph.edges(data=True))


# ---- weights


def weighted(*weights, name="weight"):
    graph = nx.path_graph(len(weights) + 1)
    nx.set_edge_attributes(graph, dict(zip(graph.edges, weights, strict=True)), name)
    return graph


@pytest.mark.parametrize("name", ["weight", "rate"])
def test_rates_are_in_proportion_to_weights(name):
    graph = with_own_rates(weighted(1, 3, name=name), 2.0)
    assert [rate for *_, rate in graph.edges(data="rate")] == [0.75, 2.25]


def test_by_neighbour_each_worker_picks_by_weight():
    graph = with_own_rates(weighted(1, 3), 2.0, "neighbour")
    assert [rate for *_, rate in graph.edges(data="rate")] == pytest.approx([1 + 1 / 4, 1 + 3 / 4], rel=1e-15)


@pytest.mark.parametrize("convention", ["uniform", "neighbour"])
def test_equal_weights_are_as_none(convention):
    graph = nx.cycle_graph(5)
    plain = with_rates(graph, 1.5, convention)
    nx.set_edge_attributes(graph, 7, "weight")
    assert has_weights(graph)
    found = with_own_rates(graph, 1.5, convention)
    assert dict(nx.get_edge_attributes(found, "rate")) == pytest.approx(
        nx.get_edge_attributes(plain, "rate"), rel=1e-15
    )


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ((1, -3), r"weight of edge \(1, 2\): expected a finite number of at least 0, found -3"),
        ((1, None), r"weight of edge \(1, 2\): .* found None"),
        ((1, 0), "expected a connected graph, found no path from worker 0 to worker 2"),
        (
            (1e-320, 1),
            r"weight of edge \(0, 1\): expected 0, or at least 1e-09 of the largest \(1\), found 9.99989e-321",
        ),
        ((1, 1e300), r"weight of edge \(0, 1\): expected 0, or at least 1e-09 of the largest \(1e\+300\), found 1"),
    ],
)
def test_wrong_weights_are_told(weights, message):
    with pytest.raises(ValueError, match=message):
        with_own_rates(weighted(*weights))


# ---- coordinates


def test_a_quarter_of_the_equator():
    quarter = coordinates.EARTH_RADIUS_M * 3.141592653589793 / 2
    assert coordinates.distance((0, 0), (0, 90)) == pytest.approx(quarter, rel=1e-15)
    assert coordinates.distance((90, 17), (0, -170)) == pytest.approx(quarter, rel=1e-15)
    assert coordinates.light_time((5, 5), (5, 5)) == 0


def test_places_are_drawn_as_on_a_map():
    positions = layout(graph_of(files.text_of(ABILENE), ABILENE))
    (new_york, seattle, houston) = (positions[node] for node in (0, 3, 8))
    assert seattle[0] < houston[0] < new_york[0]
    assert houston[1] < new_york[1] < seattle[1]
    assert max(abs(each) for point in positions.values() for each in point) == pytest.approx(1)
