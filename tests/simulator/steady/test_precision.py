"""`run.until = "precision"`: the statistics against known cases, and runs that stop when their throughput is known."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats
from scipy.signal import lfilter

from schedules.errors import DeadlockError, ScenarioError
from schedules.operations import Compute, Program, Receive
from schedules.record.ledger import Ledger
from schedules.result import Result
from schedules.scenario import RunTable, load
from schedules.training.state import descend
from schedules.worker import Worker
from simulator.run import simulate
from simulator.steady import precision
from simulator.steady.precision import MIN_SAMPLES, Samples, estimate, half_interval, mser, von_neumann
from simulator.steady.stopping import Steady
from simulator.sweep import sweep
from tests.simulator import rig

EXPONENTIAL = {"mean": 1.0, "distribution": "exponential"}
GAMMA = {"mean": 1.0, "distribution": "gamma", "cv": 0.5}
CONSTANT = {"mean": 1.0}
LINK = {"bandwidth": 1e6, "latency": 0.05}


def tables(program: str, workers: int = 2, gradient: Mapping[str, Any] = GAMMA, **run: Any) -> dict[str, Any]:
    """Parameters of 8 kB on a complete graph: a message takes 58 ms."""
    return {
        "schedule": {"program": program, "gradients": 10},
        "topology": {"graph": "complete", "workers": workers},
        "platform": {"gradient": gradient, "link": LINK, "collectives": {"all_reduce": "ring"}},
        "workload": {"parameters": 2000},
        "run": {"until": "precision", "precision": 0.1, "trace": False, **run},
    }


def autoregressive(generator: np.random.Generator, phi: float, count: int, mean: float = 1.0) -> Samples:
    """First order, stationary, of variance 1: the variance of its mean is (1 + phi) / (1 - phi) / count, in the end."""
    noise = generator.normal(0, math.sqrt(1 - phi * phi), count)
    noise[0] = generator.normal()
    series: Samples = mean + lfilter([1], [1, -phi], noise)
    return series


# ---- the warm-up


def mser_by_definition(samples: Samples) -> int:
    means = [float(np.mean(samples[i : i + 5])) for i in range(0, len(samples) // 5 * 5, 5)]
    errors = [np.var(means[d:]) / (len(means) - d) for d in range(len(means) // 2 + 1)]
    return int(np.argmin(errors)) * 5


@pytest.mark.parametrize("count", [10, 11, 57, 400])
def test_mser_is_what_its_definition_says(count: int) -> None:
    for seed in range(20):
        generator = np.random.default_rng([count, seed])
        samples = 3 * np.exp(-np.arange(count) / 20) + generator.gamma(2, size=count)
        assert mser(samples) == mser_by_definition(samples)


def test_mser_cuts_a_step_where_it_is() -> None:
    assert mser(np.array([9.0] * 40 + [1.0, 2.0] * 100)) == 40


def test_mser_cuts_nothing_from_equal_samples_however_large() -> None:
    assert mser(np.full(1000, 1e15 + 1)) == 0


def test_without_a_second_batch_nothing_is_cut() -> None:
    assert mser(np.array([9.0, 1, 1, 1, 1, 1, 1, 1, 1])) == 0


def test_a_transient_is_cut() -> None:
    generator = np.random.default_rng(5)
    decay = 20 * np.exp(-np.arange(4000) / 100)  # the mean of all samples is 1.5
    found = [estimate(autoregressive(generator, 0.5, 4000) + decay) for _ in range(100)]
    assert 200 < np.mean([each.warm_up for each in found]) < 600  # e^-3 of the decay and less is left
    assert np.mean([each.mean for each in found]) == pytest.approx(1, abs=0.03)
    assert sum(each.low <= 1 <= each.high for each in found) >= 88


def test_a_series_that_never_settles_is_told() -> None:
    noise = np.random.default_rng(1).normal(size=2000)
    assert not estimate(np.linspace(100, 0, 2000) + noise).is_settled


# ---- batches and their interval


def test_von_neumann_of_four_numbers() -> None:
    # squared differences 1 + 1 + 1, squared deviations 2.25 + 0.25 + 0.25 + 2.25: C = 1 - 3 / 10
    assert von_neumann(np.array([1.0, 2, 3, 4])) == pytest.approx(0.7 / math.sqrt(2 / 15))


def test_von_neumann_of_independent_batches_is_standard_normal() -> None:
    found = [von_neumann(each) for each in np.random.default_rng(2).normal(size=(4000, 64))]
    assert np.mean(found) == pytest.approx(0, abs=0.05)
    assert np.std(found) == pytest.approx(1, abs=0.03)
    assert np.mean(np.array(found) > precision.REJECTED) == pytest.approx(0.1, abs=0.015)


def test_the_interval_of_uncorrelated_batches_is_students() -> None:
    means = np.array([3.0, 1.0, 4.0, 1.0, 5.0, 2.0])  # lag-one correlation below zero
    low, high = stats.t.interval(0.95, 5, means.mean(), stats.sem(means))
    assert half_interval(means) == pytest.approx((high - low) / 2)


def test_correlation_that_is_left_widens_the_interval() -> None:
    means = np.array([1.0, 2.0, 3.0, 4.0])  # r = (0.75 - 0.25 + 0.75) / 5 = 1/4, a = 5/3, 4 / a - 1 = 1.4
    expected = stats.t.ppf(0.975, 1.4) * math.sqrt(5 / 3 * np.var(means, ddof=1) / 4)
    assert half_interval(means) == pytest.approx(expected)


def test_batches_grow_until_no_correlation_is_seen() -> None:
    generator = np.random.default_rng(4)
    settled = {
        count: np.mean([estimate(autoregressive(generator, 0.95, count)).is_settled for _ in range(200)])
        for count in (700, 40_000)
    }
    assert settled[700] < 0.1  # batches of 17, and the correlation falls to 1 / e in twenty
    assert settled[40_000] > 0.8  # nine in ten, at the level of the test


def test_there_are_about_forty_batches() -> None:
    for count in (640, 1000, 9999):
        found = estimate(np.random.default_rng(count).normal(size=count))
        assert 40 <= found.num_batches < 60
        assert found.num_batches * found.batch_size <= count - found.warm_up


@pytest.mark.parametrize("phi", [-0.5, 0.0, 0.5, 0.8])
def test_the_interval_is_as_wide_as_it_should_be_and_holds_the_mean(phi: float) -> None:
    generator = np.random.default_rng(3)
    found = [estimate(autoregressive(generator, phi, 3000)) for _ in range(400)]
    known = 1.96 * math.sqrt((1 + phi) / (1 - phi) / 3000)
    assert np.mean([(each.high - each.low) / 2 for each in found]) == pytest.approx(known, rel=0.12)
    assert 0.91 <= np.mean([each.low <= 1 <= each.high for each in found]) <= 0.98


def test_equal_samples_are_known_exactly() -> None:
    found = estimate(np.full(MIN_SAMPLES, 1_234_567_891.0))
    assert found.low == found.mean == found.high == 1_234_567_891
    assert found.is_settled


def test_a_pattern_that_fits_no_batch_settles_too() -> None:
    found = estimate(np.array([1.0, 2.0, 9.0] * 301))
    assert found.is_settled
    assert found.low < 4 < found.high
    assert found.high - found.low < 0.4


def test_too_few_samples() -> None:
    with pytest.raises(ValueError, match="expected a sample or more, found none"):
        estimate(np.empty(0))
    one = estimate(np.array([2.0]))
    assert (one.low, one.mean, one.high, one.is_settled) == (-math.inf, 2.0, math.inf, False)
    assert not estimate(np.ones(MIN_SAMPLES - 1)).is_settled


# ---- coverage in real runs


def share_that_holds(known: float, scenario: dict[str, Any]) -> float:
    """Of 200 seeds: how many intervals hold the known throughput."""
    held = 0
    for seed in range(200):
        summary = simulate(scenario, overrides={"run.seed": seed}).summary
        assert summary["precision_reached"]
        held += summary["throughput_low"] <= known <= summary["throughput_high"]
    return held / 200


@pytest.mark.slow
def test_coverage_of_a_synchronous_schedule() -> None:
    """Two exponential gradients, the later of which takes 3/2 on average, and two messages of half the bytes."""
    known = 2 / (1.5 + 2 * (0.05 + 0.004))
    assert 0.91 <= share_that_holds(known, tables("all-reduce", 2, EXPONENTIAL, precision=0.12)) <= 0.98


@pytest.mark.slow
def test_coverage_of_an_asynchronous_schedule() -> None:
    """Gradients run back to back whatever the network does: a renewal process a worker, n / mean together."""
    assert 0.91 <= share_that_holds(2.0, tables("gossip", 2, GAMMA, precision=0.06)) <= 0.98


# ---- runs


def test_constant_steps_are_known_at_once() -> None:
    summary = simulate(tables("all-reduce", 4, CONSTANT, precision=1e-6)).summary
    known = 4 / (1 + 6 * (0.05 + 0.002))  # a ring: 2 (n - 1) messages of a quarter of the bytes
    assert summary["throughput_low"] == summary["throughput_mean"] == summary["throughput_high"]
    assert summary["throughput_mean"] == pytest.approx(known, rel=1e-9)
    assert summary["precision_reached"]
    assert summary["warm_up_s"] == 0
    assert MIN_SAMPLES <= summary["gradients"] / 4 <= 1.5 * MIN_SAMPLES + 1


def test_a_tighter_precision_takes_longer_and_tells_more() -> None:
    loose, tight = (simulate(tables("gossip", 2, EXPONENTIAL, precision=each)).summary for each in (0.15, 0.05))
    width = {id(each): each["throughput_high"] - each["throughput_low"] for each in (loose, tight)}
    assert width[id(loose)] <= 0.15 * loose["throughput_mean"]
    assert width[id(tight)] <= 0.05 * tight["throughput_mean"]
    assert tight["events"] > 4 * loose["events"]


@pytest.mark.parametrize("program", ["all-reduce", "d-psgd", "gossip", "a2cid2"])
def test_equal_seeds_give_equal_runs(program: str) -> None:
    one, other = (simulate(tables(program, 3, trace=True)) for _ in range(2))
    assert one.trace is not None
    assert one.trace.equals(other.trace)
    assert one.summary == other.summary


def test_the_run_is_the_beginning_of_a_longer_one() -> None:
    """Looking at a run and stopping it changes nothing of what it does."""
    stopped = simulate(tables("gossip", 3, trace=True))
    whole = simulate(tables("gossip", 3, trace=True, until="end"), overrides={"schedule.gradients": 1000})
    rows = [trace.drop(columns="run") for each in (stopped, whole) if (trace := each.trace) is not None]
    assert 300 < stopped.summary["gradients"] / 3 < 1000
    assert rows[0].equals(rows[1].head(len(rows[0])))


@pytest.mark.parametrize("program", ["gossip", "a2cid2"])
@pytest.mark.parametrize("pairing", ["edge-clock", "first-come"])
@pytest.mark.parametrize("clock", ["free", "poisson"])
def test_a_limit_that_is_far_off_costs_nothing(program: str, pairing: str, clock: str) -> None:
    scenario = tables(program, 3, precision=0.5, limit=10**12)
    scenario["schedule"] |= {"pairing": pairing, "gradient_clock": clock}
    assert simulate(scenario).summary["precision_reached"]


def test_the_limit_ends_the_run_and_the_interval_is_told() -> None:
    summary = simulate(tables("gossip", 3, limit=50)).summary
    assert not summary["precision_reached"]
    assert summary["gradients"] == 150
    assert summary["throughput_low"] < 3 < summary["throughput_high"]
    assert summary["throughput_high"] - summary["throughput_low"] > 0.1 * summary["throughput_mean"]


def test_what_comes_after_the_first_worker_has_reached_the_limit_is_left_out() -> None:
    """Then throughput falls: one worker after the other ends."""
    scenario = tables("gossip", 2, CONSTANT, limit=100, precision=1e-9)
    scenario["platform"]["speed"] = [1.0, 0.25]
    summary = simulate(scenario).summary
    assert summary["makespan_s"] > 400
    assert summary["throughput_mean"] == pytest.approx(1.25, rel=0.02)


def test_a_run_of_one_gradient_knows_nothing() -> None:
    summary = simulate(tables("all-reduce", 2, limit=1)).summary
    assert (summary["throughput_low"], summary["throughput_high"], summary["batches"]) == (0.0, None, 1)
    assert not summary["precision_reached"]


# ---- what a stop leaves


def slow_network(**run: Any) -> Result:
    """Half of the time a message of 1.05 s is under way."""
    scenario = tables("gossip", 4, **run)
    scenario["platform"]["link"] = {"bandwidth": 8000, "latency": 0.05}
    return simulate(scenario)


def test_only_what_is_done_counts_and_no_time_after_the_stop() -> None:
    result = slow_network(trace=True)
    summary, trace = result.summary, result.trace
    assert trace is not None
    makespan = summary["makespan_s"]
    assert trace["end_ns"].max() <= makespan * 1e9
    assert summary["gradients"] == (trace["applied"] == "gradient").sum()
    assert summary["exchanges"] == (trace["op"] == "Exchange").sum() // 2
    assert summary["bytes_sent"] == trace.loc[trace["op"] == "Exchange", "bytes"].sum()
    ranks = summary["per_rank"]
    assert ranks["compute_s"] == pytest.approx([makespan] * 4)  # gradients run back to back, the last one under way
    assert max(ranks["transfer_s"]) < makespan
    assert ranks["idle_s"] == pytest.approx([0] * 4, abs=1e-9)


def test_a_trace_that_is_not_kept_changes_nothing() -> None:
    assert slow_network(trace=True).summary == slow_network(trace=False).summary


def test_ledger_stops_in_the_middle_of_things() -> None:
    ledger = Ledger(2)
    for start, end in ((0, 4), (6, 13)):
        ledger.computed(0, start, end, Compute("gradient"))
    for rank, issued, ready, end in ((0, 0, 2, 5), (1, 1, 2, 5), (0, 7, 9, 12), (1, 7, 11, 12)):
        ledger.transferred(rank, issued, ready, end, sent=8, is_exchange=True)
    ledger.stop(10)
    assert ledger.totals().compute_ns.tolist() == [8, 0]
    assert ledger.totals().transfer_ns.tolist() == [4, 3]
    assert ledger.totals().waiting_ns.tolist() == [4, 4]
    assert ledger.totals().bytes_sent.tolist() == [8, 8]
    assert ledger.totals().num_exchanges.tolist() == [1, 1]


def test_a_numeric_run_is_read_out_where_it_stops() -> None:
    scenario = tables("a2cid2", 3)
    scenario["workload"] = {"problem": "quadratic", "options": {"dimension": 3}}
    result = simulate(scenario)
    assert result.series is not None
    last = result.series.iloc[-1]
    assert last["time_s"] == pytest.approx(result.summary["makespan_s"])
    assert last["loss"] == result.summary["loss"]
    assert np.isfinite(result.parameters).all()  # type: ignore[arg-type]
    assert result.series["time"].tolist()[:3] == pytest.approx([0, 0.5, 1], abs=0.01)  # 20 in ten gradients, as ever


def stuck(worker: Worker) -> Mapping[str, Program]:
    def compute() -> Program:
        for _ in range(worker.settings.gradients):
            gradient, _ = yield Compute("gradient")
            worker.model.apply(descend, gradient)
        yield Receive(1 - worker.rank, 8)

    return {"compute": compute()}


def test_a_run_that_is_stuck_is_not_looked_at_for_ever() -> None:
    world = rig.build(stuck)
    Steady(world, RunTable(until="precision"))
    with pytest.raises(DeadlockError, match=r"at 10000\.000 ms"):
        world.run()


def test_a_program_without_gradients_has_no_throughput() -> None:
    world = rig.build(lambda worker: {})
    assert Steady(world, RunTable(until="precision")).summary() == {
        "throughput_mean": None, "throughput_low": None, "throughput_high": None,
        "precision_reached": False, "warm_up_s": None, "batches": 0, "batch_s": None, "slow_spells": None,
        "events": 0,
    }  # fmt: skip


# ---- the scenario


def test_other_runs_have_the_fingerprint_that_they_had() -> None:
    end = load(tables("gossip", until="end"))
    changed = {"run.precision": 0.5, "run.limit": 7}
    assert load(tables("gossip", until="end"), changed).fingerprint() == end.fingerprint()
    precise = [load(tables("gossip"), {key: value}).fingerprint() for key, value in [("run.seed", 0), *changed.items()]]
    assert len({end.fingerprint(), *precise}) == 4


def test_a_sweep_has_the_columns(tmp_path: Any) -> None:
    table = sweep({**tables("gossip"), "sweep": {"run.precision": [0.2, 0.1]}}, tmp_path, jobs=1, progress=False)
    assert table["precision_reached"].tolist() == [True, True]
    assert ((table["throughput_high"] - table["throughput_low"]) <= table["run.precision"] * 2.2).all()
    assert (table["events"] > 1000).all()


@pytest.mark.parametrize(
    ("program", "found"),
    [
        ("serving_plainly", r"none in its first [\d,]+ operations"),
        ("never_applying", r"none, but [\d,]+ that were computed"),
    ],
)
def test_a_program_without_gradients_is_told_at_once(program: str, found: str) -> None:
    file = Path(__file__).parents[2] / "worlds" / "programs" / f"{program}.py"
    tables = {
        "schedule": {"program": str(file)},
        "topology": {"graph": "complete", "workers": 2},
        "platform": {"gradient": {"mean": "10 ms"}, "kernels": {"prefill": "1 ms", "decode": "1 ms"}},
        "workload": {"parameters": 100},
        "run": {"until": "precision"},
    }
    with pytest.raises(ScenarioError, match=f"expected a program that applies gradients .*, found {found}$"):
        simulate(tables)


def test_gradients_that_take_no_time_are_told_at_once() -> None:
    """No time ever passes, so no look at the run would come."""
    told = r"expected gradients that take time for .*, found 2,00\d in no time$"
    with pytest.raises(ScenarioError, match=told):
        simulate({**tables("gossip"), "platform": {"gradient": {"mean": 0.0}}})
