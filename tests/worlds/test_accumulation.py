"""`accumulate` of the synchronous schedules, and numbers of gradients of one's own a rank, in both worlds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from schedules.errors import ScenarioError
from schedules.scenario import load
from schedules.training.problems import Problem
from simulator import simulate
from tests.worlds.conftest import BASE, World
from tests.worlds.test_replay_parity import difference

N, T = 4, 8

PROGRAMS: dict[str, dict[str, Any]] = {
    "all-reduce": {"schedule.program": "all-reduce"},
    "all-reduce, overlapping": {
        "schedule.program": "all-reduce", "schedule.overlap": True, "schedule.bucket_size": 24,
    },
    "all-reduce, a small first bucket": {
        "schedule.program": "all-reduce", "schedule.overlap": True, "schedule.bucket_size": 24,
        "schedule.first_bucket": 8,
    },
    "all-reduce, layered": {
        "schedule.program": "all-reduce", "schedule.overlap": "layers", "workload.layers": 3,
    },
    "d-psgd": {"schedule.program": "d-psgd"},
}  # fmt: skip
synchronous = pytest.mark.parametrize("name", PROGRAMS)


def scenario(name: str, accumulate: int, **more: Any) -> dict[str, Any]:
    return {
        **PROGRAMS[name],
        "schedule.gradients": T,
        "schedule.accumulate": accumulate,
        "workload.options": {"dimension": 7, "noise": 0.5},
        **more,
    }


def of_joined_batches(problem: Problem, seed: int, numbers: list[range], matrix: Any) -> NDArray[np.float64]:
    """x_i <- sum_j W_ij x_j - gamma g_i, where g_i is one gradient of the joined batch."""
    x = np.stack([problem.initial(seed, rank) for rank in range(N)])
    for batch in numbers:
        gradients = [np.mean([problem.gradient(x[rank], rank, k) for k in batch], axis=0) for rank in range(N)]
        x = matrix @ x - 0.01 * (np.array(gradients) if matrix is not EQUAL else matrix @ np.array(gradients))
    return x


RING = (np.eye(N) + np.roll(np.eye(N), 1, axis=0) + np.roll(np.eye(N), -1, axis=0)) / 3
EQUAL = np.full((N, N), 1 / N)


@synchronous
@pytest.mark.parametrize("number", [1, 3, 4])
def test_it_is_the_step_of_one_process_with_the_joined_batch(name: str, number: int, world: World) -> None:
    """Eight gradients by threes: the last update is of the two that are left."""
    result = world(scenario(name, number))
    problem = load(BASE, scenario(name, number)).problem
    assert problem is not None
    numbers = [range(first, min(first + number, T)) for first in range(0, T, number)]
    expected = of_joined_batches(problem, 0, numbers, RING if name == "d-psgd" else EQUAL)
    assert result.parameters is not None
    assert np.abs(result.parameters - expected).max() < 1e-12


@synchronous
@pytest.mark.parametrize("numerics", [True, False])
def test_every_gradient_counts_once_and_none_is_stale(name: str, numerics: bool, world: World) -> None:
    result = world(scenario(name, 3) | {"run.numerics": numerics})
    assert result.summary["per_rank"]["gradients"] == [T] * N
    assert result.summary["gradients_dropped"] == result.summary["staleness_max"] == 0
    rows = result.summary["staleness_by_target"]
    assert [(row["kind"], row["target"], row["count"]) for row in rows] == [("gradient", "x", N * T)]
    trace = result.kept_trace
    assert sorted(set(trace.loc[trace["applied"] == "gradient", "version_written"])) == [1, 2, 3]


@synchronous
def test_what_is_added_up_takes_one_gradient_however_many_there_are(name: str, simulated: World) -> None:
    held = [simulated(scenario(name, number)).summary["peak_memory_by_kind"] for number in (1, 2, 8)]
    assert ["vectors" in each for each in held] == [False, True, True]
    assert ["gradients" in each for each in held] == [True, False, False]
    assert held[1] == held[2]
    assert held[1]["vectors"] == held[1]["parameters"]


@synchronous
def test_the_learning_rate_goes_by_updates(name: str) -> None:
    assert load(BASE, scenario(name, 3)).plan.updates == (3,) * N


@pytest.mark.parametrize("name", ["all-reduce", "d-psgd"])
def test_it_communicates_once_an_update(name: str) -> None:
    """Field case 09: 16 x 100 ms + k x 6 x (25 MB / 125 MB/s + 50 us)."""
    tables = {
        "schedule": {"program": name, "gradients": 16, "accumulate": 4},
        "topology": {"graph": "complete", "workers": N},
        "platform": {
            "gradient": {"mean": "100 ms"},
            "link": {"bandwidth": "1 Gbit/s", "latency": "50 us"},
            "collectives": {"all_reduce": "ring", "form": "closed"},
        },
        "workload": {"parameters": 25_000_000},
    }
    summary = simulate(tables).summary
    if name == "all-reduce":
        barrier = 2 * 50e-6  # at the end
        assert summary["makespan_s"] == pytest.approx(1.6 + 4 * 6 * (0.2 + 50e-6) + barrier, rel=1e-9)
    else:
        assert summary["exchanges"] == 4 * 6


@synchronous
def test_a_replay_adds_up_the_same(name: str, simulated: World, measured: World) -> None:
    original = measured(scenario(name, 3))
    assert difference(simulated(scenario(name, 3), replay=original), original) <= 1e-12


# ---- gradients of one's own a rank

UNEVEN = [16, 16, 15, 3]


@pytest.mark.parametrize("pairing", ["edge-clock", "first-come"])
@pytest.mark.parametrize("program", ["gossip", "a2cid2"])
def test_every_rank_makes_its_own_number(program: str, pairing: str, world: World) -> None:
    given = {"schedule.program": program, "schedule.pairing": pairing, "schedule.gradients": UNEVEN}
    assert world(given).summary["per_rank"]["gradients"] == UNEVEN


@pytest.mark.parametrize("name", ["all-reduce", "d-psgd"])
def test_ranks_that_go_in_step_have_one_number(name: str, simulated: World) -> None:
    told = f"schedule.gradients: expected one number for all ranks of {name}, which wait for each other at every step"
    with pytest.raises(ScenarioError, match=told):
        simulated(PROGRAMS[name] | {"schedule.gradients": [16, 16, 15, 16]})
    equal = [simulated(PROGRAMS[name] | {"schedule.gradients": each}) for each in (16, [16] * N)]
    assert difference(*equal) == 0


@pytest.mark.parametrize("numbers", [[16, 16, 15], [16] * 5, []])
def test_there_is_a_number_for_every_rank(numbers: list[int], simulated: World) -> None:
    with pytest.raises(
        ScenarioError, match=rf"gradients: expected a number for each of 4 workers, found {len(numbers)}"
    ):
        simulated({"schedule.program": "gossip", "schedule.gradients": numbers})
