"""What figures of papers' tables have in common: simulated points with their intervals, on axes of the inputs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from twinclock.paper_tables.cells import Cell, Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def number_in(row: Row, column: str) -> float:
    """A number of a row, whether it is an input or a cell."""
    found = row[column]
    assert not isinstance(found, str)
    return found.value if isinstance(found, Cell) else float(found)


def points(
    axes: Axes,
    rows: Sequence[Row],
    x: str,
    y: str,
    *,
    colour: str,
    marker: str = "o",
    unit: Callable[[Row], float] = lambda row: 1.0,
) -> None:
    """Cells against an input: a point each, and its 95 % interval.

    Args:
        rows: of the table, those that belong to these points.
        x, y: columns.
        unit: what a row's y is told in.
    """
    cells = [row[y] for row in rows]
    known = [cell for cell in cells if isinstance(cell, Cell)]
    units = [unit(row) for row in rows]
    values = [cell.value / each for cell, each in zip(known, units, strict=True)]
    half_widths = [(cell.half_width or 0.0) / each for cell, each in zip(known, units, strict=True)]
    at = [number_in(row, x) for row in rows]
    axes.errorbar(at, values, half_widths, color=colour, marker=marker, linestyle="none", capsize=2.5, zorder=3)


def powers_of_two(axes: Axes, values: Iterable[float]) -> None:
    """A logarithmic x-axis with ticks at the values themselves."""
    ticks = sorted(set(values))
    axes.set_xscale("log", base=2)
    axes.set_xticks(ticks, [f"{value:g}" for value in ticks])
    axes.minorticks_off()  # a logarithmic axis would write more numbers between them
