"""Numbers with intervals: of one run, of the difference of two, and between repeated runs.

A run up to its window's end is cut into batches, and each batch is given a value such that their mean is the number
itself. Its error is then that of a mean: t_{k-1} s / sqrt(k), with Student's t and the standard deviation s of the k
values. Where a number R is no mean, the value is R and the batch's share of R's first-order change.

Where two runs drew the same durations and clocks, a batch is the same gradients in both (of an exchange rate: the same
time, at which the same ticks come), and what is looked at is the difference of the two values: what both
runs owe to the same draws cancels.

Sources: Law & Kelton, Simulation Modeling and Analysis, sections 9.5.3 (batch means) and 11.2 (common random numbers);
Cochran, Sampling Techniques, section 6.4 (ratios).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from analysis.measures.progress import Progress

MAX_BATCHES: Final = 20
MAX_PAIRS: Final = 10
MIN_BATCHES: Final = 5
_ROUNDS_OF_A_BATCH: Final = 2
_ROUNDS_OF_A_PAIR: Final = 10  # what has come to differ goes on to: batches of differences must be longer

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """A number with its 95 % confidence interval.

    Attributes:
        value, low, high: in the same unit.
        num_batches: the number of batches, or of runs, behind it.
    """

    value: float
    low: float
    high: float
    num_batches: int

    @property
    def half_width(self) -> float:
        """Half of what lies between the two ends."""
        return (self.high - self.low) / 2

    def __contains__(self, number: float) -> bool:
        return self.low <= number <= self.high


@dataclass(frozen=True)
class Difference:
    """The difference of a number between two runs, with its 95 % confidence interval.

    Attributes:
        value, low, high: first less second run.
        is_paired: whether both drew the same durations and clocks, and the interval is that of paired differences.
        num_above, num_below: paired differences above and below 0.
        num_batches: all of them, or the batches of the run that has fewer.
    """

    value: float
    low: float
    high: float
    is_paired: bool
    num_above: int
    num_below: int
    num_batches: int

    @property
    def half_width(self) -> float:
        """Half of what lies between the two ends."""
        return (self.high - self.low) / 2

    @property
    def is_zero(self) -> bool:
        """Whether there is no difference at all, in any batch."""
        return self.value == 0 and self.is_paired and not self.num_above and not self.num_below

    @property
    def is_one_sided(self) -> bool:
        """Whether all paired differences have one sign."""
        return self.is_paired and self.num_batches in (self.num_above, self.num_below)


def throughput_interval(run: Progress) -> Interval | None:
    """Throughput in gradients/s with its interval: 20 batches, or half as many as a rank has gradients.

    Returns:
        None where there are fewer than five batches of two gradients a rank, or where they scatter so much that the
        throughput may be 0.
    """
    counts = _counts(run)
    num_batches = _num_batches(counts, MAX_BATCHES, _ROUNDS_OF_A_BATCH)
    return None if num_batches is None else _positive(_throughput_values(run, counts, num_batches))


def exchange_rate_interval(run: Progress) -> Interval | None:
    """Exchanges a gradient with their interval, as `throughput_interval`."""
    num_batches = _num_batches(_counts(run), MAX_BATCHES, _ROUNDS_OF_A_BATCH)
    return None if num_batches is None else _positive(_exchange_rate_values(run, num_batches))


def throughput_difference(first: Progress, second: Progress, *, is_paired: bool) -> Difference | None:
    """The throughput of the first run less that of the second, in gradients/s.

    Paired: of as many gradients of each rank as both runs made in their windows, in at most ten batches, each of ten
    gradients a rank or more where the run is long enough for five such.

    Args:
        is_paired: whether both drew the same durations and clocks.
    Returns:
        None where either is too short or too uneven for an interval.
    """
    if not is_paired:
        return _unpaired(throughput_interval(first), throughput_interval(second))
    ours, theirs = _counts(first), _counts(second)
    counts = {rank: min(ours[rank], theirs[rank]) for rank in ours if rank in theirs}
    num_batches = _num_batches(counts, MAX_PAIRS, _ROUNDS_OF_A_PAIR)
    if num_batches is None:
        return None
    values = [_throughput_values(run, counts, num_batches) for run in (first, second)]
    return _paired(values[0] - values[1])


def exchange_rate_difference(first: Progress, second: Progress, *, is_paired: bool) -> Difference | None:
    """Exchanges a gradient of the first run less those of the second, as `throughput_difference`.

    Paired: of the same times in both runs, at which the same ticks come, up to the end of the shorter window. They are
    moved to the difference of the whole windows, which is the one that is told: where one run is slower, its clocks
    may have stopped before its gradients are done.
    """
    if not is_paired:
        return _unpaired(exchange_rate_interval(first), exchange_rate_interval(second))
    runs = [run.until(min(first.window_ns, second.window_ns)) for run in (first, second)]
    found = [_num_batches(_counts(run), MAX_PAIRS, _ROUNDS_OF_A_PAIR) for run in runs]
    if found[0] is None or found[1] is None:
        return None
    ours, theirs = (_exchange_rate_values(run, min(found[0], found[1])) for run in runs)
    between = ours - theirs
    return _paired(between + (first.exchange_rate - second.exchange_rate - between.mean()))


def spread(values: Sequence[float]) -> Interval | None:
    """The mean of a number over repeated runs, with its interval; None of one run."""
    return _of_mean(np.asarray(values, dtype=np.float64)) if len(values) > 1 else None


# ---- values of batches


def _counts(run: Progress) -> dict[int, int]:
    """Gradients of each rank."""
    return {rank: len(done) for rank, done in run.gradients.items()}


def _num_batches(counts: Mapping[int, int], most: int, rounds: int) -> int | None:
    """As many as there may be of so many rounds, but five where there is room for five short ones."""
    of_a_rank = sum(counts.values()) // max(len(counts), 1)
    if of_a_rank < MIN_BATCHES * _ROUNDS_OF_A_BATCH:
        return None
    return min(most, max(MIN_BATCHES, of_a_rank // rounds))


def _throughput_values(run: Progress, counts: Mapping[int, int], num_batches: int) -> Values:
    """Of batches with equally many of the first `counts` gradients of each rank: float64 [num_batches].

    With R = sum of K_i / T_i and batch j taking tau_ij of T_i, the value is sum of K_i / T_i (2 - k tau_ij / T_i).
    """
    values = np.zeros(num_batches)
    for rank, count in counts.items():
        done = np.concatenate(([0.0], run.gradients[rank][:count] / 1e9))
        cuts = np.interp(np.linspace(0, count, num_batches + 1), np.arange(count + 1), done)
        if (took := cuts[-1]) > 0:
            values += count / took * (2 - num_batches * np.diff(cuts) / took)
    return values


def _exchange_rate_values(run: Progress, num_batches: int) -> Values:
    """Of batches of equal time: float64 [num_batches].

    With E ends of exchanges, G gradients and R = E / G, batch j has the value R + k (e_j - R g_j) / G.
    """
    cuts = np.linspace(0, run.window_ns, num_batches + 1)
    gradients = np.concatenate([*run.gradients.values()])
    num_ends, num_gradients = (np.histogram(times, cuts)[0] for times in (run.exchanges, gradients))
    rate = run.exchange_rate
    return np.asarray(rate + num_batches * (num_ends - rate * num_gradients) / run.num_gradients)


# ---- intervals of means


def _of_mean(values: Values) -> Interval:
    from scipy import stats

    mean = float(values.mean())
    half = float(stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)))
    return Interval(mean, mean - half, mean + half, len(values))


def _positive(values: Values) -> Interval | None:
    found = _of_mean(values)
    return found if found.low > 0 else None


def _paired(between: Values) -> Difference:
    found = _of_mean(between)
    above, below = int((between > 0).sum()), int((between < 0).sum())
    return Difference(found.value, found.low, found.high, True, above, below, len(between))


def _unpaired(first: Interval | None, second: Interval | None) -> Difference | None:
    """Of two runs that have nothing in common, the squares of the half-widths add up."""
    if first is None or second is None:
        return None
    value, half = first.value - second.value, float(np.hypot(first.half_width, second.half_width))
    return Difference(value, value - half, value + half, False, 0, 0, min(first.num_batches, second.num_batches))
