"""Where a chain of layers is cut."""

from __future__ import annotations

from itertools import combinations, pairwise

import numpy as np
import pytest
import torch
from torch import nn

from executor.stages.splitting import balanced, cut, measured


def slowest(costs: list[float], begins: tuple[int, ...]) -> float:
    edges = [0, *begins, len(costs)]
    return max(sum(costs[early:late]) for early, late in pairwise(edges))


@pytest.mark.parametrize("num_stages", [1, 2, 3, 5, 9])
def test_no_other_cut_is_better(num_stages: int) -> None:
    """All are tried."""
    draw = np.random.default_rng(num_stages)
    for _ in range(10):
        costs = draw.exponential(size=9).tolist()
        found = balanced(costs, num_stages)
        best = min(slowest(costs, each) for each in combinations(range(1, 9), num_stages - 1))
        assert slowest(costs, tuple(found)) == pytest.approx(best)
        assert len(cut(9, found, num_stages)) == num_stages


def test_layers_that_cost_nothing_leave_no_stage_empty() -> None:
    assert [len(each) for each in cut(4, balanced([0, 0, 0, 1], 3), 3)].count(0) == 0


@pytest.mark.parametrize(
    ("begins", "told"),
    [
        ([3, 3, 5], "ascending from 1 to 8, so that none is empty; found"),
        ([0, 3, 5], "ascending from 1 to 8"),
        ([3, 5, 9], "ascending from 1 to 8"),
        ([3, 5], "expected 3 numbers for 4 stages, found"),
    ],
)
def test_an_empty_stage_is_told(begins: list[int], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        cut(9, begins, 4)


def test_fewer_layers_than_stages_are_told() -> None:
    with pytest.raises(ValueError, match="expected at least 4 layers for 4 stages, found 3"):
        balanced([1, 1, 1], 4)


def test_measured_costs_cut_uneven_layers_within_one_of_the_best() -> None:
    """By the layers' operations: n^2 for a square layer of width n. What is measured on a busy machine may be off."""
    widths = [8, 8, 512, 8, 8, 8, 512, 8, 512, 8]
    layers = [nn.Sequential(nn.Linear(512, width), nn.Linear(width, 512), nn.ReLU(inplace=True)) for width in widths]
    layers.insert(0, nn.BatchNorm1d(512))
    before = [each.clone() for each in layers[0].buffers()]
    batch = torch.randn(64, 512), torch.randn(64, 512)
    costs = measured(layers, batch, nn.functional.mse_loss)
    assert all(torch.equal(one, other) for one, other in zip(before, layers[0].buffers(), strict=True))
    found = tuple(balanced(costs, 3))
    exact = [8.0, *map(float, widths)]
    assert slowest(exact, found) <= slowest(exact, tuple(balanced(exact, 3))) + max(exact)
    assert slowest(exact, found) < sum(exact) / 2
