"""What is printed of a sweep: one line a case."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from schedules.record.quantities import number, quantity
from twinclock.printing.tables import table_lines

if TYPE_CHECKING:
    import pandas as pd

NUMBERS = {
    "gradients_per_s": "gradients/s",
    "utilization_compute": "computing",
    "idle_fraction": "idle",
    "staleness_mean": "staleness",
    "loss": "loss",
    "accuracy": "accuracy",
    "consensus_distance": "consensus",
}
"""Columns that are shown, and their headings."""

MAX_ROWS = 48


def show_table(table: pd.DataFrame, settings: list[str]) -> None:
    """Print `sweep_lines`."""
    for line in sweep_lines(table, settings):
        click.echo(line)


def sweep_lines(table: pd.DataFrame, settings: list[str]) -> list[str]:
    """One line a case: these settings, and the numbers that people look at first."""
    numbers = [key for key in NUMBERS if key in table]
    rows = [_row(row, settings, numbers) for row in table.head(MAX_ROWS).to_dict("records")]
    header = [*settings, *(NUMBERS[key] for key in numbers)]
    texts = [index for index, key in enumerate(settings) if table[key].dtype.kind not in "iuf"]
    lines = table_lines(rows, header=header, right=set(range(len(header))) - set(texts))
    more = [f"... and {len(table) - MAX_ROWS} more cases, in the files"] if len(table) > MAX_ROWS else []
    return [*lines, *more]


def _setting(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return number(value) if isinstance(value, float) else str(value)


def _row(row: dict[Any, Any], settings: list[str], numbers: list[str]) -> list[str]:
    told = [_setting(row[key]) for key in settings]
    if row["error"]:
        return [*told, "failed", *("" for _ in numbers[1:])]
    return [*told, *(number(row[key]) if key == "gradients_per_s" else quantity(key, row[key]) for key in numbers)]
