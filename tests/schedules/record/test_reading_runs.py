"""Run directories come back as they are, and broken ones are named."""

import json

import numpy as np
import pandas as pd
import pytest

from analysis import load_run
from schedules.record import files
from schedules.record.trace import COLUMNS
from simulator import simulate
from tests.analysis.fake_runs import exchange, gossip_trace, gradient, series_of, trace_of, write_run
from topologies import build
from topologies.files import save

SMALL = {
    "schedule": {"program": "gossip", "gradients": 5},
    "topology": {"graph": "ring", "workers": 3},
    "platform": {"gradient": {"mean": "10 ms"}},
    "workload": {"problem": "quadratic", "dtype": "float64", "options": {"dimension": 4}},
}


@pytest.fixture
def run_dir(tmp_path):
    return write_run(tmp_path / "run", trace_of(gradient(0, 0, 100)))


def test_a_run_comes_back(tmp_path):
    trace = gossip_trace(gradients=3)
    run = load_run(write_run(tmp_path / "run", trace, series=series_of(trace)))
    assert run.world == "simulated"
    assert run.gradient_s == 0.01
    assert run.tables["topology"] == {"graph": "ring", "workers": 4}
    assert run.summary["gradients"] == 12
    assert run.trace.columns.tolist() == list(COLUMNS)
    assert run.trace["end_ns"].tolist() == trace["end_ns"].tolist()
    assert run.trace is run.trace
    assert len(run.series) == 40


def test_a_timing_only_run_has_no_series(run_dir):
    assert load_run(str(run_dir)).series is None


def test_what_only_some_runs_know(run_dir):
    run = load_run(run_dir)
    assert (run.links, run.network, run.memory) == (None, None, None)
    save(build("ring", 5), run_dir / "network.json")
    columns = ("source", "target", "bandwidth", "latency", "carried_bytes", "busy_s", "utilisation")
    pd.DataFrame([("0", "1", 1e9, 0.0, 8, 0.1, 0.2)], columns=columns).to_parquet(run_dir / "links.parquet")
    pd.DataFrame([(0, 0, "parameters", 8)], columns=("rank", "time_ns", "kind", "bytes")).to_parquet(
        run_dir / "memory.parquet"
    )
    run = load_run(run_dir)
    assert run.links["utilisation"].tolist() == [0.2]
    assert run.memory["bytes"].tolist() == [8]
    assert sorted(run.network.edges) == sorted(build("ring", 5).edges)


@pytest.mark.parametrize("name", ["links", "memory"])
def test_tables_that_are_not_what_they_should_be(run_dir, name):
    pd.DataFrame({"rank": [1]}).to_parquet(run_dir / f"{name}.parquet")
    with pytest.raises(ValueError, match=rf"{name}.parquet: expected the columns .*missing"):
        getattr(load_run(run_dir), name)


def test_a_network_that_is_none(run_dir):
    (run_dir / "network.json").write_text("{")
    with pytest.raises(ValueError, match=r"network.json: expected a json graph"):
        _ = load_run(run_dir).network


def test_a_directory_that_is_not_there(tmp_path):
    with pytest.raises(ValueError, match=r"nowhere: expected a run directory .* found nothing"):
        load_run(tmp_path / "nowhere")


def test_a_file_for_a_directory(run_dir):
    with pytest.raises(ValueError, match=r"expected a run directory .* found a file"):
        load_run(run_dir / "run.json")


@pytest.mark.parametrize("name", ["run.json", "summary.json"])
@pytest.mark.parametrize(
    ("content", "found"),
    [(None, "found nothing"), ("{", "expected a JSON file"), ("[]", "found list"), ("{}", "missing")],
)
def test_broken_json(run_dir, name, content, found):
    (run_dir / name).unlink() if content is None else (run_dir / name).write_text(content)
    with pytest.raises(ValueError, match=f"{name}: .*{found}"):
        load_run(run_dir)


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("world", "dreamt", "one of"),
        ("gradient_s", 0, "above 0"),
        ("gradient_s", "10 ms", "above 0"),
        ("scenario", 3, "a table"),
    ],
)
def test_impossible_information(run_dir, key, value, expected):
    content = json.loads((run_dir / "run.json").read_text())
    (run_dir / "run.json").write_text(json.dumps(content | {key: value}))
    with pytest.raises(ValueError, match=rf"run.json: expected {key} .*{expected}"):
        load_run(run_dir)


def test_a_missing_trace(run_dir):
    (run_dir / "trace.parquet").unlink()
    with pytest.raises(ValueError, match=r"trace.parquet: expected a Parquet table, found nothing"):
        _ = load_run(run_dir).trace


def test_a_trace_cut_short(run_dir):
    path = run_dir / "trace.parquet"
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ValueError, match=r"trace.parquet: expected a whole Parquet table, found: "):
        _ = load_run(run_dir).trace


def test_a_series_cut_short(run_dir):
    (run_dir / "series.parquet").write_bytes(b"PAR1")
    with pytest.raises(ValueError, match=r"series.parquet: expected a whole Parquet table"):
        _ = load_run(run_dir).series


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda trace: trace.drop(columns=["ready_ns", "tag"]), "tag, ready_ns missing"),
        (lambda trace: trace.iloc[:0], "at least one operation"),
        (lambda trace: trace.assign(start_ns=0.5), "whole numbers in column start_ns, found float64"),
        (lambda trace: trace.assign(end_ns=-7), "rank 0 compute #0 Compute from 0 ns to -7 ns"),
    ],
)
def test_impossible_traces(run_dir, change, message):
    change(trace_of(gradient(0, 0, 100))).to_parquet(run_dir / "trace.parquet")
    with pytest.raises(ValueError, match=f"trace.parquet: .*{message}"):
        _ = load_run(run_dir).trace


def test_a_trace_of_another_run_is_noticed(run_dir, tmp_path):
    other = write_run(tmp_path / "other", trace_of(exchange(0, 1, 0, 0, 5)), seed=4)
    (run_dir / "trace.parquet").write_bytes((other / "trace.parquet").read_bytes())
    with pytest.raises(ValueError, match=r"trace.parquet: expected seed 0 as in run.json, found 4"):
        _ = load_run(run_dir).trace


def test_what_an_older_trace_lacks_has_what_stands_in_for_it(run_dir):
    older = trace_of(gradient(0, 0, 100)).drop(columns=["read_ns", "steps_behind", "due_ns"])
    older.to_parquet(run_dir / "trace.parquet")
    trace = load_run(run_dir).trace
    assert trace.columns.tolist() == list(COLUMNS)
    assert trace[["read_ns", "steps_behind", "due_ns"]].to_numpy().tolist() == [[-1, -1, -1]]


def test_a_column_that_comes_later_is_one_line_here_and_one_there(run_dir, monkeypatch):
    later = {**files.STANDS_IN, "trace": {"side": "x", "late_ns": -1}}
    monkeypatch.setattr(files, "COLUMNS", (*COLUMNS, "side", "late_ns"))
    monkeypatch.setattr(files, "STANDS_IN", later)
    monkeypatch.setattr(files, "_TEXTS", {*files._TEXTS, "side"})
    trace = load_run(run_dir).trace
    assert trace.columns.tolist() == [*COLUMNS, "side", "late_ns"]
    assert trace[["side", "late_ns"]].to_numpy().tolist() == [["x", -1]]


def test_what_an_older_run_does_not_say_of_itself(run_dir):
    content = json.loads((run_dir / "run.json").read_text())
    for key in ("host", "versions", "started", "command"):
        del content[key]
    (run_dir / "run.json").write_text(json.dumps(content))
    summary = json.loads((run_dir / "summary.json").read_text())
    del summary["per_rank"]
    (run_dir / "summary.json").write_text(json.dumps(summary))
    run = load_run(run_dir)
    assert [run.info[key] for key in ("host", "versions", "started", "command")] == [{}, {}, None, ""]
    assert run.summary["per_rank"] == {}


def test_whatever_stands_in_is_neither_essential_nor_unknown():
    assert set(files.STANDS_IN["trace"]) <= set(COLUMNS)
    assert not set(files.STANDS_IN["run.json"]) & set(files._KEYS["run.json"])


def test_a_run_in_memory_and_the_same_on_disk_say_the_same(tmp_path):
    made = simulate(SMALL)
    read = load_run(made.save(tmp_path / "run"))
    assert (read.directory, made.directory) == (tmp_path / "run", None)
    assert (read.world, read.summary, read.info) == (made.world, made.summary, made.info)
    assert (read.tables, read.seed, read.gradient_s) == (made.tables, 0, 0.01)
    assert read.fingerprint == made.fingerprint == made.scenario.fingerprint()
    assert read.scenario == made.scenario
    for name in ("trace", "memory", "series", "links"):
        pd.testing.assert_frame_equal(getattr(read, name), getattr(made, name))
    assert np.array_equal(read.parameters, made.parameters)
    assert sorted(read.network.edges) == sorted(made.network.edges)


def test_a_run_that_was_read_can_be_written_again(tmp_path):
    read = load_run(simulate(SMALL).save(tmp_path / "run"))
    again = read.save(tmp_path / "again")
    assert {each.name: each.read_bytes() for each in again.iterdir()} == {
        each.name: each.read_bytes() for each in (tmp_path / "run").iterdir()
    }


def test_a_trace_that_nobody_kept_is_missed_where_there_must_be_one():
    made = simulate({**SMALL, "run": {"trace": False}})
    assert made.trace is None
    with pytest.raises(ValueError, match="expected a run with its trace"):
        _ = made.kept_trace


def test_parameters_cut_short(tmp_path):
    directory = simulate(SMALL).save(tmp_path / "run")
    path = directory / "parameters.npy"
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(ValueError, match=r"parameters.npy: expected a whole array"):
        _ = load_run(directory).parameters
