"""The contest keeps what is asked of it, its file is what it writes, and the README has its table."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import contest

ROOT = Path(__file__).parents[2]
FOUND = contest.rows()
TOLD = contest.summary(FOUND)


@pytest.mark.parametrize("group", contest.ASKED)
def test_what_is_asked_is_kept(group: str) -> None:
    assert TOLD[group]["is_kept"], TOLD[group]


@pytest.mark.parametrize("group", sorted(set(TOLD) - {contest.BUS}))
def test_the_plain_formula_is_further_off_but_for_sends_of_nccl(group: str) -> None:
    """NCCL's sends over long ways show no latency, and the fastest of them, which calibrates, has the least rate."""
    assert (TOLD[group]["middle"] < TOLD[group]["plain_middle"]) == (group != "nccl send")


def test_whatever_is_far_off_says_why() -> None:
    assert {group for group, each in TOLD.items() if each["worst"] > 0.10} <= set(contest.WHY)


def test_few_cells_calibrate() -> None:
    """One of each operation, of the training two, of DiLoCo the runs at two rates, of bus bandwidths half."""
    numbers = {group: len(each["calibrated_on"]) for group, each in TOLD.items()}
    assert (numbers.pop(contest.BUS), numbers.pop(contest.TRAINING), numbers.pop(contest.OUTER)) == (36, 2, 32)
    assert set(numbers.values()) == {1}


def test_the_file_is_what_it_writes() -> None:
    stored = json.loads((ROOT / "benchmarks" / "results" / "contest.json").read_text(encoding="utf-8"))
    made = contest.record(FOUND)
    assert [row["cell"] for row in stored["cells"]] == [row["cell"] for row in made["cells"]]
    for one, other in zip(stored["cells"], made["cells"], strict=True):
        assert one["predicted"] == pytest.approx(other["predicted"], rel=1e-6), one
    assert {group: each.get("why") for group, each in stored["summary"].items()} == {
        group: each.get("why") for group, each in made["summary"].items()
    }


def test_the_readme_has_its_table() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert all(f"  {line}\n" in readme for line in contest.markdown(TOLD))
