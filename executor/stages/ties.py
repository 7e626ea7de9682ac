"""Parameters that several stages share: each keeps a copy, and before a step the gradients of all are summed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import torch

from schedules.training.vectors import Tie


def find(modules: Sequence[torch.nn.Module], declared: Any = ()) -> list[Tie]:
    """The ties among stages: parameters that are one object, and those that are declared.

    Args:
        declared: tuples (stage, name, stage, name), names as in the stage's own module.
    Raises:
        ValueError: if there is no such parameter, or two that are declared are not alike.
    """
    groups = _identical(modules)
    for each in declared:
        groups.append(_declared(modules, each))
    by_stages: dict[tuple[int, ...], list[dict[int, str]]] = defaultdict(list)
    for group in groups:
        by_stages[tuple(sorted(group))].append(group)
    offsets = [_offsets(module) for module in modules]
    return [
        Tie(
            stages=stages,
            size=sum(_parameter(modules, group).nbytes for group in found),
            where={stage: tuple(offsets[stage][group[stage]] for group in found) for stage in stages},
        )
        for stages, found in sorted(by_stages.items())
    ]


def _identical(modules: Sequence[torch.nn.Module]) -> list[dict[int, str]]:
    """Parameters that several stages have: their names by stage."""
    places: dict[int, dict[int, str]] = defaultdict(dict)
    for stage, module in enumerate(modules):
        for name, parameter in module.named_parameters():
            places[id(parameter)][stage] = name
    return [found for found in places.values() if len(found) > 1]


def _declared(modules: Sequence[torch.nn.Module], said: Any) -> dict[int, str]:
    try:
        one, name, other, other_name = said
        pair = {one: name, other: other_name}
        first, second = (dict(modules[stage].named_parameters())[each] for stage, each in pair.items())
    except (TypeError, ValueError, LookupError):
        raise ValueError(f"tied: expected (stage, parameter, stage, parameter) of two stages, found {said!r}") from None
    if first.shape != second.shape or not torch.equal(first, second):
        raise ValueError(f"tied: expected parameters that start alike, found others: {said!r}")
    return pair


def _offsets(module: torch.nn.Module) -> dict[str, slice]:
    """Where each parameter lies in the stage's vector."""
    found, begin = {}, 0
    for name, parameter in module.named_parameters():
        found[name] = slice(begin, begin + parameter.numel())
        begin += parameter.numel()
    return found


def _parameter(modules: Sequence[torch.nn.Module], group: dict[int, str]) -> torch.nn.Parameter:
    """One of the copies."""
    stage = min(group)
    return modules[stage].get_parameter(group[stage])
