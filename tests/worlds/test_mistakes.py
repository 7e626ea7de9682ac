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


def test_a_broadcast_has_a_root_that_takes_part(world: World) -> None:
    with pytest.raises(ProgramError, match=r"expected a root among \[0, 1, 2, 3\], found 99"):
        world({**PAYLOADS, "schedule.case": "root"})


def test_numbers_that_a_backend_does_not_know_are_no_lost_connection(measured: World) -> None:
    with pytest.raises(ProgramError, match=r"expected numbers that collectives carry, found torch\.int16"):
        measured({**PAYLOADS, "schedule.case": "small integers"})


MISUSES = {
    "subtract": r"rule subtract: expected s\.x to be replaced, found it written in place",
    "set an item": r"rule set_an_item: expected s\.momentum to be replaced, found it written in place",
    "argument": "rule write_to_the_argument: expected argument 1 to be replaced, found it written in place",
    "part": "rule write_to_a_part: expected argument 1 to be replaced, found it written in place",
    "of a collective": "rule write_to_the_argument: expected argument 1 to be replaced, found it written in place",
    "unknown": r"s\.momentun: expected one of x, momentum, .*found 'momentun' \(did you mean momentum",
    "new": r"s\.velocity: expected one of x, momentum, .*found 'velocity'",
    "shape": r"s\.x: expected an array \(20,\) of (torch\.)?float64, found \(19,\) of (torch\.)?float64",
    "yields": "rule program: expected a plain function, found one that yields",
    "worker": "rule nothing: expected numbers, payloads and slices as arguments, found a worker",
    "size": "expected an array of 8 bytes, as its payload says, found 160",
}
"""Of rules: they are run in numeric runs alone."""
ALWAYS = {
    "no version": "expected a contribution that says which version it was read from, found Payload",
    "mixed": "expected contributions of one kind to one target, found average to x, gradient to x",
    "left": r"model\.step has left: expected model\.apply\(descend, gradient\)",
}


@pytest.mark.parametrize("case", [*MISUSES, *ALWAYS])
def test_a_misuse_is_told_by_its_line(case: str, world: World) -> None:
    """That of the rule where it is seen there, or of the call."""
    told = {**MISUSES, **ALWAYS}[case]
    with pytest.raises(ProgramError, match=rf"misused\.py:\d+: .*  # {case}\n  rank \d, stream compute: {told}"):
        world({"schedule.program": str(HERE / "programs" / "misused.py"), "schedule.case": case})


@pytest.mark.parametrize("case", ALWAYS)
def test_what_is_no_rule_s_is_told_without_numbers_too(case: str, world: World) -> None:
    with pytest.raises(ProgramError, match=rf"misused\.py:\d+: .*  # {case}\n.*{ALWAYS[case]}"):
        world({"schedule.program": str(HERE / "programs" / "misused.py"), "schedule.case": case, **TIMING})


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        ("program", r"raising\.py:\d+: worker\.rank / 0\n.*ZeroDivisionError: division by zero"),
        ("rule", r"raising\.py:\d+: s\.x = s\.x \+ 1 / by\n.*ZeroDivisionError: division by zero"),
        ("arguments", r"raising\.py:\d+: worker\.model\.change\(divide\)\n.*TypeError: divide\(\) missing 1"),
        ("engine", r"raising\.py:\d+: s\.x = s\.x \+ 1 / by\n.*ZeroDivisionError: division by zero"),
    ],
)
def test_what_a_program_raises_is_told_by_its_own_line(case: str, expected: str, world: World) -> None:
    with pytest.raises(ProgramError, match=expected):
        world({"schedule.program": str(HERE / "programs" / "raising.py"), "schedule.case": case})
