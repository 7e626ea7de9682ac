"""Cells that are simulated once a seed: means, intervals, ratios, and what is not simulated twice."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from schedules.errors import ScheduleError
from simulator import simulate
from twinclock.paper_tables.cells import ByCall, Cell
from twinclock.paper_tables.published import flat
from twinclock.paper_tables.seeds import OverSeeds, Quotient, TableSweep

TABLES: dict[str, Any] = {
    "schedule": {"program": "gossip", "gradients": 8},
    "topology": {"graph": "ring", "workers": 3},
    "platform": {"gradient": {"mean": "10 ms"}},
    "workload": {"problem": "quadratic", "dtype": "float64", "options": {"dimension": 3}},
    "run": {"observations": 8},
}
COLUMN = "consensus_distance"


def half(number: float) -> float:
    return number / 2


def over(num_seeds: int = 3, *, rate: float = 1.0, exact: Cell | None = None) -> OverSeeds:
    tables = {**TABLES, "schedule": {**TABLES["schedule"], "rate": rate}}
    return OverSeeds(tables, num_seeds, COLUMN, 2.0, 6.0, exact)


def by_hand(seed: int, rate: float = 1.0) -> float:
    """What the run of a seed has, from its series."""
    tables = copy.deepcopy(TABLES)
    tables["schedule"]["rate"] = rate
    tables["run"]["seed"] = seed
    series = simulate(tables).series
    assert series is not None
    return float(np.mean([row[COLUMN] for _, row in series.iterrows() if 2 <= row["time"] < 6]))


def test_the_mean_over_seeds_with_its_interval(tmp_path: Path) -> None:
    known = Cell(0.5, ByCall(half, (1.0,)))
    (row,) = TableSweep([{"n": 3, "distance": over(exact=known)}], tmp_path).run(jobs=1)
    values = [by_hand(seed) for seed in range(3)]
    cell = row["distance"]
    assert isinstance(cell, Cell)
    assert cell.value == pytest.approx(np.mean(values), rel=1e-12)
    assert cell.error == pytest.approx(np.std(values, ddof=1) / np.sqrt(3), rel=1e-12)
    half_width = 4.302652729749464 * np.std(values, ddof=1) / np.sqrt(3)  # Student, 2 degrees of freedom, 97.5 %
    assert flat(row, {}) == {
        "n": 3, "distance": cell.value, "distance_interval": pytest.approx(half_width, rel=1e-9), "distance_exact": 0.5,
    }  # fmt: skip


def test_a_ratio_is_of_pairs_of_one_seed(tmp_path: Path) -> None:
    top, bottom = over(4, rate=0.5, exact=Cell(3.0, None)), over(4, exact=Cell(2.0, None))
    (row,) = TableSweep([{"ratio": Quotient(top, bottom)}], tmp_path).run(jobs=1)
    y, x = (np.array([by_hand(seed, rate) for seed in range(4)]) for rate in (0.5, 1.0))
    cell = row["ratio"]
    assert isinstance(cell, Cell)
    assert cell.value == pytest.approx(y.mean() / x.mean(), rel=1e-12)
    residuals = y - cell.value * x
    assert cell.error == pytest.approx(residuals.std(ddof=1) / 2 / x.mean(), rel=1e-9)
    assert (cell.origin, cell.exact) == (None, Cell(1.5, None))


def test_each_run_is_made_once_and_what_is_finished_is_kept(tmp_path: Path) -> None:
    """In two cells, and again by a second start."""
    rows = [{"one": over(), "other": over(2), "ratio": Quotient(over(), over())}]
    first = TableSweep(rows, tmp_path)
    assert first.seen() == (0, 0, 3)
    found = first.run(jobs=1)
    assert first.seen() == (1, 3, 3)
    assert len(list((tmp_path / "cases").iterdir())) == 3
    again = TableSweep(rows, tmp_path)
    assert again.seen() == (1, 3, 3)
    assert again.run(jobs=1) == found


def test_rows_that_are_whole_need_no_run(tmp_path: Path) -> None:
    rows: list[dict[str, int | float | str | Cell]] = [{"n": 1, "value": Cell(2.0, None), "ratio": 0.5}]
    sweep = TableSweep(rows, tmp_path)
    assert sweep.seen() is None
    assert sweep.run() == rows
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_cannot_go_on_is_told(tmp_path: Path) -> None:
    (tmp_path / "stuck.py").write_text(
        "from schedules import Count, Receive, Table\nSOURCE = 'a test'\nclass Settings(Table):\n    gradients: Count\n"
        "def streams(worker):\n    return {'compute': stuck(worker)}\n"
        "def stuck(worker):\n    yield Receive((worker.rank + 1) % 3)\n"
    )
    tables = {**TABLES, "schedule": {"program": str(tmp_path / "stuck.py"), "gradients": 1}}
    sweep = TableSweep([{"x": OverSeeds(tables, 2, COLUMN, 0, 1)}], tmp_path / "runs")
    with pytest.raises(ScheduleError, match=r"stuck.*run\.seed = 0"):
        sweep.run(jobs=1)
