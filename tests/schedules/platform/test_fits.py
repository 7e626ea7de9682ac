"""Durations of kernels as they were measured."""

import numpy as np
import pandas as pd
import pytest

from schedules.platform.fits import calibration, duration_table, kernel_fits
from schedules.platform.tables import Duration
from schedules.platform.transports import TRANSPORTS
from tests.analysis.fake_runs import MS, gossip_trace, gradient, trace_of


def test_durations_are_fitted_by_kernel_without_the_wait_for_the_engine():
    queued = {**gradient(0, 0, 0), "at": (0, 20 * MS, 30 * MS)}
    forward = {**gradient(0, 0, 0), "kernel": "F", "at": (0, 0, 2 * MS)}
    fits = kernel_fits(trace_of(gradient(0, 0, 10 * MS), queued, forward))
    assert {name: (fit.count, fit.mean_s, fit.cv) for name, fit in fits.items()} == {
        "F": (1, 0.002, 0.0),
        "gradient": (2, 0.01, 0.0),
    }


def test_a_slow_rank_is_a_speed_and_no_scatter():
    fit = kernel_fits(trace_of(*(gradient(rank, 0, (10 + 20 * rank) * MS) for rank in (0, 0, 1, 1))))["gradient"]
    assert fit.mean_s == pytest.approx(0.02)
    assert fit.cv == 0
    assert fit.speeds == pytest.approx({0: 2, 1: 2 / 3})
    assert fit.spread == pytest.approx(0.5)


def test_cv_is_found_again():
    assert kernel_fits(gossip_trace(gradients=500, cv=0.3))["gradient"].cv == pytest.approx(0.3, rel=0.05)


def test_the_first_computations_may_be_left_out():
    taken = [9, 9, 9, 1, 1, 1, 1, 9, 9, 9, 3, 3, 3, 3]
    columns = {"op": "Compute", "kernel": "gradient", "start_ns": 0, "ready_ns": 0}
    kernels = pd.DataFrame({**columns, "rank": [0] * 7 + [1] * 7, "end_ns": np.array(taken) * 10**9})
    fit = kernel_fits(kernels, warm_up=3)["gradient"]
    assert (fit.mean_s, fit.spread) == (2.0, 0.5)
    assert kernel_fits(kernels[:7], warm_up=3)["gradient"].spread == 0


@pytest.mark.parametrize("distribution", ["constant", "exponential", "lognormal", "gamma", "empirical"])
@pytest.mark.parametrize("cv", [0.0, 0.2])
def test_a_duration_is_one_that_a_scenario_accepts(distribution, cv):
    table = duration_table(0.5, cv, distribution)
    found = Duration.model_validate(table)
    assert found.mean == 0.5
    assert found.cv == (0 if distribution == "exponential" else cv)
    if distribution != "empirical" and cv and distribution != "constant":
        assert found.distribution == distribution


def slow_ranks(*speeds, cv):
    draw = np.random.default_rng(0)
    taken = [(rank, kernel, mean / speed) for rank, speed in enumerate(speeds) for kernel, mean in KERNELS.items()]
    rows = [
        {**gradient(rank, 0, round(1e9 * seconds * draw.normal(1, cv))), "kernel": kernel}
        for rank, kernel, seconds in taken
        for _ in range(50)
    ]
    return calibration(trace_of(*rows), TRANSPORTS["ideal"])


KERNELS = {"gradient": 0.3, "optimizer": 0.01}


def test_speeds_are_those_of_all_kernels():
    found = slow_ranks(1.0, 0.5, 1.0, cv=0.0)
    relative = {rank: speed / found.rank_speeds()[0] for rank, speed in found.rank_speeds().items()}
    assert relative == pytest.approx({0: 1, 1: 0.5, 2: 1})
    assert found.has_speeds
    for kernel, fit in found.kernels.items():
        assert fit.mean_s / found.rank_speeds()[1] == pytest.approx(KERNELS[kernel] / 0.5)


def test_scatter_is_no_difference_of_speeds():
    assert not slow_ranks(1.0, 1.0, 1.0, cv=0.2).has_speeds
    assert slow_ranks(1.0, 0.7, 1.0, cv=0.2).has_speeds
    assert not calibration(trace_of(gradient(0, 0, 5), gradient(1, 0, 9)), TRANSPORTS["ideal"]).has_speeds


def computed_at(stage, rank, *milliseconds):
    return [{**gradient(rank, 0, taken * MS), "kernel": "F", "stage": stage} for taken in milliseconds]


def test_the_stages_of_a_kernel_are_fitted_apart():
    """Stages differ in what they take and ranks in speed: rank 2 takes twice as long for stage 1 as rank 1 does."""
    rows = [*computed_at(0, 0, 9, 11), *computed_at(1, 1, 4, 4), *computed_at(1, 2, 8, 8)]
    fit = kernel_fits(trace_of(*rows))["F"]
    assert fit.stages == pytest.approx({0: 0.01, 1: 0.006})
    assert fit.speeds == pytest.approx({0: 1, 1: 1.5, 2: 0.75})
    assert fit.cv == pytest.approx((0.02 / 3) ** 0.5)  # two of six are 10 % off, and three means are fitted
    assert fit.tables() == [
        {"distribution": "lognormal", "mean": pytest.approx(mean), "cv": fit.cv} for mean in (0.01, 0.006)
    ]


def test_stages_without_the_kernel_take_no_time():
    fit = kernel_fits(trace_of(*computed_at(2, 0, 7, 7)))["F"]
    assert [each["mean"] for each in fit.tables()] == [0, 0, 0.007]
    assert kernel_fits(trace_of(*computed_at(-1, 0, 7)))["F"].tables() == {"distribution": "constant", "mean": 0.007}
