"""Numbers with intervals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

MAX_BATCHES = 20
MIN_BATCHES = 5


@dataclass(frozen=True)
class Interval:
    """A number with its confidence interval.

    Attributes:
        value, low, high: in the same unit.
        num_batches: the number of batches behind it.
    """

    value: float
    low: float
    high: float
    num_batches: int

    def __contains__(self, number: float) -> bool:
        return self.low <= number <= self.high


def throughput_interval(
    completions_ns: ArrayLike, makespan_ns: int, *, num_workers: int = 1, level: float = 0.95
) -> Interval | None:
    """Throughput with its interval from batch means.

    The run up to the last of its N gradients is cut into k batches of equally many; T_j is the time a gradient in batch
    j, s^2 the sample variance of the T_j. With T = makespan / N, the interval T +- t_{k-1} s / sqrt(k) (Student) is
    turned into gradients per second: what comes after the last gradient counts in the value, but is no scatter. k is
    20, or half the rounds in a shorter run.

    Args:
        completions_ns: [num_gradients], when gradients were done, ascending, in nanoseconds since the begin.
        makespan_ns: end of the run.
        num_workers: batches hold a multiple of this many gradients, so that rounds in step are not cut.
        level: of confidence.
    Returns:
        gradients per second, or None where fewer than five batches of two rounds can be made, or where they scatter so
        much that T may be 0.
    Source: Law & Kelton, Simulation Modeling and Analysis, section 9.5.3; k after Schmeiser, Operations Research 1982.
    """
    from scipy import stats

    done = np.asarray(completions_ns, dtype=np.int64)
    num_batches = min(MAX_BATCHES, len(done) // num_workers // 2)  # two rounds a batch, or more
    if num_batches < MIN_BATCHES:
        return None
    cuts = np.linspace(0, len(done) // num_workers, num_batches + 1).round().astype(np.int64) * num_workers
    cuts[-1] = len(done)  # the last batch also has what does not fill a round
    bounds = np.concatenate(([0], done[cuts[1:] - 1]))  # a batch lasts until its last gradient
    times = np.diff(bounds) / np.diff(cuts) / 1e9
    mean = makespan_ns / len(done) / 1e9
    half = float(stats.t.ppf(0.5 + level / 2, num_batches - 1) * times.std(ddof=1) / np.sqrt(num_batches))
    return Interval(1 / mean, 1 / (mean + half), 1 / (mean - half), num_batches) if half < mean else None
