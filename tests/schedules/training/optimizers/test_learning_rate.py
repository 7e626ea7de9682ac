"""Learning rates against torch's schedulers."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from schedules.training.optimizers import LearningRate, sgd


def torch_rates(make: Any, count: int) -> list[float]:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.4)
    scheduler = make(optimizer)
    rates = []
    for _ in range(count):
        rates.append(float(optimizer.param_groups[0]["lr"]))
        optimizer.step()
        scheduler.step()
    return rates


def rates(count: int, **settings: Any) -> list[float]:
    found = LearningRate(0.4, **settings)
    return [found(step) for step in range(count)]


def test_constant() -> None:
    assert rates(5, total=3) == [0.4] * 5
    assert [sgd(0.4).learning_rate(step) for step in (0, 10**9)] == [0.4, 0.4]


def test_step_decay_is_torch_s() -> None:
    schedulers = torch.optim.lr_scheduler
    expected = torch_rates(lambda each: schedulers.MultiStepLR(each, [6, 12, 16], gamma=0.1), 20)
    found = rates(20, total=20, schedule="step", drops=(0.3, 0.6, 0.8))
    assert found == pytest.approx(expected, rel=1e-12)


def test_cosine_is_torch_s() -> None:
    schedulers = torch.optim.lr_scheduler
    expected = torch_rates(lambda each: schedulers.CosineAnnealingLR(each, T_max=20), 20)
    assert rates(20, total=20, schedule="cosine") == pytest.approx(expected, rel=1e-12)


def test_warm_up_is_torch_s() -> None:
    schedulers = torch.optim.lr_scheduler
    expected = torch_rates(lambda each: schedulers.LinearLR(each, start_factor=0.25, total_iters=5), 20)
    assert rates(20, total=20, warmup=0.25, warmup_start=0.25) == pytest.approx(expected, rel=1e-12)


def test_warm_up_then_cosine_over_the_rest() -> None:
    found = rates(9, total=8, schedule="cosine", warmup=0.5)
    assert found == pytest.approx([0, 0.1, 0.2, 0.3, 0.4, 0.2 + 0.1 * 2**0.5, 0.2, 0.2 - 0.1 * 2**0.5, 0], abs=1e-15)


def test_warm_up_then_drops_at_fractions_of_the_whole() -> None:
    found = rates(8, total=8, schedule="step", warmup=0.25, drops=(0.5, 0.75), factor=0.5)
    assert found == pytest.approx([0, 0.2, 0.4, 0.4, 0.2, 0.2, 0.1, 0.1], rel=1e-15)


def test_a_worker_that_goes_on_keeps_the_last_rate() -> None:
    found = LearningRate(0.4, 4, "step")
    assert found(4) == found(1000) == pytest.approx(0.004)
    assert LearningRate(0.4, 4, "cosine")(1000) == 0


def test_a_cosine_that_ends_above_zero_is_torch_s() -> None:
    schedulers = torch.optim.lr_scheduler
    expected = torch_rates(lambda each: schedulers.CosineAnnealingLR(each, T_max=20, eta_min=0.1), 21)
    assert rates(21, total=20, schedule="cosine", minimum=0.25) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"peak": -0.1}, "learning_rate: expected a finite number of at least 0, found -0.1"),
        ({"total": 0}, "total: expected a whole number of at least 1, found 0"),
        ({"schedule": "linear"}, "schedule: expected one of 'constant', 'step', 'cosine', found 'linear'"),
        ({"drops": (2,)}, "drops: expected a number between 0 and 1, found 2"),
        ({"factor": -1}, "factor: expected a finite number of at least 0, found -1"),
        ({"warmup": 1}, "warmup: expected a fraction below 1, found 1"),
        ({"warmup_start": 2}, "warmup_start: expected a number between 0 and 1, found 2"),
        ({"minimum": 2}, "minimum: expected a number between 0 and 1, found 2"),
    ],
)
def test_impossible_settings(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LearningRate(**{"peak": 0.1, "total": 1, **settings})
