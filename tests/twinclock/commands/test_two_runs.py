"""`twinclock execute`, `compare` and `export`."""

import json
from pathlib import Path

import pandas as pd
import pytest

from schedules.result import load_run
from twinclock.commands import execute as execute_command

FIRST_COME = {"schedule.pairing": '"first-come"'}


@pytest.fixture
def simulated(here, scenario, run):
    """A simulated run, whose gradients wait for exchanges."""
    assert run("simulate", scenario(FIRST_COME), "--out", "simulated").exit_code == 0
    return "simulated"


def test_export_writes_into_the_run(here, run, simulated):
    for name, file in (("perfetto", "trace.perfetto.json"), ("graphml", "communication.graphml"), ("csv", "trace.csv")):
        result = run("export", simulated, "--format", name)
        assert result.exit_code == 0, result.stderr
        assert result.stdout == f"wrote simulated/{file}\n"
        assert (here / simulated / file).stat().st_size > 0
    trace = pd.read_csv(here / simulated / "trace.csv")
    assert len(trace) == len(pd.read_parquet(here / simulated / "trace.parquet"))


def test_export_elsewhere_as_json(here, run, simulated):
    found = json.loads(run("export", simulated, "--format", "csv", "--out", "new/x.csv", "--json").stdout)
    assert found == {"format": "csv", "files": ["new/x.csv"]}
    assert (here / "new/x.csv").is_file()


def test_compare_prints_the_numbers_side_by_side(here, scenario, run, simulated):
    run("simulate", scenario(FIRST_COME), "--set", "platform.gradient.mean=0.02", "--out", "slower")
    result = run("compare", simulated, "slower", "--force", "--out", "new/report")
    assert result.exit_code == 0, result.stderr
    header, makespan, *_ = result.stdout.splitlines()
    assert header.split() == ["simulated", "measured", "error", "without", "a", "network"]
    assert makespan.startswith("makespan ")
    assert "Simulated throughput" in result.stdout
    assert "\nwrote new/report/report.html\n" in result.stdout
    assert result.stdout.endswith("\n  and the simulation without a network in new/report/null\n")
    assert (here / "new/report/report.html").is_file()
    null = load_run(here / "new/report/null")
    assert (null.tables["platform"]["transport"], null.seed, null.world) == ("none", 0, "simulated")


def test_compare_as_json(here, scenario, run, simulated):
    run("simulate", scenario(FIRST_COME), "--set", "platform.gradient.mean=0.02", "--out", "slower")
    found = json.loads(run("compare", simulated, "slower", "--force", "--json").stdout)
    assert found["error"] > 0.5
    assert found["null_error"] > 0.5
    assert found["null"] == "report/null"
    assert found["files"][0] == "report/report.html"
    assert all(Path(file).is_file() for file in found["files"])


@pytest.mark.slow
def test_execute_prints_and_keeps_the_run(here, scenario, run, simulated):
    arguments = ("execute", scenario(), "--set", "topology.workers=2", "--out", "measured", "--json")
    found = json.loads(run(*arguments).stdout)
    assert found["world"] == "measured"
    assert found["summary"]["gradients"] == 10
    assert {"measured/run.json", "measured/memory.parquet"} <= set(found["files"])
    info = json.loads((here / "measured" / "run.json").read_text())
    assert {"started", "command", "ranks", "launcher"} <= set(info)
    run("simulate", scenario(), "--set", "topology.workers=2", "--out", "simulated")
    result = run("compare", "simulated", "measured")
    assert result.exit_code == 0, result.stderr
    assert "wrote report/report.html" in result.stdout


def test_execute_keeps_runs_in_new_directories(here, scenario, run, monkeypatch):
    from simulator import simulate

    seen = []

    def execute(resolved, *, out, replay):
        seen.append((out, replay))
        return simulate(resolved)

    monkeypatch.setattr(execute_command, "run", execute)
    monkeypatch.setattr(execute_command, "datetime", Noon)
    result = run("execute", scenario())
    assert result.exit_code == 0, result.stderr
    assert seen == [(Path("runs/scenario-20260102-120000"), None)]
    assert result.stdout.splitlines()[-1] == "wrote runs/scenario-20260102-120000"


class Noon:
    """A clock that stands still."""

    @staticmethod
    def now():
        from datetime import datetime

        return datetime(2026, 1, 2, 12)
