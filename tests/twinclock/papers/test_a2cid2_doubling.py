"""A²CiD² beside a doubled rate: simulated agrees with exact, and the exact numbers are the right ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from schedules.scenario import ScenarioError
from twinclock.paper_tables.cells import Cell, Row
from twinclock.paper_tables.inputs import changed
from twinclock.paper_tables.seeds import OverSeeds, TableSweep
from twinclock.papers.a2cid2_doubling import CURVES, INPUTS, NoisyRing, exact, figure, ours


def made(place: Path, *rings: NoisyRing) -> list[Row]:
    return TableSweep(ours(rings), place).run(jobs=1)


def cell(row: Row, column: str) -> Cell:
    found = row[column]
    assert isinstance(found, Cell)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_simulated_agrees_with_exact_within_three_standard_errors(momentum: float, tmp_path: Path) -> None:
    (row,) = made(tmp_path, NoisyRing(workers=4, momentum=momentum, seeds=8, gradients=320))
    for column in (*CURVES, "a2cid2_over_doubled"):
        found = cell(row, column)
        assert found.error is not None
        assert found.exact is not None
        assert 0 < found.error < 0.06 * found.value
        assert abs(found.value - found.exact.value) < 3 * found.error, column


def test_exact_numbers() -> None:
    """gossip.json, stationary_baseline_iid_noise [derived]: 4.75 and 16.625 on rings of 4 and 8, as 1/r."""
    assert exact(4, 0.0, 1.0, "gossip") == pytest.approx(4.75, rel=1e-9)
    assert exact(8, 0.0, 2.0, "gossip") == pytest.approx(16.625 / 2, rel=1e-9)


@pytest.mark.parametrize(("workers", "momentum", "is_doubled"), [(16, 0.9, False), (32, 0.9, True), (32, 0.0, False)])
def test_where_it_does_as_much_as_doubling(workers: int, momentum: float, is_doubled: bool) -> None:
    """gossip.md, section 7: with momentum 0.9 only from 16 to 32 workers on, and far from it without."""
    assert (exact(workers, momentum, 1.0, "a2cid2") < exact(workers, momentum, 2.0, "gossip")) == is_doubled


def test_both_methods_at_both_rates_with_twenty_seeds() -> None:
    assert {(row.workers, row.momentum) for row in INPUTS} == {(n, m) for n in (8, 16, 32, 64) for m in (0.0, 0.9)}
    assert {(row.rate, row.seeds) for row in INPUTS} == {(1.0, 20)}
    (row,) = ours([NoisyRing(workers=8, rate=0.5)])
    cells = [row[column] for column in CURVES]
    tables = [each.tables["schedule"] for each in cells if isinstance(each, OverSeeds)]
    expected = [("gossip", 0.5), ("gossip", 1.0), ("a2cid2", 0.5), ("a2cid2", 1.0)]
    assert [(each["program"], each["rate"]) for each in tables] == expected


@pytest.mark.slow
def test_a_slow_ring_has_a_longer_warm_up() -> None:
    def length(**inputs: float) -> float:
        (row,) = ours([NoisyRing.model_validate({"workers": 8, "gradients": 10, **inputs})])
        found = row["baseline"]
        assert isinstance(found, OverSeeds)
        return found.since

    assert length(workers=32) > 10 * length(workers=8)
    assert length(rate=0.5) > 1.9 * length(rate=1)
    assert length(momentum=0.99) > 200  # the momentum's own memory


@pytest.mark.slow
def test_the_figure_has_a_panel_a_momentum_and_two_more() -> None:
    cells = {column: Cell(1.0, None, half_width=0.1) for column in (*CURVES, "a2cid2_over_doubled")}
    rows: list[Row] = [{"workers": 6, "momentum": momentum, "rate": 1.0, **cells} for momentum in (0.0, 0.3, 0.9)]
    titles = [axes.get_title(loc="left") for axes in figure(rows).get_axes()]
    assert titles == [
        "Noise, momentum 0",
        "Noise, momentum 0.3",
        "Noise, momentum 0.9",
        "Noise: against doubling, by momentum",
        "Constant, unequal gradients (exact)",
    ]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"workers": 2}, "--set: workers: expected a number of at least 3, found 2"),
        ({"momentum": 1}, "--set: momentum: expected a number below 1, found 1"),
        ({"rate": 0}, "--set: rate: expected a number above 0, found 0"),
        ({"seeds": 1}, "--set: seeds: expected a number of at least 2, found 1"),
        ({"seed": 1}, "--set seed: expected one of the columns workers, momentum, rate, seeds, gradients, found"),
    ],
)
def test_wrong_inputs(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ScenarioError, match=message):
        changed(INPUTS, settings)
