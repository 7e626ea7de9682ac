"""[[sweep.case]], keys that go together; and what becomes of combinations that make no scenario."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from schedules.scenario import ScenarioError
from simulator import pool
from simulator.cases import plan
from simulator.sweep import Sweep, sweep
from tests.simulator.sweep_rig import NUMERIC, STUCK, TIMING, case_files, files

METHODS = [
    {"schedule.program": "gossip", "schedule.gradients": 4},
    {"schedule.program": "all-reduce", "schedule.overlap": True},
]
BATCHES = {"workload.batch_size": [1, 2]}


def rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    """With None for what is missing, of whatever kind its column is."""
    return [
        {str(key): None if value != value else value for key, value in row.items()} for row in table.to_dict("records")
    ]


def swept(table: dict[str, Any], base: dict[str, Any] = TIMING) -> dict[str, Any]:
    return {**base, "sweep": table}


def test_every_group_is_multiplied_with_the_lists() -> None:
    assert [case.swept for case in plan(swept({**BATCHES, "case": METHODS}))] == [
        {"schedule.program": "gossip", "schedule.gradients": 4, "workload.batch_size": 1},
        {"schedule.program": "gossip", "schedule.gradients": 4, "workload.batch_size": 2},
        {"schedule.program": "all-reduce", "schedule.overlap": True, "workload.batch_size": 1},
        {"schedule.program": "all-reduce", "schedule.overlap": True, "workload.batch_size": 2},
    ]


def test_groups_need_no_list() -> None:
    assert [case.swept for case in plan(swept({"case": METHODS}))] == METHODS


def test_as_toml_has_them(tmp_path) -> None:
    (tmp_path / "s.toml").write_text("""
        schedule = { gradients = 5 }
        topology = { graph = "ring", workers = 4 }
        platform.gradient.mean = "10 ms"
        workload.parameters = 1000
        [sweep]
        "workload.batch_size" = [1, 2]
        [[sweep.case]]
        "schedule.program" = "gossip"
        "schedule.rate" = 2
        [[sweep.case]]
        "schedule.program" = "d-psgd"
    """)
    assert [str(case) for case in plan(tmp_path / "s.toml")] == [
        'schedule.program = "gossip", schedule.rate = 2, workload.batch_size = 1',
        'schedule.program = "gossip", schedule.rate = 2, workload.batch_size = 2',
        'schedule.program = "d-psgd", workload.batch_size = 1',
        'schedule.program = "d-psgd", workload.batch_size = 2',
    ]


def test_table_has_all_keys_and_is_read_as_it_was_written(tmp_path) -> None:
    table = sweep(swept({**BATCHES, "case": METHODS}), tmp_path, jobs=1)
    keys = ["schedule.gradients", "workload.batch_size", "schedule.overlap"]
    assert list(table.columns[: table.columns.get_loc("makespan_s")])[-3:] == keys
    assert table["schedule.gradients"].tolist() == [4, 4, None, None]
    assert table["schedule.overlap"].tolist() == [None, None, True, True]
    assert table["gradients"].tolist() == [16, 16, 20, 20]
    assert pq.read_table(tmp_path / "sweep.parquet").to_pylist() == rows(table)
    assert pd.read_csv(tmp_path / "sweep.csv", dtype=str)["schedule.gradients"].tolist()[0] == "4"


def test_columns_may_mix_numbers_and_text(tmp_path) -> None:
    cases = [{"platform.gradient.mean": "10 ms"}, {"platform.gradient.mean": 0.02}, {"schedule.rate": 2}]
    table = sweep(swept({"case": cases}), tmp_path, jobs=1)
    assert table["platform.gradient.mean"].tolist() == ["10 ms", "0.02", None]
    assert table["schedule.rate"].tolist() == [1, 1, 2]


def test_series_say_which_case_they_are_of(tmp_path) -> None:
    cases = [{"schedule.program": "gossip"}, {"schedule.program": "all-reduce", "schedule.gradients": 3}]
    tables = swept({"case": cases}, NUMERIC)
    sweep(tables, tmp_path, jobs=1)
    series = Sweep(tables, tmp_path).series()
    assert series is not None
    assert pq.read_table(tmp_path / "series.parquet").num_rows == len(series)
    found = series.groupby("schedule.program", sort=False)["schedule.gradients"].unique()
    assert {name: str(list(values)) for name, values in found.items()} == {"gossip": "[None]", "all-reduce": "[3]"}


def test_second_start_runs_nothing(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    tables = swept({**BATCHES, "case": METHODS, "impossible": "list"})
    first = sweep(tables, tmp_path, jobs=1)
    before = case_files(tmp_path)
    monkeypatch.setattr(pool, "run_case", lambda tables: pytest.fail("a finished case was run again"))
    pd.testing.assert_frame_equal(sweep(tables, tmp_path, jobs=1), first)
    assert case_files(tmp_path) == before
    assert len(before) == 4


# ---- combinations that make no scenario

RATES = {"schedule.program": ["all-reduce", "gossip"], "schedule.rate": [1, 2]}
UNKNOWN = "schedule.rate: unknown key; accepted: gradients, overlap, bucket_size, first_bucket, accumulate, codec"


def test_one_that_is_impossible_refuses_the_sweep_where_it_says_so(tmp_path) -> None:
    with pytest.raises(ScenarioError, match=r'sweep case schedule.program = "all-reduce", schedule.rate = 1: schedule'):
        sweep(swept({**RATES, "impossible": "refuse"}), tmp_path / "out", jobs=1)
    assert files(tmp_path) == []


@pytest.mark.parametrize(
    ("lists", "message"),
    [
        ({**RATES, "schedule.rate": [1, -1]}, "schedule.rate = -1: schedule.rate: expected a number above 0, found -1"),
        ({**RATES, "topology.graph": ["ring", "rong"]}, r"topology.graph = \"rong\": topology: graph: expected one of"),
        ({**RATES, "schedule.program": ["gossip", "gosip"]}, r"found 'gosip' \(did you mean gossip"),
    ],
)
def test_a_value_that_is_wrong_by_itself_refuses_the_sweep(lists: dict[str, Any], message: str, tmp_path) -> None:
    with pytest.raises(ScenarioError, match=message):
        sweep(swept(lists), tmp_path / "out", jobs=1)
    assert files(tmp_path) == []


@pytest.mark.parametrize("then", [{}, {"impossible": "list"}])
def test_those_that_are_listed_have_a_row_with_the_reason(then: dict[str, Any], tmp_path) -> None:
    table = sweep(swept({**RATES, **then}), tmp_path, jobs=1)
    assert table["error"].tolist() == [f"impossible: {UNKNOWN}"] * 2 + [""] * 2
    assert table["schedule.program"].tolist() == ["all-reduce"] * 2 + ["gossip"] * 2
    assert table["schedule.rate"].tolist() == [1, 2, 1, 2]
    assert table["run.seed"].tolist() == [None, None, 0, 0]
    assert np.isnan(table["gradients_per_s"]).tolist() == [True, True, False, False]
    assert list(table.columns)[-1] == "error"
    alone = sweep(swept({"schedule.rate": [1, 2]}), tmp_path / "alone", jobs=1)
    assert table["gradients_per_s"].tolist()[2:] == alone["gradients_per_s"].tolist()
    assert pq.read_table(tmp_path / "sweep.parquet").to_pylist() == rows(table)
    assert pd.read_csv(tmp_path / "sweep.csv")["error"][1] == f"impossible: {UNKNOWN}"
    assert len(case_files(tmp_path)) == 2


def test_a_case_that_fails_is_no_impossible_one(tmp_path) -> None:
    (tmp_path / "stuck.py").write_text(STUCK)
    base = {**TIMING, "schedule": {"program": str(tmp_path / "stuck.py"), "gradients": 2}}
    table = sweep(swept({"schedule.is_stuck": [True, 3, False], "impossible": "list"}, base), tmp_path / "out", jobs=1)
    assert [error.partition(" ")[0] for error in table["error"]] == ["DeadlockError", "impossible:", ""]
    prepared = Sweep(swept({"schedule.is_stuck": [True, 3, False], "impossible": "list"}, base), tmp_path / "out")
    assert [case.swept["schedule.is_stuck"] for case in prepared.todo] == [True]


def test_a_sweep_without_a_possible_case_is_refused(tmp_path) -> None:
    with pytest.raises(ScenarioError, match=r"sweep: expected a case that is possible, found none; schedule.rat = 1: "):
        sweep(swept({"schedule.rat": [1, 2], "impossible": "list"}), tmp_path / "out", jobs=1)


@pytest.mark.parametrize("then", ["refuse", "list"])
@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"impossible": "list"}, "sweep: expected a table of lists such as"),
        ({"impossible": "skip"}, "sweep: expected a table of lists such as"),
        ({"imposible": "list"}, "expected a dotted key such as schedule.rate, found 'imposible' (did you mean"),
        ({"case": []}, "sweep.case: expected tables [[sweep.case]], found []"),
        ({"case": {"schedule.rate": 2}}, "sweep.case: expected tables [[sweep.case]], found a table"),
        ({"case": ["gossip"]}, "sweep.case 1: expected a table of keys such as \"schedule.rate\" = 2, found 'gossip'"),
        ({"case": [{"schedule.rate": 1}, {}]}, "sweep.case 2: expected a table of keys such as"),
        (
            {"case": [{"schedule": {"rate": 1}}]},
            'sweep.case 1.schedule: expected a value under a dotted key in quotes, "schedule.rate", found a table',
        ),
        ({"case": [{"rate": 1}]}, "sweep.case 1: expected a dotted key such as schedule.rate, found 'rate'"),
        ({"case": [{"schedule.": 1}]}, "sweep.case 1: expected a dotted key such as schedule.rate, found 'schedule.'"),
        ({"case": [{"run.seed": 1}]}, "sweep.case 1.run.seed: expected a key that is swept or set, found both"),
        (
            {"schedule.rate": [1, 2], "case": [{"schedule.program": "gossip"}, {"schedule.rate": 1}]},
            "sweep.schedule.rate: expected a key of a list or of [[sweep.case]], found it in both",
        ),
        (
            {"platform.link": [{"bandwidth": 1e9, "latency": 0}], "case": [{"platform.link.latency": 1}]},
            "sweep.platform.link: expected a key beside platform.link.latency, found one that holds it",
        ),
        ({"platform.link": {"latency": [0, 1]}}, "sweep.platform.link: expected a list, found a table"),
    ],
)
def test_wrong_tables_are_refused_whatever_becomes_of_impossible_cases(
    table: dict[str, Any], message: str, then: str, tmp_path
) -> None:
    with pytest.raises(ScenarioError) as error:
        sweep(swept({"impossible": then, **table}), tmp_path / "out", overrides={"run.seed": 1}, jobs=1)
    assert message in str(error.value)
    assert files(tmp_path) == []


def test_another_fate_is_refused() -> None:
    with pytest.raises(ScenarioError, match=r"sweep\.impossible: expected 'refuse' or 'list', found 'skip'"):
        plan(swept({"schedule.rate": [1], "impossible": "skip"}))


def test_one_wrong_value_of_a_group_is_told_by_its_case() -> None:
    with pytest.raises(ScenarioError, match=r"sweep case schedule.rate = -1: schedule.rate: expected a number above 0"):
        plan(swept({"case": [{"schedule.rate": -1}]}))
