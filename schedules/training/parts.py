"""How a whole is cut into parts: part i of n of N elements is [i N // n, (i + 1) N // n), everywhere.

The parts follow one another without a gap, so they sum to the whole, and their lengths differ by one at most. An array
is cut between its elements. Where nobody knows these, in a timing-only run, it is the bytes that are cut, by the same
formula: there, too, the parts sum to the whole, and each differs from the numeric run's by less than an element.
"""

from __future__ import annotations

from schedules.misuse.values import WHOLE

WIDEST = 8
"""Bytes of the widest number: no number of any dtype is cut in two."""


def part(num_elements: int, index: int, num_parts: int) -> slice:
    """Part `index`, counted from 0, of `num_parts` parts of so many elements.

    Raises:
        ValueError: if there is no such part.
        MisuseError: if one of the three is no whole number.
    """
    if not num_elements.__class__ is index.__class__ is num_parts.__class__ is int:
        num_elements, index, num_parts = (WHOLE.of(each, "part") for each in (num_elements, index, num_parts))
    if not 0 <= index < num_parts:
        raise ValueError(f"expected a part from 0 to {num_parts - 1}, found {index}")
    if num_elements < 0:
        raise ValueError(f"expected a number of elements of at least 0, found {num_elements}")
    return slice(index * num_elements // num_parts, (index + 1) * num_elements // num_parts)


def length(piece: slice) -> int:
    """How many elements a part has."""
    return int(piece.stop - piece.start)


def size_of_part(size: int, index: int, num_parts: int, itemsize: int = 1) -> int:
    """Bytes of a part of `size` bytes whose elements have `itemsize` each; 1 where that is not known."""
    return length(part(size // itemsize, index, num_parts)) * itemsize


def buckets(size: int, bucket_size: float, first: float | None = None) -> list[int]:
    """Bytes of the buckets that `size` bytes are cut into, in the order of the backward pass.

    Args:
        bucket_size: bytes of each, the last but perhaps; at least one number.
        first: those of the first one, where they are others.
    """
    largest = _whole(bucket_size, size)
    begun = [] if first is None else [_whole(first, size)]
    whole, rest = divmod(size - sum(begun), largest)
    return begun + [largest] * whole + [rest] * bool(rest)


def layer(size: int, number: int, num_layers: int) -> slice:
    """The bytes of a layer in a model of so many bytes, whose layers are of one size."""
    cut = part(size // WIDEST, number, num_layers)
    return slice(WIDEST * cut.start, size if number == num_layers - 1 else WIDEST * cut.stop)


def _whole(bucket_size: float, size: int) -> int:
    return max(WIDEST, int(min(bucket_size, size)) // WIDEST * WIDEST)
