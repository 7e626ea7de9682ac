"""Whether a rule has written to tensors that are not its own.

torch counts the writes to a tensor and to whatever shares its memory with it, unless they come through numpy:
`numpy.asarray(tensor)` is the same memory, and nobody counts there. So at the first calls of a rule its tensors' bytes
are compared, too, at both ends of each, as far as that takes microseconds.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

Array = Any
"""A tensor of torch, or an array of numpy."""

CLOSELY = 3
"""At so many first calls of a rule on a worker bytes are compared; then the counts alone."""

LOOKED_AT = 1 << 16
"""Bytes at each end of a tensor that are compared."""

Watched = tuple[str, Array, int]
"""A name for people, the tensor, and how often it had been written to."""


class Guarded:
    """What one call of a rule is not to write to.

    Args:
        watched: before the call.
        is_close: whether bytes are compared, too.
    """

    __slots__ = ("_sums", "_watched")

    def __init__(self, watched: list[Watched], *, is_close: bool) -> None:
        self._watched = watched
        self._sums = [(name, each, _sum(each)) for name, each, _ in watched] if is_close else []

    def written(self, held: Iterable[Watched]) -> str:
        """The names of what has been written to by now, of these and of what is `held`; none: an empty text."""
        found = [name for name, each, count in (*held, *self._watched) if writes(each) != count]
        if not found:
            found = [name for name, each, before in self._sums if _sum(each) != before]
        return " or ".join(dict.fromkeys(found))  # several names, where they are of one array


def writes(array: Array) -> int:
    """How often torch has written to a tensor, or to another that shares its memory; 0 of any other array."""
    return getattr(array, "_version", 0)


def enclosed(rule: Callable[..., Any]) -> Iterator[tuple[str, Array]]:
    """The tensors that a rule holds itself, by the variables of the function around it or as its defaults."""
    code = getattr(rule, "__code__", None)
    if code is None:
        return
    cells = getattr(rule, "__closure__", None) or ()
    for name, cell in zip(code.co_freevars, cells, strict=False):
        try:
            value = cell.cell_contents
        except ValueError:  # a variable that has no value yet
            continue
        yield from _tensors(f"its variable {name}", value)
    for value in getattr(rule, "__defaults__", None) or ():
        yield from _tensors("its default", value)


def _tensors(name: str, value: Any) -> Iterator[tuple[str, Array]]:
    value = getattr(value, "array", value)  # a payload's
    if isinstance(value, tuple | list):
        for each in value:
            yield from _tensors(name, each)
    elif hasattr(value, "_version"):
        yield name, value


def _sum(array: Array) -> int:
    """A checksum of both ends of an array in the host's memory; 0 of any other, which numpy cannot reach."""
    if getattr(getattr(array, "device", None), "type", "") != "cpu":
        return 0
    flat = array.detach().reshape(-1)
    count = LOOKED_AT // max(flat.element_size(), 1)
    total = 0
    for each in (flat,) if len(flat) <= 2 * count else (flat[:count], flat[-count:]):
        as_bytes = each.contiguous().view(each.new_empty(0).byte().dtype)  # numpy has no bfloat16
        total = zlib.crc32(as_bytes.numpy(), total)
    return total
