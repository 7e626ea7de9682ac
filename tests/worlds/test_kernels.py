"""Kernels by stage, by the platform alone, and with work of their own, in both worlds."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from schedules.errors import ProgramError
from schedules.platform.durations import Cuts, durations
from schedules.result import Result
from schedules.scenario import load
from tests.worlds.conftest import BASE, World

PROGRAMS = Path(__file__).parent / "programs"
TIMING = {"run.numerics": False}
SPREAD = {"distribution": "lognormal", "mean": "3 ms", "cv": 0.3}


def kinds(case: str, **overrides: Any) -> dict[str, Any]:
    """A case of `programs.kernel_kinds`, with a kernel `encode` that only the platform knows."""
    program = {"schedule.program": str(PROGRAMS / "kernel_kinds.py"), "schedule.case": case}
    return {**program, "platform.kernels": {"encode": "100 us"}, **overrides}


# ---- kinds


@pytest.mark.parametrize("numbers", [{}, TIMING], ids=["numeric", "timing"])
def test_an_answer_of_work_is_of_the_kind_of_the_kernels_row(numbers: dict[str, Any], world: World) -> None:
    """The program compares; `gradient` and `forward` count one each."""
    assert world({**kinds("work"), **numbers}).summary["gradients"] == 4 * 2


def test_a_kernel_that_only_the_platform_knows_has_no_numbers(world: World) -> None:
    world({**kinds("named by the platform"), **TIMING})
    expected = r"kernel_kinds\.py:\d+: .*: expected one of the kernels backward, forward, gradient; found 'encode'"
    with pytest.raises(ProgramError, match=expected):
        world(kinds("named by the platform"))


# ---- stages


def staged(**overrides: Any) -> dict[str, Any]:
    program = {"schedule.program": str(PROGRAMS / "two_stages.py"), "topology.workers": 2, **TIMING}
    return {**program, "topology.graph": "complete", "platform.gradient": SPREAD, **overrides}


def taken(result: Result, rank: int, stage: int) -> Any:
    rows: pd.DataFrame = result.trace
    rows = rows[(rows["op"] == "Compute") & (rows["rank"] == rank) & (rows["stage"] == stage)]
    return (rows["end_ns"] - rows["ready_ns"]).to_numpy()


@pytest.mark.parametrize(
    "platform",
    [
        {},
        {"platform.kernels": {"forward": SPREAD}},
        {"platform.kernels": {"forward": ["1 ms", SPREAD, {**SPREAD, "mean": "2 ms"}]}},
    ],
    ids=["a gradient's part", "one for the rank", "one a stage"],
)
def test_every_stage_draws_from_a_stream_of_its_own(
    platform: dict[str, Any], simulated: World, measured: World
) -> None:
    case = staged(**platform)
    resolved = load(BASE, case)
    found, real = simulated(case), measured(case)
    for rank, stage, held in ((0, 0, 2), (0, 1, 2), (1, 2, 1)):
        drawn = durations(resolved.platform, resolved.run.seed, rank, "forward", stage=stage, cuts=Cuts(stages=held))
        expected = np.array(list(itertools.islice(drawn, 20)))
        assert (taken(found, rank, stage) == expected).all()
        late = taken(real, rank, stage) - expected
        assert (late >= 0).all()
        assert np.median(late) < 2e6


def test_one_value_is_shared_by_the_stages_of_a_rank(simulated: World) -> None:
    result = simulated(staged(**{"platform.kernels": {"forward": "6 ms"}}))
    assert set(taken(result, 0, 0)) == set(taken(result, 0, 1)) == {3_000_000}
    assert set(taken(result, 1, 2)) == {6_000_000}
    result = simulated(staged(**{"platform.kernels": {"forward": ["1 ms", 0.002, {"mean": "3 ms"}]}}))
    assert [set(taken(result, min(stage // 2, 1), stage)) for stage in range(3)] == [
        {1_000_000},
        {2_000_000},
        {3_000_000},
    ]


def test_a_list_needs_operations_with_a_stage(world: World) -> None:
    listed = {"platform.kernels": {"encode": ["1 ms", "2 ms"]}, **TIMING}
    world({**kinds("stage 1"), **listed})
    said = (
        r"kernel_kinds\.py:\d+: yield Compute\(.*\): expected a stage from 0 to 1 beside the kernel 'encode', of which "
    )
    for case, found in (("no stage", "none"), ("stage 2", "2")):
        with pytest.raises(ProgramError, match=rf"{said}platform\.kernels has a list, found {found}"):
            world({**kinds(case), **listed})


# ---- without a gradient's duration


def test_without_a_gradients_duration_the_platforms_kernels_are_all(world: World) -> None:
    result = world({**kinds("named by the platform"), **TIMING, "platform.gradient": None})
    assert result.gradient_s == 1.0
    for known, told in (({"encode": "1 ms"}, "encode"), ({}, r"\(there are none\)")):
        with pytest.raises(ProgramError, match=rf"expected one of the kernels {told}; found 'gradient'"):
            world({**kinds("work"), **TIMING, "platform.gradient": None, "platform.kernels": known})


def test_without_a_gradients_duration_no_clock_ticks(world: World) -> None:
    expected = r"clock 'gradient': expected platform\.gradient, in whose times clocks tick, found none"
    with pytest.raises(ProgramError, match=rf"kernel_kinds\.py:\d+: .*\n.*{expected}"):
        world({**kinds("clock"), **TIMING, "platform.gradient": None})
