"""`twinclock sweep`: what it prints and writes, and how it goes on after it was stopped."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).parents[3]

SWEEP = {"sweep.'schedule.rate'": "[0.5, 1]", "sweep.'topology.graph'": '["ring", "complete"]'}
LONG = {"schedule.gradients": "1500", "sweep.'run.seed'": "[0, 1, 2, 3, 4, 5, 6, 7]"}

STUCK = '''"""Waits for ever, where it is told to."""

from schedules.operations import Compute, Receive
from schedules.scenario import Count, Table
from schedules.training.state import descend

SOURCE = "a test"


class Settings(Table):
    gradients: Count
    is_stuck: bool


def streams(worker):
    return {"compute": compute(worker)}


def compute(worker):
    gradient, _ = yield Compute("gradient")
    worker.model.apply(descend, gradient)
    if worker.settings.is_stuck:
        yield Receive(worker.neighbours[0], 8)
'''


def names(out):
    return sorted(path.name for path in out.iterdir())


def test_prints_a_line_a_case_and_the_paths(here, scenario, run):
    result = run("sweep", scenario(SWEEP), "--jobs", "1")
    assert result.exit_code == 0, result.stderr
    assert result.stderr == ""
    count, header, *lines = result.stdout.splitlines()
    assert count == "4 cases"
    assert header.split() == [
        "schedule.rate", "topology.graph", "exchanges/gradient", "behind", "lag", "(mean)", "lag", "(95", "%)",
        "gradients/s", "computing", "idle", "staleness"
    ]  # fmt: skip
    assert [line.split()[1] for line in lines[:4]] == ["ring", "complete", "ring", "complete"]
    assert lines[4] == "no other beats 1 of 4 cases in throughput, memory and staleness:"
    written = ["sweep.parquet", "sweep.csv", "pareto.csv", "against-rate.png", "against-rate.svg"]
    assert lines[7:] == [f"wrote runs/scenario-sweep/{name}" for name in written]
    assert names(here / "runs/scenario-sweep") == sorted([*written, "cases"])


def test_numeric_sweep_draws_consensus(here, scenario, run):
    numeric = {"workload.parameters": None, "workload.problem": '"quadratic"', "workload.options.dimension": "3"}
    run("sweep", scenario({**numeric, **SWEEP}), "--jobs", "1", "--out", "out")
    assert {"series.parquet", "consensus-rate-0.5.png", "consensus-rate-1.svg"} <= set(names(here / "out"))


def test_json(scenario, run):
    found = json.loads(run("sweep", scenario(SWEEP), "--jobs", "1", "--json", "--set", "schedule.gradients=3").stdout)
    assert found["failed"] == 0
    assert found["out"] == "runs/scenario-sweep"
    assert [(case["schedule.rate"], case["topology.graph"], case["gradients"]) for case in found["cases"]] == [
        (0.5, "ring", 12), (0.5, "complete", 12), (1, "ring", 12), (1, "complete", 12)
    ]  # fmt: skip


METHODS = """

[[sweep.case]]
"schedule.program" = "gossip"
"schedule.rate" = 2

[[sweep.case]]
"schedule.program" = "all-reduce"
"""


def test_cases_that_are_impossible_are_listed_with_their_reasons(here, scenario, run):
    changes = {"sweep.impossible": '"list"', "sweep.'schedule.pairing'": '["edge-clock", "first-come"]'}
    file = scenario(changes)
    (here / file).write_text((here / file).read_text() + METHODS)
    result = run("sweep", file, "--jobs", "1", "--out", "out")
    assert (result.exit_code, result.stderr) == (0, "")
    count, header, *lines = result.stdout.splitlines()
    assert count == "4 cases"
    assert header.split()[:3] == ["schedule.program", "schedule.rate", "schedule.pairing"]
    assert [line.split()[:3] for line in lines[:2]] == [["gossip", "2", "edge-clock"], ["gossip", "2", "first-come"]]
    assert [line.split() for line in lines[2:4]] == [
        ["all-reduce", "edge-clock", "impossible"],
        ["all-reduce", "first-come", "impossible"],
    ]
    at = lines.index("not run, as impossible: 2 of 4 cases")
    assert lines[4].startswith("no other beats ")
    reason = "schedule.pairing: unknown key; accepted: gradients, overlap, bucket_size, first_bucket, accumulate, codec"
    assert lines[at + 1] == f'  schedule.program = "all-reduce", schedule.pairing = "edge-clock": {reason}'
    found = json.loads(run("sweep", file, "--jobs", "1", "--out", "out", "--json").stdout)
    assert (found["failed"], found["impossible"]) == (0, 2)
    assert [case["error"] for case in found["cases"]] == ["", "", f"impossible: {reason}", f"impossible: {reason}"]
    assert found["cases"][2]["schedule.rate"] is None


WORKERS = {"sweep.'topology.workers'": "[4, 8]", "schedule.program": '"all-reduce"'}
"""All-reduce takes 8 bytes a parameter, x and its gradient, whatever the number of workers."""


def test_the_cases_that_no_other_beats_are_printed_and_written(here, scenario, run):
    result = run("sweep", scenario(WORKERS), "--jobs", "1", "--out", "out")
    at = result.stdout.splitlines().index("no other beats 1 of 2 cases in throughput, memory and staleness:")
    heading, *cases = result.stdout.splitlines()[at + 1 : at + 3]
    assert heading.split() == ["topology.workers", "gradients/s", "memory", "staleness"]
    assert [line.split()[0] for line in cases] == ["8"]
    written = pd.read_csv(here / "out/pareto.csv")
    assert list(written) == ["topology.workers", "gradients_per_s", "peak_memory_bytes", "staleness_mean"]
    whole = pd.read_csv(here / "out/sweep.csv")
    assert written.to_dict("records") == whole.loc[[1], list(written)].to_dict("records")


@pytest.mark.parametrize(
    ("limit", "told"),
    [
        ("1 GB", "the fastest within 1 GB: topology.workers = 8: "),
        ("1 B", "none fits into 1 B: the least is 8 kB, of topology.workers = 4"),
    ],
)
def test_memory_limit(here, scenario, run, limit, told):
    file = scenario(WORKERS)
    result = run("sweep", file, "--jobs", "1", "--out", "out", "--memory-limit", limit)
    assert result.exit_code == 0
    assert sum(line.startswith(told) for line in result.stdout.splitlines()) == 1
    found = json.loads(run("sweep", file, "--jobs", "1", "--out", "out", "--memory-limit", limit, "--json").stdout)
    assert found["pareto"] == [1]
    assert found["best"] == (1 if limit == "1 GB" else None)


@pytest.mark.parametrize(
    ("limit", "told"), [("2 kg", "expected a quantity in byte"), ("-1 GB", "expected more than nothing"), ("", "")]
)
def test_wrong_memory_limit(here, scenario, run, limit, told):
    result = run("sweep", scenario(WORKERS), "--out", "out", "--memory-limit", limit)
    assert (result.exit_code, result.stdout, len(result.stderr.splitlines())) == (2, "", 1)
    assert result.stderr.startswith(f"twinclock: --memory-limit: {told}")
    assert not (here / "out").exists()


def test_second_start_says_what_is_finished(scenario, run):
    file = scenario(SWEEP)
    first = run("sweep", file, "--jobs", "1").stdout
    assert run("sweep", file, "--jobs", "1").stdout == first.replace("4 cases", "4 cases, 4 of them finished before", 1)


def test_failing_case_is_told_at_the_end_with_status_1(here, scenario, run):
    (here / "stuck.py").write_text(STUCK)
    file = scenario({"schedule.program": '"stuck.py"', "sweep.'schedule.is_stuck'": "[false, true]"})
    result = run("sweep", file, "--jobs", "1", "--out", "out")
    assert result.exit_code == 1
    head, case, *_ = result.stderr.splitlines()
    assert head == "twinclock: 1 of 2 cases failed:"
    assert case.startswith("  schedule.is_stuck = true: DeadlockError at 10.000 ms")
    good, bad = result.stdout.splitlines()[2:4]
    assert good.split()[0] == "false"
    assert bad.split() == ["true", "failed"]
    errors = pd.read_csv(here / "out/sweep.csv", keep_default_na=False)["error"]
    assert [error.partition(" ")[0] for error in errors] == ["", "DeadlockError"]


def start(*arguments: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "twinclock", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finished(out: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in (out / "cases").glob("*.json")}


@pytest.mark.slow
@pytest.mark.parametrize("blow", [signal.SIGINT, signal.SIGKILL])
def test_stopped_sweep_goes_on_where_it_was(here, scenario, run, blow):
    file, out = scenario(LONG), here / "out"
    with start("sweep", file, "--jobs", "2", "--out", "out") as process:
        end = time.monotonic() + 60
        while not out.is_dir() or len(finished(out)) < 2:
            assert time.monotonic() < end, "no case was ever finished"
            time.sleep(0.01)
        process.send_signal(blow)
        _, told = process.communicate(timeout=30)
    before = finished(out)
    assert 2 <= len(before) < 8
    assert not (out / "sweep.parquet").exists()
    if blow == signal.SIGINT:
        assert process.returncode == 130
        kept = f"{len(before)} of 8 cases are finished and kept in out/cases"
        assert told.splitlines()[0] == f"twinclock: interrupted: {kept}; the same command goes on"
    assert run("sweep", file, "--jobs", "1", "--out", "out").exit_code == 0
    after = finished(out)
    assert len(after) == 8
    assert {name: after[name] for name in before} == before
    run("sweep", file, "--jobs", "1", "--out", "whole")
    for name in ("sweep.parquet", "sweep.csv"):
        assert (out / name).read_bytes() == (here / "whole" / name).read_bytes()
