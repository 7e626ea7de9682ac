"""Codecs: their bytes by hand, the same from numpy and from torch, and what arrives."""

from __future__ import annotations

import math
import struct
from typing import Any

import numpy as np
import pytest
import torch

from schedules.training.codecs import OURS, Codec

V = np.array([1.0, -0.5, 0.3, 0.0, -0.011, 0.01, 0.72, -1.0, 0.2], np.float32)
"""Nine numbers: of none of 2, 4 and 8 a byte. Of the fourth and fifth powers of two down, 0.011 = 2^-6.506 is the
first that is nearer to 0's code in log2."""

GOLDEN = {
    "fp16": "003c00b8cd340000a2a11f21c33900bc6632",
    "int8": "0000803f 7fc02600ff015b8119",
    "fp4": "0000803f 7e50807f50",
    "sign": "43d2d43e 4900",
    "ternary": "0000803f 400240",
    "top-k": "000000000600000007000000 0000803fec51383f000080bf",
    "random-k": "45a5f2f8d4200350 6766663f022b07bd713d0a40",
}
"""As they were on 2026-12-01, by numpy 2: what an older run has sent is still read."""


def by_hand(name: str) -> bytes:
    """The same by Python's own arithmetic."""
    values, scale = [float(each) for each in V], 1.0
    if name == "fp16":
        return struct.pack("<9e", *values)
    if name == "int8":
        return struct.pack("<f9b", scale, *(round(each * 127) for each in values))
    if name == "fp4":
        codes = [max(0, min(7, round(math.log2(abs(each))) + 7)) + 8 * (each < 0) if each else 0 for each in values]
        return struct.pack("<f", scale) + bytes(
            16 * high + low for high, low in zip(codes[::2], [*codes[1::2], 0], strict=True)
        )
    if name == "sign":
        bits = "".join(str(int(each < 0)) for each in values).ljust(16, "0")
        return struct.pack("<f", sum(map(abs, values)) / 9) + int(bits, 2).to_bytes(2, "big")
    kept = sorted(sorted(range(9), key=lambda place: (-abs(values[place]), place))[:3])
    return struct.pack("<3i3f", *kept, *(values[place] for place in kept))


def made(name: str, fraction: float = 1 / 3, *, is_fed_back: bool = False) -> Codec:
    return OURS[name](fraction, is_fed_back)


def generator() -> np.random.Generator:
    return np.random.default_rng(7)


@pytest.mark.parametrize("name", ["fp16", "int8", "fp4", "sign", "top-k"])
def test_its_bytes_are_those_of_its_definition(name: str) -> None:
    assert made(name).encode(V, generator()).tobytes() == by_hand(name)


@pytest.mark.parametrize("name", OURS)
def test_its_bytes_stay(name: str) -> None:
    assert made(name).encode(V, generator()).tobytes() == bytes.fromhex(GOLDEN[name])


@pytest.mark.parametrize("name", OURS)
@pytest.mark.parametrize("length", [1, 2, 9, 64, 1001])
def test_numpy_and_torch_give_the_same_bits_and_so_many_as_it_says(name: str, length: int) -> None:
    values = np.random.default_rng(length).normal(size=length).astype(np.float32)
    values[length // 2] = 0.0
    codec = made(name)
    encoded, other = codec.encode(values, generator()), codec.encode(torch.from_numpy(values.copy()), generator())
    assert encoded.dtype == np.uint8
    assert encoded.shape == (codec.size(length),)
    assert bytes(encoded) == bytes(other.numpy())
    decoded = codec.decode(encoded, length)
    assert decoded.dtype == np.float32
    assert decoded.tobytes() == codec.decode(other, length).numpy().tobytes()


@pytest.mark.parametrize(("name", "wanted"), [("ternary", 4 + 16), ("random-k", 8 + 4 * 21), ("top-k", 8 * 21)])
def test_how_many_bytes_64_numbers_take(name: str, wanted: int) -> None:
    assert made(name).size(64) == wanted


@pytest.mark.parametrize("name", ["ternary", "random-k"])
def test_what_is_drawn_is_right_on_average(name: str) -> None:
    """Of 4,000 draws, the mean within five standard errors of each number."""
    draws, codec = generator(), made(name)
    found = np.stack([codec.decode(codec.encode(V, draws), 9) for _ in range(4000)])
    error = found.std(axis=0) / math.sqrt(4000) + 1e-7
    assert (np.abs(found.mean(axis=0) - V) < 5 * error).all()


def test_a_random_k_whose_errors_are_fed_back_sends_the_numbers_as_they_are() -> None:
    codec = made("random-k", is_fed_back=True)
    found = codec.decode(codec.encode(V, generator()), 9)
    assert np.count_nonzero(found) in (2, 3)  # one of the nine is 0
    assert set(found[found != 0]) <= set(V)


@pytest.mark.parametrize(("name", "bound"), [("fp16", 2**-11), ("int8", 0.5 / 127), ("fp4", math.sqrt(2) - 1)])
def test_how_far_off_a_rounded_number_is(name: str, bound: float) -> None:
    """fp16 and fp4 relatively to the number (above 2^-6.5 of the largest), int8 to the largest."""
    values = np.random.default_rng(1).normal(size=5000).astype(np.float32)
    values = values[np.abs(values) > 2**-6.4 * np.abs(values).max()]
    found = made(name).decode(made(name).encode(values, generator()), len(values))
    size = np.abs(values).max() if name == "int8" else np.abs(values)
    assert (np.abs(found - values) <= bound * size * (1 + 1e-5)).all()


@pytest.mark.parametrize("name", ["fp16", "int8", "fp4", "sign", "ternary"])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_run_that_diverges_is_not_hidden(name: str, value: float) -> None:
    spoilt: Any = V.copy()
    spoilt[3] = value
    with np.errstate(all="ignore"):
        assert not np.isfinite(made(name).decode(made(name).encode(spoilt, generator()), 9)).all()


@pytest.mark.parametrize("name", OURS)
def test_zeros_stay_zeros(name: str) -> None:
    zeros = np.zeros(10, np.float32)
    assert not made(name).decode(made(name).encode(zeros, generator()), 10).any()
