"""SGD against torch's, and its schedules against torch's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from schedules.training.optimizers import SGD, LearningRate

SETTINGS: list[dict[str, Any]] = [
    {},
    {"momentum": 0.9},
    {"weight_decay": 5e-4},
    {"momentum": 0.9, "weight_decay": 5e-4},
    {"momentum": 0.9, "nesterov": True},
    {"momentum": 0.8, "weight_decay": 1e-2, "nesterov": True},
]


def gradients(count: int, size: int = 7) -> list[np.ndarray[Any, np.dtype[np.float64]]]:
    return list(np.random.default_rng(5).standard_normal((count, size)))


def torch_sgd(settings: dict[str, Any], start: Any, given: list[Any]) -> Any:
    parameter = torch.nn.Parameter(torch.asarray(start, copy=True))
    optimizer = torch.optim.SGD([parameter], lr=0.1, **settings)
    for gradient in given:
        parameter.grad = torch.asarray(gradient + 0.3 * parameter.detach().numpy())
        optimizer.step()
    return parameter.detach().numpy()


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("convert", [np.asarray, torch.asarray], ids=["numpy", "torch"])
def test_fifty_steps_are_those_of_torch(settings: dict[str, Any], convert: Any) -> None:
    start, given = np.linspace(-1, 1, 7), gradients(50)
    sgd, x = SGD(0.1, **settings), convert(start)
    for step, gradient in enumerate(given):
        x = x + sgd.delta(x, convert(gradient) + 0.3 * x, step)
    np.testing.assert_allclose(np.asarray(x), torch_sgd(settings, start, given), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_numpy_and_torch_take_the_same_steps_bit_for_bit(settings: dict[str, Any]) -> None:
    first, second = SGD(0.1, **settings), SGD(0.1, **settings)
    x = np.linspace(-1, 1, 7)
    for step, gradient in enumerate(gradients(20)):
        expected = first.delta(x, gradient, step)
        found = second.delta(torch.asarray(x), torch.asarray(gradient), step)
        assert np.array_equal(found.numpy(), expected)
        x = x + expected


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_single_precision_stays_single(settings: dict[str, Any]) -> None:
    sgd, x = SGD(lambda step: np.float64(0.1), **settings), np.ones(3, dtype=np.float32)
    assert all(sgd.delta(x, x, step).dtype == np.float32 for step in range(3))


def test_arguments_are_neither_written_to_nor_kept() -> None:
    sgd, x, gradient = SGD(0.1, momentum=0.5, weight_decay=0.1), np.ones(3), np.ones(3)
    sgd.delta(x, gradient, 0)
    assert np.array_equal(x, np.ones(3))
    assert np.array_equal(gradient, np.ones(3))
    plain = SGD(0.1, momentum=0.5)
    plain.delta(x, gradient, 0)
    gradient[:] = 99
    assert plain.delta(x, np.zeros(3), 1).tolist() == pytest.approx([-0.05] * 3, rel=1e-15)


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
    assert [SGD(0.4).learning_rate(step) for step in (0, 10**9)] == [0.4, 0.4]


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


def test_the_optimizer_takes_the_settings_of_its_learning_rate() -> None:
    sgd = SGD(0.4, total=8, schedule="cosine", warmup=0.5)
    assert sgd.learning_rate == LearningRate(0.4, 8, "cosine", warmup=0.5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"momentum": 1.5}, "momentum: expected a number between 0 and 1, found 1.5"),
        ({"weight_decay": -1}, "weight_decay: expected a finite number of at least 0, found -1"),
        ({"nesterov": True}, "momentum: expected a number above 0, as nesterov is on, found 0"),
        ({"learning_rate": -0.1}, "learning_rate: expected a finite number of at least 0, found -0.1"),
        ({"learning_rate": abs, "total": 3}, "learning_rate: expected a number, as total is given, found a function"),
        ({"total": 0}, "total: expected a whole number of at least 1, found 0"),
        ({"total": 1, "schedule": "linear"}, "schedule: expected one of 'constant', 'step', 'cosine', found 'linear'"),
        ({"total": 1, "drops": (2,)}, "drops: expected a number between 0 and 1, found 2"),
        ({"total": 1, "factor": -1}, "factor: expected a finite number of at least 0, found -1"),
        ({"total": 1, "warmup": 1}, "warmup: expected a fraction below 1, found 1"),
        ({"total": 1, "warmup_start": 2}, "warmup_start: expected a number between 0 and 1, found 2"),
    ],
)
def test_impossible_settings(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SGD(**{"learning_rate": 0.1, **settings})
