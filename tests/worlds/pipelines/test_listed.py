"""Pipelines whose order is searched for the platform's times: the simulation is the longest path over that order."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from schedules import orders
from schedules.errors import ScenarioError
from schedules.orders import Step
from simulator import simulate

NAMES = {"F": "forward", "B": "backward-input", "W": "backward-weight"}


def scenario(program: str, kernels: dict[str, Any], m: int, c_ns: int, p: int = 8, **keys: Any) -> dict[str, Any]:
    return {
        "schedule": {"program": program, "micro_batches": m, **keys},
        "topology": {"workers": p},
        "platform": {
            "transport": "latency",
            "link": {"latency": c_ns * 1e-9, "bandwidth": "100 Gbit/s"},
            "kernels": {NAMES[kind]: length for kind, length in kernels.items()},
        },
        "workload": {"activations": ["196.0 MB", "70.0 MB"]},
    }


# The first row of Table 5 (arXiv:2401.10241), in seconds, by stages of which one is slower; and two stages a worker.
EQUAL = {"F": 0.018522, "B": 0.018086, "W": 0.009337}


@pytest.mark.parametrize(
    ("program", "stages", "cap"), [("zb-1p", 8, 8.0), ("zb-2p", 8, 16.0), ("v-half", 16, 5.0), ("v-min", 16, 4.0)]
)
@pytest.mark.parametrize("is_equal", [True, False])
def test_a_simulation_is_the_longest_path(program: str, stages: int, cap: float, is_equal: bool) -> None:
    m, c_ns = 24, 601_000
    times = {
        kind: [round(each * 1e9 * 8 / stages * (1 if is_equal or stage != 2 else 1.5)) for stage in range(stages)]
        for kind, each in EQUAL.items()
    }
    kernels = EQUAL if is_equal else {kind: [ns * 1e-9 for ns in each] for kind, each in times.items()}
    found = simulate(scenario(program, kernels, m, c_ns)).summary
    order = orders.build(program, 8, m, durations=times, latency=c_ns, activations=(196e6, 70e6))
    durations = np.array([times[cell.kind][cell.stage] for cell in order.cells if isinstance(cell, Step)])
    _, end = orders.retime(order, durations, c_ns)
    assert found["makespan_s"] == pytest.approx(end.max() * 1e-9, abs=1e-9)
    assert max(found["peak_activations"]) <= cap * 196e6 + 1


def test_a_cap_is_met_in_the_account_of_the_run() -> None:
    found = simulate(scenario("zb-2p", EQUAL, 24, 601_000, memory_cap=6.0)).summary
    assert 5 * 196e6 < max(found["peak_activations"]) <= 6 * 196e6


@pytest.mark.parametrize(
    ("keys", "kernels", "message"),
    [
        ({"memory_cap": 0.5}, EQUAL, "schedule.memory_cap: expected at least 1 (the least that is met), found 0.5"),
        ({"memory_cap": -1.0}, EQUAL, "schedule.memory_cap"),
        (
            {},
            {**EQUAL, "B": [1.0, 2.0]},
            "platform.kernels.backward-input: expected one value, or one a stage (8), found 2",
        ),
        ({}, {"F": 1.0, "B": 1.0}, "platform.kernels: expected a duration of backward-weight for zb-1p"),
    ],
)
def test_refusals(keys: dict[str, Any], kernels: dict[str, Any], message: str) -> None:
    with pytest.raises(ScenarioError) as refused:
        simulate(scenario("zb-1p", kernels, 8, 0, **keys))
    assert message in str(refused.value)
