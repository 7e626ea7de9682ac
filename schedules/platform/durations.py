"""How long kernels run: one keyed random stream a rank and kernel, the same draws in both worlds."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator
from itertools import chain, count
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from schedules.clocks import StreamKey, stream
from schedules.scenario import Duration, Scenario, ScenarioError

BLOCK = 64
LARGEST_SAMPLE = 10_000
"""Durations that are kept of a trace: of more, so many quantiles."""
FORWARD_SHARE = 1 / 3
"""Share of the forward pass in a gradient, where the scenario has no durations for `forward` and `backward`."""


def durations(scenario: Scenario, rank: int, kernel: str) -> Iterator[int]:
    """Durations of one kernel on one rank, in nanoseconds, without end.

    `forward` takes a third of a gradient and `backward` (one bucket) its part of the rest, unless [platform.kernels]
    says otherwise. A rank of speed s takes 1 / s times as long.

    Raises:
        ScenarioError: if the platform does not know the kernel.
    """
    spec, factor = _spec(scenario, kernel)
    speed = scenario.platform.speed_of(rank)
    generator = stream(scenario.run.seed, StreamKey.DURATION, rank, zlib.crc32(kernel.encode()))
    nanoseconds = factor / speed * 1e9
    blocks = (np.rint(draw(spec, generator, BLOCK) * nanoseconds).astype(np.int64).tolist() for _ in count())
    return chain.from_iterable(blocks)


def draw(spec: Duration, generator: np.random.Generator, size: int) -> NDArray[np.float64]:
    """Durations in seconds: float64 [size], with the mean and coefficient of variation of `spec`.

    Empirical ones are drawn from the samples, each as likely as the others, with replacement.
    """
    mean, cv = spec.mean, spec.cv
    if spec.samples is not None:
        samples = spec.samples
        return np.array([samples[index] for index in generator.integers(len(samples), size=size).tolist()])
    if spec.distribution == "exponential":
        return generator.exponential(mean, size)
    if spec.distribution == "lognormal":
        sigma = math.sqrt(math.log1p(cv * cv))
        return mean * np.exp(generator.normal(-sigma * sigma / 2, sigma, size))
    if spec.distribution == "gamma":
        return generator.gamma(1 / (cv * cv), mean * cv * cv, size)
    return np.full(size, mean)


def _spec(scenario: Scenario, kernel: str) -> tuple[Duration, float]:
    """A kernel's durations, and what they are to be multiplied by."""
    platform = scenario.platform
    if kernel in platform.kernels:
        return platform.kernels[kernel], 1.0
    share = {"gradient": 1.0, "forward": FORWARD_SHARE, "backward": (1 - FORWARD_SHARE) / num_buckets(scenario)}
    if kernel not in share:
        known = ", ".join(sorted({*share, *platform.kernels}))
        raise ScenarioError(f"scenario: platform.kernels.{kernel}: expected the kernel's duration, found only {known}")
    if platform.gradient.samples is not None or share[kernel] == 1:
        return platform.gradient, share[kernel]
    return platform.gradient.model_copy(update={"mean": platform.gradient.mean * share[kernel]}), 1.0


def measured(directory: str | Path, kernel: str) -> list[float]:
    """Durations of a kernel in the trace of a run directory: seconds, ascending; without the time in an engine's queue.

    Of more than `LARGEST_SAMPLE`, as many quantiles.

    Raises:
        ValueError: if the trace is unreadable, or the kernel did not run.
    """
    from schedules.record.files import read_trace

    trace, _ = read_trace(directory, ("op", "kernel", "ready_ns", "end_ns"))
    computations = trace[trace["op"] == "Compute"]
    rows = computations[computations["kernel"] == kernel]
    if not len(rows):
        known = ", ".join(sorted(set(computations["kernel"]))) or "none"
        raise ValueError(f"{directory}: expected computations of the kernel {kernel}, found {known}")
    taken = np.sort((rows["end_ns"] - rows["ready_ns"]).to_numpy(dtype=np.int64))
    if len(taken) > LARGEST_SAMPLE:
        taken = taken[(2 * np.arange(LARGEST_SAMPLE) + 1) * len(taken) // (2 * LARGEST_SAMPLE)]
    seconds: list[float] = (taken / 1e9).tolist()
    return seconds


def num_buckets(scenario: Scenario) -> int:
    """How many buckets the schedule cuts a gradient into (1 where it does not)."""
    size: float | None = getattr(scenario.schedule, "bucket_size", None)
    if size is None or scenario.parameter_bytes is None:
        return 1
    return max(1, math.ceil(scenario.parameter_bytes / max(8.0, size // 8 * 8)))
