"""Codecs: what a worker makes of the numbers that it sends, and what the others make of them again.

A codec turns a vector into bytes; so many for so many numbers, whatever they are, so that both worlds count what is
sent. All work in array-API operations, and give the same bits from numpy and from torch; what is inside is float32.

| codec | bytes of N numbers | what arrives |
|---|---|---|
| `none` | those of its dtype | the numbers |
| `fp16` | 2 N | the nearest of half precision |
| `int8` | 4 + N | scale q / 127, q the nearest whole number, scale the largest magnitude |
| `fp4` | 4 + N/2 | E3M0: 0, or plus or minus scale 2^(c - 7), c from 1 to 7, the nearest in log2 |
| `sign` | 4 + N/8 | plus or minus the mean magnitude |
| `ternary` | 4 + N/4 | 0 or plus or minus scale, drawn so that the mean is the number |
| `top-k` | 8 k | the k largest in magnitude, with their places; of equal ones the first |
| `random-k` | 8 + 4 k | k drawn ones, times N/k unless errors are fed back; places follow from a seed that is sent |

Sources: fp4: Douillard et al. 2025 (arXiv:2501.18512), section 2.4; sign: Karimireddy et al. 2019 (arXiv:1901.09847);
ternary: Wen et al. 2017, TernGrad (arXiv:1705.07878), without clipping, of two bits; top-k and random-k: Stich et al.
2018 (arXiv:1809.07599).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
from array_api_compat import array_namespace, device

from schedules.operations import Array
from schedules.training.packing import (
    coded,
    floats,
    from_levels,
    headed,
    kth_largest,
    largest,
    like,
    pack,
    scaled,
    spread,
    sum_of,
)

FRACTION = 0.01
"""k / N, unless the scenario says another."""


class Codec(Protocol):
    """What encodes and decodes; a user's own is the answer of a factory "package.module:factory"."""

    @property
    def is_biased(self) -> bool:
        """Whether what arrives is off by more than its rounding, on average: it needs `error_feedback`."""

    @property
    def is_random(self) -> bool:
        """Whether it draws."""

    def size(self, num_params: int) -> int:
        """Bytes of so many encoded numbers."""

    def encode(self, vector: Array, generator: np.random.Generator) -> Array:
        """The bytes of a vector: uint8 [size(num_params)].

        Args:
            vector: float32 [num_params].
            generator: for what is drawn, the same in both worlds.
        """

    def decode(self, encoded: Array, num_params: int) -> Array:
        """What arrives: float32 [num_params].

        Args:
            encoded: uint8 [size(num_params)], not to be written to.
        """


# ------------------------------------------------------------------ ours


@dataclass(frozen=True)
class _Plain:
    """What ours have in common."""

    is_biased: ClassVar[bool] = False
    is_random: ClassVar[bool] = False


@dataclass(frozen=True)
class _Fp16(_Plain):
    """Half precision: what is too large becomes infinite."""

    def size(self, num_params: int) -> int:
        return 2 * num_params

    def encode(self, vector: Array, generator: np.random.Generator) -> Array:
        xp = array_namespace(vector)
        return xp.astype(vector, xp.float16).view(xp.uint8)

    def decode(self, encoded: Array, num_params: int) -> Array:
        xp = array_namespace(encoded)
        return xp.astype(encoded.view(xp.float16), xp.float32)


@dataclass(frozen=True)
class _Int8(_Plain):
    """One scale, and a byte a number."""

    def size(self, num_params: int) -> int:
        return 4 + num_params

    def encode(self, vector: Array, generator: np.random.Generator) -> Array:
        xp = array_namespace(vector)
        return coded(xp, largest(xp, vector), vector, _to_int8)

    def decode(self, encoded: Array, num_params: int) -> Array:
        xp, scale = headed(encoded)
        return xp.astype(encoded[4:].view(xp.int8), xp.float32) * (scale / like(xp, 127.0, scale))


@dataclass(frozen=True)
class _Fp4(_Plain):
    """E3M0: a sign and a power of two, two numbers a byte, the first one high."""

    def size(self, num_params: int) -> int:
        return 4 + -(-num_params // 2)

    def encode(self, vector: Array, generator: np.random.Generator) -> Array:
        xp = array_namespace(vector)
        return coded(xp, largest(xp, vector), vector, _to_fp4)

    def decode(self, encoded: Array, num_params: int) -> Array:
        xp, scale = headed(encoded)
        levels = [0.0, *(2.0 ** (code - 7) for code in range(1, 8))]
        return from_levels(xp, scale, encoded[4:], 4, [*levels, *(-each for each in levels)], num_params)


@dataclass(frozen=True)
class _Sign(_Plain):
    """A bit a number: 1 where it is below 0."""

    is_biased: ClassVar[bool] = True

    def size(self, num_params: int) -> int:
        return 4 + -(-num_params // 8)

    def encode(self, vector: Array, generator: np.random.Generator) -> Array:
        xp = array_namespace(vector)
        total = sum_of(xp, xp.abs(vector))
        scale = xp.astype(total / like(xp, float(len(vector)), total), xp.float32)
        return coded(xp, scale, vector, _to_signs)

    def decode(self, encoded: Array, num_params: int) -> Array:
        xp, scale = headed(encoded)
        return from_levels(xp, scale, encoded[4:], 1, [1.0, -1.0], num_params)


@dataclass(frozen=True)
class _Ternary(_Plain):
    """Two bits a number: 0, plus (1) or minus (2) the scale, with probability |v| / scale."""

    is_random: ClassVar[bool] = True

    def size(self, num_params: int) -> int:
        return 4 + -(-num_params // 4)

    def encode(self, vector: Array, generator: np.random.Generator) -> Array:
        xp = array_namespace(vector)

        def to_ternary(xp: Any, vector: Array, scale: Array) -> Array:
            relative = scaled(xp, vector, scale)
            drawn = xp.asarray(generator.random(len(vector), dtype=np.float32), device=device(vector))
            hit = xp.astype(drawn < xp.abs(relative), xp.uint8)
            return pack(xp, hit * (1 + xp.astype(relative < 0, xp.uint8)), 2)

        return coded(xp, largest(xp, vector), vector, to_ternary)

    def decode(self, encoded: Array, num_params: int) -> Array:
        xp, scale = headed(encoded)
        return from_levels(xp, scale, encoded[4:], 2, [0.0, 1.0, -1.0], num_params)


@dataclass(frozen=True)
class _TopK(_Plain):
    """The largest in magnitude: their places (int32, ascending), then the numbers."""

    fraction: float = FRACTION
    is_biased: ClassVar[bool] = True

    def size(self, num_params: int) -> int:
        return 8 * _kept(self.fraction, num_params)

    def encode(self, vector: Array, generator: np.random.Generator) -> Array:
        xp, k = array_namespace(vector), _kept(self.fraction, len(vector))
        magnitude = xp.abs(vector)
        magnitude = xp.where(magnitude == magnitude, magnitude, like(xp, float("inf"), vector))
        smallest = kth_largest(xp, magnitude, k)
        above, equal = xp.nonzero(magnitude > smallest)[0], xp.nonzero(magnitude == smallest)[0]
        places = xp.sort(xp.concat((above, equal[: k - len(above)])))
        return xp.concat((xp.astype(places, xp.int32).view(xp.uint8), vector[places].view(xp.uint8)))

    def decode(self, encoded: Array, num_params: int) -> Array:
        xp, half = array_namespace(encoded), len(encoded) // 2
        return spread(xp, xp.astype(encoded[:half].view(xp.int32), xp.int64), floats(encoded[half:]), num_params)


@dataclass(frozen=True)
class _RandomK(_Plain):
    """Drawn ones: the seed of the draw (int64), then the numbers in the order of their places."""

    fraction: float = FRACTION
    is_scaled: bool = True
    is_random: ClassVar[bool] = True

    def size(self, num_params: int) -> int:
        return 8 + 4 * _kept(self.fraction, num_params)

    def encode(self, vector: Array, generator: np.random.Generator) -> Array:
        xp, num_params = array_namespace(vector), len(vector)
        seed = generator.integers(2**63, size=1)
        places = xp.asarray(self._places(int(seed[0]), num_params), device=device(vector))
        sent = vector[places] * (num_params / max(len(places), 1) if self.is_scaled else 1.0)
        return xp.concat((xp.asarray(seed, device=device(vector)).view(xp.uint8), sent.view(xp.uint8)))

    def decode(self, encoded: Array, num_params: int) -> Array:
        xp = array_namespace(encoded)
        seed = int.from_bytes(bytes(encoded[:8].tolist()), "little")
        places = xp.asarray(self._places(seed, num_params), device=device(encoded))
        return spread(xp, places, floats(encoded[8:]), num_params)

    def _places(self, seed: int, num_params: int) -> Any:
        drawn = np.random.default_rng(seed).choice(num_params, _kept(self.fraction, num_params), replace=False)
        return np.sort(drawn)


OURS: Mapping[str, Callable[[float, bool], Codec]] = {
    "fp16": lambda *_: _Fp16(),
    "int8": lambda *_: _Int8(),
    "fp4": lambda *_: _Fp4(),
    "sign": lambda *_: _Sign(),
    "ternary": lambda *_: _Ternary(),
    "top-k": lambda fraction, _: _TopK(fraction),
    "random-k": lambda fraction, is_fed_back: _RandomK(fraction, is_scaled=not is_fed_back),
}
"""Of a fraction, and of whether errors are fed back. `none` is no codec: what it sends can be added up on the way."""

NONE, WITH_FRACTION = "none", ("top-k", "random-k")


# ------------------------------------------------------------------ what they are made of


def _to_int8(xp: Any, vector: Array, scale: Array) -> Array:
    return xp.astype(xp.round(scaled(xp, vector, scale) * 127), xp.int8).view(xp.uint8)


def _to_fp4(xp: Any, vector: Array, scale: Array) -> Array:
    relative = scaled(xp, vector, scale)
    # Nearest in log2: of |r| sqrt(2) the exponent of the float is what log2 |r| rounds to.
    exponent = xp.bitwise_right_shift((xp.abs(relative) * 2**0.5).view(xp.int32), like(xp, 23, relative)) - 127
    code = xp.clip(exponent + 7, 0, 7) + 8 * xp.astype(relative < 0, xp.int32)
    return pack(xp, xp.astype(code, xp.uint8), 4)


def _to_signs(xp: Any, vector: Array, scale: Array) -> Array:
    return pack(xp, xp.astype(vector < 0, xp.uint8), 1)


def _kept(fraction: float, num_params: int) -> int:
    """k: how many of so many are sent, at least one."""
    return min(num_params, max(1, round(fraction * num_params)))
