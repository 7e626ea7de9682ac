"""A program's mistake is told alike in both worlds, by the program's own line."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from schedules.errors import ProgramError
from tests.worlds.conftest import World

HERE = Path(__file__).parent
TIMING = {"run.numerics": False}


@pytest.mark.parametrize("numbers", [{}, TIMING], ids=["numeric", "timing"])
def test_an_unknown_kernel_is_a_mistake_of_the_program(numbers: dict[str, Any], world: World) -> None:
    case = {"schedule.program": str(HERE / "programs" / "kernels.py"), **numbers}
    expected = r"kernels\.py:\d+: yield Compute\(worker\.settings\.kernel\): expected one of the kernels .*gradient.*; "
    with pytest.raises(ProgramError, match=expected + "found 'gradeint'"):
        world({**case, "schedule.kernel": "gradeint"})
    world({**case, "schedule.kernel": "gradient"})


def test_both_worlds_name_the_same_kernels(simulated: World, measured: World) -> None:
    case = {"schedule.program": str(HERE / "programs" / "kernels.py"), "schedule.kernel": "nothing"}
    for numbers in ({}, TIMING):
        told = []
        for world in (simulated, measured):
            with pytest.raises(ProgramError) as error:
                world({**case, **numbers})
            told.append(re.sub(r"^rank \d+: ", "", str(error.value)))  # a measured run says which rank it was
        assert told[0] == told[1]


PAYLOADS = {"schedule.program": str(HERE / "programs" / "payloads.py")}
CARRYING = ("exchange", "send", "all-reduce", "reduce-scatter", "all-gather", "all-to-all", "broadcast")


@pytest.mark.parametrize("case", [*CARRYING, "exchange started", "all-reduce started"])
def test_an_array_of_other_bytes_than_its_payload_says_is_refused(case: str, world: World) -> None:
    expected = r"payloads\.py:\d+: .*\n.*: expected an array of 64 bytes, as its payload says, found 32"
    with pytest.raises(ProgramError, match=expected):
        world({**PAYLOADS, "schedule.case": case})


@pytest.mark.parametrize("case", ["mean", "mean-parts", "mean started"])
def test_integers_have_no_mean(case: str, world: World) -> None:
    with pytest.raises(ProgramError, match=r"expected floating-point numbers for a mean, found .*int64"):
        world({**PAYLOADS, "schedule.case": case})


@pytest.mark.parametrize("case", ["sum", "complex mean"])
def test_integers_have_a_sum_and_complex_numbers_a_mean(case: str, world: World) -> None:
    """The program compares."""
    world({**PAYLOADS, "schedule.case": case})


@pytest.mark.parametrize("case", ["odd parts", "odd shares"])
def test_what_is_cut_into_parts_must_have_as_many(case: str, world: World) -> None:
    with pytest.raises(ProgramError, match="expected a length that 4 ranks divide, found 5"):
        world({**PAYLOADS, "schedule.case": case})


def test_a_broadcast_has_a_root_that_takes_part(world: World) -> None:
    with pytest.raises(ProgramError, match=r"expected a root among \[0, 1, 2, 3\], found 99"):
        world({**PAYLOADS, "schedule.case": "root"})


def test_numbers_that_a_backend_does_not_know_are_no_lost_connection(measured: World) -> None:
    with pytest.raises(ProgramError, match=r"expected numbers that collectives carry, found torch\.int16"):
        measured({**PAYLOADS, "schedule.case": "small integers"})
