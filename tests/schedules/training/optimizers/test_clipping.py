"""Clipping against torch's, whole and in parts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from schedules.training.optimizers import Optimizer, adamw, sgd, squared_norm
from schedules.training.optimizers.clipping import clipping_factor

PARTS = (slice(0, 2), slice(2, 9), slice(9, 11))


def gradients(count: int) -> Any:
    """Some are shorter than 1, some longer."""
    return np.random.default_rng(3).standard_normal((count, 11)) * np.linspace(0.1, 1, count)[:, None]


def clipped(gradient: Any, clip_norm: float) -> Any:
    parameter = torch.nn.Parameter(torch.zeros(len(gradient), dtype=torch.float64))
    parameter.grad = torch.asarray(gradient, copy=True)
    torch.nn.utils.clip_grad_norm_([parameter], clip_norm)
    return parameter.grad.numpy()


@pytest.mark.parametrize("convert", [np.asarray, torch.asarray], ids=["numpy", "torch"])
def test_a_gradient_is_scaled_as_torch_does(convert: Any) -> None:
    for gradient in gradients(20):
        found = sgd(1.0, clip_norm=1.0).delta(convert(np.zeros(11)), convert(gradient))
        np.testing.assert_allclose(-np.asarray(found), clipped(gradient, 1.0), rtol=1e-12)


def test_zeros_and_what_is_no_number_are_as_in_torch() -> None:
    assert clipping_factor(1.0, 0.0) == 1.0
    for wrong in (np.inf, np.nan):
        gradient = np.array([1.0, wrong])
        with np.errstate(invalid="ignore"):
            found = sgd(1.0, clip_norm=1.0).delta(np.zeros(2), gradient)
        np.testing.assert_array_equal(-found, clipped(gradient, 1.0))


@pytest.mark.parametrize("make", [sgd, adamw])
@pytest.mark.parametrize("convert", [np.asarray, torch.asarray], ids=["numpy", "torch"])
def test_three_parts_are_one_process(make: Any, convert: Any) -> None:
    settings: dict[str, Any] = {"clip_norm": 0.8, "weight_decay": 0.1}
    whole: Optimizer = make(0.1, **settings)
    parts: list[Optimizer] = [make(0.1, **settings, is_part=True) for _ in PARTS]
    x = found = convert(np.linspace(-1, 1, 11))
    for gradient in map(convert, gradients(20)):
        x = x + whole.delta(x, gradient)
        squared = sum(squared_norm(gradient[part]) for part in PARTS)
        pairs = zip(parts, PARTS, strict=True)
        deltas = [each.delta(found[part], gradient[part], squared) for each, part in pairs]
        found = found + convert(np.concatenate(deltas))
    np.testing.assert_allclose(np.asarray(found), np.asarray(x), rtol=1e-12, atol=1e-14)


def test_the_norm_of_a_part_is_not_taken_for_the_whole_model_s() -> None:
    message = "squared_norm: expected the whole model's, to clip a part by clip_norm, found none"
    with pytest.raises(ValueError, match=message):
        sgd(0.1, clip_norm=1.0, is_part=True).delta(np.ones(3), np.ones(3))
    assert sgd(1.0, is_part=True).delta(np.ones(3), np.ones(3)).tolist() == [-1, -1, -1]  # nothing is clipped


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_a_squared_norm_can_be_sent_and_is_precise(dtype: str) -> None:
    gradient = torch.linspace(-300, 300, 1001, dtype=getattr(torch, dtype))  # 300^2 is over float16's largest
    found = squared_norm(gradient)
    assert (found.shape, found.dtype) == ((1,), torch.float64)
    assert found.item() == pytest.approx(float((gradient.double() ** 2).sum()), rel=1e-6)


def test_single_precision_stays_single() -> None:
    x = np.ones(3, dtype=np.float32)
    assert sgd(0.1, clip_norm=0.5).delta(x, x).dtype == np.float32
