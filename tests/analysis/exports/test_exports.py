"""Perfetto, GraphML and CSV of a run."""

import json
from collections import defaultdict

import networkx as nx
import pandas as pd
import pytest

from analysis import export, load_run
from analysis.exports.formats import communication_graph
from analysis.exports.perfetto import events
from schedules.record.trace import COLUMNS
from tests.analysis.fake_runs import exchange, gossip_trace, gradient, trace_of, write_run
from topologies import files


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("runs") / "run", gossip_trace(gradients=10))


@pytest.fixture(scope="module")
def perfetto(run_dir, tmp_path_factory):
    path = export(run_dir, "perfetto", tmp_path_factory.mktemp("out") / "below" / "trace.json")
    return json.loads(path.read_text())["traceEvents"]


def test_every_operation_is_a_slice(perfetto, run_dir):
    slices = [each for each in perfetto if each["ph"] == "X" and each["cat"] != "part"]
    trace = load_run(run_dir).trace
    assert len(slices) == len(trace)
    assert sum(each["dur"] for each in slices) == pytest.approx((trace["end_ns"] - trace["start_ns"]).sum() / 1000)
    one = next(each for each in slices if each["name"] == "Exchange")
    row = trace[(trace["op"] == "Exchange") & (trace["rank"] == one["pid"])].iloc[0]
    assert (one["ts"], one["dur"]) == (row["start_ns"] / 1000, (row["end_ns"] - row["start_ns"]) / 1000)
    assert (one["args"]["peer"], one["args"]["bytes"], one["args"]["tag"]) == (row["peer"], 500_000, row["tag"])
    assert "stage" not in one["args"]


def test_slices_of_a_thread_nest(perfetto):
    threads = defaultdict(list)
    for each in perfetto:
        if each["ph"] == "X":
            threads[each["pid"], each["tid"]].append(each)
    assert len(threads) == 8
    for slices in threads.values():
        open_until = []
        for each in sorted(slices, key=lambda each: (each["ts"], -each["dur"])):
            start, end = round(1000 * each["ts"]), round(1000 * (each["ts"] + each["dur"]))
            while open_until and open_until[-1] <= start:
                open_until.pop()
            assert not open_until or end <= open_until[-1]
            open_until.append(end)


def test_ranks_and_lanes_have_names(perfetto):
    names = {(each["pid"], each["tid"]): each["args"]["name"] for each in perfetto if each["name"].endswith("_name")}
    assert names[0, 0] == "rank 0 (simulated)"
    assert {names[3, 1], names[3, 2]} == {"compute", "gossip"}


def test_waiting_and_transfer_are_told_apart_within_a_slice():
    slices = [
        (each["name"], each["ts"], each["dur"])
        for each in events(trace_of(exchange(0, 1, 0, 2000, 5000), exchange(1, 0, 2000, 2000, 5000)), "measured")
        if each["ph"] == "X"
    ]
    assert slices == [
        ("Exchange", 0, 5),
        ("waiting", 0, 2),
        ("transfer", 2, 3),
        ("Exchange", 2, 3),
    ]


def test_arrows_join_the_two_ends_of_an_exchange(perfetto):
    starts = {each["id"]: each for each in perfetto if each["ph"] == "s"}
    ends = {each["id"]: each for each in perfetto if each["ph"] == "f"}
    assert starts.keys() == ends.keys()
    assert len(starts) == sum(each["name"] == "Exchange" for each in perfetto) // 2
    assert all(starts[i]["ts"] <= ends[i]["ts"] and starts[i]["pid"] != ends[i]["pid"] for i in starts)


def test_further_contributions_are_instants():
    trace = trace_of(gradient(0, 0, 10), {"op": "Apply", "applied": "average", "at": (10, 10, 10)})
    instant = list(events(trace, "simulated"))[-1]
    assert (instant["ph"], instant["name"], instant["ts"]) == ("i", "apply average", 0.01)


def test_operations_of_one_lane_may_not_overlap(tmp_path):
    run = write_run(tmp_path / "run", trace_of(gradient(0, 0, 10), gradient(2, 0, 10), gradient(2, 9, 12)))
    with pytest.raises(
        ValueError, match=r"run: rank 2, lane compute: .* found Compute gradient at 9 ns while .* 0 ns to 10 ns"
    ):
        export(run, "perfetto", tmp_path / "trace.json")
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_lanes_of_the_background_are_threads_of_their_own():
    background = {"stream": "compute+1", "op": "AllReduce", "group": "all", "at": (0, 0, 8)}
    named = [
        each for each in events(trace_of(gradient(0, 0, 10), background), "measured") if each["name"] == "thread_name"
    ]
    assert [(each["tid"], each["args"]["name"]) for each in named] == [(1, "compute"), (2, "compute+1")]


def test_communication_graph_counts_pairs_once():
    graph = communication_graph(
        trace_of(
            *(exchange(*ends, 0, 0, 10, tag=tag, size=100) for tag in (0, 1) for ends in ((0, 1), (1, 0))),
            {"rank": 1, "op": "Send", "peer": 2, "bytes": 7, "at": (10, 10, 20)},
            {"rank": 2, "op": "Receive", "peer": 1, "bytes": 7, "at": (10, 10, 20)},
            {"rank": 3, "op": "Barrier", "group": "all"},
        ),
        gradient_s=10e-9,
    )
    assert list(graph) == [0, 1, 2, 3]
    assert list(graph.edges(data=True)) == [
        (0, 1, {"exchanges": 2, "bytes": 400, "rate": 1.0}),
        (1, 2, {"exchanges": 1, "bytes": 7, "rate": 0.5}),
    ]


def test_graphml_comes_back_and_is_a_topology(run_dir, tmp_path):
    path = export(run_dir, "graphml", tmp_path / "graph.graphml")
    trace = load_run(run_dir).trace
    graph = nx.read_graphml(path, node_type=int)
    assert sum(data["exchanges"] for *_, data in graph.edges(data=True)) == (trace["op"] == "Exchange").sum() / 2
    assert sum(data["bytes"] for *_, data in graph.edges(data=True)) == trace["bytes"].sum()
    assert sorted(map(tuple, map(sorted, files.load(path).edges))) == [(0, 1), (0, 3), (1, 2), (2, 3)]


def test_csv_is_the_trace(run_dir, tmp_path):
    frame = pd.read_csv(export(run_dir, "csv", str(tmp_path / "trace.csv")), keep_default_na=False)
    trace = load_run(run_dir).trace
    assert frame.columns.tolist() == list(COLUMNS)
    assert (frame.to_numpy() == trace.to_numpy()).all()


def test_an_unknown_format(run_dir, tmp_path):
    told = "format: expected one of perfetto, graphml, csv, events, torch-csv, tensorboard, found 'vcd'"
    with pytest.raises(ValueError, match=told):
        export(run_dir, "vcd", tmp_path / "x")


def test_a_run_that_is_not_there(tmp_path):
    with pytest.raises(ValueError, match="expected a run directory"):
        export(tmp_path / "none", "csv", tmp_path / "x")
