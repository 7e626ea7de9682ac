"""A paper's table in a directory: `table.csv`; the scenarios of its cells; `cells.csv`, a command for every cell."""

from __future__ import annotations

import csv
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from schedules.platform.toml import tables_toml
from schedules.record.whole import whole_file
from twinclock.paper_tables.cells import ByGraph, Cell, Row

TABLE, CELLS, SCENARIOS = "table.csv", "cells.csv", "scenarios"


def keep(out: Path, rows: Sequence[Row], columns: Sequence[Mapping[str, object]]) -> list[Path]:
    """Write the directory, and return the paths.

    Args:
        rows: of the table.
        columns: the same rows, flat (`twinclock.paper_tables.published.flat`).
    """
    for former in (out / SCENARIOS).glob("[0-9]*-*.toml"):
        former.unlink()  # of a table that had more rows; files of other names are the user's
    scenarios = list(_write_scenarios(out, rows))
    cells = [_command(number, name, cell) for number, name, cell in _cells(rows)]
    return [_write(out / TABLE, columns), _write(out / CELLS, cells), *scenarios]


def _cells(rows: Sequence[Row]) -> Iterator[tuple[int, str, Cell]]:
    """All cells with the numbers of their rows, from 1, and their columns."""
    for number, row in enumerate(rows, start=1):
        for name, each in row.items():
            if isinstance(each, Cell):
                yield number, name, each


def _write_scenarios(out: Path, rows: Sequence[Row]) -> Iterator[Path]:
    for number, name, cell in _cells(rows):
        if not isinstance(cell.origin, ByGraph):
            said = f"row {number}, {name}: {cell.origin.quantity} of the summary that twinclock simulate --json prints"
            target = out / SCENARIOS / f"{number}-{name}.toml"
            with whole_file(target) as place:
                place.write_text(tables_toml(cell.origin.tables, [said]), encoding="utf-8")
            yield target


def _command(number: int, name: str, cell: Cell) -> dict[str, object]:
    """A row of `cells.csv`: the command, to be called in the directory, and the key of what it prints."""
    origin = cell.origin
    if isinstance(origin, ByGraph):
        options = [word for key, value in origin.options.items() for word in ("--set", f"{key}={value}")]
        rated = ["--rate", repr(origin.rate), "--weights", origin.weights]
        words, key = ["topologies", origin.name, "--workers", str(origin.workers), *rated, *options], origin.quantity
    else:
        words, key = ["simulate", f"{SCENARIOS}/{number}-{name}.toml"], f"summary.{origin.quantity}"
    command = shlex.join(["twinclock", *words, "--json"])
    return {"row": number, "column": name, "command": command, "key": key}


def _write(path: Path, rows: Sequence[Mapping[str, object]]) -> Path:
    names = list(dict.fromkeys(name for row in rows for name in row))
    with whole_file(path) as place, place.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return path
