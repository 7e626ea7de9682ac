"""Intervals against closed forms, and against the truth that they should cover."""

import math
from itertools import pairwise

import numpy as np
import pytest

from analysis.measures.intervals import (
    Difference,
    exchange_rate_difference,
    exchange_rate_interval,
    spread,
    throughput_difference,
    throughput_interval,
)
from analysis.measures.progress import Progress
from tests.analysis.fake_runs import MS

STUDENT = {4: 2.7764451, 9: 2.2621572, 19: 2.0930241}
"""97.5 % quantiles of Student's t by degrees of freedom, from printed tables."""


def run(*ranks, exchanges=(), window_ns=None):
    """A run whose ranks finished gradients at these times, in milliseconds."""
    gradients = {rank: np.asarray(np.asarray(done) * MS, dtype=np.int64) for rank, done in enumerate(ranks)}
    last = min(int(done[-1]) for done in gradients.values()) if window_ns is None else window_ns
    return Progress(gradients, np.asarray(exchanges, dtype=np.int64), last)


def half_width(values):
    """Student's t times the standard error, by hand."""
    mean = sum(values) / len(values)
    variance = sum((each - mean) ** 2 for each in values) / (len(values) - 1)
    return STUDENT[len(values) - 1] * math.sqrt(variance / len(values))


def batches(done_s, size):
    """What batches of so many gradients change R = K / T by: K / T (2 - k tau / T), by hand."""
    cuts = [0.0, *done_s[size - 1 :: size]]
    took, number = cuts[-1], len(cuts) - 1
    rate = number * size / took
    return [rate * (2 - number * (after - before) / took) for before, after in pairwise(cuts)]


def test_a_steady_run_has_an_interval_of_no_width():
    interval = throughput_interval(run(range(1, 101)))
    assert interval.num_batches == 20
    assert (interval.low, interval.value, interval.high) == pytest.approx((1000, 1000, 1000))


def test_interval_is_students_t_on_the_batches():
    done = np.cumsum(np.tile([1, 1, 3, 3], 5))  # ten batches of two: 1, 3, 1, 3, ... ms a gradient
    interval = throughput_interval(run(done))
    values = batches([each / 1e3 for each in done.tolist()], 2)
    assert sorted(set(np.round(values))) == [250, 750]
    assert interval.num_batches == 10
    assert interval.value == pytest.approx(500)
    assert interval.half_width == pytest.approx(half_width(values))
    assert 500 in interval
    assert 900 not in interval


def test_the_value_is_the_sum_over_ranks_of_gradients_over_their_last():
    fast, slow = range(10, 1010, 10), range(40, 1001, 40)
    found = run(fast, slow)
    assert found.throughput == pytest.approx(100 + 25)
    assert throughput_interval(found).value == pytest.approx(125)


def test_ranks_in_step_are_not_cut_apart():
    ranks = [[each + rank / 1000 for each in range(1, 51)] for rank in range(8)]  # a microsecond apart
    interval = throughput_interval(run(*ranks))
    assert interval.value == pytest.approx(8000, rel=1e-3)
    assert interval.half_width < 1e-3 * interval.value  # cut apart they would scatter by an eighth of a batch


@pytest.mark.parametrize("num_gradients", [0, 1, 9])
def test_a_short_run_has_no_interval(num_gradients):
    short = run(range(1, num_gradients + 1), window_ns=100 * MS)
    assert throughput_interval(short if num_gradients else Progress({}, short.exchanges, 0)) is None
    assert throughput_difference(short, short, is_paired=True) is None


def test_a_run_with_one_long_stall_has_no_interval():
    assert throughput_interval(run([*range(1, 10), 10**5])) is None


def test_the_interval_covers_the_truth_as_often_as_it_says():
    generator = np.random.default_rng(7)
    covered = 0
    for _ in range(300):
        covered += 1000.0 in throughput_interval(run(np.cumsum(generator.exponential(1, 400))))
    assert 0.92 <= covered / 300 <= 0.98


def test_the_interval_of_an_exchange_rate_is_that_of_a_ratio():
    """Ten batches of 10 ms with 10 gradients, and one and two exchanges (of two ends) in turn."""
    gradients = np.arange(0.5, 100)
    ends = [(10 * batch + 5 + each) * MS for batch in range(10) for each in range(2 * (1 + batch % 2))]
    found = run(gradients, exchanges=ends, window_ns=100 * MS)
    assert found.exchange_rate == pytest.approx(0.3)
    interval = exchange_rate_interval(found)
    # Twenty batches of five gradients: none of 2 or 4 ends in the first half of each ten, all in the second.
    values = [each / 5 for batch in range(10) for each in (0, 2 * (1 + batch % 2))]
    assert (interval.value, interval.num_batches) == (pytest.approx(0.3), 20)
    assert interval.half_width == pytest.approx(half_width(values))


# ---- differences


def test_a_paired_difference_is_that_of_batches_of_the_same_gradients():
    took = np.tile([1.0, 2.0, 4.0], 34)[:100]
    fast, slow = took.cumsum(), (1.1 * took).cumsum()
    found = throughput_difference(run(fast), run(slow), is_paired=True)
    ours, theirs = (batches([each / 1e3 for each in done.tolist()], 10) for done in (fast, slow))
    between = [a - b for a, b in zip(ours, theirs, strict=True)]
    assert found.value == pytest.approx(sum(between) / 10) == pytest.approx(1e5 / fast[-1] - 1e5 / slow[-1])
    assert found.half_width == pytest.approx(half_width(between), rel=1e-4)
    assert (found.num_above, found.num_below, found.num_batches) == (10, 0, 10)
    assert found.is_one_sided
    unpaired = throughput_difference(run(fast), run(slow), is_paired=False)
    halves = [throughput_interval(run(done)).half_width for done in (fast, slow)]
    assert unpaired.half_width == pytest.approx(math.hypot(*halves))
    assert not unpaired.is_one_sided
    assert not unpaired.is_paired


def test_only_gradients_that_both_made_are_paired():
    long, short = run(range(1, 121)), run(range(2, 201, 2))
    found = throughput_difference(long, short, is_paired=True)
    assert found.value == pytest.approx(500)
    assert found.half_width == pytest.approx(0, abs=1e-6)


def test_short_runs_are_paired_in_five_batches():
    found = throughput_difference(run(range(1, 21)), run(range(1, 21)), is_paired=True)
    assert found.num_batches == 5


def test_a_difference_of_nothing_is_exactly_zero():
    generator = np.random.default_rng(3)
    one = run(np.cumsum(generator.exponential(1, 200)))
    found = throughput_difference(one, one, is_paired=True)
    assert found == Difference(0.0, 0.0, 0.0, True, 0, 0, 10)
    assert found.is_zero
    assert not found.is_one_sided


def test_exchange_rates_are_paired_by_the_time_of_the_ticks():
    """Ticks at random, of which the second run answers three of four, and one gradient a millisecond."""
    gradients = np.arange(0.5, 200)
    ticks = np.sort(np.random.default_rng(5).uniform(0, 200 * MS, 200))
    late = [each for number, each in enumerate(ticks) if number % 4]
    runs = [run(gradients, exchanges=ends, window_ns=200 * MS) for ends in (ticks, late)]
    found = exchange_rate_difference(*runs, is_paired=True)
    counts = [np.searchsorted(ends, np.arange(0, 201, 20) * MS) for ends in (ticks, late)]
    values = ((np.diff(counts[0]) - np.diff(counts[1])) / 20).tolist()
    assert found.num_batches == len(values) == 10
    assert found.value == pytest.approx(0.25) == pytest.approx(runs[0].exchange_rate - runs[1].exchange_rate)
    assert found.half_width == pytest.approx(half_width(values))
    assert found.is_one_sided
    assert found.half_width < exchange_rate_difference(*runs, is_paired=False).half_width / 2


def test_where_a_run_goes_on_without_ticks_the_difference_told_is_that_of_the_whole_windows():
    """The second run makes its 200 gradients in a fifth more time, and its clocks stop with those of the first."""
    ticks = np.sort(np.random.default_rng(5).uniform(0, 200 * MS, 200))
    first = run(np.arange(0.5, 200), exchanges=ticks, window_ns=200 * MS)
    second = run(np.arange(0.5, 200) * 1.2, exchanges=ticks, window_ns=240 * MS)
    found = exchange_rate_difference(first, second, is_paired=True)
    assert found.value == pytest.approx(0, abs=1e-12)
    assert found.half_width < 0.1 < exchange_rate_difference(first, second, is_paired=False).half_width
    assert exchange_rate_difference(first, first, is_paired=True).is_zero


def test_the_spread_between_runs_is_students_t_on_their_means():
    found = spread([100.0, 102.0, 98.0, 101.0, 99.0])
    assert found.value == 100
    assert found.half_width == pytest.approx(half_width([100.0, 102.0, 98.0, 101.0, 99.0]))
    assert spread([100.0]) is None
