"""Intervals against closed forms, and against the truth that they should cover."""

import numpy as np
import pytest
from scipy import stats

from analysis.measures.intervals import throughput_interval
from tests.analysis.fake_runs import MS


def test_a_steady_run_has_an_interval_of_no_width():
    interval = throughput_interval(np.arange(1, 101) * MS, 100 * MS)
    assert (interval.value, interval.num_batches) == (1000.0, 20)
    assert interval.low == pytest.approx(1000.0)
    assert interval.high == pytest.approx(1000.0)


def test_interval_is_students_t_on_the_batches():
    done = np.cumsum(np.tile([1, 1, 3, 3], 5)) * MS  # ten batches of two: 1, 3, 1, 3, ... ms a gradient
    interval = throughput_interval(done, int(done[-1]))
    half = stats.t.ppf(0.975, 9) * np.std([1, 3] * 5, ddof=1) / np.sqrt(10)
    assert interval.num_batches == 10
    assert interval.value == pytest.approx(500)
    assert interval.low == pytest.approx(1000 / (2 + half))
    assert interval.high == pytest.approx(1000 / (2 - half))
    assert 500 in interval
    assert 300 not in interval


def test_the_value_is_gradients_over_makespan_whatever_the_batches():
    done = np.sort(np.random.default_rng(0).integers(0, 10**9, 137))
    assert throughput_interval(done, 1_100_000_000, num_workers=4).value == pytest.approx(137 / 1.1)


def test_what_comes_after_the_last_gradient_is_no_scatter():
    interval = throughput_interval(np.arange(1, 101) * MS, 200 * MS)
    assert (interval.low, interval.value, interval.high) == pytest.approx((500, 500, 500))


def test_workers_in_step_are_not_cut_apart():
    done = np.repeat(np.arange(1, 51), 8) * MS  # eight workers finish together
    interval = throughput_interval(done, 50 * MS, num_workers=8)
    assert interval.high - interval.low == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(("num_gradients", "num_workers"), [(0, 1), (9, 1), (39, 4)])
def test_a_short_run_has_no_interval(num_gradients, num_workers):
    assert throughput_interval(np.arange(1, num_gradients + 1), 1000, num_workers=num_workers) is None


def test_a_run_with_one_long_stall_has_no_interval():
    assert throughput_interval([*range(1, 10), 10**9], 10**9) is None


def test_the_interval_covers_the_truth_as_often_as_it_says():
    generator = np.random.default_rng(7)
    covered = 0
    for _ in range(300):
        done = np.cumsum(generator.exponential(1e6, 400)).astype(np.int64)
        covered += 1000.0 in throughput_interval(done, int(done[-1]))
    assert 0.92 <= covered / 300 <= 0.98
