"""How long kernels run: moments, keyed streams, samples, the roofline, speeds."""

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schedules.clocks import StreamKey, stream
from schedules.errors import UnknownKernelError, UnknownStageError
from schedules.platform.computing import Device, Duration
from schedules.platform.durations import Cuts, Durations, Key, draw, durations, key
from schedules.scenario import Scenario, ScenarioError, load

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
    return list(itertools.islice(durations(resolved.platform, resolved.run.seed, rank, kernel), number))


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


# ---- stages


LIST = {"encode": ["1 ms", 0.002, {"distribution": "gamma", "mean": "3 ms", "cv": 0.5}]}


def of_stage(resolved: Scenario, kernel: str, stage: int, num_stages: int) -> list[int]:
    found = Durations(resolved.platform, resolved.run.seed, 1, Cuts(stages=num_stages))
    return [found[kernel, stage]() for _ in range(50)]


def test_without_stages_those_of_operations_draw_from_one_stream() -> None:
    resolved = scenario({"distribution": "gamma", "mean": 0.1, "cv": 0.5})
    found = Durations(resolved.platform, resolved.run.seed, 1)
    keys: list[Key] = ["gradient", ("gradient", 3), ("gradient", 0), "gradient"]
    assert [found[each]() for each in keys] == drawn(resolved, 1)[:4]
    assert [key("gradient", -1), key("gradient", 0)] == ["gradient", ("gradient", 0)]


def test_the_stages_of_a_rank_share_its_durations_and_draw_apart() -> None:
    gradient = {"distribution": "gamma", "mean": 0.1, "cv": 0.5}
    resolved = scenario(gradient, kernels={"encode": gradient})
    for kernel in ("gradient", "encode"):
        alone, first, second = (of_stage(resolved, kernel, *each) for each in ((0, 1), (0, 2), (1, 2)))
        assert np.abs(np.array(alone) - 2 * np.array(first)).max() <= 2  # each is rounded once
        assert not set(first) & set(second)
        assert not set(alone) & set(drawn(resolved, 1, kernel))


def test_a_list_is_one_a_stage_whatever_a_rank_holds() -> None:
    resolved = scenario({"mean": 0.1}, kernels=LIST)
    for num_stages in (0, 1, 3):
        assert set(of_stage(resolved, "encode", 0, num_stages)) == {1_000_000}
        assert set(of_stage(resolved, "encode", 1, num_stages)) == {2_000_000}
        assert of_stage(resolved, "encode", 2, num_stages) == of_stage(resolved, "encode", 2, 1)
    for stage in (-1, 3):
        with pytest.raises(UnknownStageError, match=rf"from 0 to 2 .*'encode'.* found {'none' if stage < 0 else 3}$"):
            next(durations(resolved.platform, 0, 0, "encode", stage=stage))


@pytest.mark.parametrize(("value", "mean"), [("18.5 ms", 0.0185), (0.25, 0.25), (2, 2.0), ({"mean": "1 us"}, 1e-6)])
def test_a_kernel_takes_a_time_or_a_table(value: Any, mean: float) -> None:
    resolved = scenario({"mean": 0.1}, kernels={"encode": value})
    assert resolved.platform.kernels == {"encode": Duration(mean=mean)}
    assert resolved.said()["platform"]["kernels"] == {"encode": {"mean": mean}}


def test_kernels_can_be_read_again() -> None:
    flops = [{"flops": "4 TFLOP"}, {"flops": "8 TFLOP"}]
    resolved = scenario({"mean": 0.1}, kernels={**LIST, "decode": "1 ms", "worked": flops}, device=A100)
    assert load(resolved.tables()).tables() == resolved.tables()
    assert load(resolved.said()).tables() == resolved.tables()
    assert load(resolved, {"platform.device.efficiency": 0.5}).platform.kernels["worked"] == [
        Duration(flops=4e12, mean=4 / 156), Duration(flops=8e12, mean=8 / 156)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("fast", r'encode: expected a quantity such as "50 us" .with .*, found .fast.'),
        ("4 GB", r'encode: expected a quantity in second, such as "50 us" .with .*, found .4 GB.'),
        (-1, r"encode: expected a number of at least 0, found -1"),
        (True, r'encode: expected a time such as "50 us", a table, or a list of these, one a stage, found true'),
        ([], r"encode: expected at least one duration, found \[\]"),
        (["1 ms", "x"], r'encode\.1: expected a quantity such as "50 us" .with .*, found .x.'),
        ([["1 ms"]], r'encode\.0: expected a time such as "50 us", a table, or a list .*, found \[.1 ms.\]'),
        ([1, {"meen": 1}], r"encode\.1\.meen: unknown key \(did you mean mean\?\); accepted: distribution, mean, "),
        ([{"flops": 1}], r"encode\.0\.flops: expected a table \[platform\.device\] for it, found 1"),
    ],
)
def test_what_is_no_duration_is_refused(value: Any, message: str) -> None:
    with pytest.raises(ScenarioError, match=rf"^scenario: platform\.kernels\.{message}"):
        scenario({"mean": 0.1}, kernels={"encode": value})


# ---- what a gradient time is


def without_clocks(**platform: Any) -> Scenario:
    tables = scenario({"mean": 1}).said() | {"platform": platform}
    return load(tables | {"schedule": {"program": "all-reduce", "gradients": 10}})


def test_a_gradient_time_is_that_of_a_gradient_or_is_given() -> None:
    assert without_clocks().gradient_s == 1.0
    assert without_clocks(gradient_time="20 ms").gradient_s == 0.02
    assert scenario({"mean": 0}).gradient_s == 1.0
    instant = scenario({"mean": 0}, gradient_time="20 ms")
    assert instant.gradient_s == 0.02
    assert load(instant.tables()).tables() == instant.tables()
    for kernel in ("gradient", "forward", "backward"):
        assert set(drawn(instant, 0, kernel)) == {0}
    assert scenario({"mean": 0.5}).gradient_s == 0.5


def test_a_gradient_time_beside_a_gradient_that_takes_time_is_refused() -> None:
    expected = r"platform\.gradient_time: expected none beside platform\.gradient with a mean above 0, found '20 ms'"
    with pytest.raises(ScenarioError, match=expected):
        scenario({"mean": 0.5}, gradient_time="20 ms")


def test_clocks_need_to_know_how_long_a_gradient_takes() -> None:
    expected = (
        r"platform\.gradient: expected one for schedule\.rate = 1\.0, as clocks tick in gradient times, found none"
    )
    with pytest.raises(ScenarioError, match=expected):
        load(scenario({"mean": 1}).said() | {"platform": {}})


def test_without_a_gradient_only_the_platforms_kernels_are_known() -> None:
    resolved = without_clocks(kernels={"forward": "3 ms"})
    assert drawn(resolved, 0, "forward", 2) == [3_000_000] * 2
    for kernel in ("gradient", "backward"):
        with pytest.raises(UnknownKernelError) as error:
            drawn(resolved, 0, kernel)
        assert error.value.known == ("forward",)
