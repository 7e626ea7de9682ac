"""The cases of a sweep: which there are, what they are called, and what their keys depend on."""

import json

import pytest

from schedules.scenario import ScenarioError
from simulator.cases import plan
from simulator.sweep import sweep
from tests.simulator.sweep_rig import STUCK, TIMING, files


def test_cases_are_the_product_in_the_order_of_the_lists_the_last_fastest():
    assert [case.swept for case in plan(TIMING)] == [
        {"schedule.rate": 1, "topology.graph": "ring"},
        {"schedule.rate": 1, "topology.graph": "complete"},
        {"schedule.rate": 2, "topology.graph": "ring"},
        {"schedule.rate": 2, "topology.graph": "complete"},
    ]


def test_case_says_where_it_stands_beside_what_is_swept():
    (case, *_) = plan({**TIMING, "sweep": {"platform.gradient.mean": ["1 ms"]}})
    assert case.settings == {
        "schedule.program": "gossip",
        "topology.graph": "ring",
        "topology.workers": 4,
        "schedule.rate": 1.0,
        "run.seed": 0,
        "platform.gradient.mean": "1 ms",
    }


def test_key_is_of_what_the_numbers_depend_on():
    """Not of how it was written: 10 ms is 0.01 s, and a default that is given changes nothing."""
    (one, *_) = plan(TIMING)
    (same, *_) = plan({**TIMING, "platform": {"gradient": {"mean": 0.01}}, "run": {"seed": 0, "trace": True}})
    (other, *_) = plan({**TIMING, "run": {"seed": 1}})
    (untraced, *_) = plan({**TIMING, "run": {"trace": False}})
    assert one.key == same.key == untraced.key
    assert one.key != other.key


def test_key_is_of_the_sources_too(tmp_path):
    program = tmp_path / "stuck.py"
    keys = []
    for source in (STUCK, STUCK + "\n"):
        program.write_text(source)
        schedule = {"program": str(program), "gradients": 2}
        keys.append(plan({**TIMING, "schedule": schedule, "sweep": {"schedule.is_stuck": [False]}})[0].key)
    assert keys[0] != keys[1]


def test_overrides_change_every_case():
    assert {case.settings["run.seed"] for case in plan(TIMING, {"run.seed": 7})} == {7}


def test_plan_leaves_the_tables_alone():
    before = json.dumps(TIMING)
    plan(TIMING, {"run.seed": 7})
    assert json.dumps(TIMING) == before


@pytest.mark.parametrize(
    ("lists", "message"),
    [
        (None, "scenario: sweep: expected a table of lists"),
        ({}, "expected a table of lists such as"),
        ([1, 2], "expected a table of lists such as"),
        ({"schedule.rate": 2}, "sweep.schedule.rate: expected a list with one value or more, found 2"),
        ({"schedule.rate": "12"}, "sweep.schedule.rate: expected a list with one value or more, found '12'"),
        ({"schedule.rate": []}, "sweep.schedule.rate: expected a list with one value or more, found []"),
        ({"schedule": {"rate": [1]}}, 'sweep.schedule: expected a list under a dotted key in quotes, "schedule.rate"'),
        ({"rate": [1]}, "expected a dotted key such as schedule.rate, found 'rate'"),
        ({"schedule.rat": [1]}, "schedule.rat: unknown key (did you mean rate?)"),
        ({"scedule.rate": [1]}, "unknown table [scedule] (did you mean schedule?)"),
        (
            {"schedule.rate": [1, -1]},
            "sweep case schedule.rate = -1: schedule.rate: expected a number above 0, found -1",
        ),
        ({"topology.graph": ["ring", "rong"]}, "(did you mean 'ring'?)"),
        ({"run.seed": [0]}, "sweep.run.seed: expected a key that is swept or set, found both"),
    ],
)
def test_wrong_sweep_is_refused_before_anything_runs(tmp_path, lists, message):
    tables = {key: value for key, value in TIMING.items() if key != "sweep"}
    if lists is not None:
        tables["sweep"] = lists
    with pytest.raises(ScenarioError) as error:
        sweep(tables, tmp_path / "out", overrides={"run.seed": 1}, jobs=1)
    assert message in str(error.value)
    assert files(tmp_path) == []


@pytest.mark.parametrize("swept", [False, True])
def test_trace_is_none_of_a_case_but_a_wrong_one_is_told(swept):
    changed = {"sweep": {"run.trace": ["perhaps"]}} if swept else {"run": {"trace": "perhaps"}}
    with pytest.raises(ScenarioError, match=r"run\.trace: expected true or false, found 'perhaps'"):
        plan({**TIMING, **changed})
    assert [case.tables["run"] for case in plan(TIMING)] == [{"trace": False}] * 4
