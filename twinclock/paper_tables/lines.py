"""What is printed of a paper's table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from schedules.record.quantities import number
from twinclock.paper_tables.catalogue import PaperTable
from twinclock.paper_tables.cells import Row
from twinclock.printing.tables import table_lines

HEADINGS = {
    "_error": "standard error",
    "_exact": "exact",
    "_published": "published",
    "_difference": "difference",
}
"""Of the columns that stand behind a value's."""
INTERVAL = "_interval"
"""Stands in the value's own column."""


def paper_lines(
    table: PaperTable, rows: Sequence[Row], columns: Sequence[Mapping[str, object]], published: str
) -> list[str]:
    """The table for people: what it is of, its rows, and where the numbers beside ours are from.

    Args:
        rows: of the table.
        columns: the same rows, flat.
        published: the source of what was published; "": nothing was.
    """
    all_names = list(dict.fromkeys(name for row in columns for name in row))
    keys = dict.fromkeys(key for row in rows for key in row)
    names = [name for each in keys for name in all_names if _of(name, each)]
    values = [[row.get(name, "") for name in names] for row in columns]
    right = {
        index for index in range(len(names)) if not any(isinstance(row[index], str) and row[index] for row in values)
    }
    cells = [[_cell(name, row.get(name, "")) + _scatter(row.get(name + INTERVAL)) for name in names] for row in columns]
    lines = table_lines(cells, header=[_heading(name) for name in names], right=right)
    notes = ["±: half of the 95 % interval over seeds"] if any(name.endswith(INTERVAL) for name in all_names) else []
    return [f"{table.name}: {table.summary}", f"Source: {table.source}", "", *lines, *notes, *_known(published)]


def _of(name: str, value: str) -> bool:
    """Whether a column is a value's, or one of those that stand behind it."""
    return name in (value, *(value + each for each in HEADINGS))


def _heading(name: str) -> str:
    return next((heading for ending, heading in HEADINGS.items() if name.endswith(ending)), name)


def _scatter(half_width: object) -> str:
    """Half of the 95 % interval, where there is one."""
    return f" ± {number(half_width, 2)}" if isinstance(half_width, float) else ""


def _cell(name: str, value: object) -> str:
    if not isinstance(value, float):
        return str(value)
    if name.endswith("_error"):
        return number(value, 2)
    if name.endswith("_difference"):
        return f"{'+' if value > 0 else ''}{number(value, 2)}"
    return number(value)


def _known(published: str) -> list[str]:
    return [f"Published: {published}"] if published else []
