"""How many activations are alive, of all workers together: N (N + 1) / 2 of N^2, at any time."""

from __future__ import annotations

import numpy as np
import pytest

from schedules.programs.cyclic.told import live_activations
from simulator import simulate
from tests.schedules.programs.cyclic.cases import tables

STAGE = 100
"""Bytes of the activations of a micro-batch in a stage."""


@pytest.mark.parametrize("rule", ["v1", "v2"])
@pytest.mark.parametrize("n", [3, 4, 8])
def test_they_are_as_many_at_every_half_step(rule: str, n: int) -> None:
    run = simulate(tables(rule, n, steps=6))
    time, level = live_activations(run)
    halves = np.arange(2 * (n - 1), 2 * n * 6 - 1) + 0.5  # from when all have begun until the first has ended
    found = level[np.searchsorted(time, halves * 1e9, side="right") - 1] / STAGE
    assert found.tolist() == [n * (n + 1) / 2] * len(halves)
    assert run.summary["live_activations_mean"] == run.summary["live_activations_peak"] == STAGE * n * (n + 1) // 2


@pytest.mark.parametrize("rule", ["v1", "v2"])
@pytest.mark.parametrize("n", [3, 4, 8])
def test_where_all_begin_together_they_come_to_the_square(rule: str, n: int) -> None:
    run = simulate(tables(rule, n, steps=6, offset=0))
    _, level = live_activations(run)
    assert level.max() == run.summary["live_activations_peak"] == STAGE * n * n
    assert run.summary["live_activations_mean"] == STAGE * n * (n + 1) / 2  # a worker's own are as many on average
