"""Slow spells that are rare beside the run: what is known of them beforehand makes it long enough."""

import math
from typing import Any

import numpy as np
import pytest

from benchmarks.steady_coverage import CASES, SpellCase, stopped, truth
from schedules.platform.computing import Stragglers
from schedules.platform.stragglers import Pace, pace
from simulator.run import simulate
from simulator.steady.precision import Samples, estimate, mser
from simulator.steady.rule import MIN_SPELLS, StoppingRule
from simulator.steady.spells import Spells, slow_spells

RARE = Stragglers(slowdown=5.0, mean_normal=100.0, mean_slow=20.0)
CORRELATION = 1 / (1 / 100 + 1 / 20)
"""In seconds."""


# ---- what is known of spells


def test_spells_are_counted_by_their_beginning_over_all_ranks() -> None:
    spells = Spells(RARE, [Pace(5.0, (100, 180, 300)), Pace(5.0, (50, 120), starts_slow=True)])
    assert [spells.seen(0, until) for until in (1, 100, 101, 120, 121, 301)] == [1, 1, 2, 2, 3, 4]
    assert spells.seen(1, 301) == 3
    assert spells.seen(101, 300) == 1


@pytest.mark.parametrize("table", [None, {"slowdown": 1.0}, {"slowdown": 5.0, "ranks": []}])
def test_where_nothing_is_ever_slow_there_are_no_spells(table: dict[str, Any] | None) -> None:
    stragglers = None if table is None else Stragglers(mean_normal=1.0, mean_slow=1.0, **table)
    assert slow_spells(stragglers, 0, 4) is None


def test_spells_are_those_of_the_run_and_of_its_ranks() -> None:
    table = RARE.model_copy(update={"ranks": [1, 3]})
    spells = slow_spells(table, 7, 3)
    assert spells is not None
    assert spells.seen(0, 10**13) == len(pace(RARE, 7, 1).slow_spells(10**13))


def test_a_rank_forgets_whether_it_is_slow_as_fast_as_is_said() -> None:
    spells = slow_spells(RARE, 0, 1)
    assert spells is not None
    assert spells.correlation_ns == pytest.approx(CORRELATION * 1e9)
    ends = np.array(pace(RARE, 0, 0).slow_spells(10**15)).ravel()
    is_slow = np.searchsorted(ends, np.arange(0, 10**15, 10**10), side="right") % 2
    assert np.corrcoef(is_slow[1:], is_slow[:-1])[0, 1] == pytest.approx(math.exp(-10 / CORRELATION), abs=0.02)


# ---- batches, and the warm-up


def blocks(*lengths: int) -> Samples:
    """Samples of 1 and 5 by turns, so many of each."""
    return np.repeat(np.resize([1.0, 5.0], len(lengths)), lengths)


def test_batches_are_ten_times_as_long_as_the_correlation_and_twenty_at_the_least() -> None:
    samples = np.random.default_rng(0).normal(10, 1, size=10_000)
    found = [estimate(samples[:count], 50) for count in (9_999, 10_000)]
    assert [(each.batch_size, each.num_batches, each.is_settled) for each in found] == [
        (500, 19, False),
        (500, 20, True),
    ]
    assert estimate(samples, 0.1).num_batches == 100
    assert estimate(samples[:100], 50).batch_size == 100


def test_a_spell_at_the_beginning_is_no_warm_up() -> None:
    lengths = np.random.default_rng(1).exponential(np.resize([1000, 200], 60)) + 1
    samples = blocks(100, 300, *lengths.astype(int))
    assert mser(samples) == 400
    assert estimate(samples, 167).warm_up == 0


def test_a_warm_up_is_cut_beside_spells() -> None:
    samples = blocks(*[100, 20] * 200)
    samples[:500] += 50
    found = estimate(samples, 17)
    assert 500 <= found.warm_up < 600
    assert found.low < 1 + 4 / 6 < found.high


def test_the_interval_is_that_of_independent_batches_and_of_the_correlation_within() -> None:
    """Batches of ten correlation times: their variance is a tenth too small, and there is nothing else to correct."""
    noise = np.random.default_rng(1).normal(size=40_000)
    known, plain = estimate(noise, 40), estimate(noise, 1e-9)
    assert known.num_batches == plain.num_batches == 100
    assert known.high - known.low == pytest.approx((plain.high - plain.low) / math.sqrt(0.9), rel=1e-6)


# ---- when a run is stopped


@pytest.mark.slow
@pytest.mark.parametrize("width", [0.1, 0.05])
def test_the_interval_holds_the_answer_of_rare_spells(width: float) -> None:
    """In 91 of 100 seeds at the least, or the run goes on."""
    case = CASES["gossip"]
    known = truth(case)
    assert known == pytest.approx(1e9 / (1 - 1 / 6 / 2))
    series = [case.samples(case.paces(seed), 40_000) for seed in range(100)]
    runs = [stopped(case, width, seed, samples, known) for seed, samples in enumerate(series)]
    assert sum(run is not None for run in runs) > 90
    assert sum(run is None or run["is_held"] for run in runs) >= 91


@pytest.mark.parametrize(("program", "is_in_step"), [("gossip", False), ("all-reduce", True)])
def test_the_series_of_the_benchmark_are_those_of_a_simulation(program: str, is_in_step: bool) -> None:
    table = {"slowdown": 5.0, "mean_normal": 100.0, "mean_slow": 20.0}
    tables = scenario(precision=0.3, seed=3, limit=10**6)
    tables["schedule"]["program"] = program
    tables["platform"] = {"gradient": {"mean": 4.0}, "stragglers": table, "transport": "none"}
    summary = simulate(tables).summary
    case = SpellCase(is_in_step, 2, 5.0, 4.0, 50_000)
    run = stopped(case, 0.3, 3, case.samples(case.paces(3), 50_000), 0.0)
    assert run is not None
    assert (run["slow_spells"], run["batches"]) == (summary["slow_spells"], summary["batches"])
    assert run["batch_s"] == pytest.approx(summary["batch_s"], rel=1e-6)
    width = (summary["throughput_high"] - summary["throughput_low"]) / summary["throughput_mean"]
    assert run["width"] == pytest.approx(width, rel=1e-6)


def test_a_run_that_has_seen_few_spells_goes_on() -> None:
    """And one whose interval is narrow for the first time."""
    samples = np.random.default_rng(3).normal(1e9, 1e7, size=30_000)
    few, many = (Spells(RARE, [Pace(5.0, range(10**9, 10**9 * count, 10**9))]) for count in (2 * MIN_SPELLS, 999))
    assert not any(StoppingRule(0.5, few).is_reached(samples) for _ in range(2))
    rule = StoppingRule(0.5, many)
    assert [rule.is_reached(samples) for _ in range(2)] == [False, True]
    assert StoppingRule(0.5).is_reached(samples)


def scenario(**run: Any) -> dict[str, Any]:
    return {
        "schedule": {"program": "all-reduce", "gradients": 10},
        "topology": {"graph": "complete", "workers": 2},
        "platform": {
            "gradient": {"mean": 1.0},
            "stragglers": {"slowdown": 2.0, "mean_normal": 5.0, "mean_slow": 1.0},
        },
        "workload": {"parameters": 1},
        "run": {"until": "precision", "precision": 0.2, "trace": False, **run},
    }


def test_a_run_tells_how_many_spells_it_has_seen() -> None:
    summary = simulate(scenario()).summary
    assert summary["precision_reached"]
    assert MIN_SPELLS <= summary["slow_spells"] == pytest.approx(summary["makespan_s"] / 6 * 2, rel=0.2)
    assert summary["batch_s"] >= 10 * 5 / 6
    assert summary["batches"] * summary["batch_s"] == pytest.approx(summary["makespan_s"], rel=0.05)


def test_the_limit_comes_first_where_spells_are_too_rare() -> None:
    summary = simulate(scenario(limit=100)).summary
    assert not summary["precision_reached"]
    assert 0 < summary["slow_spells"] < MIN_SPELLS
    assert summary["batches"] < 20


def test_a_platform_without_spells_has_none_to_tell_of() -> None:
    without = scenario()
    del without["platform"]["stragglers"]
    assert simulate(without).summary["slow_spells"] is None
