"""Pipelines with a flush run a module for real: the parameters are those of one process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from schedules.scenario import ScenarioError
from tests.worlds.conftest import World
from tests.worlds.pipelines import modules

RATE = 0.05
MODULES = "tests.worlds.pipelines.modules"


def pipeline(program: str, workers: int, micro_batches: int, **keys: Any) -> dict[str, Any]:
    """A scenario of two iterations."""
    return {
        "schedule": {"program": program, "micro_batches": micro_batches, "iterations": 2, **keys},
        "topology": {"workers": workers},
        "platform": {"kernels": {"forward": "1 ms", "backward-input": "1 ms", "backward-weight": "1 ms"}},
        "workload.problem": None,
        "workload.module": f"{MODULES}:Chain",
        "optimizer.learning_rate": RATE,
    }


def whole(scenario: dict[str, Any], kind: str = "Chain", workers: int = 0) -> Any:
    schedule = scenario["schedule"]
    training = getattr(modules, kind)(0, workers, 0)
    return modules.one_process(training, schedule["iterations"], schedule["micro_batches"], RATE)


CASES = {
    "gpipe": (pipeline("gpipe", 2, 4), [3]),
    "unequal stages": (pipeline("1f1b", 4, 6), [1, 2, 7]),
    "fewer micro-batches than workers": (pipeline("1f1b", 4, 2), [2, 4, 6]),
    "checkpoint": (pipeline("1f1b", 2, 4, checkpoint=True), [4]),
}


@pytest.mark.parametrize("case", CASES)
def test_parameters_are_those_of_one_process(case: str, measured: World) -> None:
    scenario, split = CASES[case]
    found = measured({**scenario, "workload.split": split})
    assert found.parameters is not None
    expected = whole(scenario)
    np.testing.assert_allclose(found.parameters[0], modules.vector(expected), rtol=0, atol=1e-10)
    assert found.summary["module_loss"] == pytest.approx(modules.Chain(0, 1, 0).evaluate(expected)["loss"], abs=1e-9)
