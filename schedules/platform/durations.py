"""How long kernels run: one keyed random stream a rank and kernel, the same draws in both worlds."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator
from itertools import chain, count

import numpy as np
from numpy.typing import NDArray

from schedules.clocks import StreamKey, stream
from schedules.errors import UnknownKernelError
from schedules.platform.computing import Duration
from schedules.platform.tables import PlatformTable

BLOCK = 64
FORWARD_SHARE = 1 / 3
"""Share of the forward pass in a gradient, where the scenario has no durations for `forward` and `backward`."""


def durations(platform: PlatformTable, seed: int, rank: int, kernel: str, *, num_buckets: int = 1) -> Iterator[int]:
    """Durations of one kernel on one rank, in nanoseconds, without end.

    `forward` takes a third of a gradient and `backward` (one bucket) its part of the rest, unless [platform.kernels]
    says otherwise. A rank of speed s takes 1 / s times as long.

    Args:
        platform: resolved.
        seed: of the run.
        num_buckets: how many the schedule cuts a gradient into.
    Raises:
        UnknownKernelError: if the platform does not know the kernel.
    """
    spec, factor = _spec(platform, kernel, num_buckets)
    speed = platform.speed_of(rank)
    # Not by Python's hash of the name, which is another in each process.
    generator = stream(seed, StreamKey.DURATION, rank, zlib.crc32(kernel.encode()))
    nanoseconds = factor / speed * 1e9
    # In blocks, as one number a call would cost numpy many times more; the numbers are the same.
    blocks = (np.rint(draw(spec, generator, BLOCK) * nanoseconds).astype(np.int64).tolist() for _ in count())
    return chain.from_iterable(blocks)


def draw(spec: Duration, generator: np.random.Generator, size: int) -> NDArray[np.float64]:
    """Durations in seconds: float64 [size], with the mean and coefficient of variation of `spec`.

    Empirical ones are drawn from the samples, each as likely as the others, with replacement.
    """
    mean, cv = spec.mean, spec.cv
    if spec.samples is not None:
        samples = spec.samples
        # Not np.array(samples)[...]: to convert ten thousand samples for each block takes 15 times as long.
        return np.array([samples[index] for index in generator.integers(len(samples), size=size).tolist()])
    if spec.distribution == "exponential":
        return generator.exponential(mean, size)
    if spec.distribution == "lognormal":
        # Of exp(N(m, s^2)) the squared cv is exp(s^2) - 1 and the mean exp(m + s^2 / 2): so m = -s^2 / 2 makes it 1.
        sigma = math.sqrt(math.log1p(cv * cv))
        return mean * np.exp(generator.normal(-sigma * sigma / 2, sigma, size))
    if spec.distribution == "gamma":
        return generator.gamma(1 / (cv * cv), mean * cv * cv, size)  # shape k and scale t: mean k t, cv 1 / sqrt(k)
    return np.full(size, mean)


def _spec(platform: PlatformTable, kernel: str, num_buckets: int) -> tuple[Duration, float]:
    """A kernel's durations, and what they are to be multiplied by."""
    if kernel in platform.kernels:
        return platform.kernels[kernel], 1.0
    share = {"gradient": 1.0, "forward": FORWARD_SHARE, "backward": (1 - FORWARD_SHARE) / num_buckets}
    if kernel not in share:
        raise UnknownKernelError(sorted({*share, *platform.kernels}))
    if platform.gradient.samples is not None or share[kernel] == 1:
        return platform.gradient, share[kernel]
    return platform.gradient.model_copy(update={"mean": platform.gradient.mean * share[kernel]}), 1.0
