"""Overrides are applied to whatever is given: a file, tables, or a scenario that is resolved already."""

from __future__ import annotations

from pathlib import Path

import pytest

from executor.calibration.calibrate import measure
from executor.launching.launch import executable
from schedules.scenario import Scenario, ScenarioError, load
from simulator import simulate

TABLES = {
    "schedule": {"program": "gossip", "gradients": 7},
    "topology": {"graph": "ring", "workers": 4},
    "platform": {"device": {"flops": 1e12, "memory_bandwidth": 1e9}, "gradient": {"flops": "10 GFLOP"}},
    "workload": {"problem": "quadratic", "dtype": "float64"},
}


@pytest.fixture
def resolved() -> Scenario:
    return load(TABLES)


def test_a_resolved_scenario_is_handed_back_as_it_is(resolved: Scenario) -> None:
    assert load(resolved) is resolved
    assert load(resolved, {}) is resolved


OVERRIDES: dict[str, dict[str, object]] = {
    "several": {"schedule.gradients": 3, "topology.graph": "complete"},
    "a table": {"platform.gradient": {"mean": "2 s"}},
    "another program, which has other keys": {"schedule.program": "d-psgd"},
    "what the mean follows from": {"platform.device.flops": "2 TFLOP/s"},
    "its other side": {"platform.gradient.flops": "4 GFLOP"},
    "a table that was not there": {"platform.network.kind": "fabric"},
    "another": {"platform.faults.mean_time_to_failure": "20 ms", "platform.faults.mean_time_to_repair": "2 ms"},
    "an option of the problem": {"workload.options.dimension": 5},
}


@pytest.mark.parametrize("overrides", OVERRIDES.values(), ids=OVERRIDES)
def test_overrides_give_what_they_give_on_tables(resolved: Scenario, overrides: dict[str, object]) -> None:
    assert load(resolved, overrides).tables() == load(TABLES, overrides).tables() != resolved.tables()
    assert resolved.schedule.gradients == 7


def test_what_is_refused_on_tables_is_refused_on_what_is_resolved(resolved: Scenario) -> None:
    told = []
    for source in (TABLES, resolved):
        with pytest.raises(ScenarioError) as error:
            load(source, {"platform.link.latency": "1 ms"})
        told.append(str(error.value))
    assert told[0] == told[1]


def test_what_was_changed_in_a_copy_was_said(resolved: Scenario) -> None:
    copied = resolved.model_copy(update={"run": resolved.run.model_copy(update={"seed": 9})})
    assert load(copied, {"schedule.gradients": 3}).run.seed == 9


def test_a_simulation_applies_them(resolved: Scenario) -> None:
    assert simulate(resolved, overrides={"schedule.gradients": 3}).summary["gradients"] == 12
    assert simulate(resolved).summary["gradients"] == 28


def test_an_execution_applies_them(resolved: Scenario) -> None:
    assert executable(resolved, {"run.seed": 5}).run.seed == 5


def test_wrong_ones_are_refused(resolved: Scenario, tmp_path: Path) -> None:
    for run in (simulate, measure):
        with pytest.raises(ScenarioError, match=r"topology\.graph: .*found 'rong'|topology: graph: .*found 'rong'"):
            run(resolved, overrides={"topology.graph": "rong"})
