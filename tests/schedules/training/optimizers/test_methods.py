"""SGD and AdamW against torch's."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from schedules.training.optimizers import LearningRate, Optimizer, adamw, sgd

Floats = np.ndarray[Any, np.dtype[np.float64]]
Case = tuple[Callable[..., Optimizer], dict[str, Any], dict[str, Any]]

CASES: list[Case] = [
    (sgd, {}, {}),
    (sgd, {"momentum": 0.9}, {"momentum": 0.9}),
    (sgd, {"weight_decay": 5e-4}, {"weight_decay": 5e-4}),
    (sgd, {"momentum": 0.9, "weight_decay": 5e-4}, {"momentum": 0.9, "weight_decay": 5e-4}),
    (sgd, {"momentum": 0.9, "nesterov": True}, {"momentum": 0.9, "nesterov": True}),
    (
        sgd,
        {"momentum": 0.8, "weight_decay": 1e-2, "nesterov": True},
        {"momentum": 0.8, "weight_decay": 1e-2, "nesterov": True},
    ),
    (adamw, {}, {"weight_decay": 0.0}),
    (adamw, {"weight_decay": 0.1}, {"weight_decay": 0.1}),
    (
        adamw,
        {"beta_1": 0.8, "beta_2": 0.95, "eps": 1e-3, "weight_decay": 0.01},
        {"betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.01},
    ),
    (adamw, {"beta_1": 0.0, "beta_2": 0.0}, {"betas": (0.0, 0.0), "weight_decay": 0.0}),
]
NAMES = [f"{make.__name__} {settings}" for make, settings, _ in CASES]
ORACLES: dict[str, Any] = {"sgd": torch.optim.SGD, "adamw": torch.optim.AdamW}


def gradients(count: int, size: int = 7) -> list[Floats]:
    return list(np.random.default_rng(5).standard_normal((count, size)))


def frozen(array: Any) -> Any:
    """As rules are handed them: not to be written to, where the library can say so."""
    if isinstance(array, np.ndarray):
        array.flags.writeable = False
    return array


def torch_s(make: Any, settings: dict[str, Any], start: Floats, given: list[Floats], total: int) -> Floats:
    parameter = torch.nn.Parameter(torch.asarray(start, copy=True))
    oracle = ORACLES[make.__name__]([parameter], lr=0.1, **settings)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(oracle, T_max=total)
    for gradient in given:
        parameter.grad = torch.asarray(gradient + 0.3 * parameter.detach().numpy())
        oracle.step()
        schedule.step()
    found: Floats = parameter.detach().numpy()
    return found


@pytest.mark.parametrize(("make", "settings", "theirs"), CASES, ids=NAMES)
@pytest.mark.parametrize("convert", [np.asarray, torch.asarray], ids=["numpy", "torch"])
def test_a_hundred_scheduled_steps_are_those_of_torch(make: Any, settings: Any, theirs: Any, convert: Any) -> None:
    start, given = np.linspace(-1, 1, 7), gradients(100)
    optimizer = make(LearningRate(0.1, 120, "cosine"), **settings)
    x = convert(start)
    for gradient in given:
        x = x + optimizer.delta(frozen(x), frozen(convert(gradient) + 0.3 * x))
    np.testing.assert_allclose(np.asarray(x), torch_s(make, theirs, start, given, 120), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(("make", "settings", "theirs"), CASES, ids=NAMES)
def test_numpy_and_torch_take_the_same_steps_bit_for_bit(make: Any, settings: Any, theirs: Any) -> None:
    """But for square roots, whose last bit is not always right in torch."""
    first, second = make(0.1, **settings), make(0.1, **settings)
    x = np.linspace(-1, 1, 7)
    for gradient in gradients(20):
        expected = first.delta(x, gradient)
        found = second.delta(torch.asarray(x), torch.asarray(gradient))
        np.testing.assert_allclose(found.numpy(), expected, rtol=0 if make is sgd else 1e-14)
        x = x + expected


@pytest.mark.parametrize(("make", "settings", "theirs"), CASES, ids=NAMES)
def test_single_precision_stays_single(make: Any, settings: Any, theirs: Any) -> None:
    optimizer, x = make(lambda step: np.float64(0.1), **settings), np.ones(3, dtype=np.float32)
    assert all(optimizer.delta(x, x).dtype == np.float32 for _ in range(3))
    assert all(each.dtype == np.float32 for each in optimizer.remembered)


@pytest.mark.parametrize(("make", "settings", "theirs"), CASES, ids=NAMES)
def test_parts_take_the_steps_of_the_whole(make: Any, settings: Any, theirs: Any) -> None:
    whole, parts = make(0.1, **settings), [(slice(0, 2), make(0.1, **settings)), (slice(2, 7), make(0.1, **settings))]
    x = np.linspace(-1, 1, 7)
    for gradient in gradients(10):
        expected = whole.delta(x, gradient)
        found = [each.delta(x[part], gradient[part]) for part, each in parts]
        assert np.array_equal(np.concatenate(found), expected)
        x = x + expected


@pytest.mark.parametrize(("make", "settings", "theirs"), CASES, ids=NAMES)
@pytest.mark.parametrize("convert", [np.asarray, torch.asarray], ids=["numpy", "torch"])
def test_a_copy_is_tentative(make: Any, settings: Any, theirs: Any, convert: Any) -> None:
    optimizer, reference = (make(lambda step: 0.1 * (step + 1), **settings) for _ in range(2))
    x = convert(np.linspace(-1, 1, 7))
    for gradient in map(convert, gradients(5)):
        copy.copy(optimizer).delta(x, 2 * gradient)
        tentative = copy.copy(optimizer)
        expected = reference.delta(x, gradient)
        assert np.array_equal(tentative.delta(x, gradient), expected)
        tentative.delta(x, gradient)
        assert np.array_equal(optimizer.delta(x, gradient), expected)


@pytest.mark.parametrize("make", [sgd, adamw])
@pytest.mark.parametrize("convert", [np.asarray, torch.asarray], ids=["numpy", "torch"])
def test_arguments_are_neither_written_to_nor_kept(make: Any, convert: Any) -> None:
    settings = {"momentum": 0.5} if make is sgd else {}
    plain, other = make(0.1, **settings), make(0.1, weight_decay=0.1, **settings)
    x, gradient = convert(np.ones(3)), convert(np.ones(3))
    first = plain.delta(x, gradient)
    other.delta(x, gradient)
    assert x.tolist() == gradient.tolist() == [1, 1, 1]
    held = [np.asarray(each).copy() for each in plain.remembered]
    gradient[:] = 99
    first[:] = 99
    assert all(np.array_equal(each, was) for each, was in zip(plain.remembered, held, strict=True))


@pytest.mark.parametrize(
    ("make", "settings", "held"),
    [(sgd, {}, 0), (sgd, {"momentum": 0.9}, 1), (adamw, {}, 2), (adamw, {"weight_decay": 0.1}, 2)],
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_bytes_are_those_of_the_arrays_that_are_held(make: Any, settings: Any, held: int, dtype: str) -> None:
    optimizer, x = make(0.1, **settings), np.ones(10, dtype=dtype)
    optimizer.delta(x, x)
    assert 10 * optimizer.bytes_per_parameter(x.itemsize) == sum(each.nbytes for each in optimizer.remembered)
    assert optimizer.bytes_per_parameter(x.itemsize) == held * x.itemsize


@pytest.mark.parametrize(
    ("make", "settings", "message"),
    [
        (sgd, {"momentum": 1.5}, "momentum: expected a number between 0 and 1, found 1.5"),
        (sgd, {"weight_decay": -1}, "weight_decay: expected a finite number of at least 0, found -1"),
        (sgd, {"nesterov": True}, "momentum: expected a number above 0, as nesterov is on, found 0"),
        (sgd, {"learning_rate": -0.1}, "learning_rate: expected a finite number of at least 0, found -0.1"),
        (sgd, {"clip_norm": 0}, "clip_norm: expected a finite number above 0, found 0"),
        (adamw, {"beta_1": 1}, "beta_1: expected a number below 1, found 1"),
        (adamw, {"beta_2": -1}, "beta_2: expected a number between 0 and 1, found -1"),
        (adamw, {"eps": -1}, "eps: expected a finite number of at least 0, found -1"),
    ],
)
def test_impossible_settings(make: Any, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(**{"learning_rate": 0.1, **settings})
