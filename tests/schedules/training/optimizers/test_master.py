"""A master copy in float32 beside parameters in half precision: against an optimizer that has them in float32."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch

from schedules.training.optimizers import adamw, sgd

MAKERS = [(sgd, {}), (sgd, {"momentum": 0.9, "weight_decay": 0.01}), (adamw, {"weight_decay": 0.1})]


def start(dtype: torch.dtype) -> torch.Tensor:
    return torch.linspace(1, 2, 50).to(dtype)


def gradients(count: int, dtype: torch.dtype) -> Any:
    return torch.randn((count, 50), generator=torch.Generator().manual_seed(1)).to(dtype)


@pytest.mark.parametrize(("make", "settings"), MAKERS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_x_is_the_rounding_of_what_single_precision_would_have(make: Any, settings: Any, dtype: torch.dtype) -> None:
    optimizer, reference = make(1e-3, has_master=True, **settings), make(1e-3, **settings)
    x, single = start(dtype), start(dtype).float()
    for gradient in gradients(100, dtype):
        single = single + reference.delta(single, gradient.float())
        change = optimizer.delta(x, gradient)
        assert change.dtype == dtype
        x = x + change
        assert torch.equal(optimizer.master(x), single)
        assert torch.equal(x, single.to(dtype))


def test_without_one_small_steps_are_lost() -> None:
    lost, kept = sgd(1e-4), sgd(1e-4, has_master=True)
    ones = torch.ones(3, dtype=torch.bfloat16)
    x, y = ones, ones
    for _ in range(1000):
        x, y = x + lost.delta(x, ones), y + kept.delta(y, ones)
    assert x.tolist() == [1, 1, 1]
    assert y.tolist() == pytest.approx([0.9] * 3, abs=2**-9)
    assert kept.master(y).tolist() == pytest.approx([0.9] * 3, abs=1000 * 2**-25)  # as many roundings


def test_what_moves_x_moves_the_master() -> None:
    optimizer = sgd(1e-3, has_master=True)
    x = start(torch.bfloat16)
    x = x + optimizer.delta(x, torch.ones_like(x))
    before = optimizer.master(x)
    moved = x + 1  # an average with a peer, say
    torch.testing.assert_close(optimizer.master(moved), before + (moved.float() - x.float()), rtol=3e-7, atol=0)
    after = moved + optimizer.delta(moved, torch.zeros_like(x))
    assert torch.equal(after, moved)


def test_where_the_subtraction_rounds_nothing_is_lost() -> None:
    """Steps over zero and back: x + delta may be off by a rounding, and the master is not."""
    optimizer, reference = sgd(1.0, has_master=True), sgd(1.0)
    x, single = torch.full((200,), 0.3, dtype=torch.bfloat16), torch.full((200,), 0.3, dtype=torch.bfloat16).float()
    for gradient in torch.randn((50, 200), generator=torch.Generator().manual_seed(2)).bfloat16():
        single = single + reference.delta(single, gradient.float())
        x = x + optimizer.delta(x, gradient)
        torch.testing.assert_close(optimizer.master(x), single, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(x.float(), single, rtol=0, atol=float(x.float().abs().max()) / 128)


@pytest.mark.parametrize(("make", "held"), [(sgd, 4), (adamw, 12)])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_bytes_are_those_of_the_arrays_that_are_held(make: Any, held: int, dtype: torch.dtype) -> None:
    optimizer, x = make(1e-3, has_master=True), start(dtype)
    optimizer.delta(x, x)
    arrays = [*optimizer.remembered, optimizer.remainder]
    assert {each.dtype for each in arrays} == {torch.float32}
    assert sum(each.nbytes for each in arrays) == 50 * held
    assert optimizer.bytes_per_parameter(2) == held


def test_a_copy_is_tentative() -> None:
    optimizer, x = adamw(1e-3, has_master=True), start(torch.bfloat16)
    given = gradients(2, torch.bfloat16)
    optimizer.delta(x, given[0])
    was = optimizer.remainder.clone()
    first = copy.copy(optimizer).delta(x, given[1])
    assert torch.equal(optimizer.remainder, was)
    assert torch.equal(optimizer.delta(x, given[1]), first)


def test_a_gradient_may_be_single_and_numpy_has_float16() -> None:
    x = np.ones(3, dtype=np.float16)
    optimizer = sgd(1e-5, has_master=True, clip_norm=1.0)
    change = optimizer.delta(x, np.ones(3, dtype=np.float32))
    assert change.tolist() == [0, 0, 0]
    assert change.dtype == np.float16
    assert optimizer.master(x).tolist() == pytest.approx([1 - 1e-5 / 3**0.5] * 3, rel=1e-7)
