"""What passes from one stage to the next: a tensor, or several, in one flat message."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from schedules.errors import ProgramError

ALIGNMENT = 8
"""Bytes: where tensors of several types lie in one message, each begins at a multiple of it."""

Value = Any
"""What a stage takes and returns: a tensor, or a tuple, a list or a dict of such values."""


@dataclass(frozen=True)
class TensorSlot:
    """Where one tensor lies in a message.

    Attributes:
        begin, end: its bytes there.
    """

    shape: tuple[int, ...]
    dtype: torch.dtype
    begin: int
    end: int

    def __str__(self) -> str:
        return f"{str(self.dtype).removeprefix('torch.')} {list(self.shape)}"


class Boundary:
    """What passes from one stage to the next: as it was with the first batch, so it must be with every one.

    Tensors of one type lie one behind the other in a message of that type; those of several types in one of bytes.

    Args:
        value: an example of it.
    Attributes:
        num_bytes: of its message.
    Raises:
        ProgramError: if the value is nothing of the kind.
    """

    def __init__(self, value: Value) -> None:
        tensors = tensors_of(value)
        if not tensors:
            raise ProgramError("expected at least one tensor, found none")
        self._example = _without_numbers(value)
        dtypes = {each.dtype for each in tensors}
        self._dtype = dtypes.pop() if len(dtypes) == 1 else torch.uint8
        self._slots: list[TensorSlot] = []
        begin = 0
        for each in tensors:
            end = begin + each.numel() * each.element_size()
            self._slots.append(TensorSlot(tuple(each.shape), each.dtype, begin, end))
            begin = end if self._dtype == each.dtype else -(-end // ALIGNMENT) * ALIGNMENT
        self.num_bytes = begin

    def __str__(self) -> str:
        return ", ".join(map(str, self._slots))

    def pack(self, tensors: Sequence[torch.Tensor | None]) -> torch.Tensor:
        """The message of a boundary's tensors, or of gradients for them: one-dimensional.

        Args:
            tensors: in their order; for None there are zeros.
        """
        if len(tensors) == 1 and tensors[0] is not None:  # a view where it can be
            return tensors[0].detach().reshape(-1)
        device = next((each.device for each in tensors if each is not None), None)
        message = torch.zeros(self.num_bytes // self._dtype.itemsize, dtype=self._dtype, device=device)
        for place, each in zip(self.unpack(message), tensors, strict=True):
            if each is not None:
                place.copy_(each.detach())
        return message

    def unpack(self, message: torch.Tensor) -> list[torch.Tensor]:
        """The tensors of a message, as views of it.

        Raises:
            ProgramError: if the message has other bytes.
        """
        if message.nbytes != self.num_bytes:
            raise ProgramError(f"expected a message of {self.num_bytes} bytes ({self}), found {message.nbytes}")
        raw = message.view(torch.uint8)
        return [raw[each.begin : each.end].view(each.dtype).view(each.shape) for each in self._slots]

    def value(self, tensors: Sequence[torch.Tensor]) -> Value:
        """The value of these tensors, as a stage takes it."""
        return filled(self._example, iter(tensors))

    def check(self, value: Value) -> list[torch.Tensor]:
        """The tensors of a value that a stage has returned.

        Raises:
            ProgramError: if they are others than those of the first batch.
        """
        tensors = tensors_of(value)
        found = [(tuple(each.shape), each.dtype) for each in tensors]
        if found != [(each.shape, each.dtype) for each in self._slots]:
            told = Boundary(value) if tensors else "none"
            raise ProgramError(f"expected what it was with batch 0, {self}, found {told}")
        return tensors


def tensors_of(value: Value) -> list[torch.Tensor]:
    """The tensors of a value, in their order.

    Raises:
        ProgramError: if there is something else in it.
    """
    if isinstance(value, torch.Tensor):
        return [value]
    if isinstance(value, tuple | list):
        return [tensor for each in value for tensor in tensors_of(each)]
    if isinstance(value, dict):
        return [tensor for each in value.values() for tensor in tensors_of(each)]
    raise ProgramError(f"expected tensors, or tuples, lists and dicts of them, found {type(value).__name__}")


def _without_numbers(value: Value) -> Value:
    """A value of the same form that keeps no tensor alive."""
    return filled(value, iter(torch.empty(0) for _ in tensors_of(value)))


def filled(form: Value, tensors: Any) -> Value:
    """A value of that form with these tensors in their order."""
    if isinstance(form, torch.Tensor):
        return next(tensors)
    if isinstance(form, dict):
        return {key: filled(each, tensors) for key, each in form.items()}
    made = [filled(each, tensors) for each in form]
    if isinstance(form, list):
        return made
    return type(form)(*made) if hasattr(form, "_fields") else tuple(made)  # a named tuple is one by its fields
