"""How well the mean of a simulated series is known: MSER-5 cuts the warm-up, batch means give a confidence interval.

Batches grow with the run, about forty always: long ones keep a correlation that no test would find in short ones, such
as that of slow spells. They are long enough when von Neumann's ratio does not tell them from independent ones; what
correlation is left widens the interval, as in the variance of the mean of a first-order autoregression.

Where it is known beforehand how long samples are correlated (slow spells), batches are ten times as long at the least,
and there have to be twenty. There MSER-5 would cut what it should keep: the standard error is least where a spell at
the beginning is left out, and the mean without it is wrong. So its batches are as long as the correlation allows, and
what it cuts has to be unlike the rest, by a test.

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

LOOKED_AT = 0.97
"""What is asked of one look where slow spells are known, so that 95 % are left to the look at which a run is stopped:
that is one at which the spread looks small."""

MSER_BATCH = 5

NUM_BATCHES = 40
"""About: so many, and what is left over fills up a few more."""

MIN_SAMPLES = 640
"""Fewer tell too little of the spread to stop by it."""

REJECTED = 1.2816
"""Batches are taken for correlated if von Neumann's statistic is beyond the normal distribution's 90 % quantile."""

NUM_KNOWN = 100
"""At most about, where it is known how long samples are correlated: the more there are, the better is the spread known,
and the less does a run stop because it happens to look small."""

CORRELATIONS = 10
"""A batch lasts so many correlation times at the least, if these are known."""

MAX_SHARE = 0.5
"""Of the correlation time in a batch of a run that is too short for longer ones: the interval is told, not trusted."""

MIN_BATCHES = 20
"""So many batches of that length: fewer tell too little of the spread."""

UNLIKE = 3.0
"""What is cut differs from the rest by so many standard errors, where samples are known to be correlated: the cut that
was chosen is the largest of many differences."""

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
        is_settled: whether there are enough samples and batches, the warm-up ended in the first half of them, and the
            batches are not seen to be correlated. If not, the interval may be too narrow.
    """

    mean: float
    low: float
    high: float
    warm_up: int
    num_batches: int
    batch_size: int
    is_settled: bool


def estimate(samples: Samples, correlation: float = 0.0) -> Estimate:
    """The mean of the steady state and its 95 % confidence interval (97 %, see `LOOKED_AT`, with a known correlation).

    Args:
        samples: one or more, float64 [num_samples], in their order.
        correlation: how long they are known to be correlated, in samples; 0: only they themselves tell.
    Raises:
        ValueError: if there are none.
    """
    if not len(samples):
        raise ValueError("expected a sample or more, found none")
    warm_up, is_over = _warm_up(samples, correlation)
    kept = samples[warm_up:]
    size = _batch_size(len(kept), correlation)
    means = batch_means(kept, size)
    # In a process that forgets as exp(-t / c) the mean of a batch of b has the variance 2 s^2 c / b (1 - c / b); the
    # last factor is that of batches, and not of a whole run.
    confidence = LOOKED_AT if correlation else CONFIDENCE
    half_width = half_interval(means, confidence) / math.sqrt(1 - min(MAX_SHARE, correlation / size))
    mean = float(kept.mean())
    is_enough = len(samples) >= MIN_SAMPLES and (correlation == 0 or len(means) >= MIN_BATCHES)
    is_settled = is_enough and is_over and von_neumann(means) <= REJECTED
    return Estimate(mean, mean - half_width, mean + half_width, warm_up, len(means), size, is_settled)


def _batch_size(count: int, correlation: float) -> int:
    """How many samples a batch has: a fortieth of all, or a hundredth and as many as the correlation asks for."""
    share = count // (NUM_KNOWN if correlation else NUM_BATCHES)
    return max(1, share, min(count, math.ceil(CORRELATIONS * correlation)))


def _warm_up(samples: Samples, correlation: float) -> tuple[int, bool]:
    """How many samples to cut, and whether the warm-up is over: not cut at the very half, see `mser`."""
    batch = max(MSER_BATCH, math.ceil(2 * correlation))
    cut = mser(samples, batch)
    if correlation and cut and not _is_unlike(samples, cut, correlation):
        return 0, True
    return cut, cut < (len(samples) // batch // 2) * batch


def _is_unlike(samples: Samples, cut: int, correlation: float) -> bool:
    """Whether the mean before the cut is another than after it: |m_1 - m_2| > 3 s sqrt(b (1 / n_1 + 1 / n_2)).

    s is the standard deviation of the means of batches of b samples. It is that of all k batches, not of those after
    the cut, which was chosen to make theirs small; so no warm-up is farther off than sqrt(k), or about.
    """
    size = _batch_size(len(samples), correlation)
    means = batch_means(samples, size)
    if len(means) < 2:
        return True  # nothing tells that they are alike
    error = float(means.std(ddof=1)) * math.sqrt(size * (1 / cut + 1 / (len(samples) - cut)))
    return abs(float(samples[:cut].mean() - samples[cut:].mean())) > UNLIKE * error


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


def half_interval(means: Samples, confidence: float = CONFIDENCE) -> float:
    """Half the width of the confidence interval of the mean of batches, 95 % unless said.

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
    quantile = float(stdtrit(freedom, (1 + confidence) / 2))
    return quantile * math.sqrt(widened * spread / (count - 1) / count)
