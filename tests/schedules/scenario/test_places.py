"""Files that a scenario names: beside it first, then where one stands; a run with them is read from anywhere."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import networkx as nx
import pytest

import topologies
from schedules.record.files import read_trace
from schedules.result import Result, load_run
from schedules.runs.followed import _differences, read_replay
from schedules.scenario import Scenario, ScenarioError, load, located, renamed
from simulator import simulate
from simulator.cases import plan
from topologies.files import save

ROOT = Path(__file__).parents[3]
PROGRAM = (ROOT / "tests/field/plain_all_reduce.py").read_text(encoding="utf-8")
SCENARIO = """
[schedule]
program = "mine/own.py"
gradients = 2
[topology]
file = "mine/graph.json"
[platform]
gradient = { distribution = "empirical", trace = "mine/run" }
kernels = { forward = [{ distribution = "empirical", trace = "mine/run" }] }
network = { file = "mine/network.json", bandwidth = "1 GB/s" }
[workload]
tensors = "mine/tensors.csv"
"""
NAMED = {
    "schedule.program": "own.py",
    "topology.file": "graph.json",
    "platform.gradient.trace": "run",
    "platform.kernels.forward.0.trace": "run",
    "platform.network.file": "network.json",
    "workload.tensors": "tensors.csv",
}
"""Every key that names a file, and the file's name."""


@pytest.fixture
def room(tmp_path: Path) -> Path:
    """A directory with a scenario, and the files that it names in `mine`."""
    mine = tmp_path / "room" / "mine"
    mine.mkdir(parents=True)
    (mine.parent / "scenario.toml").write_text(SCENARIO, encoding="utf-8")
    (mine / "own.py").write_text(PROGRAM, encoding="utf-8")
    (mine / "tensors.csv").write_text("name,shape\na,4\n", encoding="utf-8")
    save(topologies.build("ring", 3), mine / "graph.json")
    wires: nx.Graph[int] = nx.cycle_graph(3)
    nx.set_edge_attributes(wires, 1e-6, "latency")
    save(wires, mine / "network.json")
    tables: dict[str, Any] = {
        "schedule": {"program": "gossip", "gradients": 2},
        "topology": {"graph": "ring", "workers": 3},
        "platform": {"gradient": {"mean": 0.1}},
        "workload": {"parameters": 10},
    }
    trace = simulate(tables)
    # As if it had staged forwards, which a duration of a stage is taken from.
    assert trace.trace is not None
    trace.trace.loc[trace.trace.index[trace.trace["op"] == "Compute"][:1], ["kernel", "stage"]] = ["forward", 0]
    trace.save(mine / "run")
    return mine.parent


def files_of(tables: dict[str, Any]) -> dict[str, str]:
    found: dict[str, str] = {}
    renamed(tables, lambda key, name: found.setdefault(key, name))
    return found


def test_every_file_is_looked_for_beside_the_scenario(room: Path) -> None:
    resolved = load(room / "scenario.toml")
    assert resolved.topology.workers == 3
    assert resolved.num_parameters == 4
    assert resolved.gradient_s == pytest.approx(0.1)
    assert files_of(resolved.tables()) == {
        key: str(room / "mine" / name) for key, name in NAMED.items() if not key.endswith("trace")  # samples by now
    }  # fmt: skip


def test_every_file_of_a_list_is_looked_for(room: Path) -> None:
    save(topologies.build("path", 3), room / "graph.json")
    tables = {"topology": {"file": ["mine/graph.json", "graph.json", 3]}}
    found = located(tables, room, "scenario")["topology"]["file"]
    assert found == [str(room / "mine/graph.json"), str(room / "graph.json"), 3]
    assert renamed(tables, lambda key, name: f"{key} {name}")["topology"]["file"][1] == "topology.file graph.json"


@pytest.mark.parametrize("stands", [".", "elsewhere"])
def test_then_where_one_stands(room: Path, monkeypatch: pytest.MonkeyPatch, stands: str) -> None:
    """The scenario lies elsewhere, or is a table, which lies nowhere."""
    (room / "elsewhere").mkdir()
    shutil.copy(room / "scenario.toml", room / "elsewhere" / "scenario.toml")
    if stands != ".":
        shutil.copytree(room / "mine", room / stands / "mine")
    monkeypatch.chdir(room / stands)
    resolved = load(room / "elsewhere" / "scenario.toml")
    assert resolved.topology.file == str(room / stands / "mine" / "graph.json")


@pytest.mark.parametrize(("key", "name"), NAMED.items())
def test_a_name_at_both_places_is_told_with_both(
    room: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str, name: str
) -> None:
    """Also where they are equal: who knows for how long?"""
    (tmp_path / "mine").mkdir()
    source, target = room / "mine" / name, tmp_path / "mine" / name
    (shutil.copytree if source.is_dir() else shutil.copy)(source, target)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ScenarioError) as error:
        load(room / "scenario.toml")
    where = "platform.gradient.trace" if key.endswith("trace") else key  # two keys name the run
    assert str(error.value).startswith(
        f"{room / 'scenario.toml'}: {where}: expected one file 'mine/{name}', found two: "
    )
    assert f"{source} (beside the scenario) and {target} (where you stand)" in str(error.value)


def test_standing_beside_the_scenario_is_no_second_place(room: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(room)
    assert load("scenario.toml") == load(room / "scenario.toml")


def test_what_is_nowhere_keeps_its_name() -> None:
    tables = {"topology": {"file": "nowhere.json"}, "schedule": {"program": "a.module"}, "platform": 3}
    assert located(tables, None, "scenario") == tables


def test_a_byte_order_mark_is_fine(room: Path) -> None:
    plain = load(room / "scenario.toml")
    for name in ("scenario.toml", "mine/own.py", "mine/graph.json", "mine/network.json", "mine/tensors.csv"):
        (room / name).write_bytes(b"\xef\xbb\xbf" + (room / name).read_bytes())
    assert load(room / "scenario.toml").fingerprint() == plain.fingerprint()


# ---- runs


def test_a_run_is_read_and_followed_from_elsewhere(room: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(room)
    directory = simulate("scenario.toml").save(tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    kept = load_run(directory)
    assert kept.scenario.graph.number_of_edges() == 3
    replay = simulate(room / "scenario.toml", replay=directory)
    assert replay.fingerprint == kept.fingerprint
    assert replay.summary["makespan_s"] == kept.summary["makespan_s"]


def moved(room: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(room, tmp_path / "another")) / "scenario.toml"


def test_where_the_files_lie_decides_nothing(room: Path, tmp_path: Path) -> None:
    there = moved(room, tmp_path)
    assert load(there).fingerprint() == load(room / "scenario.toml").fingerprint()
    run = simulate(room / "scenario.toml")
    other = load(there, {"run.seed": 7})
    assert _differences(run.info, other) == "another: run.seed = 0 (here 7)"


def test_what_a_graph_file_says_decides(room: Path, tmp_path: Path) -> None:
    run = simulate(room / "scenario.toml").save(tmp_path / "run")
    there = moved(room, tmp_path)
    save(topologies.with_rates(topologies.build("path", 3)), there.parent / "mine" / "graph.json")
    assert load(there).fingerprint() != load(room / "scenario.toml").fingerprint()
    save(topologies.build("path", 3), room / "mine" / "graph.json")
    told = rf"found one of {re.escape(str(room / 'mine' / 'graph.json'))} with another text"
    with pytest.raises(ScenarioError, match=told):
        read_replay(run, load(room / "scenario.toml"))
    assert read_trace(run)[1]["texts"].keys() == {"schedule.program", "topology.file", "workload.tensors"}


def test_a_sweep_knows_its_cases_by_what_is_in_their_files(room: Path, tmp_path: Path) -> None:
    sweep = '\n[sweep]\n"run.seed" = [0]\n'
    (room / "scenario.toml").write_text(SCENARIO + sweep, encoding="utf-8")
    there = moved(room, tmp_path)
    (first,), (second,) = plan(room / "scenario.toml"), plan(there)
    assert first.key == second.key
    assert first.settings["schedule.program"] == "mine/own.py"  # as it is called there
    wires = there.parent / "mine" / "network.json"
    wires.write_text(wires.read_text().replace("1e-06", "2e-06"))
    (third,) = plan(there)
    assert third.key != first.key


# ---- workers and weights of a graph in a file


def of_file(path: Path, **changes: Any) -> Scenario:
    tables = {
        "schedule": {"program": "gossip", "gradients": 3, "rate": 2.0},
        "topology": {"file": str(path)},
        "platform": {"gradient": {"mean": 0.1}},
        "workload": {"parameters": 10},
    }
    return load(tables, {key.replace("__", "."): value for key, value in changes.items()})


@pytest.fixture
def path_of_three(tmp_path: Path) -> Path:
    graph: nx.Graph[int] = nx.path_graph(3)
    nx.set_edge_attributes(graph, {(0, 1): 1.0, (1, 2): 3.0}, "weight")
    save(graph, tmp_path / "three.json")
    return tmp_path / "three.json"


def test_there_are_as_many_workers_as_nodes(path_of_three: Path) -> None:
    resolved = of_file(path_of_three)
    assert resolved.topology.workers == 3
    assert load(resolved.tables()).tables() == load(resolved.said()).tables() == resolved.tables()
    assert resolved.fingerprint() == of_file(path_of_three, topology__workers=3).fingerprint()
    save(topologies.build("ring", 5), path_of_three.parent / "five.json")
    assert load(resolved, {"topology.file": str(path_of_three.parent / "five.json")}).topology.workers == 5
    with pytest.raises(ScenarioError, match=r"topology: workers: expected 3, as .*three\.json has nodes, found 4"):
        of_file(path_of_three, topology__workers=4)


@pytest.mark.parametrize(("weights", "rates"), [("uniform", [0.75, 2.25]), ("neighbour", [1.25, 1.75])])
def test_weights_say_how_the_rate_is_spread(path_of_three: Path, weights: str, rates: list[float]) -> None:
    graph = of_file(path_of_three, topology__weights=weights).graph
    assert [rate for *_, rate in graph.edges(data="rate")] == pytest.approx(rates, rel=1e-15)


def test_optimal_rates_are_those_of_the_graph_whatever_its_weights(path_of_three: Path) -> None:
    graph = of_file(path_of_three, topology__weights="optimal").graph
    assert [rate for *_, rate in graph.edges(data="rate")] == pytest.approx([1.5, 1.5], rel=1e-12)  # r n / 2 in all


def test_optimal_rates_of_a_graph_by_name() -> None:
    tables = {
        "schedule": {"program": "gossip", "gradients": 3, "rate": 2.0},
        "topology": {"graph": "barbell", "workers": 8, "weights": "optimal"},
        "platform": {"gradient": {"mean": 0.1}},
        "workload": {"parameters": 10},
    }
    graph = load(tables).graph
    rates = nx.get_edge_attributes(graph, "rate")
    assert max(rates, key=rates.__getitem__) == (3, 4)
    assert sum(rates.values()) == pytest.approx(8 * 2 / 2, rel=1e-12)
    assert graph.graph["uniform_sum"] > 1.5 * graph.graph["sum_of_rates"]


def test_optimal_rates_need_a_connected_graph(tmp_path: Path) -> None:
    save(nx.Graph([(0, 1), (2, 3)]), tmp_path / "two.json")
    told = (
        r"^scenario: topology\.file: \S*two\.json: expected a connected graph, found no path from worker 0 to worker 2$"
    )
    with pytest.raises(ScenarioError, match=told):
        of_file(tmp_path / "two.json", topology__weights="optimal")


def test_the_edge_of_three_times_the_weight_is_used_three_times_as_often(path_of_three: Path) -> None:
    result: Result = simulate(of_file(path_of_three, schedule__gradients=2_000))
    made = result.kept_trace[result.kept_trace["op"] == "Exchange"]
    counts = made[made["rank"] == 1].groupby("peer").size()
    assert counts[2] / counts[0] == pytest.approx(3, rel=0.1)


def test_wrong_weights_are_told_by_the_table(tmp_path: Path) -> None:
    graph: nx.Graph[int] = nx.path_graph(3)
    graph.edges[0, 1]["weight"] = -1
    save(graph, tmp_path / "wrong.json")
    with pytest.raises(ScenarioError, match=r"scenario: topology: .*wrong\.json: weight of edge \(0, 1\): .* found -1"):
        of_file(tmp_path / "wrong.json")
