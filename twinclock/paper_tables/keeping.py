"""A paper's table in a directory: `table.csv` and its figure; the scenarios of its cells; `cells.csv`, a command for
every cell."""

from __future__ import annotations

import csv
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from analysis.figures.style import save
from schedules.platform.toml import tables_toml
from schedules.record.whole import whole_file
from twinclock.paper_tables.cells import ByCall, ByGraph, ByScenario, BySeeds, Cell, Origin, Row

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TABLE, FIGURE, CELLS, SCENARIOS = "table.csv", "figure", "cells.csv", "scenarios"
SIMULATIONS = "simulations"
"""The sweep of all that is simulated once a seed."""


def keep(
    out: Path, rows: Sequence[Row], columns: Sequence[Mapping[str, object]], figure: Figure | None = None
) -> list[Path]:
    """Write the directory, and return the paths.

    Args:
        rows: of the table.
        columns: the same rows, flat (`twinclock.paper_tables.published.flat`).
        figure: a drawing of them.
    """
    for former in (out / SCENARIOS).glob("[0-9]*-*.toml"):
        former.unlink()  # of a table that had more rows; files of other names are the user's
    scenarios = list(_write_scenarios(out, rows))
    cells = [_command(f"{number}-{name}", origin) for number, name, origin in _origins(rows)]
    numbered = [{"row": number, "column": name} for number, name, _ in _origins(rows)]
    commands = [{**place, **command} for place, command in zip(numbered, cells, strict=True)]
    drawn = [] if figure is None else save(figure, out / FIGURE)
    return [_write(out / TABLE, columns), *drawn, _write(out / CELLS, commands), *scenarios]


def _origins(rows: Sequence[Row]) -> Iterator[tuple[int, str, Origin]]:
    """What gives each number that does not follow from others: the number of its row, from 1, and its column."""
    for number, row in enumerate(rows, start=1):
        for name, each in row.items():
            cells = {name: each, f"{name}_exact": each.exact} if isinstance(each, Cell) else {}
            for column, cell in cells.items():
                if cell is not None and cell.origin is not None:
                    yield number, column, cell.origin


def _write_scenarios(out: Path, rows: Sequence[Row]) -> Iterator[Path]:
    for number, name, origin in _origins(rows):
        if isinstance(origin, ByScenario | BySeeds):
            command = _command(f"{number}-{name}", origin)
            said = f"row {number}, {name}: {command['key']}, by {command['command']}"
            target = out / SCENARIOS / f"{number}-{name}.toml"
            with whole_file(target) as place:
                place.write_text(tables_toml(origin.tables, [said]), encoding="utf-8")
            yield target


def _command(cell: str, origin: Origin) -> dict[str, str]:
    """The command, to be called in the directory, and the key of what it prints or writes."""
    scenario = f"{SCENARIOS}/{cell}.toml"
    match origin:
        case ByScenario():
            words, key = ["twinclock", "simulate", scenario, "--json"], f"summary.{origin.quantity}"
        case BySeeds():
            words = ["twinclock", "sweep", scenario, "--out", f"sweeps/{cell}"]
            key = (
                f"mean {origin.quantity} of sweeps/{cell}/series.parquet where {origin.since} <= time < {origin.until}"
            )
        case ByGraph():
            options = [word for name, value in origin.options.items() for word in ("--set", f"{name}={value}")]
            rated = ["--rate", repr(origin.rate), "--weights", origin.weights]
            words = ["twinclock", "topologies", origin.name, "--workers", str(origin.workers), *rated, *options]
            words, key = [*words, "--json"], origin.quantity
        case ByCall():
            module, name = origin.function.__module__, origin.function.__name__
            call = f"{name}({', '.join(map(repr, origin.arguments))})"
            words, key = ["python", "-c", f"from {module} import {name}; print({call})"], "what is printed"
    return {"command": shlex.join(words), "key": key}


def _write(path: Path, rows: Sequence[Mapping[str, object]]) -> Path:
    names = list(dict.fromkeys(name for row in rows for name in row))
    with whole_file(path) as place, place.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return path
