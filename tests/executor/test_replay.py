"""Two worlds, one schedule: a replayed run ends with the parameters of the original."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from executor import Ranks
from schedules.errors import DivergenceError
from schedules.scenario import ScenarioError
from simulator import simulate

SCHEDULES = {
    "gossip": {"program": "gossip", "rate": 2.0},
    "gossip, first come": {"program": "gossip", "rate": 1.0, "pairing": "first-come"},
    "a2cid2": {"program": "a2cid2", "rate": 2.0},
    "all-reduce": {"program": "all-reduce"},
    "all-reduce, overlapped": {"program": "all-reduce", "overlap": True, "bucket_size": 80},
    "d-psgd": {"program": "d-psgd"},
}


def tables(schedule: dict[str, Any], problem: str = "quadratic") -> dict[str, Any]:
    return {
        "schedule": {"gradients": 12, **schedule},
        "topology": {"graph": "ring", "workers": 4},
        "platform": {"gradient": {"distribution": "lognormal", "mean": "2 ms", "cv": 0.3}},
        "workload": {"problem": problem, "dtype": "float64"},
        "run": {"observations": 3},
        "execution": {"timeout": "20 s"},
    }


def distance(a: Any, b: Any) -> float:
    return float(np.abs(a - b).max() / np.abs(a).max())


@pytest.mark.parametrize("name", SCHEDULES)
def test_the_executor_follows_a_simulated_trace_to_the_same_parameters(ranks: Ranks, tmp_path: Path, name: str) -> None:
    simulated = simulate(tables(SCHEDULES[name]))
    simulated.save(tmp_path / "simulated")
    replayed = ranks.execute(tables(SCHEDULES[name]), replay=tmp_path / "simulated")
    assert distance(simulated.parameters, replayed.parameters) < 1e-12


@pytest.mark.parametrize("name", SCHEDULES)
def test_the_simulator_follows_a_measured_trace_to_the_same_parameters(ranks: Ranks, tmp_path: Path, name: str) -> None:
    measured = ranks.execute(tables(SCHEDULES[name]), out=tmp_path / "measured")
    replayed = simulate(tables(SCHEDULES[name]), replay=tmp_path / "measured")
    assert distance(measured.parameters, replayed.parameters) < 1e-12


def test_a_perceptron_replays_to_the_rounding_of_its_tanh(ranks: Ranks, tmp_path: Path) -> None:
    scenario = tables({"program": "gossip", "rate": 2.0}, "digits-mlp")
    simulated = simulate(scenario)
    simulated.save(tmp_path / "simulated")
    replayed = ranks.execute(scenario, replay=tmp_path / "simulated")
    assert distance(simulated.parameters, replayed.parameters) < 1e-9
    assert replayed.summary["loss"] == pytest.approx(simulated.summary["loss"], rel=1e-9)


def test_a_trace_of_another_scenario_is_refused(ranks: Ranks, tmp_path: Path) -> None:
    simulate(tables({"program": "gossip"})).save(tmp_path / "simulated")
    with pytest.raises(ScenarioError, match=r"schedule\.rate"):
        ranks.execute(tables({"program": "gossip", "rate": 2.0}), replay=tmp_path / "simulated")


def test_a_replay_that_cannot_follow_says_where(ranks: Ranks) -> None:
    scenario = tables({"program": "gossip"})
    result = ranks.execute(scenario)
    assert result.trace is not None
    is_last = (result.trace["rank"] == 2) & (result.trace["op"] == "Barrier")
    result.trace = result.trace[~is_last]
    with pytest.raises(DivergenceError, match="rank 2"):
        ranks.execute(scenario, replay=result)
