"""Read-outs, and what is made of those of all ranks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from schedules.errors import MisuseError
from schedules.training.problems import build_problem
from schedules.training.readout import LAST, ReadOuts, consensus_distance, series
from schedules.training.state import State
from tests.schedules.models import ARRAYS, Convert, model, state


def test_consensus_distance_is_the_squared_norm_of_what_differs() -> None:
    assert consensus_distance(np.array([[1.0, 0.0], [3.0, 0.0], [5.0, 3.0]])) == pytest.approx(8 + 6)
    assert consensus_distance(np.full((7, 3), 0.1)) == 0


def test_a_series_has_the_observations_that_every_rank_made() -> None:
    problem: Any = build_problem("quadratic", num_workers=2, seed=0, dimension=2)
    zero, one = np.zeros(2), np.ones(2)
    ranks = [[(0, 0.0, zero), (1, 1.0, zero), (2, 2.0, zero)], [(1, 1.5, one), (0, 0.0, zero)]]
    first, second = series(ranks, problem, 0.5)
    assert (first["index"], first["consensus_distance"]) == (0, 0)
    assert second == {
        "index": 1,
        "time": 1.25,
        "time_s": 0.625,
        "loss": problem.loss(np.array([0.5, 0.5])),
        "accuracy": None,
        "consensus_distance": 1.0,
        "consensus_distance_mean": 0.5,
    }


def test_a_series_reports_accuracy_where_there_are_classes() -> None:
    problem = build_problem("logistic-regression", num_workers=2, seed=0, xp=torch)
    x = problem.initial(0)
    (row,) = series([[(0, 0.0, x)], [(0, 0.0, x)]], problem, 1.0)
    assert row["accuracy"] == problem.accuracy(x)
    assert series([], problem, 1.0) == series([[], [(0, 0.0, x)]], problem, 1.0) == []


def test_observations_are_double_and_nobody_else_s() -> None:
    x = np.ones(2, dtype=np.float32)
    found = state(model(x))
    read_outs = ReadOuts(found, None)
    read_outs.observe(0, 0.0)
    found.x = found.x * 7
    ((_, _, seen),) = read_outs.observations
    assert seen.dtype == np.float64
    assert seen.tolist() == x.tolist() == [1, 1]


@ARRAYS
def test_it_is_read_out_what_the_schedule_says(convert: Convert) -> None:
    found = state(model(convert([1.0, 2.0])))
    read_outs = ReadOuts(found, lambda s, time: s.x * time)
    read_outs.observe(0, 2.0)
    read_outs.observe(LAST, 3.0)
    assert [(index, time, x.tolist()) for index, time, x in read_outs.observations] == [
        (0, 2.0, [2, 4]),
        (LAST, 3.0, [3, 6]),
    ]
    assert read_outs.parameters().tolist() == [3, 6]
    assert found.x.tolist() == [1, 2]


def test_a_worker_that_is_not_looked_at_ends_with_its_x() -> None:
    found = state(model(np.array([1.0])))
    read_outs = ReadOuts(found, lambda s, time: None)
    read_outs.observe(LAST, 3.0)
    assert (read_outs.observations, read_outs.parameters().tolist()) == ([], [1])


def test_of_a_large_model_the_end_is_all_that_is_looked_at() -> None:
    calls: list[float] = []

    def read_out(s: State, time: float) -> Any:
        calls.append(time)
        return s.x + 1

    read_outs = ReadOuts(state(model(np.array([1.0]))), read_out, keeps=False)
    read_outs.observe(0, 2.0)
    read_outs.observe(LAST, 3.0)
    assert (calls, read_outs.observations, read_outs.parameters().tolist()) == ([3.0], [], [2])


@ARRAYS
def test_a_read_out_is_a_rule(convert: Convert) -> None:
    """It leaves the state as it is; what it replaces, it replaces in a copy."""

    def writes(s: State, time: float) -> Any:
        s.x += time
        return s.x

    found = state(model(convert([1.0])))
    with pytest.raises(MisuseError, match=r"rule writes: expected s\.x to be replaced"):
        ReadOuts(found, writes).observe(0, 1.0)
