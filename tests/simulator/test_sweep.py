"""A sweep: what it runs, what it keeps, and what a second start does."""

import json

import pandas as pd
import pytest

from simulator import cases, pool, simulate
from simulator.sweep import Sweep, sweep
from tests.simulator.sweep_rig import NUMERIC, STUCK, TIMING, case_files, files

# ---- what comes of it


def test_table_is_what_simulate_says(tmp_path):
    table = sweep(TIMING, tmp_path, jobs=1)
    for row in table.to_dict("records"):
        settings = {key: row[key] for key in ("schedule.rate", "topology.graph")}
        summary = simulate({key: TIMING[key] for key in TIMING if key != "sweep"}, overrides=settings).summary
        assert row["error"] == ""
        flat = {key: value for key, value in summary.items() if isinstance(value, int | float)}
        assert {key: row[key] for key in flat} == flat


def test_a_sweep_that_asks_for_ages_has_them_as_columns(tmp_path):
    table = sweep({**TIMING, "run": {"ages": True}}, tmp_path, jobs=1)
    for row in table.to_dict("records"):
        overrides = {"schedule.rate": row["schedule.rate"], "topology.graph": row["topology.graph"], "run.ages": True}
        summary = simulate({key: TIMING[key] for key in TIMING if key != "sweep"}, overrides=overrides).summary
        keys = [key for key in summary if key.startswith(("age_", "staleness_exchanges_"))]
        assert len(keys) == 12
        assert {key: row[key] for key in keys} == {key: summary[key] for key in keys}


def test_tables_are_written(tmp_path):
    table = sweep(TIMING, tmp_path, jobs=1)
    assert files(tmp_path) == ["cases", "sweep.csv", "sweep.parquet"]
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "sweep.parquet"), table)
    assert (pd.read_csv(tmp_path / "sweep.csv")["makespan_s"] == table["makespan_s"]).all()


def test_numeric_runs_leave_their_series(tmp_path):
    sweep(NUMERIC, tmp_path, jobs=1)
    series = pd.read_parquet(tmp_path / "series.parquet")
    assert list(series["schedule.program"].unique()) == ["gossip", "a2cid2"]
    alone = simulate({**NUMERIC, "schedule": {"program": "a2cid2", "gradients": 5}}).series
    swept = series[series["schedule.program"] == "a2cid2"].reset_index(drop=True)
    pd.testing.assert_frame_equal(swept[alone.columns], alone)


def test_series_of_an_earlier_sweep_goes(tmp_path):
    sweep(NUMERIC, tmp_path, jobs=1)
    sweep(TIMING, tmp_path, jobs=1)
    assert "series.parquet" not in files(tmp_path)


def test_processes_change_nothing(tmp_path):
    alone = sweep(TIMING, tmp_path / "alone", jobs=1)
    pd.testing.assert_frame_equal(sweep(TIMING, tmp_path / "two", jobs=2), alone)
    for name in ("sweep.csv", "sweep.parquet"):
        assert (tmp_path / "alone" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_equal_cases_are_run_once(tmp_path):
    table = sweep({**TIMING, "sweep": {"schedule.rate": [1, 1.0, 2]}}, tmp_path, jobs=1)
    assert len(table) == 3
    assert len(case_files(tmp_path)) == 2


def test_values_that_are_tables_are_told_as_text(tmp_path):
    links = [{"bandwidth": "1 Gbit/s", "latency": 0}, {"bandwidth": "10 Gbit/s", "latency": 0}]
    table = sweep({**TIMING, "sweep": {"platform.link": links}}, tmp_path, jobs=1)
    assert [json.loads(link) for link in table["platform.link"]] == links


# ---- a second start


def test_second_start_runs_nothing(tmp_path, monkeypatch):
    first = sweep(TIMING, tmp_path, jobs=1)
    before = case_files(tmp_path)
    monkeypatch.setattr(pool, "run_case", lambda tables: pytest.fail("a finished case was run again"))
    pd.testing.assert_frame_equal(sweep(TIMING, tmp_path, jobs=1), first)
    assert case_files(tmp_path) == before


def test_longer_list_runs_what_is_new(tmp_path):
    sweep(TIMING, tmp_path, jobs=1)
    before = case_files(tmp_path)
    longer = {**TIMING, "sweep": {"schedule.rate": [1, 2, 4], "topology.graph": ["ring", "complete"]}}
    assert len(Sweep(longer, tmp_path).todo) == 2
    assert len(sweep(longer, tmp_path, jobs=1)) == 6
    after = case_files(tmp_path)
    assert len(after) == 6
    assert {name: after[name] for name in before} == before


def test_cases_of_another_sweep_are_ignored(tmp_path):
    sweep(NUMERIC, tmp_path, jobs=1)
    assert len(sweep(TIMING, tmp_path, jobs=1)) == 4


def test_cases_of_other_sources_are_run_again(tmp_path, monkeypatch):
    sweep(TIMING, tmp_path, jobs=1)
    monkeypatch.setattr(cases, "_version", lambda: "another")
    assert len(Sweep(TIMING, tmp_path).todo) == 4


@pytest.mark.parametrize(
    "damage",
    [
        lambda file: file.write_bytes(file.read_bytes()[:-100]),
        lambda file: file.write_bytes(b""),
        lambda file: file.write_bytes(b"\xff\xfe not text"),
        lambda file: file.write_text("[]"),
        lambda file: file.write_text("{}"),
        lambda file: file.write_text(file.read_text().replace('"key": "', '"key": "0')),
        lambda file: file.unlink(),
    ],
    ids=["cut off", "empty", "bytes", "list", "keys missing", "of another case", "gone"],
)
def test_damaged_case_is_run_again(tmp_path, damage):
    first = sweep(TIMING, tmp_path, jobs=1)
    before = case_files(tmp_path)
    name = min(before)
    damage(tmp_path / "cases" / name)
    assert len(Sweep(TIMING, tmp_path).todo) == 1
    pd.testing.assert_frame_equal(sweep(TIMING, tmp_path, jobs=1), first)
    after = case_files(tmp_path)
    assert {each for each in before if before[each] != after[each]} == {name}


def test_file_that_was_being_written_does_not_count(tmp_path):
    sweep(TIMING, tmp_path, jobs=1)
    name = min(case_files(tmp_path))
    (tmp_path / "cases" / name).rename(tmp_path / "cases" / f".{name}-abc")
    assert len(Sweep(TIMING, tmp_path).todo) == 1


# ---- failures


@pytest.fixture
def stuck(tmp_path):
    (tmp_path / "stuck.py").write_text(STUCK)
    schedule = {"program": str(tmp_path / "stuck.py"), "gradients": 2}
    return {**TIMING, "schedule": schedule, "sweep": {"schedule.is_stuck": [False, True, False]}}


def test_failing_case_is_told_and_the_others_are_kept(tmp_path, stuck):
    table = sweep(stuck, tmp_path / "out", jobs=1)
    assert [error.partition(" at ")[0] for error in table["error"]] == ["", "DeadlockError", ""]
    assert table["makespan_s"].isna().tolist() == [False, True, False]
    assert len(case_files(tmp_path / "out")) == 1


def test_failed_case_is_tried_again(tmp_path, stuck):
    sweep(stuck, tmp_path / "out", jobs=1)
    assert [case.swept for case in Sweep(stuck, tmp_path / "out").todo] == [{"schedule.is_stuck": True}]


def test_case_that_breaks_a_program_is_told_too(tmp_path):
    (tmp_path / "stuck.py").write_text(STUCK.replace("yield Receive(worker.neighbours[0], 8)", "1 / 0"))
    schedule = {"program": str(tmp_path / "stuck.py"), "gradients": 2}
    tables = {**TIMING, "schedule": schedule, "sweep": {"schedule.is_stuck": [True]}}
    (error,) = sweep(tables, tmp_path / "out", jobs=1)["error"]
    assert "division by zero" in error
