"""Cyclic data parallelism for real: on four gloo ranks it comes to the parameters of its rule, without all-reduce."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from schedules.programs.cyclic.told import live_activations, steady
from schedules.training.problems import build_problem
from tests.schedules.programs.cyclic.emulated import parameters
from tests.worlds.conftest import World
from tests.worlds.test_replay_parity import difference

STEPS = 6


def case(rule: str, **overrides: Any) -> dict[str, Any]:
    kernels = {name: {"mean": "8 ms"} for name in ("forward", "backward")}  # of all stages: a time step is 2 ms
    return {
        "schedule.program": f"cdp-{rule}", "schedule.gradients": STEPS, "platform.kernels": kernels,
        "workload.problem": "digits-mlp", "workload.batch_size": 8, "optimizer.learning_rate": 0.1,
        "optimizer.momentum": 0.9, **overrides,
    }  # fmt: skip


@pytest.mark.parametrize("way", ["direct", "ring"])
@pytest.mark.parametrize("rule", ["v1", "v2"])
def test_the_parameters_are_those_of_the_rule(rule: str, way: str, world: World) -> None:
    run = world(case(rule, **{"schedule.parameters": way}))
    built = build_problem("digits-mlp", num_workers=4, seed=0, dtype="float64", batch_size=8)
    expected = parameters(rule, built, 4, STEPS, 0.1, momentum=0.9)
    assert run.parameters is not None
    assert run.trace is not None
    assert np.abs(run.parameters - expected).max() <= 1e-12 * np.abs(expected).max()
    assert set(run.trace["op"]) <= {"Compute", "Send", "Receive", "Await", "Put", "Take", "Start", "Until", "Apply"}
    assert run.summary["gradients"] == 4 * STEPS


@pytest.mark.parametrize("rule", ["v1", "v2"])
def test_each_world_follows_the_other(rule: str, simulated: World, measured: World, tmp_path: Path) -> None:
    original = simulated(case(rule))
    assert difference(original, measured(case(rule), replay=original.save(tmp_path / "simulated"))) <= 1e-12
    free = measured(case(rule))
    assert difference(free, simulated(case(rule), replay=free.save(tmp_path / "measured"))) <= 1e-12


@pytest.mark.slow
def test_ten_of_sixteen_activations_are_alive(measured: World) -> None:
    """Four paced workers: their accounts together have ten on average, and never more than twelve.

    Kernels of 20 ms, as ranks that share two cores are some milliseconds late now and then."""
    sizes = {"workload.activations": 4000, "workload.problem": None, "workload.parameters": 4000}
    paced = {f"platform.kernels.{name}": [{"mean": "20 ms"}] * 4 for name in ("forward", "backward")}
    run = measured(case("v2", **{"schedule.gradients": 24}) | sizes | paced)
    assert run.trace is not None
    assert steady(run.trace[run.trace["op"] == "Compute"], 4) is not None
    assert run.summary["live_activations_mean"] == pytest.approx(10_000, rel=0.05)
    assert run.summary["live_activations_peak"] <= 12_000
    time, level = live_activations(run)
    assert level[np.searchsorted(time, 0.02 * 1e9, side="right") - 1] < 10_000  # the first worker is alone at first
