"""Several tensors in one message."""

from __future__ import annotations

from typing import NamedTuple

import pytest
import torch

from executor.stages.boundaries import Boundary, tensors_of
from schedules.errors import ProgramError


class Both(NamedTuple):
    one: torch.Tensor
    other: torch.Tensor


def test_tensors_of_several_types_come_back_as_they_were() -> None:
    value = {
        "mask": torch.tensor([[True, False, True]]),
        "both": Both(torch.arange(3), torch.randn(2, 3, dtype=torch.float64)),
        "list": [torch.randn(5), (torch.randn(1).bfloat16(),)],
    }
    boundary = Boundary(value)
    message = boundary.pack(tensors_of(value))
    assert message.dtype == torch.uint8
    assert boundary.num_bytes == message.nbytes == 8 + 24 + 48 + 24 + 8
    again = boundary.value(boundary.unpack(message))
    assert isinstance(again["both"], Both)
    assert isinstance(again["list"][1], tuple)
    for one, other in zip(tensors_of(value), tensors_of(again), strict=True):
        assert torch.equal(one, other)
    assert str(boundary) == "bool [1, 3], int64 [3], float64 [2, 3], float32 [5], bfloat16 [1]"


def test_tensors_of_one_type_are_a_message_of_it() -> None:
    value = torch.arange(6.0).view(2, 3), torch.arange(4.0)
    boundary = Boundary(value)
    message = boundary.pack([None, value[1]])
    assert message.tolist() == [0, 0, 0, 0, 0, 0, 0, 1, 2, 3]
    assert boundary.num_bytes == 40


def test_one_tensor_is_not_copied() -> None:
    value = torch.randn(2, 3)
    message = Boundary(value).pack([value])
    assert message.data_ptr() == value.data_ptr()


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ((torch.ones(2), 3), "expected tensors, or tuples, lists and dicts of them, found int"),
        ((), "expected at least one tensor, found none"),
    ],
)
def test_what_no_message_can_carry_is_told(value: object, told: str) -> None:
    with pytest.raises(ProgramError, match=told):
        Boundary(value)


def test_a_message_of_another_size_is_told() -> None:
    told = r"expected a message of 24 bytes \(float32 \[2, 3\]\), found 16"
    with pytest.raises(ProgramError, match=told):
        Boundary(torch.ones(2, 3)).unpack(torch.ones(4))
