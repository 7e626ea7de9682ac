"""`twinclock execute --repeats` and the comparison of what it leaves; a simulation stands for each execution."""

import json

import pytest

from schedules.errors import DeadRankError
from schedules.result import load_run
from simulator import simulate
from twinclock.commands import execute as execute_command


class Executor:
    """Simulates, each time with kernels of another length; the run of that number fails or is interrupted."""

    def __init__(self, *, fails=0, interrupted=0):
        self.number, self.fails, self.interrupted = 0, fails, interrupted

    def __call__(self, resolved, *, out, replay):
        self.number += 1
        if self.number == self.interrupted:
            raise KeyboardInterrupt
        result = simulate(resolved, overrides={"platform.gradient.mean": f"{10 + self.number} ms"})
        result.world = result.info["world"] = "measured"
        result.trace["world"] = "measured"
        if self.number == self.fails:
            result.summary = {"failed": "rank 1 has died"}
            result.save(out)
            raise DeadRankError("rank 1 has died")
        result.save(out)
        return result


@pytest.fixture
def execute(here, scenario, run, monkeypatch):
    def call(*arguments, **options):
        monkeypatch.setattr(execute_command, "run", Executor(**options))
        changes = {"schedule.gradients": "20", "schedule.pairing": '"first-come"'}  # gradients wait for exchanges
        return run("execute", scenario(changes), "--out", "real", *arguments)

    return call


def names(place):
    return sorted(each.name for each in place.iterdir())


def makespans(place):
    return [load_run(place / name).summary["makespan_s"] for name in names(place)]


def test_each_run_has_a_directory_of_its_own(here, execute):
    result = execute("--repeats", "3")
    assert result.exit_code == 0, result.stderr
    assert names(here / "real") == ["1", "2", "3"]
    assert makespans(here / "real") == sorted(makespans(here / "real"))
    told = result.stdout.splitlines()
    assert [line for line in told if line.startswith("[")] == ["[1/3]", "[2/3]", "[3/3]"]
    assert [line for line in told if line.startswith("wrote")] == [f"wrote real/{number}" for number in (1, 2, 3)]
    assert told[-1].startswith("Measured 3 times: ")


def test_one_run_is_numbered_too(here, execute):
    assert execute("--repeats", "1").exit_code == 0
    assert names(here / "real") == ["1"]


def test_repeats_as_json(execute):
    found = json.loads(execute("--repeats", "2", "--json").stdout)
    assert [each["out"] for each in found["runs"]] == ["real/1", "real/2"]
    assert found["runs"][0]["summary"]["gradients"] == 80
    assert found["spread"].startswith("Measured 2 times: ")


@pytest.mark.parametrize("number", [0, -1])
def test_a_number_of_runs_is_above_zero(here, execute, number):
    result = execute("--repeats", number)
    assert result.exit_code == 2
    assert f"--repeats: expected a number of runs, 1 or more, found {number}" in result.stderr
    assert not (here / "real").exists()


def test_what_is_done_before_a_failure_is_kept(here, execute):
    result = execute("--repeats", "3", fails=2)
    assert result.exit_code == 1
    assert "1 of 3 runs are finished and kept in real" in result.stderr
    assert names(here / "real") == ["1", "2"]


def test_what_is_done_before_an_interruption_is_kept(here, execute):
    result = execute("--repeats", "3", interrupted=3)
    assert result.exit_code == 130
    assert "interrupted: 2 of 3 runs are finished and kept in real" in result.stderr
    assert names(here / "real") == ["1", "2"]


def test_runs_of_an_earlier_call_are_replaced_when_the_first_is_done(here, execute):
    execute("--repeats", "3")
    execute("--repeats", "3", interrupted=1)
    assert names(here / "real") == ["1", "2", "3"]
    execute("--repeats", "2", fails=1)
    assert names(here / "real") == ["1"]
    execute("--repeats", "2")
    assert names(here / "real") == ["1", "2"]


def test_an_earlier_run_is_replaced_and_other_files_are_refused(here, execute):
    assert execute().exit_code == 0
    assert (here / "real" / "run.json").exists()
    assert execute("--repeats", "2").exit_code == 0
    assert names(here / "real") == ["1", "2"]
    (here / "real" / "notes.txt").write_text("mine")
    result = execute("--repeats", "2")
    assert result.exit_code == 2
    assert "real: expected a new or empty directory, or an earlier run's, found something else" in result.stderr
    assert names(here / "real") == ["1", "2", "notes.txt"]


@pytest.mark.slow
def test_compare_takes_repeated_runs(here, run, execute):
    execute("--repeats", "4", fails=4)
    run("simulate", "scenario.toml", "--out", "sim")
    result = run("compare", "sim", "real", "--json")
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert [row["run"] for row in found["repeats"]] == ["real/1", "real/2", "real/3"]
    throughputs = [load_run(here / "real" / name).summary["gradients_per_s"] for name in "123"]
    assert [row["measured"] for row in found["repeats"]] == throughputs
    assert found["error"] == pytest.approx(found["repeats"][1]["error"])  # the one in the middle is shown
    assert "1 of the repeated runs failed and are left out: real/4." in found["caveats"][0]
    page = (here / "report/report.html").read_text()
    assert "real/2 (shown)" in page
    assert found["spread"].replace(" %", "\N{NO-BREAK SPACE}%") in page
    assert "report/repeats.csv" in found["files"]
    assert run("compare", "sim", "real/1").exit_code == 0
    assert not (here / "report/repeats.csv").exists()


def test_a_directory_without_a_finished_run_is_refused(here, run, execute):
    execute("--repeats", "2", fails=1)
    run("simulate", "scenario.toml", "--out", "sim")
    result = run("compare", "sim", "real")
    assert result.exit_code == 2
    assert "real: expected a run that was finished, found 1 that failed" in result.stderr
