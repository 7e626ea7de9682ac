"""What others measured of DiLoCo: what calibrates, what is predicted, and how far off that is."""

from __future__ import annotations

import csv
import statistics
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from schedules.scenario import ScenarioError
from twinclock.paper_tables.cells import Cell
from twinclock.paper_tables.inputs import changed
from twinclock.paper_tables.published import read_published
from twinclock.papers.local._fast_runs import FAST_RUNS
from twinclock.papers.local.diloco_measured import (
    INPUTS,
    UNSHAPED,
    RingCalibration,
    ShapedRun,
    ours,
    ring_seconds,
    step_seconds,
)

MEASURED = Path(__file__).parents[2] / "measured" / "diloco-measured.csv"
NAMES = {"ddp": "all-reduce", "diloco": "diloco", "localsgd": "local-sgd"}
RATES = {"5g": 5.0, "1g": 1.0, "200m": 0.2, "50m": 0.05, "unshaped": UNSHAPED}


def runs() -> list[dict[str, str]]:
    with MEASURED.open(encoding="utf-8") as file:
        return list(csv.DictReader(line for line in file if not line.startswith("#")))


def test_the_fast_runs_alone_calibrate() -> None:
    """All of them, and no other: what is predicted is not in the package."""
    fast = [row for row in runs() if row["bw"] in ("5g", "1g")]
    assert {each.gbit for each in FAST_RUNS} == {5.0, 1.0}
    assert [each.sync for each in FAST_RUNS] == [float(row["median_sync_s"]) for row in fast]
    steps = [float(row["median_compute_ms"]) / 1e3 for row in fast]
    assert [each.compute for each in FAST_RUNS] == pytest.approx(steps)


def test_every_run_is_a_row_and_is_published() -> None:
    known = read_published("diloco-measured").rows
    wanted = [(NAMES[row["alg"]], RATES[row["bw"]], int(row["H"]), float(row["CU"])) for row in runs()]
    found = [(row["method"], row["gbit"], row["local_steps"], row["utilization"]) for row in known]
    assert sorted(found) == sorted(wanted)
    keys = [(row.method, row.gbit, row.local_steps, row.run) for row in INPUTS]
    assert sorted(keys) == sorted((row["method"], row["gbit"], row["local_steps"], row["run"]) for row in known)


def values(run: ShapedRun) -> tuple[float, float]:
    (row,) = ours([run])
    found = [row["utilization"], row["ring"]]
    numbers = [each.value for each in found if isinstance(each, Cell)]
    return numbers[0], numbers[1]


@pytest.mark.parametrize("method", ["diloco", "local-sgd"])
def test_predictions_are_nearer_than_the_plain_ring(method: str) -> None:
    """In the median of the runs that do not calibrate, which the sheet has in three groups of bandwidth."""
    known = {
        (row["method"], row["gbit"], row["local_steps"], row["run"]): float(str(row["utilization"]))
        for row in read_published("diloco-measured").rows
    }
    errors = []
    for run in INPUTS:
        if run.method == method and run.gbit not in (5.0, 1.0):
            measured = known[run.method, run.gbit, run.local_steps, run.run]
            errors.append([abs(each / measured - 1) for each in values(run)])
    mine, ring = np.median(errors, axis=0)
    assert mine < 0.95 * ring
    assert mine < 0.15


@pytest.mark.parametrize(
    "inputs",
    [
        {"method": "diloco", "gbit": 0.3, "local_steps": 5, "steps": 20, "syncs": 4},
        {"method": "local-sgd", "gbit": 2.0, "local_steps": 40, "steps": 40, "syncs": 1},
        {"method": "all-reduce", "gbit": 10.0, "local_steps": 4, "steps": 8, "syncs": 2},
    ],
    ids=str,
)
def test_other_inputs(inputs: dict[str, Any]) -> None:
    """Steps over steps and all-reduces, by hand."""
    run = ShapedRun(**inputs)
    known, step = RingCalibration.of(run.method), step_seconds(run.method, run.local_steps)
    ring = 1.5 * 4 * 30_846_720 * 8 / (run.gbit * 1e9)
    assert ring_seconds(run.gbit) == pytest.approx(ring)
    took = known.overhead + ring / known.efficiency + (known.first if run.syncs == 1 else 0)
    computing = run.steps * step
    wanted = computing / (computing + run.syncs * took), computing / (computing + run.syncs * ring)
    assert values(run) == pytest.approx(wanted, rel=1e-6)


def test_the_line_goes_through_both_medians() -> None:
    known = RingCalibration.of("diloco")
    for rate in (5.0, 1.0):
        alike = [each for each in FAST_RUNS if (each.method, each.gbit) == ("diloco", rate) and each.local_steps < 128]
        took = statistics.median(each.sync for each in alike)
        assert known.overhead + ring_seconds(rate) / known.efficiency == pytest.approx(took)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"gbit": 0}, "--set: gbit: expected a number above 0, found 0"),
        ({"syncs": 7}, "--set: syncs: expected a divisor of steps = 30, found 7"),
        ({"method": "co2"}, "--set: method: expected 'diloco', 'local-sgd' or 'all-reduce', found 'co2'"),
    ],
)
def test_wrong_inputs(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ScenarioError, match=message):
        changed(INPUTS, settings)
