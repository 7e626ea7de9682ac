"""What a program's module declares wrongly is told in one line, before anything runs where that can be."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from schedules.errors import ProgramError
from schedules.scenario import ScenarioError
from tests.worlds.conftest import World

TEXT = (Path(__file__).parent / "programs" / "declaring.py").read_text(encoding="utf-8")

REFUSED = {
    "STATE = [COPY]": "STATE: expected a dict of vectors by name, found [Vector(",
    "STATE = 3": "STATE: expected a dict of vectors by name, found 3",
    'STATE = {"run": ZERO}': "with 'run': Vector(",
    'STATE = {"_watched": ZERO}': "with '_watched': Vector(",
    'STATE = {"view": ZERO}': "with 'view': Vector(",
    'STATE = {3: ZERO}': "with 3: Vector(",
    'STATE = {"a": Vector("ones")}': "Vector: start: expected 'copy' or 'zero', found 'ones'",
    'STATE = {"a": Vector("zero", dtype="float3")}': "Vector: dtype: expected one of float16, bfloat16, float32, "
    "float64, or None, found 'float3'",
    'STATE = {"a": Vector("zero", dtype=32)}': "Vector: dtype: expected one of float16, bfloat16, float32, float64, or "
    "None, found 32",
    'STATE = {"a": Vector("zero", 3)}': "Vector: is_shard: expected True or False, found 3",
    'OPTIMIZER = "shard"': "OPTIMIZER: expected SHARD, or another Vector, or None, found 'shard'",
    "SOURCE = 3": "SOURCE: expected text, found 3",
    "Settings = dict": "Settings: expected a class that is derived from Table, found <class 'dict'>",
    "streams = 3": "streams: expected a function, found 3",
    "summary = 3": "summary: expected a function, found 3",
    "SURVIVES_FAILURES = 1": "SURVIVES_FAILURES: expected True or False, found 1",
    "length = 3": "length: expected a function, found 3",
    "length = lambda settings, rank: 2.5": "length: expected a whole number of at least 0 for rank 0, found 2.5",
    "length = lambda settings, rank: None": "length: expected a whole number of at least 0 for rank 0, found None",
    "length = lambda settings, rank: 1 / 0": "ZeroDivisionError: division by zero",
    "length = lambda settings: 3": "length: expected an answer, found an error (",
    "updates = lambda settings, rank: 'a'": "updates: expected a whole number of at least 0 for rank 0, found 'a'",
    "updates = lambda settings, rank: True": "updates: expected a whole number of at least 0 for rank 0, found True",
    "role = lambda settings, rank: 3": "role: expected one of worker, server, found 3",
    "role = lambda settings, rank: []": "role: expected one of worker, server, found []",
    "place = lambda settings, workers: None": "place: expected a list of ranks, one entry a stage, found None",
    "place = lambda settings, workers: 'ab'": "place: expected a list of ranks, one entry a stage, found 'ab'",
    "place = lambda settings, workers: [0.5]": "place: expected ranks from 0 to 3 for stage 0, found (0.5,)",
    "place = lambda settings, workers: [True]": "place: expected ranks from 0 to 3 for stage 0, found (True,)",
    "place = lambda settings, workers: []": "place: expected at least one stage, found none",
    "1 / 0": "own.py:27: 1 / 0: ZeroDivisionError: division by zero",
    "a b": "own.py:27: invalid syntax",
}  # fmt: skip


def run(world: World, tmp_path: Path, declared: str, **changes: Any) -> Any:
    path = tmp_path / "own.py"
    path.write_text(f"{TEXT}\n\n{declared}\n", encoding="utf-8")
    return world({"schedule.program": str(path), "schedule.gradients": 1, **changes})


@pytest.mark.parametrize("declared", REFUSED)
def test_a_wrong_declaration_is_refused_with_the_scenario(declared: str, tmp_path: Path, simulated: World) -> None:
    """Scenarios are loaded alike for both worlds, and for those that only look at them."""
    with pytest.raises(ScenarioError, match=r"^scenario: schedule\.program: ") as error:
        run(simulated, tmp_path, declared)
    assert REFUSED[declared] in str(error.value)
    assert "\n" not in str(error.value)


LATER = {
    "constants = lambda worker: 3": "own.py: constants: expected a dict by name, found 3",
    'constants = lambda worker: {"x": 3}': "own.py: constants: expected names that are not taken, found 'x'",
    'constants = lambda worker: {"_calls": 3}': "own.py: constants: expected names that are not taken, found '_calls'",
    'constants = lambda worker: {"vectors": 3}': "constants: expected names that are not taken, found 'vectors'",
    "constants = lambda worker: 1 / 0": "ZeroDivisionError: division by zero (in constants, rank ",
    "streams = lambda worker: None": "own.py: streams: expected a dict of programs by name, found None",
    'streams = lambda worker: {"a": 3}': "own.py: streams: expected a generator, the call of a function that yields, "
    "by name, found 'a': 3",
    'streams = lambda worker: worker.coin("a")': "worker.coin: expected a whole number from 0 to 2^32 - 1, found 'a'",
    "read_out = lambda s, time: 3": "rule read_out: expected the parameters, (20,), or None, found 3",
    "read_out = lambda s, time: s.x[1:]": "rule read_out: expected the parameters, (20,), or None, found ",
}  # fmt: skip


@pytest.mark.parametrize("declared", LATER)
def test_what_is_wrong_with_an_answer_is_told_when_it_is_asked_for(
    declared: str, tmp_path: Path, simulated: World
) -> None:
    with pytest.raises(ProgramError, match=re.escape(LATER[declared])):
        run(simulated, tmp_path, declared.replace("lambda s,", "lambda s,"), **{"run.observations": 2})


@pytest.mark.parametrize("declared", ["constants = lambda worker: 3", "streams = lambda worker: None"])
def test_a_measured_run_says_the_same(declared: str, tmp_path: Path, measured: World) -> None:
    with pytest.raises(ProgramError, match=rf"rank \d: .*{re.escape(LATER[declared])}"):
        run(measured, tmp_path, declared)


@pytest.mark.parametrize("answer", ["None", "3", "[1]"])
def test_a_summary_that_is_none_is_told_in_the_summary(answer: str, tmp_path: Path, simulated: World) -> None:
    found = run(simulated, tmp_path, f"summary = lambda run: {answer}").summary["summary_error"]
    assert found == f"summary(run): ValueError: expected a dict by name, found {answer}"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ([2, 5], r"expected a number for each of 4 workers, found 2"),
        ([2, 5, 1, 1.5], r"expected a whole number of at least 0 for rank 3, found 1\.5"),
        ([2, 5, 1, -1], r"expected a whole number of at least 0 for rank 3, found -1"),
    ],
)
def test_gradients_by_worker_are_told_by_their_key(given: Any, told: str, tmp_path: Path, simulated: World) -> None:
    with pytest.raises(ScenarioError, match=rf"^scenario: schedule\.gradients: {told}$"):
        run(simulated, tmp_path, "", **{"schedule.gradients": given})
