"""A schedule is one file, the user's own too: stages, vectors, an outer step, and no other file is touched."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from executor import Ranks, execute
from schedules.result import Result
from simulator import simulate

SOURCE = Path(__file__).parent / "programs" / "three_stages.py"
SIZES = [3, 4, 5]


def case(directory: Path, *, is_numeric: bool) -> dict[str, Any]:
    """Of a copy of the file, outside the packages."""
    program = directory / "mine.py"
    program.write_text(SOURCE.read_text())
    problem = {"problem": "quadratic", "dtype": "float64", "options": {"dimension": 12}, "parameters": SIZES}
    return {
        "schedule": {"program": str(program)},
        "topology": {"graph": "complete", "workers": 2},
        "platform": {
            "gradient": {"mean": "3 ms", "distribution": "lognormal", "cv": 0.2},
            "link": {"bandwidth": "1 Gbit/s", "latency": "50 us"},
        },
        "workload": problem if is_numeric else {"parameters": SIZES, "dtype": "float64"},
        "optimizer": {"learning_rate": 0.2, "momentum": 0.9},
        "execution": {"timeout": "30 s"},
    }


def expected(found: Result) -> np.ndarray[Any, np.dtype[np.float64]]:
    """The whole computation again, written in numpy as one loop over a model that is not cut."""
    problem, settings = found.scenario.problem, found.scenario.schedule
    assert problem is not None
    whole = problem.initial(found.scenario.run.seed)
    w = [whole[:3], whole[3:7], whole[7:]]
    theta, momentum = [each.copy() for each in w], [np.zeros_like(each) for each in w]
    for number in range(settings.rounds):
        gradients = [np.zeros_like(each) for each in w]
        gains = [np.tanh(each.mean()) for each in w]
        for k in range(settings.micro_batches):
            data = 1 + 0.1 * (number * settings.micro_batches + k)
            inputs = [data, data * gains[0], data * gains[0] * gains[1]]
            behind = inputs[2] * gains[2] - 1
            for stage in (2, 1, 0):
                gradients[stage] += behind * inputs[stage] * (1 - gains[stage] ** 2) / len(w[stage])
                behind *= gains[stage]
        for stage in range(3):
            mean = gradients[stage] / settings.micro_batches
            momentum[stage] = mean if number == 0 else 0.9 * momentum[stage] + mean
            w[stage] = w[stage] - 0.2 * momentum[stage]
            if (number + 1) % settings.rounds_between == 0:
                w[stage] = theta[stage] = theta[stage] - settings.outer_learning_rate * (theta[stage] - w[stage])
    return np.concatenate(w)


def difference(one: Result, other: Any) -> float:
    assert one.parameters is not None
    return float(np.abs(one.parameters - getattr(other, "parameters", other)).max())


@pytest.mark.slow
def test_stages_and_outer_steps_of_ones_own_in_both_worlds(tmp_path: Path, ranks: Ranks) -> None:
    scenario = case(tmp_path, is_numeric=True)
    simulated, measured = simulate(scenario), execute(scenario, ranks=ranks)
    assert simulated.parameters is not None
    assert simulated.parameters.shape == (1, 12)
    for run in (simulated, measured):
        assert difference(run, expected(run)) < 1e-12
        assert run.series is None
        assert run.summary["loss"] > 0
    for replay in (simulate(scenario, replay=measured), execute(scenario, replay=measured, ranks=ranks)):
        assert difference(replay, measured) < 1e-12
    assert difference(execute(scenario, replay=simulated, ranks=ranks), simulated) < 1e-12


@pytest.mark.parametrize("is_numeric", [False, True])
def test_gradients_of_stages_are_counted_once(tmp_path: Path, is_numeric: bool) -> None:
    found = simulate(case(tmp_path, is_numeric=is_numeric))
    assert found.summary["gradients"] == 4 * 3
    assert found.summary["gradients_dropped"] == 0
    rows = {(row["target"], row["kind"]): row for row in found.summary["staleness_by_target"]}
    assert rows["x", "gradient"]["count"] == 3 * 4 * 3  # on every stage
    assert rows["x", "gradient"]["staleness_max"] == 0
    assert rows["theta", "change"] == {**rows["theta", "change"], "count": 3 * 2, "staleness_max": 0}
    applied = found.kept_trace[found.kept_trace["op"] == "Apply"]
    assert sorted(set(applied["stage"])) == [0, 1, 2]
    held = found.memory.groupby(["rank", "kind"])["bytes"].max()
    assert held[0, "parameters"] == 8 * (3 + 4)
    assert held[1, "parameters"] == 8 * 5
    assert held[0, "vectors"] == 2 * 8 * (3 + 4)
    assert held[1, "optimizer"] == 8 * 5
    assert "gradients" not in held[0].index  # they are added up in a vector


@pytest.mark.slow
def test_timing_alone_runs_for_real_and_follows(tmp_path: Path, ranks: Ranks) -> None:
    scenario = case(tmp_path, is_numeric=False)
    simulated = simulate(scenario)
    measured = execute(scenario, replay=simulated, ranks=ranks)
    assert measured.summary["gradients"] == simulated.summary["gradients"] == 12
    again = simulate(scenario, replay=execute(scenario, ranks=ranks))
    assert again.summary["staleness_by_target"] == simulated.summary["staleness_by_target"]


@pytest.mark.parametrize(
    ("parameters", "told"),
    [
        ([3, 9], r"workload\.parameters: expected a number for each of 3 stages, found 2"),
        ([3, 4, 6], r"workload\.parameters: expected 12 parameters in all, as the model has, found 13"),
    ],
)
def test_a_list_of_parameters_fits_the_stages_and_the_model(tmp_path: Path, parameters: Any, told: str) -> None:
    scenario = case(tmp_path, is_numeric=True)
    scenario["workload"]["parameters"] = parameters
    with pytest.raises(ValueError, match=told):
        simulate(scenario)
