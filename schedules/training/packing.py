"""What codecs are made of: numbers as codes of few bits, in array-API operations that give the same bits everywhere."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from array_api_compat import array_namespace, device
from numpy.typing import NDArray

from schedules.operations import Array

BLOCK = 2**15
"""Numbers that are encoded at a time; a multiple of eight."""


def coded(xp: Any, scale: Array, vector: Array, code: Callable[[Any, Array, Array], Array]) -> Array:
    """The scale in front, float32 [1], then the codes; in blocks that a cache holds."""
    blocks = (code(xp, vector[begin : begin + BLOCK], scale) for begin in range(0, len(vector), BLOCK))
    return xp.concat((scale.view(xp.uint8), *blocks))


def largest(xp: Any, vector: Array) -> Array:
    """The largest magnitude: float32 [1]."""
    # Also of the zero, whose sign may come out either way.
    return xp.abs(xp.maximum(xp.max(vector, keepdims=True), -xp.min(vector, keepdims=True)))


def scaled(xp: Any, vector: Array, scale: Array) -> Array:
    """The numbers divided by the largest magnitude; where that is no number, zeros."""
    relative = vector / xp.where(scale == 0, like(xp, 1.0, scale), scale)
    return xp.where(relative == relative, relative, like(xp, 0.0, relative))


def headed(encoded: Array) -> tuple[Any, Array]:
    """The namespace, and the scale in front: float32 [1]."""
    return array_namespace(encoded), floats(encoded[:4])


def floats(encoded: Array) -> Array:
    """Bytes as float32."""
    return encoded.view(array_namespace(encoded).float32)


def from_levels(xp: Any, scale: Array, packed: Array, bits: int, levels: list[float], number: int) -> Array:
    """scale times the level of each code; an infinite scale, or none that is a number, spoils all."""
    table = xp.asarray(_of_bytes(bits, tuple(levels)), device=device(packed)) * scale
    blocks = (packed[begin : begin + BLOCK] for begin in range(0, len(packed), BLOCK))
    return xp.concat([xp.reshape(xp.take(table, xp.astype(each, xp.int64), axis=0), (-1,)) for each in blocks])[:number]


@functools.cache
def _of_bytes(bits: int, levels: tuple[float, ...]) -> NDArray[np.float32]:
    """The levels of the codes of each byte, the first one high: float32 [256, codes a byte]."""
    shifts = range(8 - bits, -1, -bits)
    known = (*levels, *[0.0] * (2**bits - len(levels)))
    return np.array([[known[byte >> shift & 2**bits - 1] for shift in shifts] for byte in range(256)], np.float32)


def spread(xp: Any, places: Array, numbers: Array, num_params: int) -> Array:
    """Numbers in their places among so many, the others 0."""
    found = xp.zeros(num_params, dtype=xp.float32, device=device(numbers))
    found[places] = numbers  # a new vector, which may be written to
    return found


def pack(xp: Any, codes: Array, bits: int) -> Array:
    """Codes of so many bits as bytes, the first one high; what is missing of the last byte is 0."""
    a_byte = 8 // bits
    missing = -len(codes) % a_byte
    if missing:
        codes = xp.concat((codes, xp.zeros(missing, dtype=xp.uint8, device=device(codes))))
    columns = xp.reshape(codes, (-1, a_byte))
    packed = columns[:, 0]
    for column in range(1, a_byte):
        packed = packed * 2**bits + columns[:, column]
    return packed


def sum_of(xp: Any, numbers: Array) -> Array:
    """Their sum, float64 [1], in an order that does not depend on the library: in pairs, block by block."""
    blocks = (numbers[begin : begin + BLOCK] for begin in range(0, len(numbers), BLOCK))
    return _in_pairs(xp, xp.concat([_in_pairs(xp, xp.astype(each, xp.float64)) for each in blocks]))


def _in_pairs(xp: Any, numbers: Array) -> Array:
    while len(numbers) > 1:
        half = len(numbers) // 2
        pairs = numbers[:half] + numbers[half : 2 * half]
        numbers = xp.concat((pairs, numbers[2 * half :])) if len(numbers) % 2 else pairs
    return numbers


def like(xp: Any, value: float, array: Array) -> Array:
    """A number as an array, not a scalar, which torch's operations take for another (x / 127 for x * (1 / 127))."""
    dtype = xp.int32 if isinstance(value, int) else array.dtype
    return xp.asarray(value, dtype=dtype, device=device(array))


def kth_largest(xp: Any, magnitude: Array, k: int) -> Array:
    """Of numbers that are not negative, whose bits are in their order: halves are left out until few remain."""
    low, high, bits = 0, 2**31, magnitude.view(xp.int32)
    while len(bits) > BLOCK and high - low > 1:
        middle = (low + high) // 2
        upper = bits[bits >= middle]
        if len(upper) >= k:
            low, bits = middle, upper
        else:
            high, bits, k = middle, bits[bits < middle], k - len(upper)
    return xp.sort(bits)[len(bits) - k :][:1].view(xp.float32)
