"""`twinclock schedules` and `twinclock topologies`: what there is, with sources."""

import json
from pathlib import Path

import numpy as np
import pytest

import topologies
from schedules import catalogue
from topologies import files


def test_schedules_are_listed_with_summary_source_and_keys(run):
    text = run("schedules").stdout
    for name in catalogue.names():
        entry = catalogue.find(name)
        first = next(iter(entry.settings.model_fields))
        ours = f"  Ours: {entry.ours}\n" * bool(entry.ours)
        told = f"  Source: {entry.source}\n  Staleness: {entry.staleness}\n{ours}"
        assert entry.staleness
        assert f"{name}\n  {entry.summary}\n{told}  Keys: {first}" in text
    assert 'rate = 1, pairing = "edge-clock", gradient_clock = "free"' in text


def test_schedules_stand_below_their_families(run):
    text = run("schedules").stdout
    places = [text.index(f"{name}: {doc}\n") for name, doc in catalogue.families().items()]
    assert places == sorted(places)
    assert set(catalogue.families()) == {"synchronous", "gossip", "local", "pipelines", "cyclic"}
    for name in catalogue.names():
        above = max(place for place in places if place < text.index(f"\n{name}\n"))
        assert text[above:].startswith(f"{catalogue.find(name).family}: ")


@pytest.mark.parametrize("name", catalogue.names())
def test_schedule_is_described_key_by_key(run, name):
    text = run("schedules", name).stdout
    entry = catalogue.find(name)
    assert text.startswith(f"{name}: {entry.summary}\nSource: {entry.source}\n")
    assert f'[schedule]\nprogram = "{name}"\n' in text
    for key, field in entry.settings.model_fields.items():
        assert f"\n  {key} " in text
        assert " ".join((field.description or "").split()) in " ".join(text.split())


def test_schedule_as_json(run):
    found = json.loads(run("schedules", "gossip", "--json").stdout)
    settings = {each["name"]: each for each in found["settings"]}
    assert settings["gradients"]["is_required"]
    assert settings["rate"]["type"] == "number > 0"
    assert settings["rate"]["default"] == 1
    assert settings["pairing"]["type"] == '"edge-clock" | "first-come"'
    assert [each["name"] for each in json.loads(run("schedules", "--json").stdout)] == catalogue.names()


def test_tables_are_described(run):
    text = run("schedules", "--tables").stdout
    assert '  bandwidth  bytes/s, or text like "10 Gbit/s"  required\n' in text
    for name in ("topology", "platform", "workload", "optimizer", "run", "execution", "platform.link"):
        assert f"[{name}]\n" in text
    ties = " ".join(text[text.index("\n  ties ") :].split())
    assert "Which of several routes of as few links. The least latency decides first; where that is equal" in ties
    found = json.loads(run("schedules", "--tables", "--json").stdout)
    names = [
        "seed",
        "trace",
        "ages",
        "numerics",
        "observations",
        "until",
        "total",
        "duration",
        "samples",
        "precision",
        "limit",
    ]
    assert [each["name"] for each in found["run"]] == names


def test_topologies_are_listed_with_sources_and_options(run):
    text = run("topologies").stdout
    for name, entry in {**topologies.GRAPHS, **topologies.NETWORKS}.items():
        assert f"{', '.join((name, *entry.aliases))}\n  {entry.summary}\n  Source: {entry.source}\n" in text
    assert "  Options: k=4, p=0.1, seed=0\n" in text
    assert max(map(len, text.splitlines())) <= 120


def test_topologies_as_json(run):
    found = json.loads(run("topologies", "--json").stdout)
    assert [each["name"] for each in found["graphs"]] == list(topologies.GRAPHS)
    assert [each["name"] for each in found["networks"]] == list(topologies.NETWORKS)
    assert found["networks"][0]["options"]["graph"] == "required"


def test_numbers_of_a_ring(run):
    found = json.loads(run("topologies", "ring", "--workers", "16", "--json").stdout)
    graph = topologies.build("ring", 16)
    chi_1, chi_2 = topologies.chi_1(graph), topologies.chi_2(graph)
    eta, alpha_tilde = topologies.a2cid2_parameters(chi_1, chi_2)
    assert found == {
        "graph": "ring",
        "workers": 16,
        "edges": 16,
        "degree": 2,
        "diameter": 8,
        "chi_1": chi_1,
        "chi_2": chi_2,
        "eta": eta,
        "alpha_tilde": alpha_tilde,
        "gain": 1.0,
        "files": [],
    }


def test_options_rate_and_weights(run):
    text = run("topologies", "star", "--workers", "5", "--rate", "2", "--weights", "neighbour").stdout
    assert "degree       1 to 4\n" in text
    found = json.loads(run("topologies", "star", "--workers", "5", "--rate", "2", "--json").stdout)
    assert found["chi_1"] == topologies.chi_1(topologies.with_rates(topologies.build("star", 5), 2))
    assert json.loads(run("topologies", "2d-grid", "--set", "rows=2", "--json").stdout)["edges"] == 22


def test_what_optimal_rates_are_worth(run):
    """docs of `optimal_rates`: on a barbell of two cliques of 8, J falls from 126.1 (uniform rates) to 32.9."""
    found = json.loads(run("topologies", "barbell", "--weights", "optimal", "--rate", "2", "--json").stdout)
    assert found["gain"] == pytest.approx(126.148 / 32.924, rel=1e-4)
    assert found["sum_of_rates"] == pytest.approx(16)
    assert found["uniform_sum"] == pytest.approx(16 * 126.148 / 32.924, rel=1e-4)
    assert "gain         3.83" in run("topologies", "barbell").stdout
    assert "gain" not in run("topologies", "complete", "--workers", "40").stdout  # nobody waits for what was not asked


def test_network(run):
    text = run("topologies", "fat_tree", "--network", "--workers", "16").stdout
    assert text.splitlines() == [
        "network           fat_tree",
        "hosts             16",
        "switches          20",
        "links             48",
        "links of a route  2 to 6",
    ]
    assert "links of a route  1 to 8" in run("topologies", "dedicated", "--network", "--set", "graph=ring").stdout


ABILENE = Path(__file__).parents[2] / "data" / "Abilene.graphml"


def test_graph_in_a_file(here, run):
    text = run("topologies", ABILENE, "--draw", "map.svg").stdout
    assert text.splitlines()[:5] == [
        f"graph        {ABILENE}",
        "workers      11",
        "edges        14",
        "degree       2 to 3",
        "diameter     5",
    ]
    assert (here / "map.svg").read_bytes().startswith(b"<?xml")
    found = json.loads(run("topologies", ABILENE, "--rate", "2", "--json").stdout)
    assert found["chi_1"] == topologies.chi_1(topologies.with_rates(files.load(ABILENE), 2))


def test_graphs_that_change_with_time(here, run):
    """The separate maxima, and for how long DADAO has each."""
    found = json.loads(run("topologies", "random-geometric", "--workers", "8", "--set", "count=5", "--json").stdout)
    cycle = topologies.build_varying("random_geometric", 8, count=5, scale=None)
    chi_1, chi_2 = (list(map(number, cycle.graphs)) for number in (topologies.chi_1, topologies.chi_2))
    assert (found["chi_1"], found["chi_2"]) == (max(chi_1), max(chi_2))
    assert (found["graph of chi_1"], found["graph of chi_2"]) == (np.argmax(chi_1), np.argmax(chi_2))
    assert (found["graphs"], found["period"]) == (5, pytest.approx(2 / 8 / max(chi_1)))
    assert found["eta"] == topologies.a2cid2_parameters(max(chi_1), max(chi_2))[0]
    text = run(
        "topologies", "watts-strogatz", "--set", "count=3", "--set", "period=2", "--weights", "optimal", "--rate", 3
    )
    assert "graphs          3\nperiod          2\n" in text.stdout
    assert "\ngain " in text.stdout


def test_graphs_of_files_in_turn(here, run):
    for name in ("ring", "star", "complete"):
        files.save(topologies.build(name, 5), here / f"{name}.json")
    names = ("ring.json", "star.json", "complete.json")
    found = json.loads(run("topologies", *names, "--set", "period=0.5", "--draw", "turns.svg", "--json").stdout)
    chi_1 = max(topologies.chi_1(topologies.build(name, 5)) for name in ("ring", "star", "complete"))
    assert (found["graphs"], found["period"], found["workers"], found["chi_1"]) == (3, 0.5, 5, pytest.approx(chi_1))
    assert (found["edges"], found["edges of all"]) == ("4 to 10", 10)
    assert (here / "turns.svg").read_bytes().startswith(b"<?xml")


def test_network_in_a_file(here, run):
    lacking = ("--set", "bandwidth=10 Gbit/s", "--set", "latency=coordinates")
    text = run("topologies", ABILENE, "--network", *lacking, "--draw", "map.png").stdout
    assert text.splitlines() == [
        f"network                        {ABILENE}",
        "hosts                          11",
        "links                          14",
        "links of a route               1 to 5",
        "bandwidth of a link (bytes/s)  1.25e+09",
        "latency of a link (s)          0.00131662 to 0.0110338",
        "wrote map.png",
    ]
    assert run("topologies", ABILENE, *lacking).stdout.splitlines() == text.splitlines()[:-1]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--workers", "4"), f"--workers: expected 11, as {ABILENE} has nodes, or none, found 4"),
        (("--network",), "kind of node 0: expected one of 'host', 'nic', 'switch', 'gpu', found None"),
        (("--set", "degree=4"), "expected no options of a builder beside file, found degree"),
        (("--set", "latency=far"), "latency: expected a quantity such as"),
        (("--weights", "even"), "weights: expected one of 'uniform', 'neighbour', 'optimal', found 'even'"),
    ],
)
def test_file_with_what_it_cannot_have(here, run, arguments, told):
    result = run("topologies", ABILENE, *arguments)
    assert result.exit_code == 2
    assert told in result.stderr
    (line,) = result.stderr.splitlines()
    assert str(ABILENE) in line or "--weights" in arguments


@pytest.mark.parametrize(("suffix", "begin"), [("svg", b"<?xml"), ("png", b"\x89PNG")])
def test_drawing(here, run, suffix, begin):
    file = here / "new" / f"ring.{suffix}"
    result = run("topologies", "ring", "--workers", "5", "--draw", file)
    assert result.stdout.splitlines()[-1] == f"wrote {file}"
    first = file.read_bytes()
    assert first.startswith(begin)
    run("topologies", "ring", "--workers", "5", "--draw", file)
    assert file.read_bytes() == first
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_every_graph_and_network_can_be_drawn(here, run):
    for name in topologies.GRAPHS:
        assert run("topologies", name, "--workers", "16", "--draw", "graph.svg").exit_code == 0, name
    for name in topologies.NETWORKS:
        more = ("--set", "graph=ring") if name == "dedicated" else ()
        assert run("topologies", name, "--network", "--draw", "network.svg", *more).exit_code == 0, name
