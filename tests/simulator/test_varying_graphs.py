"""Gossip on a graph that changes with time: who meets whom, by which constants, and what may not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest

from analysis.exports.perfetto import events
from schedules.clocks import Clocks
from schedules.result import Result, load_run
from schedules.scenario import ScenarioError, load
from simulator import simulate
from topologies import TimeVaryingGraph, a2cid2_parameters, build, build_varying, chi_1, chi_2, with_rates
from topologies.files import save
from topologies.varying import of_union

GRADIENT_NS = 2e6
BASE: dict[str, Any] = {
    "schedule": {"program": "gossip", "gradients": 40},
    "topology": {"graph": "random-geometric", "count": 6, "workers": 8},
    "platform": {"gradient": {"mean": "2 ms"}, "link": {"bandwidth": "1 GB/s", "latency": "10 us"}},
    "workload": {"parameters": 100},
}
QUIET = {
    **BASE,
    "schedule": {"program": "gossip", "gradients": 40, "gradient_clock": "poisson"},
    "platform": {"gradient": {"mean": 0}, "gradient_time": "1 s", "transport": "none"},
    "workload": {
        "problem": "quadratic",
        "dtype": "float64",
        "options": {"start": "spread", "curvature": 0, "noise": 0, "dimension": 3},
    },
    "run": {"seed": 3},
}
"""Nothing takes time, and no gradient changes anything: a run is its list of exchanges."""


def cycle_of(workers: int = 8, count: int = 6, **options: Any) -> TimeVaryingGraph:
    return build_varying("random_geometric", workers, count=count, scale=None, **options)


def exchanges(run: Result) -> list[tuple[float, int, int]]:
    """Tick in gradient times, and both ends, the lower first."""
    rows = run.kept_trace[(run.kept_trace["op"] == "Exchange") & (run.kept_trace["rank"] < run.kept_trace["peer"])]
    return sorted(zip(rows["due_ns"] / (run.gradient_s * 1e9), rows["rank"], rows["peer"], strict=True))


@pytest.mark.parametrize("program", ["gossip", "a2cid2"])
def test_every_exchange_is_of_an_edge_of_the_graph_in_force(program: str) -> None:
    run = simulate(BASE, overrides={"schedule.program": program})
    met, cycle = exchanges(run), cycle_of()
    assert len(met) == run.summary["exchanges"] > 100
    assert all(cycle.at(time).has_edge(i, j) for time, i, j in met)
    assert {cycle.index(time) for time, *_ in met} == set(range(6))


def test_rate_is_that_of_a_worker_in_every_graph() -> None:
    for scale, rate in ((1.0, 1.0), (0.02, 3.0)):
        changes = {"schedule.rate": rate, "schedule.gradients": 200, "topology.period": 1 / scale}
        run = simulate(BASE, overrides={**changes, "run.trace": False})
        assert run.summary["exchanges"] == pytest.approx(200 * 8 * rate / 2, abs=3 * np.sqrt(200 * 8 * rate / 2))
    for part in of_union(load(BASE, {"schedule.rate": 3}).graph).graphs:
        assert sum(rate for *_, rate in part.edges(data="rate")) == pytest.approx(12)


def test_a_period_is_how_long_each_graph_is_there() -> None:
    run = simulate(BASE, overrides={"topology.period": 5, "schedule.gradients": 30})
    cycle = cycle_of()
    assert all(cycle.graphs[int(time // 5)].has_edge(i, j) for time, i, j in exchanges(run))


def test_a_cycle_of_one_graph_is_the_run_on_that_graph() -> None:
    (only,) = cycle_of(count=1).graphs
    plain = {"graph": "random-geometric", "workers": 8, "seed": 2968811710, "join": True}  # SeedSequence([0, 0])
    varying, alone = (
        simulate({**BASE, "topology": each, "schedule": {**BASE["schedule"], "program": "a2cid2"}})
        for each in ({**BASE["topology"], "count": 1}, plain)
    )
    assert set(alone.scenario.graph.edges) == set(only.edges)
    columns = ["rank", "op", "peer", "start_ns", "end_ns", "due_ns"]
    assert varying.kept_trace[columns].equals(alone.kept_trace[columns])


def test_a_run_without_an_end_of_its_own_goes_round_and_round() -> None:
    """All ticks of the clocks up to the cut are due, in graphs that have come again and again."""
    cut = {"run.until": "time", "run.duration": 25, "topology.period": 0.7}
    run = simulate(BASE, overrides=cut)
    clocks = Clocks(run.scenario.graph, 0, 25.0)
    assert run.summary["exchanges_due"] == sum(len(clocks.edge(*edge)) for edge in run.scenario.graph.edges)
    early = simulate(BASE, overrides={"topology.period": 0.7})
    assert exchanges(run)[:80] == exchanges(early)[:80]


def test_trace_and_summary_say_which_graph(tmp_path: Path) -> None:
    run = simulate(BASE, overrides={"topology.period": 2.5})
    trace = load_run(run.save(tmp_path / "run")).kept_trace
    is_met = trace["op"] == "Exchange"
    assert (trace["graph"][~is_met] == -1).all()
    assert trace["graph"][is_met].tolist() == [int(due // 5e6) % 6 for due in trace["due_ns"][is_met]]
    assert run.summary["graphs_in_turn"] == 6
    assert run.summary["graph_period"] == pytest.approx(2.5)
    assert run.summary["graph_changes"] == int(run.summary["makespan_s"] / 0.005)
    slices = [each for each in events(trace, "simulated") if each.get("cat") == "Exchange"]
    assert {each["args"]["graph"] for each in slices} == set(range(6))
    plain = simulate({**BASE, "topology": {"graph": "ring", "workers": 4}})
    assert "graphs_in_turn" not in plain.summary
    assert "graph" not in plain.kept_trace
    assert not any("graph" in each.get("args", {}) for each in events(plain.kept_trace, "simulated"))


# ---- numbers


def test_averaging_is_that_of_the_list_of_exchanges() -> None:
    """Beside matrices applied in a loop of its own, from the parameters at the start."""
    run = simulate(QUIET)
    problem = run.scenario.problem
    assert problem is not None
    assert run.parameters is not None
    x = np.array([problem.initial(3, rank) for rank in range(8)])
    for _, i, j in exchanges(run):
        x[[i, j]] = (x[i] + x[j]) / 2
    assert run.parameters == pytest.approx(x, abs=1e-12)


def test_a2cid2_mixes_by_the_separate_maxima() -> None:
    """Section 2.3's event procedure, with eta and alpha~ of the largest chi_1 and the largest chi_2 of all graphs."""
    run, cycle = simulate(QUIET, overrides={"schedule.program": "a2cid2"}), cycle_of()
    eta, alpha_tilde = a2cid2_parameters(max(map(chi_1, cycle.graphs)), max(map(chi_2, cycle.graphs)))
    assert run.scenario.problem is not None
    assert run.parameters is not None
    x = np.array([run.scenario.problem.initial(3, rank) for rank in range(8)])
    x_tilde, last, end = x.copy(), 0.0, run.summary["makespan_s"]
    for time, i, j in [*exchanges(run), (end, 0, 0)]:
        moved = (1 - np.exp(-2 * eta * (time - last))) / 2 * (x_tilde - x)
        x, x_tilde, last = x + moved, x_tilde - moved, time
        m = x[i] - x[j]
        x[i], x[j] = x[i] - m / 2, x[j] + m / 2
        x_tilde[i], x_tilde[j] = x_tilde[i] - alpha_tilde * m, x_tilde[j] + alpha_tilde * m
    assert run.parameters == pytest.approx(x, abs=1e-8)  # due_ns are whole nanoseconds


def test_workers_come_together_though_no_graph_alone_is_what_they_are_on() -> None:
    run = simulate(QUIET, overrides={"schedule.gradients": 60})
    assert run.series is not None
    distance = run.series["consensus_distance"]
    assert distance.iloc[-1] < 1e-6 * distance.iloc[0]


# ---- files


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    graphs = {"ring.graphml": build("ring", 6), "star.json": build("star", 6), "path.graphml": build("path", 6)}
    for name, graph in graphs.items():
        save(graph, tmp_path / name)
    return [str(tmp_path / name) for name in graphs]


def of_files(names: list[str], **more: Any) -> dict[str, Any]:
    return {**BASE, "topology": {"file": names, **more}}


def test_a_list_of_files_is_a_cycle_of_their_graphs(files: list[str]) -> None:
    run = simulate(of_files(files, period=2.5), overrides={"schedule.rate": 2})
    assert run.scenario.topology.workers == 6
    graphs = [build(name, 6) for name in ("ring", "star", "path")]
    met = exchanges(run)
    assert all(graphs[int(time // 2.5) % 3].has_edge(i, j) for time, i, j in met)
    assert len(met) == pytest.approx(40 * 6, rel=0.2)
    union = run.scenario.graph
    assert chi_1(union) == pytest.approx(max(chi_1(with_rates(graph, 2)) for graph in graphs))


def test_a_file_that_says_another_thing_is_another_scenario(files: list[str]) -> None:
    before = load(of_files(files)).fingerprint()
    assert load(of_files(files[::-1])).fingerprint() != before
    copied = [str(Path(name).with_stem("copy_of_" + Path(name).stem)) for name in files]
    for name, copy in zip(files, copied, strict=True):
        Path(copy).write_text(Path(name).read_text())
    assert load(of_files(copied)).fingerprint() == before
    save(build("complete", 6), files[2])
    assert load(of_files(files)).fingerprint() != before


def test_a_run_on_files_is_read_and_replayed(files: list[str], tmp_path: Path) -> None:
    tables = {**of_files(files), "workload": {"problem": "quadratic", "dtype": "float64"}}
    run = simulate(tables)
    again = simulate(tables, replay=run.save(tmp_path / "run"))
    assert again.parameters == pytest.approx(run.parameters, abs=1e-12)


# ---- the wires are not the graph


@pytest.mark.parametrize("network", [{"kind": "dedicated"}, {"kind": "fabric"}], ids=str)
def test_a_network_has_wires_for_all_edges_that_there_ever_are(network: dict[str, Any]) -> None:
    run = simulate(BASE, overrides={"platform.network": {**network, "bandwidth": "1 GB/s", "latency": "10 us"}})
    assert run.network is not None
    cycle = cycle_of()
    if network["kind"] == "dedicated":
        assert {frozenset(edge) for edge in run.network.edges} == {frozenset(e) for g in cycle.graphs for e in g.edges}
    assert "count" not in run.network.graph
    assert all(cycle.at(time).has_edge(i, j) for time, i, j in exchanges(run))


# ---- what may not be


@pytest.mark.parametrize("program", ["all-reduce", "d-psgd"])
def test_refused_by_name_for_schedules_that_cannot(program: str) -> None:
    told = rf"scenario: topology\.count: expected one graph for {program}, .*gossip.* found 6"
    with pytest.raises(ScenarioError, match=told):
        load({**BASE, "schedule": {"program": program, "gradients": 4}})


def test_a_list_of_files_is_refused_likewise(files: list[str]) -> None:
    with pytest.raises(ScenarioError, match=r"topology\.file: expected one graph for all-reduce, .* found a list"):
        load({**of_files(files), "schedule": {"program": "all-reduce", "gradients": 4}})


def test_first_come_pairing_is_refused() -> None:
    with pytest.raises(ScenarioError, match=r"schedule\.pairing: expected 'edge-clock' on a graph that changes"):
        load(BASE, {"schedule.pairing": "first-come"})


@pytest.mark.parametrize(
    ("topology", "told"),
    [
        ({"count": 0}, r"topology\.count: expected a number of at least 1, found 0"),
        ({"period": 0}, r"topology\.period: expected a number above 0, found 0"),
        ({"period": "1 s"}, r"topology\.period: expected a number, found '1 s'"),
        ({"count": None, "period": 2}, r"topology\.period: expected topology\.count, or a list of files, beside it"),
        ({"graph": "ring"}, r"topology: graph 'ring': expected a family of random graphs"),
        ({"radius": -1.0}, r"radius: expected a finite number above 0, found -1\.0"),
        ({"radius": 0.01, "join": False}, r"expected a connected graph, found none in 100 draws"),
        ({"graph": None, "count": None, "file": []}, r"topology\.file: expected at least one file, found"),
        ({"graph": None, "file": ["a.json"]}, r"topology\.count: expected none beside topology\.file"),
    ],
    ids=str,
)
def test_told_by_its_key(topology: dict[str, Any], told: str) -> None:
    with pytest.raises(ScenarioError, match=told):
        load({**BASE, "topology": {**BASE["topology"], **topology}})


def test_files_of_other_workers_and_without_connection_are_told_by_their_names(
    files: list[str], tmp_path: Path
) -> None:
    other, apart = str(tmp_path / "other.json"), str(tmp_path / "apart.json")
    save(build("ring", 5), other)
    save(nx.Graph([(0, 1), (2, 3), (4, 5)]), apart)
    with pytest.raises(ScenarioError, match=r"topology: .*other\.json: expected 6 workers, as .*ring\.graphml has"):
        load(of_files([*files, other]))
    with pytest.raises(ScenarioError, match=r"apart\.json: expected a connected graph, found no path from worker 0"):
        load(of_files([*files, apart]))
    with pytest.raises(ScenarioError, match=r"topology: workers: expected 6, as .*ring\.graphml has nodes, found 7"):
        load(of_files(files, workers=7))
    with pytest.raises(ScenarioError, match=r"none\.json: expected a readable file, found: No such file"):
        load(of_files([*files, "none.json"]))


def test_the_same_workers_under_names_in_another_order(tmp_path: Path) -> None:
    names = [str(tmp_path / name) for name in ("one.graphml", "two.graphml", "three.graphml")]
    for name, edges in zip(
        names, ([("a", "b"), ("b", "c")], [("c", "b"), ("c", "a")], [("a", "d"), ("a", "c")]), strict=True
    ):
        nx.write_graphml(nx.Graph(edges), name)
    parts = of_union(load(of_files(names[:2])).graph).graphs
    assert [set(part.edges) for part in parts] == [{(0, 1), (1, 2)}, {(1, 2), (0, 2)}]
    with pytest.raises(ScenarioError, match=r"three\.graphml: expected the workers of .*one\.graphml, found 'd'"):
        load(of_files(names))
