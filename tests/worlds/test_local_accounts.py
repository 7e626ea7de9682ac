"""What is counted of local steps in both worlds: staleness, steps, bytes a round; and what ends with a run."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator import simulate
from tests.worlds.conftest import World
from tests.worlds.test_local_steps import OPTIMIZERS, OUTER, RATE, ROUNDS, RULES, H, N, measured, scenario, simulated
from tests.worlds.test_replay_parity import difference

__all__ = ["measured", "simulated"]


@pytest.mark.parametrize("name", ["diloco", "eager-diloco", "co2"])
def test_how_old_a_change_is(name: str, world: World) -> None:
    """In outer versions: none where all wait for it, one where it is reduced while the next round is computed."""
    rows = world(scenario(name, OUTER)).summary["staleness_by_target"]
    (found,) = (row for row in rows if row["target"] == "theta")
    assert (found["kind"], found["staleness_max"]) == ("change", 0 if name == "diloco" else 1)


@pytest.mark.parametrize(
    ("name", "keys", "steps"),
    [
        ("diloco", OUTER, 0),
        ("eager-diloco", OUTER, H * (ROUNDS - 1) / (ROUNDS + 1)),
        ("streaming-diloco", {"steps": 30, "local_steps": 6, "fragments": 2, "overlap": 2}, 2),
    ],
)
def test_how_many_local_steps_old_a_change_is(name: str, keys: dict[str, Any], steps: float, world: World) -> None:
    """Of the worker that applies it, since it was handed over; with a trace and without."""
    for is_traced in (True, False):
        summary = world(scenario(name, keys, run={"trace": is_traced})).summary
        assert summary["change_age_steps_mean"] == pytest.approx(steps, abs=0.25)
        assert summary["change_age_mean_s"] >= summary["change_age_steps_mean"] * 1e-4


@pytest.mark.parametrize("name", ["local-sgd", "qsr", "proxskip"])
def test_how_old_an_average_is(name: str, world: World) -> None:
    """No steps of the worker that waits for it, and as long as it takes: as its trace says."""
    result = world(scenario(name, RULES[name][0]))
    assert result.summary["average_age_steps_mean"] == 0
    applied = result.kept_trace[result.kept_trace["applied"] == "average"]
    took = (applied["end_ns"] - applied["read_ns"]).mean() / 1e9
    assert result.summary["average_age_mean_s"] == pytest.approx(took, rel=1e-9)


@pytest.mark.parametrize("name", RULES)
def test_every_local_step_counts(name: str, world: World) -> None:
    settings = RULES[name][0]
    steps = settings.get("steps") or settings["rounds"] * settings["local_steps"]
    assert world(scenario(name, settings)).summary["per_rank"]["gradients"] == [steps] * N


def test_moments_are_averaged_too(world: World) -> None:
    """Where all is averaged after every step, workers remember the same; else they do not."""
    case = {"steps": 6, "local_steps": 2}
    alone, all_of_it = (
        world(scenario("local-sgd", {**case, "average": average}, optimizer={"name": "adamw", "learning_rate": RATE}))
        for average in ("parameters", "all")
    )
    assert all_of_it.summary["bytes_sent"] == 3 * alone.summary["bytes_sent"]
    assert difference(alone, all_of_it) > 1e-6


METHODS = ("co2", "diloco", "eager-diloco", "slowmo")
"""One all-reduce of a model a round: 2 (n-1)/n of it from each worker."""


def timed(
    name: str, keys: dict[str, Any], *, workers: int = N, parameters: int = 1000, seed: int = 0
) -> dict[str, Any]:
    """Timing alone."""
    return {
        "schedule": {"program": name, **keys},
        "topology": {"graph": "complete", "workers": workers},
        "platform": {
            "gradient": {"mean": "2 ms", "distribution": "lognormal", "cv": 0.3},
            "link": {"bandwidth": "1 MB/s", "latency": "50 us"},
        },
        "workload": {"parameters": parameters, "batch_size": 8},
        "run": {"seed": seed},
    }


@given(st.sampled_from(METHODS), st.integers(1, 4), st.integers(1, 12), st.integers(2, 5), st.integers(1, 5000))
@settings(max_examples=40, deadline=None)
def test_bytes_of_a_round_do_not_depend_on_its_steps(name: str, rounds: int, steps: int, n: int, size: int) -> None:
    """2 (n-1)/n S of each worker; what is under way after the last round has come before the end."""
    keys = {"rounds": rounds, "local_steps": steps}
    result = simulate(timed(name, keys, workers=n, parameters=size))
    assert result.trace is not None
    assert (
        result.summary["bytes_sent"]
        == rounds
        * simulate(timed(name, {"rounds": 1, "local_steps": 1}, workers=n, parameters=size)).summary["bytes_sent"]
    )
    assert abs(result.summary["bytes_sent"] - rounds * 2 * (n - 1) * 4 * size) <= rounds * 4 * 2 * n * n
    assert result.summary["per_rank"]["gradients"] == [rounds * steps] * n
    assert result.trace["end_ns"].max() <= round(result.summary["makespan_s"] * 1e9)
    reduced = result.trace[result.trace["op"] == "AllReduce"]
    assert len(reduced) == rounds * n
    assert (reduced["end_ns"] >= reduced["start_ns"]).all()


@given(st.sampled_from(METHODS), st.integers(0, 2**31), st.integers(1, 3), st.integers(1, 6))
@settings(max_examples=15, deadline=None)
def test_equal_seeds_give_equal_bytes(name: str, seed: int, rounds: int, steps: int) -> None:
    """The whole trace, to the byte."""
    case = timed(name, {"rounds": rounds, "local_steps": steps}, seed=seed)
    one, other = simulate(case).trace, simulate(case).trace
    assert one is not None
    assert other is not None
    assert one.to_csv(index=False).encode() == other.to_csv(index=False).encode()


@given(st.integers(1, 6), st.integers(1, 6), st.booleans(), st.integers(10, 4000), st.data())
@settings(max_examples=25, deadline=None)
def test_streaming_sends_what_diloco_does(
    fragments: int, rounds: int, is_strided: bool, size: int, data: st.DataObject
) -> None:
    """In all: each fragment once in H steps. No message of the timetable: nothing but all-reduces is sent."""
    steps = data.draw(st.integers(fragments, 12))
    overlap = data.draw(st.integers(0, steps - 1))
    keys = {"steps": rounds * steps, "local_steps": steps, "fragments": fragments, "overlap": overlap}
    keys |= {"pattern": "strided" if is_strided else "sequential"}
    (streaming, whole) = (
        simulate({**timed(name, told, parameters=size), "workload": {"parameters": size, "dtype": "float64"}})
        for name, told in (("streaming-diloco", keys), ("diloco", {"rounds": rounds, "local_steps": steps}))
    )
    assert streaming.trace is not None
    assert set(streaming.trace["op"]) - {"Start", "Await"} <= {"Compute", "AllReduce"}
    slack = 8 * 2 * N * N * fragments * rounds  # a ring's parts are whole numbers of values
    assert abs(streaming.summary["bytes_sent"] - whole.summary["bytes_sent"]) <= slack


@given(st.integers(1, 40), st.integers(1, 20), st.floats(1e4, 1e8))
@settings(max_examples=30, deadline=None)
def test_without_overlap_some_of_the_time_is_no_computing(rounds: int, steps: int, bandwidth: float) -> None:
    """DiLoCo waits for every outer step; where the network is fast enough, eager DiLoCo for none but the last."""
    keys = {"rounds": rounds, "local_steps": steps}
    platform = {"gradient": {"mean": "2 ms"}, "link": {"bandwidth": bandwidth, "latency": 0.0}}
    blocking, eager = (
        simulate({**timed(name, keys), "platform": platform}).summary for name in ("diloco", "eager-diloco")
    )
    ring = 2 * (N - 1) / N * 4000 / bandwidth
    assert blocking["makespan_s"] == pytest.approx(rounds * (steps * 0.002 + ring), rel=1e-4)
    assert eager["makespan_s"] == pytest.approx(
        steps * 0.002 + (rounds - 1) * max(steps * 0.002, ring) + ring, rel=1e-4
    )


def test_samples_are_those_of_local_steps(world: World) -> None:
    """Per second of the window in which all are at work, as gradients are."""
    case = scenario("diloco", OUTER)
    case["workload"] = {**case["workload"], "batch_size": 8}
    summary = world(case).summary
    assert summary["gradients"] == N * ROUNDS * H
    assert summary["samples_per_s"] == pytest.approx(8 * summary["gradients_per_s"])


def test_loss_is_of_the_outer_parameters(simulated: World) -> None:
    """Not of where workers are within a round: all workers have them at all times, at a distance of 0."""
    result = simulated(scenario("diloco", OUTER, run={"observations": 7}))
    assert result.series is not None
    assert len(result.series) > 5
    assert float(result.series["consensus_distance"].max()) <= 1e-24


MODULE = {"module": "examples.user_module:factory", "parameters": 162, "dtype": "float32", "batch_size": 16}


@pytest.mark.parametrize("name", RULES)
def test_the_users_module_trains(name: str, measured: World) -> None:
    """Two spirals, from a loss of 0.7."""
    keys = {key: 80 if key == "steps" else 20 if key == "rounds" else each for key, each in RULES[name][0].items()}
    keys = {**keys, **({"outer_momentum": 0.5} if "outer_momentum" in keys else {})}
    is_adam = "adamw" in str(OPTIMIZERS.get(name))
    optimizer = {"name": "adamw", "learning_rate": 0.01} if is_adam else {"learning_rate": 0.2}
    if name == "qsr":
        optimizer |= {"schedule": "cosine", "warmup": 0.1}
        keys["alpha"] = 0.3
    summary = measured(scenario(name, keys, workload=MODULE, optimizer=optimizer)).summary
    assert summary["module_loss"] < 0.67
