"""How well the mean of a simulated series is known: MSER-5 cuts the warm-up, batch means give a confidence interval.

Batches grow with the run, about forty always: long ones keep a correlation that no test would find in short ones, such
as that of slow spells. They are long enough when von Neumann's ratio does not tell them from independent ones; what
correlation is left widens the interval, as in the variance of the mean of a first-order autoregression.

Sources: White 1997, and White, Cobb and Spratt 2000 (MSER-5); Fishman 1978 (von Neumann's ratio of batch means); Law,
Simulation Modeling and Analysis, chapter 9 (sequential batch means).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float64]

CONFIDENCE = 0.95

MSER_BATCH = 5

NUM_BATCHES = 40
"""About: so many, and what is left over fills up a few more."""

MIN_SAMPLES = 640
"""Fewer tell too little of the spread to stop by it."""

REJECTED = 1.2816
"""Batches are taken for correlated if von Neumann's statistic is beyond the normal distribution's 90 % quantile."""

# At most: a variance nine times as large, so that forty batches are never worth less than four.
MAX_CORRELATION = 0.8


@dataclass(frozen=True, slots=True)
class Estimate:
    """The mean of a series after its warm-up.

    Attributes:
        mean, low, high: the mean and its 95 % confidence interval, in the samples' unit; infinite ends where a single
            batch says nothing of the spread.
        warm_up: samples that were cut from the beginning.
        num_batches, batch_size: what the interval rests on.
        is_settled: whether there are enough samples, the warm-up ended in the first half of them, and the batches are
            not seen to be correlated. If not, the interval may be too narrow.
    """

    mean: float
    low: float
    high: float
    warm_up: int
    num_batches: int
    batch_size: int
    is_settled: bool


def estimate(samples: Samples) -> Estimate:
    """The mean of the steady state and its 95 % confidence interval.

    Args:
        samples: one or more, float64 [num_samples], in their order.
    Raises:
        ValueError: if there are none.
    """
    if not len(samples):
        raise ValueError("expected a sample or more, found none")
    warm_up = mser(samples)
    kept = samples[warm_up:]
    size = max(1, len(kept) // NUM_BATCHES)
    means = batch_means(kept, size)
    half_width = half_interval(means)
    mean = float(kept.mean())
    is_over = warm_up < (len(samples) // MSER_BATCH // 2) * MSER_BATCH  # not cut at the very half: see `mser`
    is_settled = len(samples) >= MIN_SAMPLES and is_over and von_neumann(means) <= REJECTED
    return Estimate(mean, mean - half_width, mean + half_width, warm_up, len(means), size, is_settled)


def mser(samples: Samples, batch: int = MSER_BATCH) -> int:
    """How many samples to cut: those before the d-th batch, where d in the first half makes the standard error least.

    d = argmin_d  sum_{i >= d} (y_i - mean_{i >= d} y)^2 / (k - d)^2,  y the k means of `batch` samples each.

    A cut at the very half says that the warm-up may not be over. Source: White 1997; batches: White, Cobb, Spratt 2000.
    """
    means = batch_means(samples, batch)
    count = len(means)
    if count < 2:
        return 0
    backwards = means[::-1] - means[-1]  # small numbers: nothing is lost in the sums of squares
    kept = np.arange(1, count + 1)
    squares = np.cumsum(backwards**2) - np.cumsum(backwards) ** 2 / kept
    # A difference of two sums, which rounding may bring below 0.
    errors = (np.maximum(squares, 0) / kept**2)[::-1]
    # The first of equal errors, so nothing is cut from equal samples.
    return int(np.argmin(errors[: count // 2 + 1])) * batch


def batch_means(samples: Samples, size: int) -> Samples:
    """Means of consecutive batches: float64 [num_samples // size]. What fills no batch at the end is left out."""
    count = len(samples) // size
    means: Samples = samples[: count * size].reshape(count, size).mean(axis=1)
    return means


def von_neumann(means: Samples) -> float:
    """Von Neumann's ratio as a statistic that is standard normal for independent batches, positive for correlated ones.

    C = 1 - sum (y_i - y_{i+1})^2 / (2 sum (y_i - mean y)^2), over its standard deviation sqrt((k - 2) / (k^2 - 1)).
    0 for fewer than three batches and for equal ones. A pattern that fits no batch is below zero: it leaves the mean
    better known than the interval says. Source: von Neumann 1941; Fishman 1978, section 5.
    """
    count = len(means)
    spread = float(np.sum((means - means.mean()) ** 2)) if count > 2 else 0.0
    if spread == 0:
        return 0.0
    ratio = float(np.sum(np.diff(means) ** 2)) / (2 * spread)
    return (1 - ratio) / math.sqrt((count - 2) / (count * count - 1))


def half_interval(means: Samples) -> float:
    """Half the width of the 95 % confidence interval of the mean of batches.

    t(k / a - 1) sqrt(a s^2 / k),  a = (1 + r) / (1 - r), r their lag-one correlation where it is positive, else 0.
    """
    # Half a second to load, which only runs until a precision need.
    from scipy.special import stdtrit

    count = len(means)
    if count < 2:
        return math.inf
    offsets = means - means.mean()
    spread = float(np.sum(offsets**2))
    if spread == 0:
        return 0.0
    correlation = min(MAX_CORRELATION, max(0.0, float(np.sum(offsets[1:] * offsets[:-1])) / spread))
    widened = (1 + correlation) / (1 - correlation)
    # Of a few correlated batches less than none would be left.
    freedom = max(1.0, count / widened - 1)
    quantile = float(stdtrit(freedom, (1 + CONFIDENCE) / 2))
    return quantile * math.sqrt(widened * spread / (count - 1) / count)
