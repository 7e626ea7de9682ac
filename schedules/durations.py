"""How long kernels run: one keyed random stream a rank and kernel, the same draws in both worlds."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator
from itertools import chain, count

import numpy as np
from numpy.typing import NDArray

from schedules.clocks import StreamKey, stream
from schedules.scenario import Duration, Scenario, ScenarioError

BLOCK = 64
FORWARD_SHARE = 1 / 3
"""Share of the forward pass in a gradient, where the scenario has no durations for `forward` and `backward`."""


def durations(scenario: Scenario, rank: int, kernel: str) -> Iterator[int]:
    """Durations of one kernel on one rank, in nanoseconds, without end.

    `forward` takes a third of a gradient and `backward` (one bucket) its part of the rest, unless [platform.kernels]
    says otherwise.

    Raises:
        ScenarioError: if the platform does not know the kernel.
    """
    spec = _spec(scenario, kernel)
    generator = stream(scenario.run.seed, StreamKey.DURATION, rank, zlib.crc32(kernel.encode()))
    blocks = (np.rint(draw(spec, generator, BLOCK) * 1e9).astype(np.int64).tolist() for _ in count())
    return chain.from_iterable(blocks)


def draw(spec: Duration, generator: np.random.Generator, size: int) -> NDArray[np.float64]:
    """Durations in seconds: float64 [size], with the mean and coefficient of variation of `spec`."""
    mean, cv = spec.mean, spec.cv
    if spec.distribution == "exponential":
        return generator.exponential(mean, size)
    if spec.distribution == "lognormal":
        sigma = math.sqrt(math.log1p(cv * cv))
        return mean * np.exp(generator.normal(-sigma * sigma / 2, sigma, size))
    if spec.distribution == "gamma":
        return generator.gamma(1 / (cv * cv), mean * cv * cv, size)
    return np.full(size, mean)


def _spec(scenario: Scenario, kernel: str) -> Duration:
    platform = scenario.platform
    if kernel in platform.kernels:
        return platform.kernels[kernel]
    share = {"gradient": 1.0, "forward": FORWARD_SHARE, "backward": (1 - FORWARD_SHARE) / num_buckets(scenario)}
    if kernel not in share:
        known = ", ".join(sorted({*share, *platform.kernels}))
        raise ScenarioError(f"scenario: platform.kernels.{kernel}: expected the kernel's duration, found only {known}")
    return platform.gradient.model_copy(update={"mean": platform.gradient.mean * share[kernel]})


def num_buckets(scenario: Scenario) -> int:
    """How many buckets the schedule cuts a gradient into (1 where it does not)."""
    size: float | None = getattr(scenario.schedule, "bucket_size", None)
    if size is None or scenario.parameter_bytes is None:
        return 1
    return max(1, math.ceil(scenario.parameter_bytes / max(8.0, size // 8 * 8)))
