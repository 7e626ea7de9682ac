"""Which parameters decay: by the names of the tensors that a vector is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Protocol

import numpy as np
from array_api_compat import array_namespace, device

from schedules.operations import Array

LARGEST_LIST = 20
"""Names that a message lists; a large model has hundreds."""


class Placed(Protocol):
    """A tensor's place in the vector of all parameters."""

    @property
    def offset(self) -> int:
        """Where it begins."""

    @property
    def size(self) -> int:
        """How many numbers it has."""


def undecayed(
    patterns: Sequence[str], tensors: Mapping[str, Placed] | None, part: slice | None = None
) -> tuple[slice, ...]:
    """Where the tensors lie that the patterns name.

    Args:
        patterns: as a shell's (`fnmatch`), such as "*.bias"; upper and lower case differ.
        tensors: of the whole model, by name.
        part: the consecutive part of the whole model's parameters that is looked at; None: all of them.
    Returns:
        Ranges in that part, in the order of the tensors; none where it holds nothing of them.
    Raises:
        ValueError: if a pattern names no tensor of the model, or there are no names.
    """
    if patterns and not tensors:
        raise ValueError(f"no_decay: expected a workload whose tensors have names, found none for {patterns[0]!r}")
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in tensors or ()):
            raise ValueError(f"no_decay: expected patterns of {_listed(tensors or ())}, found {pattern!r}")
    ranges = (
        _within(tensor, part)
        for name, tensor in (tensors or {}).items()
        if any(fnmatchcase(name, pattern) for pattern in patterns)
    )
    return tuple(each for each in ranges if each.stop > each.start)


def decays(x: Array, without: Sequence[slice]) -> Array:
    """Which numbers of x decay: bool, of the shape, library and device of x."""
    mask = np.ones(len(x), dtype=np.bool_)
    for each in without:
        mask[each] = False
    return array_namespace(x).asarray(mask, device=device(x))


def _within(tensor: Placed, part: slice | None) -> slice:
    start, stop = tensor.offset, tensor.offset + tensor.size
    if part is None:
        return slice(start, stop)
    return slice(max(start, part.start) - part.start, min(stop, part.stop) - part.start)


def _listed(names: Mapping[str, Placed] | Sequence[str]) -> str:
    listed = [repr(name) for name in names]
    return ", ".join(listed[:LARGEST_LIST]) + (", ..." if len(listed) > LARGEST_LIST else "")
