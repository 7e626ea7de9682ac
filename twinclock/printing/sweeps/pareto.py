"""What is printed of a sweep as a choice: the cases that no other beats, and the fastest that fits into a memory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis.deciding.pareto import (
    BYTES,
    LOSS,
    MEMORY,
    SECONDS,
    STALEST,
    compared,
    fastest_within,
    goals,
    platforms,
    smallest,
    unbeaten,
)
from schedules.record.quantities import QUANTITIES, beside_words, with_unit, words
from schedules.record.whole import whole_file
from twinclock.printing.sweep_table import setting_text
from twinclock.printing.tables import table_lines

if TYPE_CHECKING:
    import pandas as pd

NAME = "pareto.csv"
MAX_ROWS = 40
_WORDS = {
    "staleness_mean": "staleness", STALEST: "staleness", MEMORY: "memory", LOSS: "loss", SECONDS: "seconds",
    BYTES: "bytes",
}  # fmt: skip


def write_unbeaten(table: pd.DataFrame, settings: list[str], out: Path) -> list[Path]:
    """Write the cases that no other beats, with these settings and what they are compared in; nothing of none."""
    found = unbeaten(table)
    if not len(found):
        (out / NAME).unlink(missing_ok=True)  # of a former sweep
        return []
    with whole_file(out / NAME) as file:
        found[[*settings, *goals(table)]].to_csv(file, index=False)
    return [out / NAME]


def pareto_lines(table: pd.DataFrame, settings: list[str]) -> list[str]:
    """The cases that no other beats, in the order of `unbeaten`; nothing where there are no two cases to compare."""
    keys, cases, found = goals(table), compared(table), unbeaten(table)
    if len(cases) < 2 or len(keys) < 2:
        return []
    told = [_WORDS.get(key, "throughput") for key in keys]
    where = " of its platform" if len(platforms(cases)) > 1 else ""
    first = f"no other{where} beats {len(found)} of {len(cases)} cases in {', '.join(told[:-1])} and {told[-1]}:"
    missing = int((table["error"] == "").sum()) - len(cases)
    rows = [_row(row, settings, keys) for row in found.head(MAX_ROWS).to_dict("records")]
    header = [*settings, *(_heading(key) for key in keys)]
    texts = {index for index, key in enumerate(settings) if table[key].dtype.kind not in "iuf"}
    lines = table_lines(rows, header=header, right=set(range(len(header))) - texts)
    more = [f"  ... and {len(found) - MAX_ROWS} more, in {NAME}"] if len(found) > MAX_ROWS else []
    left_out = [f"  left out: {missing} without a number in one of these"] if missing else []
    return [first, *(f"  {line}" for line in lines), *more, *left_out]


def limit_line(table: pd.DataFrame, settings: list[str], limit_bytes: float) -> str:
    """The fastest case within a limit of memory, or that there is none, and what is needed at least."""
    limit, best, least = with_unit(limit_bytes, "B"), fastest_within(table, limit_bytes), smallest(table)
    if len(best):
        (row,) = best.to_dict("records")
        numbers = ", ".join(_told(key, row[key]) for key in goals(table))
        return f"the fastest within {limit}: {_name(row, settings)}: {numbers}"
    if not len(least):
        return f"none is known to fit into {limit}: no case says how much memory it takes"
    (row,) = least.to_dict("records")
    return f"none fits into {limit}: the least is {with_unit(row[MEMORY], 'B')}, of {_name(row, settings)}"


def _told(key: str, value: float) -> str:
    """A number of a case in a sentence."""
    text = beside_words(key, value)
    return f"{text} {_heading(key)}" if key not in _WORDS else f"{_WORDS[key]} {text}"


def _heading(key: str) -> str:
    if key == "samples_per_s":  # without the word "throughput", which a table of one has no room for
        return QUANTITIES[key].axis
    return _WORDS.get(key) or words(key, is_heading=True)


def _row(row: dict[Any, Any], settings: list[str], keys: tuple[str, ...]) -> list[str]:
    return [*(setting_text(row[key]) for key in settings), *(beside_words(key, row[key]) for key in keys)]


def _name(row: dict[Any, Any], settings: list[str]) -> str:
    """The settings of a case: those that it has."""
    return ", ".join(f"{key} = {text}" for key in settings if (text := setting_text(row[key])))
