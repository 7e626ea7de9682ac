"""The facts of an answer, and staleness, are the same in both worlds."""

from __future__ import annotations

from pathlib import Path

import pytest

from analysis.measures.metrics import staleness
from tests.worlds.conftest import World
from tests.worlds.programs import facts

PROGRAM = {"schedule.program": str(Path(facts.__file__))}


@pytest.mark.parametrize("numbers", [{}, {"run.numerics": False}], ids=["numeric", "timing"])
@pytest.mark.parametrize("case", facts.CASES)
def test_an_answer_says_what_its_payload_was_read_from(case: str, numbers: dict[str, object], world: World) -> None:
    """The program compares: the sender's facts, the root's, or one's own."""
    world({**PROGRAM, **numbers, "schedule.case": case})


def test_staleness_counts_only_what_is_known(world: World) -> None:
    """Both gradients of each rank were read at version 0; one says neither its step nor when that was."""
    result = world({**PROGRAM, "schedule.case": "stale"})
    summary = result.summary
    assert summary["gradients"] == 8
    assert (summary["staleness_mean"], summary["staleness_max"]) == (0.5, 1)
    assert summary["staleness_steps_mean"] == summary["staleness_steps_max"] == 1.0
    known = staleness(result.trace)
    assert sorted(known["versions"]) == [0] * 4 + [1] * 4
    assert sorted(known["steps"]) == [-1] * 4 + [1] * 4
    assert known["seconds"].mean() == pytest.approx(summary["staleness_mean_s"], abs=1e-3)
    assert 0.01 < summary["staleness_mean_s"] < 1.0
    unknown = result.trace[(result.trace["applied"] != "") & (result.trace["read_ns"] < 0)]
    assert len(unknown) == 4
    assert (unknown["steps_behind"] == -1).all()
