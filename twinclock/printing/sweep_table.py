"""What is printed of a sweep: one line a case."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from schedules.record.quantities import WORK_PER_S, applies, beside_words, largest, number, words
from simulator.cases import IMPOSSIBLE
from twinclock.printing.tables import table_lines

if TYPE_CHECKING:
    import pandas as pd

AVERAGING = ("exchange_rate", "backlog_exchanges", "lag_mean_s", "lag_p95_s")
NUMBERS = (
    "gradients_per_s", *AVERAGING, "utilization_compute", "idle_fraction", "bubble_rate", "period_s", "staleness_mean",
    "loss", "accuracy", "consensus_distance",
)  # fmt: skip
"""Columns that are shown."""

MAX_ROWS = 48


def show_table(table: pd.DataFrame, settings: list[str]) -> None:
    """Print `sweep_lines`."""
    for line in sweep_lines(table, settings):
        click.echo(line)


def sweep_lines(table: pd.DataFrame, settings: list[str]) -> list[str]:
    """One line a case: these settings, and the numbers that people look at first."""
    found = largest(table)
    shown = [key for key in (*own_units(table), *_order(table)) if key in table and applies(key, found)]
    numbers = [key for key in shown if key != "exchange_rate" or (table[key] != 0).any()]
    rows = [_row(row, settings, numbers) for row in table.head(MAX_ROWS).to_dict("records")]
    header = [*settings, *(words(key, is_heading=True) for key in numbers)]
    texts = [index for index, key in enumerate(settings) if table[key].dtype.kind not in "iuf"]
    lines = table_lines(rows, header=header, right=set(range(len(header))) - set(texts))
    more = [f"... and {len(table) - MAX_ROWS} more cases, in the files"] if len(table) > MAX_ROWS else []
    return [*lines, *more]


def own_units(table: pd.DataFrame) -> list[str]:
    """The columns of throughput in units that schedules count in beside gradients."""
    return [key for key in map(str, table) if key.startswith(WORK_PER_S)]


def _order(table: pd.DataFrame) -> tuple[str, ...]:
    """With clocks of its own, averaging cannot hold up gradients: then what a network does is seen there, and first."""
    if "lag_mean_s" not in table:
        return NUMBERS
    return (*AVERAGING, *(key for key in NUMBERS if key not in AVERAGING))


def setting_text(value: object) -> str:
    """A setting as a cell of a table has it; "" of a key that the case does not have."""
    if value is None or value != value:  # NaN: a key of other cases
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return number(value) if isinstance(value, float) else str(value)


def _row(row: dict[Any, Any], settings: list[str], numbers: list[str]) -> list[str]:
    told = [setting_text(row[key]) for key in settings]
    if row["error"]:
        said = IMPOSSIBLE if row["error"].startswith(f"{IMPOSSIBLE}: ") else "failed"
        return [*told, said, *("" for _ in numbers[1:])]
    return [*told, *(beside_words(key, row[key]) for key in numbers)]
