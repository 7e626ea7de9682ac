"""What QSR and DES-LOC send, with inputs that nobody published, beside loops that are written here."""

from __future__ import annotations

import math
from typing import Any

import pytest

from twinclock.papers.local import des_loc_volumes, qsr_volumes


def rounds(alpha: float, base: int, steps: int, warmup: int, peak: float, minimum: float) -> int:
    """By the paper's rule, at the learning rate of each round's first step."""
    count, step = 0, 0
    while step < steps:
        length = base
        if step >= warmup:
            falling = (1 + math.cos(math.pi * (step - warmup) / (steps - warmup))) / 2
            length = max(base, math.floor((alpha / (minimum + (peak - minimum) * falling)) ** 2))
        step += length
        count += 1
    return count


@pytest.mark.parametrize(
    ("alpha", "base", "steps", "warmup", "peak", "minimum"),
    [(0.02, 3, 700, 50, 0.01, 1e-4), (0.3, 1, 401, 0, 0.1, 1e-3), (0.001, 7, 300, 299, 0.01, 1e-6)],
)
def test_rounds_of_qsr(alpha: float, base: int, steps: int, warmup: int, peak: float, minimum: float) -> None:
    run = qsr_volumes.CosineRun(
        alpha=alpha, local_steps=base, steps=steps, warmup=warmup, learning_rate=peak, minimum=minimum
    )
    (row,) = qsr_volumes.ours([run])
    assert row["fraction"] == pytest.approx(rounds(alpha, base, steps, warmup, peak, minimum) / steps, rel=1e-12)


@pytest.mark.slow
def test_published_fractions() -> None:
    """docs/papers/low-communication.md, 8.9 [derived]: to the digits that are printed."""
    found = [row["fraction"] for row in qsr_volumes.ours(qsr_volumes.INPUTS)]
    assert found == pytest.approx([0.10375, 0.0690278, 0.123109, 0.0744017, 0.153547, 0.0852778], abs=1e-6)


@pytest.mark.parametrize("periods", [(2, 6, 12), (3, 5, 7), (4, 1, 2)], ids=str)
def test_volumes_of_des_loc(periods: tuple[int, int, int]) -> None:
    """S (1/K_x + 1/K_u + 1/K_v), Local Adam 3 S / K_x, data parallelism S."""
    names = ("period", "first_period", "second_period")
    told: dict[str, Any] = dict(zip(names, periods, strict=True))
    (row,) = des_loc_volumes.ours([des_loc_volumes.Periods(**told)])
    volume = sum(1 / each for each in periods)
    assert row["models_per_step"] == pytest.approx(volume, rel=1e-12)
    assert row["of_local_adam"] == pytest.approx(3 / periods[0] / volume, rel=1e-12)
    assert row["of_data_parallel"] == pytest.approx(1 / volume, rel=1e-12)
