"""Intervals and fits against closed forms, and the interval against the truth it should cover."""

import numpy as np
import pytest
from scipy import stats

from analysis.measures.fits import calibration, duration_fits, link_fit, platform_toml, throughput_interval
from tests.analysis.fake_runs import MS, exchange, gossip_trace, gradient, trace_of


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


def test_durations_are_fitted_by_kernel_without_the_wait_for_the_engine():
    queued = {**gradient(0, 0, 0), "at": (0, 20 * MS, 30 * MS)}
    forward = {**gradient(0, 0, 0), "kernel": "F", "at": (0, 0, 2 * MS)}
    fits = duration_fits(trace_of(gradient(0, 0, 10 * MS), queued, forward))
    assert {name: (fit.count, fit.mean_s, fit.cv) for name, fit in fits.items()} == {
        "F": (1, 0.002, 0.0),
        "gradient": (2, 0.01, 0.0),
    }


def test_a_slow_rank_is_a_speed_and_no_scatter():
    fit = duration_fits(trace_of(*(gradient(rank, 0, (10 + 20 * rank) * MS) for rank in (0, 0, 1, 1))))["gradient"]
    assert fit.mean_s == pytest.approx(0.02)
    assert fit.cv == 0
    assert fit.speeds == pytest.approx((2, 2 / 3))


def test_cv_is_found_again():
    assert duration_fits(gossip_trace(gradients=500, cv=0.3))["gradient"].cv == pytest.approx(0.3, rel=0.05)


def test_latency_and_bandwidth_are_found_again_where_sizes_vary():
    sizes = np.array([0, 1e4, 1e5, 1e6, 1e6])
    fit = link_fit(sizes, 1e-3 + sizes / 1.25e8)
    assert fit.latency_s == pytest.approx(1e-3)
    assert fit.bandwidth == pytest.approx(1.25e8)
    assert (fit.num_transfers, fit.num_sizes) == (4, 3)
    assert fit.residual == pytest.approx(0, abs=1e-12)


def test_one_size_gives_the_effective_bandwidth_only():
    fit = link_fit([1e6, 1e6], [0.01, 0.03])
    assert (fit.latency_s, fit.bandwidth, fit.num_sizes) == (None, pytest.approx(5e7), 1)
    assert fit.residual == pytest.approx(0.5)


def test_a_negative_latency_is_not_believed():
    fit = link_fit([1e5, 1e6], [0.0001, 0.01])
    assert (fit.latency_s, fit.bandwidth) == (None, pytest.approx(1.1e6 / 0.0101))


def test_no_transfers_give_no_fit():
    assert link_fit([], []) is None
    assert link_fit([0, 0], [1, 1]) is None
    assert link_fit([8], [0]) is None
    with pytest.raises(ValueError, match=r"as many sizes as times, found \(2,\) and \(1,\)"):
        link_fit([1, 2], [1])


def test_transfers_are_told_by_who_receives():
    send = {"rank": 0, "op": "Send", "peer": 1, "bytes": 10**6, "at": (0, 0, 1)}
    receive = {"rank": 1, "op": "Receive", "peer": 0, "bytes": 10**6, "at": (0, 0, 10 * MS)}
    assert calibration(trace_of(send, receive)).link.bandwidth == pytest.approx(1e8)
    assert calibration(trace_of(send)).link.bandwidth == pytest.approx(1e15)
    assert calibration(trace_of(gradient(0, 0, 5))).link is None


def test_the_platform_table_is_toml_that_says_what_was_fitted():
    import tomllib

    rows = [exchange(0, 1, 0, 0, int(MS + 8 * size), size=size) for size in (10_000, 100_000, 1_000_000)]
    text = platform_toml(calibration(trace_of(gradient(0, 0, 10 * MS), *rows)), "gamma")
    table = tomllib.loads(text)["platform"]
    assert table["gradient"] == {"distribution": "gamma", "mean": "10 ms", "cv": 0}
    assert table["link"] == {"bandwidth": "1000 Mbit/s", "latency": "1000 us"}


def test_the_platform_table_says_where_latency_is_unknown():
    rows = [{"op": "Compute", "kernel": "F", "at": (0, 0, MS)}, exchange(0, 1, 0, 0, MS, size=1000)]
    text = platform_toml(calibration(trace_of(*rows)))
    assert "# F: mean" in text
    assert "contained in this bandwidth" in text
