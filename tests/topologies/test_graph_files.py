"""GraphML and JSON: everything comes back, and broken files are named."""

import json

import networkx as nx
import pytest

from topologies import GRAPHS, NETWORKS, build, build_network, files, routes, with_rates

GRAPH_SIZES = {"hypercube": 8}
COMMUNICATION = [build(name, GRAPH_SIZES.get(name, 10)) for name in GRAPHS]
PHYSICAL = [
    build_network(name, 16, **({"graph": build("grid", 16)} if name == "dedicated" else {})) for name in NETWORKS
]


def content(graph):
    return graph.graph, list(graph.nodes(data=True)), list(graph.edges(data=True))


@pytest.mark.parametrize("suffix", files.SUFFIXES)
@pytest.mark.parametrize("graph", COMMUNICATION + PHYSICAL, ids=lambda graph: graph.graph["family"])
def test_round_trip(graph, suffix, tmp_path):
    path = tmp_path / f"graph{suffix}"
    files.save(graph, path)
    assert content(files.load(path)) == content(graph)
    first = path.read_bytes()
    files.save(files.load(path), path)
    assert path.read_bytes() == first


@pytest.mark.parametrize("suffix", files.SUFFIXES)
def test_rates_and_multiplicities_come_back_to_the_last_digit(suffix, tmp_path):
    graph = with_rates(build("exponential", 8), 1 / 3, "neighbour")
    files.save(graph, tmp_path / f"g{suffix}")
    assert list(files.load(str(tmp_path / f"g{suffix}")).edges(data=True)) == list(graph.edges(data=True))


def test_network_with_names_keeps_the_order_of_the_file(tmp_path):
    network = nx.Graph()
    network.add_node("zoe", kind="host")
    network.add_node("adam", kind="host")
    network.add_edge("zoe", "adam", bandwidth=1e9, latency=0.0)
    for suffix in files.SUFFIXES:
        files.save(network, tmp_path / f"n{suffix}")
        loaded = files.load(tmp_path / f"n{suffix}")
        assert list(loaded) == ["zoe", "adam"]
        assert routes(loaded, [(0, 1)]) == {(0, 1): [("zoe", "adam")]}


def test_json_of_other_tools_may_say_links(tmp_path):
    path = tmp_path / "d3.json"
    path.write_text('{"nodes": [{"id": 1}, {"id": 0}], "links": [{"source": 1, "target": 0}]}')
    assert list(files.load(path).edges) == [(0, 1)]


def test_nodes_of_a_loaded_communication_graph_are_put_in_order(tmp_path):
    path = tmp_path / "shuffled.graphml"
    shuffled = nx.Graph([(3, 0), (2, 1), (1, 3)])
    path.write_text("\n".join(nx.generate_graphml(shuffled)))
    loaded = files.load(path)
    assert list(loaded) == [0, 1, 2, 3]
    assert list(loaded.edges) == [(0, 3), (1, 2), (1, 3)]


def nodes_and(rest):
    return '{"nodes": [{"id": 0}, {"id": 1}, {"id": 2}]' + rest + "}"


def graphml(inside):
    return f'<graphml xmlns="http://graphml.graphdrawing.org/xmlns">{inside}</graphml>'


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("g.json", "", "expected a json graph, found JSONDecodeError"),
        ("g.json", '{"nodes": [{"id": 0}', "expected a json graph, found JSONDecodeError"),
        ("g.json", "[1, 2]", "expected a json graph, found nothing like"),
        ("g.json", "3", "expected a json graph, found nothing like"),
        ("g.json", "[" * 100_000, "expected a json graph, found RecursionError"),
        ("g.json", "{}", "expected a json graph, found nothing like"),
        ("g.json", nodes_and(""), "expected a json graph, found KeyError: 'links'"),
        ("g.json", '{"nodes": [{"name": 0}], "edges": []}', "expected a json graph, found KeyError: 'id'"),
        ("g.json", '{"nodes": [{"id": []}], "edges": []}', "expected a json graph, found TypeError"),
        ("g.json", nodes_and(', "edges": [{"source": 0, "target": 7}]'), "between 0 and 7, which are not both nodes"),
        ("g.json", nodes_and(', "edges": [{"source": 0}]'), "expected a json graph, found KeyError: 'target'"),
        (
            "g.json",
            '{"nodes": [{"id": 0}, {"id": 1}], "edges": [{"source": 0, "target": 1}, {"source": 1, "target": 0}]}',
            "a node or an edge that is listed twice",
        ),
        ("g.json", '{"nodes": [{"id": 0}, {"id": 0}], "edges": []}', "a node or an edge that is listed twice"),
        ("g.json", nodes_and(', "edges": [{"source": 0, "target": 1}]'), "found no path from worker 0 to worker 2"),
        ("g.json", '{"nodes": [{"id": "a"}, {"id": "b"}], "edges": []}', r"expected the nodes 0\.\.1, found node 'a'"),
        ("g.json", nodes_and(', "edges": [], "directed": true'), "expected an undirected networkx.Graph"),
        ("g.json", nodes_and(', "edges": [], "multigraph": true'), "without parallel edges, found MultiGraph"),
        (
            "g.json",
            '{"nodes": [{"id": 0}, {"id": 1}], "edges": [{"source": 0, "target": 1, "rate": -1}]}',
            r"rate of edge \(0, 1\): expected a finite number of at least 0 .*, found -1",
        ),
        (
            "g.json",
            '{"nodes": [{"id": 0, "kind": "host"}, {"id": 1, "kind": "hub"}], "edges": []}',
            "kind of node 1: expected one of 'host', 'nic', 'switch', 'gpu', found 'hub'",
        ),
        (
            "g.json",
            '{"nodes": [{"id": 0, "kind": "host"}, {"id": 1, "kind": "host"}], "edges": [{"source": 0, "target": 1}]}',
            r"link \(0, 1\): bandwidth: expected a finite number above 0 bytes/s, found None",
        ),
        ("g.json", '{"nodes": [{"id": 0, "kind": "switch"}], "edges": []}', "expected at least one node of kind"),
        ("g.graphml", "", "expected a graphml graph, found ParseError"),
        ("g.graphml", "not xml", "expected a graphml graph, found ParseError"),
        ("g.graphml", graphml("")[:40], "expected a graphml graph, found ParseError"),
        ("g.graphml", "<html></html>", "expected a graphml graph, found "),
        ("g.graphml", graphml(""), "expected a graphml graph, found "),
        ("g.graphml", graphml('<graph edgedefault="directed"/>'), "expected an undirected networkx.Graph"),
        ("g.graphml", graphml('<graph edgedefault="undirected"/>'), "expected at least 1 worker, found 0"),
        (
            "g.graphml",
            graphml('<graph edgedefault="undirected"><node id="0"/><edge source="0" target="9"/></graph>'),
            "expected the nodes 0..1, found node 9",
        ),
    ],
)
def test_broken_files_are_named(name, text, message, tmp_path):
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(ValueError, match=message) as caught:
        files.load(path)
    assert str(caught.value).startswith(f"{path}: ")


@pytest.mark.parametrize("suffix", files.SUFFIXES)
def test_truncated_files_are_named(suffix, tmp_path):
    path = tmp_path / f"cut{suffix}"
    files.save(build("ring", 6), path)
    whole = path.read_text()
    for length in range(0, len(whole) - 2, 7):
        path.write_text(whole[:length])
        with pytest.raises(ValueError, match=r"expected a .* graph, found"):
            files.load(path)


def test_unreadable_files_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"none\.json: expected a readable file, found: No such file"):
        files.load(tmp_path / "none.json")
    (tmp_path / "folder.json").mkdir()
    with pytest.raises(ValueError, match=r"folder\.json: expected a readable file, found: Is a directory"):
        files.load(tmp_path / "folder.json")
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match=r"binary\.json: expected a readable file, found: bytes that are not UTF-8"):
        files.load(tmp_path / "binary.json")


@pytest.mark.parametrize("act", [files.load, lambda path: files.save(build("ring", 4), path)])
def test_other_suffixes_are_refused(act):
    with pytest.raises(ValueError, match=r"g\.gml: expected a file name ending in \.graphml or \.json, found '\.gml'"):
        act("g.gml")


@pytest.mark.parametrize("suffix", files.SUFFIXES)
def test_attributes_that_a_file_cannot_hold_are_refused_and_nothing_is_written(suffix, tmp_path):
    graph = build("ring", 4)
    graph.edges[0, 1]["note"] = {1, 2}
    with pytest.raises(ValueError, match="expected attributes that are text, numbers or booleans, found: "):
        files.save(graph, tmp_path / f"g{suffix}")
    assert not list(tmp_path.iterdir())


def test_json_is_what_networkx_reads(tmp_path):
    files.save(build("star", 5), tmp_path / "g.json")
    graph = nx.node_link_graph(json.loads((tmp_path / "g.json").read_text()), edges="edges")
    assert nx.is_isomorphic(graph, nx.star_graph(4))
