"""What holds of every paper's table: ours is ours alone, and each cell is what its scenario gives."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from twinclock.main import main
from twinclock.paper_tables import catalogue, published
from twinclock.paper_tables.catalogue import PaperTable
from twinclock.paper_tables.cells import ByCall, ByGraph, BySeeds, Cell, Row, of_graph
from twinclock.paper_tables.keeping import keep
from twinclock.paper_tables.published import flat
from twinclock.paper_tables.seeds import TableSweep

NAMES = catalogue.names()


def small_rows(table: PaperTable, place: Path) -> list[Row]:
    """The rows of a quick look, all simulated."""
    return TableSweep(table.ours(table.small or table.inputs), place).run(jobs=1)


@pytest.mark.parametrize("name", NAMES)
def test_it_says_what_it_is_of_and_where_from(name: str) -> None:
    table = catalogue.find(name)
    assert table.summary.endswith(".")
    assert table.source
    assert len({type(row) for row in [*table.inputs, *(table.small or [])]}) == 1


@pytest.mark.parametrize("name", NAMES)
def test_a_data_file_says_its_source_and_names_columns_of_ours(name: str) -> None:
    table, known = catalogue.find(name), published.read_published(name)
    if not known.rows:
        return
    assert known.source
    assert set(known.keys) <= set(table.columns.model_fields)
    rows = list(table.ours(table.small or table.inputs))
    assert all(known.beside(row) for row in rows)
    for row in known.rows:
        assert set(row) - set(known.keys) <= set(rows[0])
        assert set(row) > set(known.keys)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_ours_is_the_same_without_the_data_file(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = catalogue.find(name)
    with_it = small_rows(table, tmp_path / "with")
    (hidden := tmp_path / "elsewhere").mkdir()
    monkeypatch.setattr(published, "DATA", hidden)
    read = Path.read_text

    def refusing(path: Path, *arguments: str | None, **options: str | None) -> str:
        assert path.parent.name != "data", f"{path}: read for ours"
        return read(path, *arguments, **options)

    monkeypatch.setattr(Path, "read_text", refusing)
    assert small_rows(table, tmp_path / "without") == with_it
    assert not published.read_published(name).rows


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_each_cell_is_given_by_its_command(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = catalogue.find(name)
    rows = small_rows(table, tmp_path / "runs")
    check_commands(rows, tmp_path / "kept", monkeypatch)


def check_commands(rows: list[Row], place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keep(place, rows, [])
    monkeypatch.chdir(place)
    cells = {key: cell for key, cell in numbered_cells(rows) if cell.origin is not None}
    with (place / "cells.csv").open(newline="") as file:
        commands = {(row["row"], row["column"]): row for row in csv.DictReader(file)}
    assert set(commands) == set(cells)
    for key, cell in cells.items():
        program, *words = shlex.split(commands[key]["command"])
        assert program == ("python" if isinstance(cell.origin, ByCall) else "twinclock")
        printed = by_python(words) if program == "python" else by_twinclock(words)
        found = number_of(printed, commands[key]["key"], cell)
        # Means of means, whose sums are in another order here.
        assert found == (pytest.approx(cell.value, rel=1e-12) if isinstance(cell.origin, BySeeds) else cell.value)


def numbered_cells(rows: list[Row]) -> Iterator[tuple[tuple[str, str], Cell]]:
    """Cells and those beside them, by the number of the row and the column."""
    for number, row in enumerate(rows, 1):
        for name, each in row.items():
            if isinstance(each, Cell):
                yield (str(number), name), each
                if each.exact is not None:
                    yield (str(number), f"{name}_exact"), each.exact


def by_twinclock(words: list[str]) -> str:
    # To begin processes takes longer than these few runs.
    done = CliRunner().invoke(main, [*words, *(["--jobs", "1"] if words[0] == "sweep" else [])])
    assert (done.exit_code, done.stderr) == (0, "")
    return done.stdout


def by_python(words: list[str]) -> str:
    """In this process: another one would take a second to load what is loaded here."""
    option, code = words
    assert option == "-c"
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(code, {})
    return printed.getvalue()


def number_of(printed: str, key: str, cell: Cell) -> float:
    """What the key says: read as a person would, and not by our own classes."""
    if isinstance(cell.origin, ByCall):
        assert key == "what is printed"
        return float(printed)
    if isinstance(cell.origin, BySeeds):
        found = re.fullmatch(r"mean (\w+) of (\S+) where (.*)", key)
        assert found is not None
        series = pd.read_parquet(found[2])
        regular = series[series["index"] < 10**9].query(found[3])
        return float(np.mean(regular.groupby("run.seed")[found[1]].mean()))
    told = json.loads(printed)
    return float(told["summary"][key.removeprefix("summary.")] if key.startswith("summary.") else told[key])


def test_numbers_of_graphs_are_given_by_their_commands_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of no table yet."""
    ring = ByGraph("ring", 16, "chi_1")
    other = ByGraph("watts_strogatz", 12, "alpha_tilde", rate=0.5, weights="neighbour", options={"k": 4, "p": 0.2})
    rows: list[Row] = [{"chi_1": of_graph(ring), "alpha_tilde": of_graph(other)}]
    check_commands(rows, tmp_path, monkeypatch)
    assert flat(rows[0], {})["chi_1"] == pytest.approx(13.137071184544, rel=1e-9)  # gossip.json, chi_table_r1
    assert not (tmp_path / "scenarios").exists()
