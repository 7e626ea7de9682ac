"""The parameters of a simulated run are those of the rule."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from schedules.training.problems import build_problem
from simulator import simulate
from tests.schedules.programs.cyclic.cases import tables
from tests.schedules.programs.cyclic.emulated import parameters


def trained(rule: str, problem: str, n: int = 4, **schedule: Any) -> dict[str, Any]:
    case = tables(rule, n, steps=7, latency=0.25, **schedule)
    workload = {"problem": problem, "dtype": "float64", "batch_size": 8}
    return case | {"workload": workload, "optimizer": {"learning_rate": 0.1, "momentum": 0.9}}


@pytest.mark.parametrize("rule", ["v1", "v2"])
@pytest.mark.parametrize("problem", ["quadratic", "logistic-regression", "digits-mlp"])
@pytest.mark.parametrize(
    "schedule", [{}, {"parameters": "ring"}, {"offset": 0}, {"placement": "stages"}], ids=lambda each: str(each)
)
def test_they_are_those_of_the_emulation(rule: str, problem: str, schedule: dict[str, Any]) -> None:
    found = simulate(trained(rule, problem, **schedule)).parameters
    built = build_problem(problem, num_workers=4, seed=0, dtype="float64", batch_size=8)
    expected = parameters(rule, built, 4, 7, 0.1, momentum=0.9)
    assert found is not None
    assert np.abs(found - expected).max() <= 1e-12 * np.abs(expected).max()


def test_the_rules_differ() -> None:
    one, other = (simulate(trained(rule, "quadratic")).parameters for rule in ("v1", "v2"))
    assert one is not None
    assert other is not None
    assert np.abs(one - other).max() > 1e-3


def test_more_workers_than_parameters() -> None:
    """Some stages have none."""
    case = trained("v2", "quadratic", n=4)
    case["workload"]["options"] = {"dimension": 3}
    found = simulate(case).parameters
    built = build_problem("quadratic", num_workers=4, seed=0, dtype="float64", batch_size=8, dimension=3)
    assert found is not None
    np.testing.assert_allclose(found[0], parameters("v2", built, 4, 7, 0.1, momentum=0.9), rtol=1e-12)


def test_stages_of_lengths_that_the_scenario_says() -> None:
    case = trained("v1", "quadratic", n=2)
    case["workload"] |= {"parameters": [5, 15]}
    found = simulate(case).parameters
    built = build_problem("quadratic", num_workers=2, seed=0, dtype="float64", batch_size=8)
    assert found is not None  # of v1 all stages are as late, however the model is cut
    np.testing.assert_allclose(found[0], parameters("v1", built, 2, 7, 0.1, momentum=0.9), rtol=1e-12)
