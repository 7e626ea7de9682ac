"""Nothing of the user's is deleted, and no finished run is lost, whatever stands at the place that is written to."""

import json
import os

import pytest

from schedules.errors import ScheduleError
from schedules.result import load_run
from schedules.runs.kept import keep_run
from simulator import simulate
from twinclock.commands import simulate as simulate_command


@pytest.fixture
def kept(here, scenario, run):
    """A run in `out`, with notes of the user's."""
    scenario()
    assert run("simulate", "scenario.toml", "--seed", "9", "--out", "out").exit_code == 0
    (here / "out" / "notes.txt").write_text("mine")
    return here / "out"


def test_what_was_replaced_is_told_and_what_is_not_a_runs_is_kept(kept, run):
    result = run("simulate", "scenario.toml", "--out", "out")
    assert result.exit_code == 0, result.stderr
    told = result.stdout.splitlines()
    assert told[-3] == "wrote out"
    assert told[-2].startswith("  replaced the simulated run of gossip on ring, 4 workers, seed 9, started 2")
    assert told[-1] == "  kept beside it: notes.txt"
    assert load_run(kept).seed == 0
    assert (kept / "notes.txt").read_text() == "mine"


def test_what_was_replaced_is_in_the_json(kept, run):
    found = json.loads(run("simulate", "scenario.toml", "--out", "out", "--json").stdout)
    assert found["replaced"][1] == "kept beside it: notes.txt"


def test_a_link_to_a_run_is_followed(kept, run, here):
    (here / "link").symlink_to("out")
    assert run("simulate", "scenario.toml", "--out", "link").exit_code == 0
    assert (here / "link").is_symlink()
    assert load_run(kept).seed == 0


def test_where_you_stand_is_written_into(here, scenario, run, monkeypatch):
    scenario()
    (here / "empty").mkdir()
    monkeypatch.chdir(here / "empty")
    assert run("simulate", "../scenario.toml", "--out", ".").exit_code == 0
    assert load_run(here / "empty").seed == 0


def test_a_run_json_of_somebody_else_is_not_replaced(here, scenario, run):
    (here / "theirs").mkdir()
    (here / "theirs" / "run.json").write_text('{"steps": 3}')
    result = run("simulate", scenario(), "--out", "theirs")
    assert result.exit_code == 2
    assert "theirs: expected a new or empty directory, or an earlier run's, found something else" in result.stderr
    assert (here / "theirs" / "run.json").read_text() == '{"steps": 3}'


def test_a_finished_run_whose_place_was_taken_is_kept_beside_it(here, scenario, run, monkeypatch):
    def taking(resolved, replay, watch):
        (here / "out").write_text("somebody's")
        return simulate(resolved)

    monkeypatch.setattr(simulate_command, "run", taking)
    result = run("simulate", scenario(), "--out", "out")
    assert result.exit_code == 1
    assert f"the run is kept in {here / 'out-2'}" in result.stderr
    assert load_run(here / "out-2").seed == 0
    assert (here / "out").read_text() == "somebody's"


def test_a_run_is_kept_under_the_first_name_that_is_free(here, scenario):
    (here / "out").write_text("")
    (here / "out-2").write_text("")
    with pytest.raises(ScheduleError, match=r"the run is kept in .*/out-3$"):
        keep_run(simulate(here / scenario()), here / "out", found=None)


def test_a_run_that_was_written_meanwhile_is_not_replaced(here, scenario, run, monkeypatch):
    def meanwhile(resolved, replay, watch):
        simulate(resolved, overrides={"run.seed": 7}).save(here / "out")
        return simulate(resolved)

    monkeypatch.setattr(simulate_command, "run", meanwhile)
    result = run("simulate", scenario(), "--out", "out")
    assert result.exit_code == 1
    assert "another run has been written to it since this one began" in result.stderr
    assert f"the run is kept in {here / 'out-2'}" in result.stderr
    assert load_run(here / "out").seed == 7
    assert load_run(here / "out-2").seed == 0


def test_export_writes_to_the_output(kept, run):
    assert run("export", "out", "--format", "csv").exit_code == 0
    result = run("export", "out", "--format", "csv", "--out", "-")
    assert result.exit_code == 0, result.stderr
    assert result.stdout == (kept / "trace.csv").read_text()
    assert not (kept.parent / "-").exists()


def test_export_writes_into_a_pipe_and_beside_no_json(kept, run, here):
    os.mkfifo(here / "pipe")
    reading = os.open(here / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    assert run("export", "out", "--format", "csv", "--out", "pipe").exit_code == 0
    assert os.read(reading, 4) == b"run,"
    os.close(reading)
    assert run("export", "out", "--format", "csv", "--out", "-", "--json").exit_code == 2


def test_repeats_leave_what_is_not_a_runs(kept, run, here):
    """`_leave_only` is what removes; it sees a run of an earlier call around the first one, and another beside it."""
    from twinclock.repeats import _leave_only

    for name in ("1", "2"):
        run("simulate", "scenario.toml", "--out", f"out/{name}")
    (kept / "2" / "more.txt").write_text("mine")
    _leave_only(kept / "1")
    assert sorted(str(each.relative_to(kept)) for each in kept.rglob("*.txt")) == ["2/more.txt", "notes.txt"]
    assert list(kept.rglob("run.json")) == [kept / "1" / "run.json"]
