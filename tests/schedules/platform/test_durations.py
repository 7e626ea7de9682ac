"""How long kernels run: moments, keyed streams, measured samples, the roofline, speeds."""

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schedules.clocks import StreamKey, stream
from schedules.platform.computing import Device, Duration
from schedules.platform.durations import LARGEST_SAMPLE, draw, durations, measured
from schedules.record.files import write_parquet
from schedules.scenario import Scenario, ScenarioError, load
from simulator import simulate

A100 = {"flops": "312 TFLOP/s", "memory_bandwidth": "2039 GB/s"}
"""Peak in bfloat16 and memory of the A100 80 GB SXM (NVIDIA's data sheet)."""


def scenario(gradient: Mapping[str, Any], workers: int = 4, seed: int = 0, **platform: Any) -> Scenario:
    return load(
        {
            "schedule": {"program": "gossip", "gradients": 10},
            "topology": {"graph": "complete", "workers": workers},
            "platform": {"gradient": gradient, **platform},
            "workload": {"parameters": 1000},
            "run": {"seed": seed},
        }
    )


def drawn(resolved: Scenario, rank: int, kernel: str = "gradient", number: int = 200) -> list[int]:
    return list(itertools.islice(durations(resolved, rank, kernel), number))


# ---- distributions


@pytest.mark.parametrize(
    ("distribution", "cv"),
    [("exponential", 0.0), ("lognormal", 0.1), ("lognormal", 0.8), ("gamma", 0.3), ("gamma", 1.5)],
)
def test_mean_and_variance_are_those_asked_for(distribution: Any, cv: float) -> None:
    """Within five standard errors: sd / sqrt(n) of the mean, sqrt((m4 - var^2) / n) of the variance."""
    number, mean = 40_000, 0.12
    taken = draw(Duration(distribution=distribution, mean=mean, cv=cv), stream(1, StreamKey.DURATION), number)
    deviation = mean * (cv or 1.0)
    assert taken.mean() == pytest.approx(mean, abs=5 * deviation / number**0.5)
    squares = (taken - mean) ** 2
    error = np.sqrt((np.mean(squares**2) - squares.mean() ** 2) / number)
    assert squares.mean() == pytest.approx(deviation**2, abs=5 * error)
    assert taken.min() > 0


def test_a_lognormal_duration_has_a_normal_logarithm() -> None:
    from scipy import stats

    logs = np.log(draw(Duration(distribution="lognormal", mean=2.0, cv=0.5), stream(2, StreamKey.DURATION), 5000))
    sigma = np.sqrt(np.log(1.25))
    assert stats.kstest(logs, "norm", (np.log(2.0) - sigma**2 / 2, sigma)).pvalue > 0.01


def test_a_constant_duration_is_always_the_same() -> None:
    assert drawn(scenario({"mean": "7 ms"}), 0, number=100) == [7_000_000] * 100


# ---- measured ones


def test_empirical_durations_are_the_samples_as_often_as_they_stand_there() -> None:
    """Frequencies within five standard errors of the binomial distribution."""
    resolved = scenario({"distribution": "empirical", "samples": ["100 ms", "110 ms", 0.11, "2 s"]})
    assert resolved.gradient_s == pytest.approx(0.58, rel=1e-15)
    values, counts = np.unique(drawn(resolved, 0, number=20_000), return_counts=True)
    assert values.tolist() == [100_000_000, 110_000_000, 2_000_000_000]
    share = np.array([0.25, 0.5, 0.25])
    assert (np.abs(counts / 20_000 - share) < 5 * np.sqrt(share * (1 - share) / 20_000)).all()


def test_the_parts_of_an_empirical_gradient_are_scaled() -> None:
    resolved = scenario({"distribution": "empirical", "samples": [0.3, 0.6]})
    assert set(drawn(resolved, 0, "forward")) == {100_000_000, 200_000_000}
    assert set(drawn(resolved, 0, "backward")) == {200_000_000, 400_000_000}


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return simulate(scenario({"distribution": "gamma", "mean": 0.01, "cv": 0.5}, seed=3)).save(tmp_path / "run")


def test_samples_are_taken_from_a_run(directory: Path) -> None:
    trace = pd.read_parquet(directory / "trace.parquet")
    rows = trace[trace["op"] == "Compute"]
    taken = sorted((rows["end_ns"] - rows["ready_ns"]).tolist())
    resolved = scenario({"distribution": "empirical", "trace": str(directory)})
    samples = resolved.platform.gradient.samples
    assert samples == [each / 1e9 for each in taken]
    assert resolved.gradient_s == pytest.approx(np.mean(taken) / 1e9, rel=1e-12)
    assert set(drawn(resolved, 0)) <= set(taken)


def test_a_resolved_scenario_needs_its_trace_no_more(directory: Path) -> None:
    resolved = scenario({"distribution": "empirical", "trace": str(directory)})
    (directory / "trace.parquet").unlink()
    again = load(resolved.tables())
    assert again.tables() == resolved.tables()
    assert drawn(again, 1) == drawn(resolved, 1)


def test_of_a_long_run_quantiles_are_kept(tmp_path: Path) -> None:
    """The middle one of every three."""
    number = 3 * LARGEST_SAMPLE
    taken = np.random.default_rng(0).permutation(number)
    rows = pd.DataFrame({"op": "Compute", "kernel": "encode", "ready_ns": 5, "end_ns": 5 + taken})
    write_parquet(rows, tmp_path / "trace.parquet", {})
    kept = measured(tmp_path, "encode")
    assert np.rint(np.array(kept) * 1e9).astype(int).tolist() == list(range(1, number, 3))


@pytest.mark.parametrize("place", ["gradient", "kernels.encode"])
def test_a_trace_without_the_kernel_is_an_error_that_names_both(tmp_path: Path, place: str) -> None:
    rows = pd.DataFrame({"op": ["Compute"], "kernel": ["decode"], "ready_ns": [0], "end_ns": [1]})
    write_parquet(rows, tmp_path / "trace.parquet", {})
    table = {"distribution": "empirical", "trace": str(tmp_path)}
    platform = {"gradient": table} if place == "gradient" else {"gradient": {"mean": 1}, "kernels": {"encode": table}}
    name = place.rpartition(".")[2]
    told = f"platform.{place}.trace: {tmp_path}: expected computations of the kernel {name}, found decode"
    with pytest.raises(ScenarioError, match=told.replace(".", r"\.")):
        scenario(**platform)


# ---- keys of the streams


@pytest.mark.parametrize("samples", [None, [0.1, 0.2, 0.3]])
def test_another_rank_or_kernel_moves_no_other_stream(samples: list[float] | None) -> None:
    gradient: dict[str, Any] = {"distribution": "gamma", "mean": 0.1, "cv": 0.5}
    if samples is not None:
        gradient = {"distribution": "empirical", "samples": samples}
    few, more = scenario(gradient), scenario(gradient, workers=5, kernels={"encode": gradient})
    assert [drawn(few, rank) for rank in range(4)] == [drawn(more, rank) for rank in range(4)]
    streams = [drawn(more, rank, kernel) for rank in range(5) for kernel in ("gradient", "encode")]
    assert len({tuple(each) for each in streams}) == len(streams)


def test_durations_do_not_depend_on_the_speed_of_others() -> None:
    gradient = {"distribution": "lognormal", "mean": 0.1, "cv": 0.5}
    assert drawn(scenario(gradient), 1) == drawn(scenario(gradient, speed={"0": 0.25}), 1)


# ---- the roofline


@pytest.mark.parametrize(
    ("work", "efficiency", "milliseconds"),
    [
        ({"flops": "4.1 TFLOP", "bytes": "1 GB"}, 1.0, 4.1e3 / 312),  # bound by computing
        ({"flops": "4.1 TFLOP", "bytes": "1 GB"}, 0.5, 4.1e3 / 156),
        ({"flops": "4.1 TFLOP", "bytes": "30 GB"}, 1.0, 30e3 / 2039),  # bound by memory
        ({"flops": "4.1 TFLOP", "bytes": "30 GB"}, 0.5, 4.1e3 / 156),
        ({"flops": "4.1 TFLOP"}, 1.0, 4.1e3 / 312),
        ({"bytes": "30 GB"}, 0.5, 30e3 / 2039),
    ],
)
def test_an_a100_takes_what_its_roofline_says(work: Mapping[str, str], efficiency: float, milliseconds: float) -> None:
    gradient = {**work, "distribution": "lognormal", "cv": 0.1}
    resolved = scenario(gradient, device={**A100, "efficiency": efficiency}, kernels={"encode": work})
    assert type(resolved.platform.gradient.mean) is float
    assert resolved.gradient_s * 1e3 == pytest.approx(milliseconds, rel=1e-12)
    assert drawn(resolved, 0, "encode", 1) == [round(milliseconds * 1e6)]
    assert np.mean(drawn(resolved, 0, number=4000)) / 1e6 == pytest.approx(milliseconds, rel=5 * 0.1 / 4000**0.5)


@given(st.floats(1, 1e16), st.floats(1, 1e13), st.floats(0.01, 1))
def test_attainable_performance_is_the_lower_roof(flops: float, bytes: float, efficiency: float) -> None:
    """min(peak, bandwidth x operational intensity), of the paper."""
    device = Device(flops=312e12, memory_bandwidth=2e12, efficiency=efficiency)
    attained = flops / device.seconds(flops, bytes)
    assert attained == pytest.approx(min(312e12 * efficiency, 2e12 * flops / bytes), rel=1e-12)


def test_a_resolved_roofline_can_be_read_again() -> None:
    resolved = scenario({"flops": "4.1 TFLOP", "bytes": "30 GB"}, device=A100)
    assert load(resolved.tables()).tables() == resolved.tables()
    with pytest.raises(ScenarioError, match=r"platform\.gradient\.mean: expected none beside .*, found 7\.0"):
        load(resolved.tables(), {"platform.gradient.mean": 7.0})


# ---- permanent stragglers


@pytest.mark.parametrize("speed", [{3: 0.3, 1: 2}, {"3": 0.3, "1": 2.0}, [1, 2, 1, 0.3]])
def test_a_rank_of_speed_s_takes_one_over_s_as_long_to_the_nanosecond(speed: Any) -> None:
    resolved = scenario({"mean": "100 ms"}, speed=speed, kernels={"encode": {"mean": "1 ms"}})
    assert [drawn(resolved, rank, number=1) for rank in range(4)] == [
        [100_000_000], [50_000_000], [100_000_000], [333_333_333]
    ]  # fmt: skip
    assert drawn(resolved, 3, "encode", 1) == [3_333_333]
    assert resolved.gradient_s == 0.1
    assert load(resolved.tables()).tables() == resolved.tables()


def test_a_slow_rank_draws_the_same_numbers() -> None:
    gradient = {"distribution": "gamma", "mean": 0.1, "cv": 0.5}
    plain, slow = drawn(scenario(gradient), 2), drawn(scenario(gradient, speed={"2": 0.25}), 2)
    assert np.abs(np.array(slow) - 4 * np.array(plain)).max() <= 2  # each is rounded once
