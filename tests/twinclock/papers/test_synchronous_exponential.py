"""1 / H_n by simulation, with inputs that nobody published."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from twinclock.paper_tables.cells import Cell
from twinclock.papers.synchronous_exponential import INPUTS, ExponentialRounds, ours


def cell(**inputs: Any) -> Cell:
    (row,) = ours([ExponentialRounds(**inputs)])
    found = row["utilization"]
    assert isinstance(found, Cell)
    return found


def check(found: Cell, workers: int) -> None:
    """Within three standard errors of 1 / (1 + 1/2 + ... + 1/n), which are small enough to tell it from n + 1."""
    expected, following = (1 / np.sum(1 / np.arange(1, n + 1)) for n in (workers, workers + 1))
    assert found.error is not None
    assert 0 < found.error < (expected - following) / 3
    assert abs(found.value - expected) < 3 * found.error


@pytest.mark.slow
@pytest.mark.parametrize("row", INPUTS, ids=lambda row: str(row.workers))
def test_the_table_s_own_rows(row: ExponentialRounds) -> None:
    check(cell(**row.model_dump()), row.workers)


@pytest.mark.parametrize(
    "inputs",
    [
        {"workers": 2, "gradients": 1000},
        {"workers": 5, "gradients": 2000, "seed": 3},
        {"workers": 11, "gradients": 4000, "mean": 0.013},
    ],
    ids=str,
)
def test_other_inputs(inputs: dict[str, Any]) -> None:
    check(cell(**inputs), inputs["workers"])


def test_the_mean_scales_the_time_alone() -> None:
    """But for the nanoseconds that durations are rounded to."""
    one, other = (cell(workers=3, gradients=50, mean=mean) for mean in (1.0, "20 ms"))
    assert other.value == pytest.approx(one.value, rel=1e-6)
    assert other.error == pytest.approx(one.error, rel=1e-4)


def test_the_standard_error_is_the_scatter_between_seeds() -> None:
    cells = [cell(workers=3, gradients=60, seed=seed) for seed in range(60)]
    scatter = np.std([each.value for each in cells], ddof=1)
    # The standard deviation of 60 values is off by 9 % (one standard error).
    assert np.mean([each.error for each in cells if each.error]) == pytest.approx(scatter, rel=0.27)
