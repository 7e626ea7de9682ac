"""Running one batch through all stages before a run: what passes between them, and what cannot be run so."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch

from executor.running import buffers
from executor.running.modules import moved
from executor.stages.boundaries import Boundary, Value, filled, tensors_of
from executor.stages.stage import TwoEnds
from schedules.errors import ProgramError

TOLERANCE = {torch.float64: 1e-8, torch.float32: 1e-3, torch.bfloat16: 0.1, torch.float16: 0.02}
"""How far what an inverse gives back may be from what went in, beside its norm."""


class Examined(NamedTuple):
    """What one batch has shown of a stage.

    Attributes:
        entry: what it takes; None of a first stage that takes no tensors.
        after: what goes to the next stage; None of the last.
        is_random: whether it draws random numbers.
        is_in_place: whether it writes to what it takes.
    """

    entry: Boundary | None
    after: Boundary | None
    is_random: bool
    is_in_place: bool


def examine(
    modules: Sequence[torch.nn.Module], ends: TwoEnds, device: torch.device, *, inverts: bool = False
) -> list[Examined]:
    """Run batch 0 through all stages, without gradients. Buffers stay as they are.

    Args:
        inverts: whether inverses are looked at, which a run will use: then nothing may be random.
    Raises:
        ValueError: if a stage does not take what the one before it returns, returns what no message can carry, the loss
            is no scalar, an inverse does not invert, or a stage is random that must be computed twice.
    """
    value, targets = moved(ends.batch(0), device)
    found: list[Examined] = []
    with torch.no_grad(), buffers.kept(torch.nn.ModuleList(modules)), torch.random.fork_rng(_cuda(device)):
        for number, module in enumerate(modules):
            before, is_last = value, number == len(modules) - 1
            value, is_random, is_in_place = _run(module, value, number)
            entry = _boundary(before, f"stage {number}: inputs") if number else _entry(before)
            after = None if is_last else _boundary(value, f"stage {number}: outputs")
            found.append(Examined(entry, after, is_random, is_in_place))
            if inverts:
                _check_twice(module, number, before, value, found[-1])
        _check_loss(ends, value, targets)
    return found


def _run(module: torch.nn.Module, value: Value, number: int) -> tuple[Value, bool, bool]:
    """What a stage returns, whether it has drawn random numbers, and whether it has written to what it took."""
    given = [each.clone() for each in tensors_of(value)] if number else []
    device = next((each.device for each in given), torch.device("cpu"))
    state, writes = _random_state(device), [each._version for each in given]
    try:
        outputs = module(filled(value, iter(given)) if number else value)
    except Exception as error:
        took = f"what stage {number - 1} returns ({Boundary(value)})" if number else "the inputs of a batch"
        raise ValueError(f"expected stage {number} to take {took}, found {_line(error)}") from None
    is_random = any(not torch.equal(was, now) for was, now in zip(state, _random_state(device), strict=True))
    return outputs, is_random, writes != [each._version for each in given]


def _random_state(device: torch.device) -> list[torch.Tensor]:
    """Of the generators that a stage may draw from."""
    return [torch.get_rng_state(), *([torch.cuda.get_rng_state(device)] if device.type == "cuda" else [])]


def _boundary(value: Value, where: str) -> Boundary:
    try:
        return Boundary(value)
    except ProgramError as error:
        raise ValueError(f"{where}: {error}") from None


def _entry(value: Value) -> Boundary | None:
    """What a first stage takes; it may be anything."""
    try:
        return Boundary(value)
    except ProgramError:
        return None


def _check_loss(ends: TwoEnds, outputs: Value, targets: Any) -> None:
    try:
        loss = ends.loss(outputs, targets)
    except Exception as error:
        raise ValueError(f"expected a loss of what the last stage returns, found {_line(error)}") from None
    if not isinstance(loss, torch.Tensor) or loss.numel() != 1:
        found = f"a tensor {list(loss.shape)}" if isinstance(loss, torch.Tensor) else type(loss).__name__
        raise ValueError(f"expected a loss of one number, found {found}")


def _check_twice(module: torch.nn.Module, number: int, before: Value, outputs: Value, found: Examined) -> None:
    """Look whether a stage can be computed again in its backward pass, from what went out of it."""
    if found.is_random:
        told = "expected one that draws nothing (dropout), as its backward pass computes it again at other parameters"
        raise ValueError(f"stage {number}: {told}, found one that draws random numbers")
    inverse = getattr(module, "inverse", None)
    if not callable(inverse) or found.after is None:
        return
    if found.entry is None:
        raise ValueError(f"stage {number}: expected tensors as the inputs of a stage with an inverse, found others")
    try:
        tensors = found.entry.check(inverse(outputs))
    except Exception as error:
        raise ValueError(f"stage {number}: expected an inverse that takes its outputs, found {_line(error)}") from None
    for was, made in zip(tensors_of(before), tensors, strict=True):
        off = torch.linalg.vector_norm((made - was).double())
        share = float(off / torch.linalg.vector_norm(was.double()).clamp_min(1e-30))
        if not share <= TOLERANCE.get(was.dtype, 0.0):
            told = f"inputs that are off by {share:.2g} of their norm"
            raise ValueError(f"stage {number}: expected an inverse that gives its inputs back, found {told}")


def _line(error: Exception) -> str:
    """An error in one line."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else ''}".rstrip(": ")


def _cuda(device: torch.device) -> list[torch.device]:
    return [device] if device.type == "cuda" else []
