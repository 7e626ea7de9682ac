"""Names, options and sizes: what is refused, and how it is said."""

import numpy as np
import pytest

from topologies import GRAPHS, NETWORKS, a2cid2_parameters, build, build_network, chi_1, chi_2
from topologies.graphs import ring


@pytest.mark.parametrize("spelling", ["ring", "Ring", "cycle", " ring "])
def test_case_and_aliases_do_not_matter(spelling):
    assert build(spelling, 8).graph["family"] == "ring"


def test_hyphens_do_not_matter():
    assert build("watts-strogatz", 8).graph["family"] == "watts_strogatz"


@pytest.mark.parametrize("name", GRAPHS)
def test_numpy_numbers_are_numbers_and_do_not_stay(name):
    graph = build(name, np.int64(16), **({"seed": np.int64(3)} if "seed" in GRAPHS[name].options else {}))
    assert {type(node) for edge in graph.edges for node in edge} == {int}
    assert build("grid", 12, rows=np.int32(2)).graph == {"rows": 2, "columns": 6, "family": "grid"}
    assert build("erdos_renyi", 8, p=np.float32(1)).number_of_edges() == 28


@pytest.mark.parametrize(
    ("name", "workers", "options", "message"),
    [
        ("rign", 8, {}, r"graph: expected one of ring, .*, found 'rign' \(did you mean 'ring'\?\)"),
        ("ring", 8, {"p": 1}, "graph 'ring': expected no options, found option 'p'"),
        ("grid", 8, {"row": 1}, r"graph 'grid': expected one of rows, columns, found option 'row' .*'rows'"),
        ("ring", 0, {}, "graph 'ring': workers: expected a whole number of at least 1, found 0"),
        ("complete", -3, {}, "at least 1, found -3"),
        ("star", 4.0, {}, "expected a whole number of at least 1, found 4.0"),
        ("path", "8", {}, "expected a whole number of at least 1, found '8'"),
        ("exponential", True, {}, "expected a whole number of at least 1, found True"),
        ("hypercube", 12, {}, "graph 'hypercube': workers: expected a power of two, found 12"),
        ("grid", 7, {}, "expected a number that is a product of two sides of 2 or more, found 7"),
        ("grid", 12, {"rows": 5}, "rows, columns: expected sides that multiply to 12, found 5 x 2"),
        ("torus", 12, {"rows": 3, "columns": 3}, "expected sides that multiply to 12, found 3 x 3"),
        ("torus", 12, {"columns": 13}, "expected sides that multiply to 12, found 0 x 13"),
        ("grid", 12, {"rows": 0}, "rows: expected a whole number of at least 1, found 0"),
        ("barbell", 7, {}, "expected an even number of at least 4 beside a bridge of 0, found 7"),
        ("barbell", 6, {"bridge": 4}, "expected an even number of at least 4 beside a bridge of 4, found 2"),
        ("barbell", 8, {"bridge": -1}, "bridge: expected a whole number of at least 0, found -1"),
        ("random_regular", 8, {"degree": 8}, r"degree: expected one below 8 with 8 \* degree even, found 8"),
        ("random_regular", 5, {"degree": 3}, r"degree: expected one below 5 with 5 \* degree even, found 3"),
        ("random_regular", 6, {"degree": 1}, "expected a connected graph, found none in 100 draws"),
        ("erdos_renyi", 8, {"p": 1.5}, "p: expected a number between 0 and 1, found 1.5"),
        ("erdos_renyi", 8, {"p": float("nan")}, "p: expected a number between 0 and 1, found nan"),
        ("erdos_renyi", 8, {"p": 0}, "expected a connected graph, found none in 100 draws with p=0, seed=0"),
        ("watts_strogatz", 8, {"k": 3}, "k: expected an even number below 8, found 3"),
        ("watts_strogatz", 4, {}, "k: expected an even number below 4, found 4"),
        ("watts_strogatz", 8, {"p": "often"}, "p: expected a number between 0 and 1, found 'often'"),
        ("random_geometric", 8, {"radius": 0}, "radius: expected a finite number above 0, found 0"),
        ("random_geometric", 8, {"join": 1}, "join: expected true or false, found 1"),
        ("random_geometric", 8, {"seed": -1}, "seed: expected a whole number of at least 0, found -1"),
        ("erdos_renyi", 8, {"seed": None}, "seed: expected a whole number of at least 0, found None"),
    ],
)
def test_refused_graphs(name, workers, options, message):
    with pytest.raises(ValueError, match=message):
        build(name, workers, **options)


@pytest.mark.parametrize(
    ("name", "workers", "options", "message"),
    [
        (
            "fat-treee",
            8,
            {},
            r"network: expected one of dedicated, .*, found 'fat-treee' \(did you mean 'fat_tree'\?\)",
        ),
        ("dedicated", 8, {}, "network 'dedicated': expected option 'graph', found none"),
        ("dedicated", 8, {"graph": ring(6)}, "graph: expected 8 workers, found 6"),
        ("dedicated", 8, {"graph": "ring"}, "expected an undirected networkx.Graph without parallel edges, found str"),
        ("fabric", 0, {}, "workers: expected a whole number of at least 1, found 0"),
        ("fabric", 4, {"bandwidth": 0}, "bandwidth: expected a finite number above 0 bytes/s, found 0"),
        ("fabric", 4, {"latency": -1e-6}, "latency: expected a finite number of at least 0 seconds, found -1e-06"),
        (
            "fabric",
            4,
            {"bandwidth": "10 Gbit/s"},
            "bandwidth: expected a finite number above 0 bytes/s, found '10 Gbit/s'",
        ),
        ("fabric", 4, {"bandwidth": float("inf")}, "bandwidth: expected a finite number above 0 bytes/s, found inf"),
        ("fabric", 4, {"duplex": "simplex"}, "duplex: expected one of 'full', 'half', found 'simplex'"),
        ("racks", 4, {"uplink_bandwidth": -1}, "uplink_bandwidth: expected a finite number above 0 bytes/s, found -1"),
        ("racks", 4, {"hosts_per_rack": 0}, "hosts_per_rack: expected a whole number of at least 1, found 0"),
        ("fat_tree", 17, {"k": 4}, r"workers: expected at most k\^3 / 4 = 16 hosts, found 17"),
        ("fat_tree", 4, {"k": 3}, "k: expected an even number of ports, found 3"),
        ("dragonfly", 73, {"global_links": 2}, r"expected at most p a \(a h \+ 1\) = 72 hosts, found 73"),
        ("torus", 12, {"shape": [3, 5]}, "shape: expected sides that multiply to 12, found 3 x 5"),
        ("torus", 12, {"shape": [12]}, r"shape: expected \(rows, columns\) or \(layers, rows, columns\), found \[12\]"),
        ("torus", 12, {"shape": "3x4"}, r"shape: expected \(rows, columns\) or .*, found '3x4'"),
        ("torus", 12, {"shape": [0, 12]}, "shape: expected a whole number of at least 1, found 0"),
        ("gpu_nodes", 12, {}, "workers: expected a multiple of gpus_per_node = 8, found 12"),
        ("gpu_nodes", 16, {"nics_per_node": 3}, "nics_per_node: expected a divisor of gpus_per_node = 8, found 3"),
        ("gpu_nodes", 16, {"nvlink_latency": -1}, "nvlink_latency: expected a finite number of at least 0 seconds"),
    ],
)
def test_refused_networks(name, workers, options, message):
    with pytest.raises(ValueError, match=message):
        build_network(name, workers, **options)


@pytest.mark.parametrize("entry", [*GRAPHS.values(), *NETWORKS.values()])
def test_every_entry_describes_itself_in_one_line(entry):
    assert 20 < len(entry.summary) < 110
    assert entry.summary.endswith(".")
    assert entry.source
    assert "\n" not in entry.summary + entry.source + entry.signature


def test_signature_shows_defaults_and_what_must_be_given():
    assert GRAPHS["watts_strogatz"].signature == "k=4, p=0.1, seed=0"
    assert NETWORKS["dedicated"].signature.startswith("graph=<required>, bandwidth=1250000000.0")


@pytest.mark.parametrize("name", sorted(GRAPHS))
def test_one_worker_is_a_graph_of_every_family(name):
    graph = build(name, 1)
    assert (list(graph), graph.number_of_edges(), graph.graph["family"]) == ([0], 0, name)
    assert (chi_1(graph), chi_2(graph), a2cid2_parameters(0.0, 0.0)) == (0.0, 0.0, (0.0, 0.5))


def test_options_of_one_worker_are_those_of_the_family():
    with pytest.raises(ValueError, match="expected one of degree, seed, found option 'p'"):
        build("random_regular", 1, p=0.1)
