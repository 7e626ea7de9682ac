"""Tables of efficiency: between their entries, beyond them, and what is refused."""

from __future__ import annotations

import math

import pytest

from schedules.platform.protocols.efficiency import LIMIT, EfficiencyGrid, check_grid, default_efficiency

GRID = EfficiencyGrid((1e6, 4e6), (1, 4), ((0.4, 0.8), (0.1, 0.4)))


@pytest.mark.parametrize(
    ("size", "nodes", "expected"),
    [
        (1e6, 1, 0.4),
        (4e6, 4, 0.4),
        (2e6, 1, math.sqrt(0.4 * 0.8)),
        (2e6, 4, math.sqrt(0.1 * 0.4)),
        (1e6, 2, math.sqrt(0.4 * 0.1)),
        (2e6, 2, (0.4 * 0.8 * 0.1 * 0.4) ** 0.25),
        (1.0, 1, 0.4),
        (1e12, 64, 0.4),
    ],
)
def test_between_the_entries_it_is_a_line_in_logarithms(size: float, nodes: int, expected: float) -> None:
    assert check_grid(GRID).at(size, nodes) == pytest.approx(expected, rel=1e-12)


def test_one_row_is_for_all_nodes() -> None:
    assert EfficiencyGrid((1e6, 4e6), (1,), ((0.4, 0.8),)).at(4e6, 99) == 0.8


def test_the_default_loses_one_time_a_collective() -> None:
    """Size over efficiency is a line in size: so is the time."""
    times = [size / default_efficiency(size, 8) for size in (1e6, 2e6, 3e6)]
    assert times[2] - times[1] == pytest.approx(times[1] - times[0], rel=1e-9)
    assert default_efficiency(0, 8) == 1.0


def test_on_slow_links_the_time_that_is_lost_stays() -> None:
    """1 MB on 8 nodes, at 100 GB/s and at 1 Gbit/s."""
    lost = [1e6 / rate * (1 / default_efficiency(1e6, 8, rate) - 1 / LIMIT) for rate in (100e9, 125e6)]
    assert lost[1] == pytest.approx(lost[0], rel=1e-6)
    assert default_efficiency(1e6, 8, 400e9) == default_efficiency(1e6, 8, 100e9)


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        (GRID._replace(sizes=(4e6, 1e6)), "sizes: expected them to rise, found 1000000 after 4000000"),
        (GRID._replace(nodes=(4, 4)), "nodes: expected them to rise, found 4 after 4"),
        (GRID._replace(nodes=(4,)), "values: expected a row for each of 1 numbers of nodes, found 2"),
        (GRID._replace(sizes=(4e6,)), r"values: expected 1 a row, one a size, found 2 \(nodes: 1\)"),
        (GRID._replace(values=((0.4, 0.8), (0.4, 0.1))), r"do not fall with size, found 0.1 at 4000000 B after 0.4 \("),
    ],
)
def test_what_is_refused(grid: EfficiencyGrid, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_grid(grid)
