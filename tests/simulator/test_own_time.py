"""DADAO, and A²CiD² with the same key, in runs: given events, the fixed point, what latency changes, and failures."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from analysis.moments import second_moment
from schedules.clocks import Clocks
from schedules.result import Result
from schedules.scenario import load
from schedules.setup import Setup
from simulator.run import build_world, simulate
from topologies import build, chi_1, chi_2, sufficient_rate, sufficient_rates, with_rates
from topologies.event_lists import Event, event_text

Vector = NDArray[np.float64]
NAMES = ("x", "x_tilde", "y", "y_tilde", "z", "z_tilde")
INSTANT: dict[str, Any] = {"gradient": {"mean": 0}, "gradient_time": "1 s", "transport": "none"}
TRIANGLE: dict[str, Any] = {"curvatures": [1, 2, 4], "centres": [1, -1, 0.5]}


def scenario(
    options: dict[str, Any], graph: str = "complete", workers: int = 3, length: int = 2, **schedule: Any
) -> dict[str, Any]:
    """Exact gradients of given quadratics, and events that take no time."""
    return {
        "schedule": {"program": "dadao", "gradients": length, "mu": 1, "smoothness": 4, **schedule},
        "topology": {"graph": graph, "workers": workers},
        "platform": INSTANT,
        "workload": {
            "problem": "quadratic", "dtype": "float64", "options": {"dimension": 1, "noise": 0, **options},
        },
        "run": {"trace": False},
    }  # fmt: skip


class Played:
    """A run whose states are looked at, and perhaps set before it begins."""

    def __init__(self, tables: dict[str, Any]) -> None:
        self.scenario = load(tables)
        self.setup = Setup(self.scenario, is_recorded=False)
        self.world = build_world(self.setup)
        self.states = [self.setup.read_outs[rank][0]._state for rank in range(self.scenario.topology.workers)]

    def vectors(self) -> Vector:
        """float64 [workers, 6], of one coordinate."""
        return np.array([[getattr(state, name)[0] for name in NAMES] for state in self.states])


# ---- given events

# When, and who (-1: a gradient); papers/gossip.md, section 13, "DADAO trace" [code; compared with the official classes
# to 13-15 digits].
EVENTS = [
    (0.143879800, 0, 1), (0.265291503, 0, -1), (0.683935090, 1, -1), (0.699760903, 1, 2), (0.991676139, 2, -1),
    (1.254076523, 0, -1), (1.437759353, 1, -1), (1.528488949, 0, 2),
]  # fmt: skip
AT_2 = [
    [0.948581930011, 0.150315125466, -0.076029872385, -0.425341367002, -0.137543136653, -0.842609819848],
    [-0.105810192348, -0.256389821882, 0.222238359864, 1.716682425892, -0.002516044879, -0.011039432812],
    [-0.557379728124, 0.841641045397, -0.514811092350, -6.166566257874, 0.140059181532, 0.853649252661],
]


def test_the_trace_of_the_specification(tmp_path: Path) -> None:
    (tmp_path / "events.csv").write_text(
        event_text(Event(time, "gradient" if j < 0 else "exchange", i, None if j < 0 else j) for time, i, j in EVENTS)
    )
    tables = scenario({**TRIANGLE, "start": [1, 0, -1]}, events=str(tmp_path / "events.csv"))
    del tables["schedule"]["gradients"]  # the list says how many
    run = Played({**tables, "run": {"trace": False, "until": "time", "duration": 2}})
    run.world.run()
    np.testing.assert_allclose(run.vectors(), AT_2, rtol=0, atol=1e-10)


# ---- in exact arithmetic it stays where it is


def test_the_fixed_point_stays() -> None:
    """gossip.json, dadao_fixed_point: X = X~ = x*, Y = Y~ = grad F(x*) - nu x*, Z = Z~ = -grad F(x*), at 1/7."""
    run = Played(scenario(TRIANGLE, length=700))
    clocks = Clocks(run.scenario.graph, 0, 700.0)
    num_events = [len([*clocks.gradient(rank)]) + len([*clocks.edges(rank)]) / 2 for rank in range(3)]
    assert sum(num_events) > 3000
    x = 1 / 7
    forces = np.array([1, 2, 4]) * (x - np.array([1, -1, 0.5]))
    expected = np.stack([np.full(3, x), np.full(3, x), *[forces - 0.5 * x] * 2, *[-forces] * 2], axis=1)
    for state, values in zip(run.states, expected, strict=True):
        for name, value in zip(NAMES, values, strict=True):
            setattr(state, name, np.array([value]))
    run.world.run()
    np.testing.assert_allclose(run.vectors(), expected, rtol=0, atol=1e-13)


def test_the_sum_of_z_is_kept() -> None:
    run = Played(scenario({**TRIANGLE, "start": [1, 0, -1]}, length=50))
    run.world.run()
    assert np.abs(run.vectors()[:, 4:]).max() > 0.1
    np.testing.assert_allclose(run.vectors()[:, 4:].sum(axis=0), 0, rtol=0, atol=1e-12)


def test_a_star_of_ten_converges() -> None:
    """gossip.json, dadao_star10_run: 3.9e-9 at t = 400 with one draw of the clocks, an order of magnitude."""
    tables = scenario(
        {"curvatures": list(range(1, 11)), "centres": list(range(10)), "start": "spread"},
        "star", 10, 400, smoothness=10,
    )  # fmt: skip
    result = simulate(tables)
    assert result.parameters is not None
    error = float(((result.parameters - 6.0) ** 2).mean())  # x* = sum a b / sum a = 330 / 55
    assert error < 1e-7
    # lambda_mix is n - 1, and numbers of ticks spread by their square roots.
    assert abs(result.summary["exchanges"] - 9 * 400) < 3 * 60
    assert abs(result.summary["gradients"] - 10 * 400) < 3 * 63


# ---- what latency changes

RING: dict[str, Any] = {"start": "spread", "dimension": 3, "condition_number": 4, "noise": 0.1}
LATENCIES = [0, "1 ms", "70 ms", "3 s"]


def at_latency(latency: Any, program: str, flow: str = "ticks", **overrides: Any) -> Result:
    keys = {"mu": 0.25, "smoothness": 1} if program == "dadao" else {"rate": 2, "gradient_clock": "poisson"}
    tables = {
        "schedule": {"program": program, "gradients": 30, "flow": flow, **keys},
        "topology": {"graph": "ring", "workers": 5},
        "platform": {
            "gradient": {"mean": "100 ms", "distribution": "lognormal", "cv": 0.5},
            "link": {"bandwidth": "1 GB/s", "latency": latency},
        },
        "workload": {"problem": "quadratic", "dtype": "float64", "options": RING},
        "optimizer": {"learning_rate": 0.05, "momentum": 0.5},
    }
    return simulate(tables, overrides=overrides)


@pytest.mark.parametrize("program", ["dadao", "a2cid2"])
def test_latency_delays_and_changes_nothing(program: str) -> None:
    runs = [at_latency(latency, program) for latency in LATENCIES]
    first = runs[0].parameters
    assert first is not None
    assert np.abs(first).max() < 10
    for each in runs[1:]:
        assert each.parameters is not None
        assert each.parameters.tobytes() == first.tobytes()
    spans = [each.summary["makespan_s"] for each in runs]
    assert spans == sorted(set(spans))
    assert spans[-1] > 100
    assert {each.summary["staleness_max"] for each in runs} == {0}


@pytest.mark.parametrize("program", ["dadao", "a2cid2"])
def test_nor_does_how_long_gradients_take(program: str) -> None:
    one, other = (at_latency("1 ms", program, **{"platform.speed": speed}) for speed in ({}, {"2": 0.3}))
    assert one.parameters is not None
    assert other.parameters is not None
    # The horizon is the slow worker's: its clocks tick for longer, so only equal clocks are compared.
    faster = at_latency("1 ms", program, **{"platform.gradient.cv": 2.0})
    assert faster.parameters is not None
    assert faster.parameters.tobytes() == one.parameters.tobytes() != other.parameters.tobytes()


@pytest.mark.parametrize("program", ["dadao", "a2cid2"])
def test_by_wall_time_it_changes_the_numbers(program: str) -> None:
    one, other = (at_latency(latency, program, "wall") for latency in ("1 ms", "30 ms"))
    assert one.parameters is not None
    assert other.parameters is not None
    assert np.abs(one.parameters - other.parameters).max() > 1e-6
    assert other.summary["staleness_max"] > 0  # gradients run beside exchanges


@pytest.mark.parametrize("program", ["dadao", "a2cid2"])
def test_where_nothing_takes_time_both_flows_are_one(program: str) -> None:
    """Up to whole nanoseconds, in which programs sleep; one that goes by wall time does not wait for the horizon."""
    instant = {"platform.gradient": {"mean": 0}, "platform.gradient_time": "1 s", "platform.transport": "none"}
    runs = [at_latency(0, program, flow, **instant, **{"run.observations": 30}) for flow in ("ticks", "wall")]
    ticks, wall = (run.series.set_index("index")["loss"][range(30)] for run in runs if run.series is not None)
    assert ticks[0] > ticks[29]
    np.testing.assert_allclose(ticks, wall, rtol=0, atol=1e-10)


def test_read_outs_stop_at_the_next_tick() -> None:
    """A worker that waits for its peer is at its tick: it has not flowed on with the wall's time."""
    late, prompt = (at_latency(latency, "dadao", **{"run.observations": 30}) for latency in ("3 s", 0))
    assert late.series is not None
    assert prompt.series is not None
    first, second = (run.series.set_index("index")["loss"] for run in (late, prompt) if run.series is not None)
    assert first[0] == second[0]
    assert first.iloc[-1] == second.iloc[-1]
    assert np.isfinite(first).all()


def test_a2cid2_in_its_own_time_needs_its_clocks() -> None:
    with pytest.raises(ValueError, match=r"schedule\.flow: expected 'wall' beside gradient_clock = 'free'"):
        at_latency(0, "a2cid2", **{"schedule.gradient_clock": "free"})
    with pytest.raises(ValueError, match=r"schedule\.flow: expected 'wall' beside pairing = 'first-come'"):
        at_latency(0, "a2cid2", **{"schedule.pairing": "first-come"})


# ---- failures


@pytest.mark.parametrize("program", ["dadao", "a2cid2"])
@pytest.mark.parametrize("flow", ["ticks", "wall"])
@pytest.mark.parametrize("back", [None, "1.5 s"])
def test_the_others_go_on_without_a_rank(program: str, flow: str, back: str | None) -> None:
    outage = {"rank": 1, "at": "600 ms", **({} if back is None else {"back": back})}
    result = at_latency("1 ms", program, flow, **{"platform.faults": {"outages": [outage]}})
    whole = at_latency("1 ms", program, flow)
    made, expected = (each.summary["per_rank"]["gradients"] for each in (result, whole))
    assert [made[rank] for rank in (0, 2, 3, 4)] == [expected[rank] for rank in (0, 2, 3, 4)]
    assert made[1] < expected[1] if back is None else made[1] == expected[1]
    assert result.summary["exchanges_lost"] > 0
    assert result.parameters is not None
    assert np.isfinite(result.parameters).all()


# ---- a rate below the theorem's


def test_a_rate_below_the_theorem_is_told_with_both() -> None:
    least = sufficient_rate(with_rates(build("ring", 5)))
    assert least == pytest.approx(2 / 5 * math.sqrt(20 / (2 * (1 - math.cos(2 * math.pi / 5)))), rel=1e-12)
    told = at_latency(0, "dadao", **{"schedule.rate": 0.5}).summary["warning"]
    assert told.startswith(f"schedule.rate = 0.5 is below {least:g}, the least of DADAO's theorem")
    for rate in (least, 2.0):
        assert "warning" not in at_latency(0, "dadao", **{"schedule.rate": rate}).summary
    assert "warning" not in at_latency(0, "dadao").summary
    timing = {"schedule.rate": 0.5, "run.numerics": False}
    assert "warning" not in at_latency(0, "dadao", **timing).summary


# ---- the exact moments


@pytest.mark.slow
@pytest.mark.parametrize("graph", ["ring", "star"])
def test_simulations_tend_to_the_exact_moments(graph: str) -> None:
    """All curvatures 1: errors from the fixed point start as N(0, 1) in x, where the f_i have their minimum at 0."""
    num_runs, times = 60, [0, 1, 3, 6]
    options = {"curvatures": [1] * 8, "centres": [0] * 8, "start": "spread", "dimension": 20}
    samples = np.empty((num_runs, len(times)))
    for seed in range(num_runs):
        tables = scenario(options, graph, 8, 7, smoothness=1)
        tables["run"] = {"seed": seed, "trace": False, "observations": 7}
        series = simulate(tables).series
        assert series is not None
        samples[seed] = series.set_index("index")["consensus_distance"][times].to_numpy() / 20
    expected = second_moment(sufficient_rates(with_rates(build(graph, 8))), "dadao", times)
    errors = samples.std(axis=0, ddof=1) / math.sqrt(num_runs)
    assert (errors < 0.1 * expected).all()
    assert (np.abs(samples.mean(axis=0) - expected) < 3 * errors).all()


# ---- graphs that change with time


def test_the_minimum_is_found_on_a_graph_that_changes() -> None:
    """As on one that stays, if 2 chi_1 chi_2 = 1 for the largest of each."""
    tables = scenario(
        {"curvatures": list(range(1, 11)), "centres": list(range(10)), "start": "spread"}, workers=10, length=250,
        smoothness=10,
    )  # fmt: skip
    tables["topology"] = {"graph": "random-geometric", "count": 5, "period": 1, "workers": 10}
    graph = load(tables).graph
    assert 2 * chi_1(graph) * chi_2(graph) == pytest.approx(1, rel=1e-9)
    result = simulate(tables)
    assert result.summary["graph_changes"] >= 249
    assert result.parameters is not None
    assert float(((result.parameters - 6.0) ** 2).mean()) < 1e-4  # x* = sum a b / sum a = 330 / 55
