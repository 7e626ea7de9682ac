"""A paper's table in a directory: `table.csv`, and the scenario of every cell, to be simulated by itself."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from schedules.platform.toml import tables_toml
from schedules.record.whole import whole_file
from twinclock.paper_tables.cells import Cell, Row

TABLE, SCENARIOS = "table.csv", "scenarios"


def keep(out: Path, rows: Sequence[Row], columns: Sequence[Mapping[str, object]]) -> list[Path]:
    """Write the directory, and return the paths.

    Args:
        rows: of the table.
        columns: the same rows, flat (`twinclock.paper_tables.published.flat`).
    """
    for former in (out / SCENARIOS).glob("*.toml"):
        former.unlink()  # of a table that had more rows
    files = [out / TABLE]
    names = list(dict.fromkeys(name for row in columns for name in row))
    with whole_file(out / TABLE) as place, place.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(columns)
    for number, row in enumerate(rows, start=1):
        for name, cell in row.items():
            if isinstance(cell, Cell):
                files.append(out / SCENARIOS / f"{number}-{name}.toml")
                said = f"row {number}, {name}: {cell.quantity} of the summary that twinclock simulate --json prints"
                with whole_file(files[-1]) as place:
                    place.write_text(tables_toml(cell.scenario, [said]), encoding="utf-8")
    return files
