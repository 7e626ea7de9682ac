"""`twinclock simulate`."""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from schedules.operations import Receive
from simulator import simulate
from twinclock.printing import print_json

QUADRATIC = {
    "workload.parameters": None,
    "workload.problem": '"quadratic"',
    "workload.dtype": '"float64"',
    "workload.options.dimension": "3",
}


def test_prints_a_small_table_and_writes_nothing(here, scenario, run):
    result = run("simulate", scenario())
    assert result.exit_code == 0
    assert result.stderr == ""
    head, *lines = result.stdout.splitlines()
    assert head == "gossip on ring, 4 workers, 20 gradients, seed 0, simulated"
    names = [line[2:].split("  ")[0] for line in lines]
    assert names == ["makespan", "throughput", "computing", "communicating", "idle", "sent", "staleness"]
    assert [path.name for path in here.iterdir()] == ["scenario.toml"]


def test_values_stand_in_one_column(scenario, run):
    _, *lines = run("simulate", scenario(QUADRATIC)).stdout.splitlines()
    width = max(len(line[2:].split("  ")[0]) for line in lines)
    assert all(line[2 + width : 4 + width] == "  " and line[4 + width] != " " for line in lines)


def test_json_is_the_summary(scenario, run):
    file = scenario()
    found = json.loads(run("simulate", file, "--json").stdout)
    expected = simulate(file)
    assert found == {
        "world": "simulated",
        "seed": 0,
        "fingerprint": expected.scenario.fingerprint(),
        "summary": expected.summary,
        "out": None,
        "files": [],
    }


def test_json_is_strict(capsys):
    """A run may diverge, but infinity and NaN are no JSON."""
    print_json({"loss": float("inf"), "series": [np.float32(0.5), np.nan], "out": Path("x")})
    assert json.loads(capsys.readouterr().out) == {"loss": None, "series": [0.5, None], "out": "x"}


def test_set_and_seed_change_the_scenario(scenario, run):
    file = scenario()
    arguments = ("--set", "schedule.rate=2", "--set", "schedule.pairing=first-come", "--seed", "3")
    found = json.loads(run("simulate", file, *arguments, "--json").stdout)
    changes = {"schedule.rate": 2, "schedule.pairing": "first-come", "run.seed": 3}
    assert found["summary"] == simulate(file, overrides=changes).summary


def test_sweep_table_is_ignored(scenario, run):
    plain = run("simulate", scenario(), "--json")
    swept = run("simulate", scenario({"sweep.'schedule.rat'": "[]"}), "--json")
    assert swept.exit_code == 0
    assert swept.stdout == plain.stdout


def test_out_keeps_the_run(here, scenario, run):
    result = run("simulate", scenario(QUADRATIC), "--out", "new/run")
    assert result.stdout.splitlines()[-1] == "wrote new/run"
    names = sorted(path.name for path in (here / "new/run").iterdir())
    assert names == ["parameters.npy", "run.json", "series.parquet", "summary.json", "trace.parquet"]
    assert len(pd.read_parquet(here / "new/run/trace.parquet")) > 0


def test_json_lists_the_files(scenario, run):
    found = json.loads(run("simulate", scenario(), "--out", "run", "--json").stdout)
    assert found["out"] == "run"
    assert found["files"] == ["run/run.json", "run/summary.json", "run/trace.parquet"]


def test_earlier_run_is_replaced(here, scenario, run):
    run("simulate", scenario(QUADRATIC), "--out", "run")
    run("simulate", scenario(), "--out", "run")
    assert not (here / "run/parameters.npy").exists()


def test_replay_ends_with_the_same_parameters(here, scenario, run):
    file = scenario({**QUADRATIC, "schedule.pairing": '"first-come"'})
    run("simulate", file, "--out", "first")
    slower = ("--set", "platform.gradient.mean=0.5")
    result = run("simulate", file, *slower, "--replay", "first", "--out", "second")
    assert result.exit_code == 0, result.stderr
    first, second = (np.load(here / name / "parameters.npy") for name in ("first", "second"))
    np.testing.assert_allclose(first, second, rtol=1e-12)


def test_failed_run_is_status_1_with_the_whole_board_and_writes_nothing(here, scenario, run):
    (here / "stuck.py").write_text(
        '"""Waits for ever."""\n'
        "from schedules.operations import Receive\n"
        "from schedules.scenario import Count, Table\n"
        'SOURCE = "a test"\n'
        "class Settings(Table):\n"
        "    gradients: Count\n"
        "def streams(worker):\n"
        '    return {"compute": wait(worker)}\n'
        "def wait(worker):\n"
        "    yield Receive(worker.neighbours[0], 8)\n"
    )
    before = sorted(here.iterdir())
    result = run("simulate", scenario({"schedule.program": '"stuck.py"'}), "--out", "run")
    assert result.exit_code == 1
    assert result.stdout == ""
    head, *board = result.stderr.splitlines()
    assert head == "twinclock: DeadlockError at 0.000 ms: no worker can move."
    assert len(board) >= 4
    assert all(str(Receive(1, 8)).partition("(")[0] in line for line in board[:4])
    assert {path.name for path in here.iterdir()} - {path.name for path in before} <= {"scenario.toml", "__pycache__"}
