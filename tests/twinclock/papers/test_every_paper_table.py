"""What holds of every paper's table: ours is ours alone, and each cell is what its scenario gives."""

from __future__ import annotations

import csv
import json
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from twinclock.main import main
from twinclock.paper_tables import catalogue, published
from twinclock.paper_tables.cells import ByGraph, Cell, Row, of_graph
from twinclock.paper_tables.keeping import keep
from twinclock.paper_tables.published import flat

NAMES = catalogue.names()


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


@pytest.mark.parametrize("name", NAMES)
def test_ours_is_the_same_without_the_data_file(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = catalogue.find(name)
    inputs = table.small or table.inputs
    with_it = list(table.ours(inputs))
    (hidden := tmp_path / "elsewhere").mkdir()
    monkeypatch.setattr(published, "DATA", hidden)
    read = Path.read_text

    def refusing(path: Path, *arguments: str | None, **options: str | None) -> str:
        assert path.parent.name != "data", f"{path}: read for ours"
        return read(path, *arguments, **options)

    monkeypatch.setattr(Path, "read_text", refusing)
    assert list(table.ours(inputs)) == with_it
    assert not published.read_published(name).rows


@pytest.mark.parametrize("name", NAMES)
def test_each_cell_is_given_by_its_command(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = catalogue.find(name)
    rows = list(table.ours(table.small or table.inputs))
    check_commands(rows, tmp_path, monkeypatch)


def check_commands(rows: list[Row], place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keep(place, rows, [])
    monkeypatch.chdir(place)
    cells = {(str(number), key): each for number, row in enumerate(rows, 1) for key, each in row.items()}
    cells = {key: each for key, each in cells.items() if isinstance(each, Cell)}
    with (place / "cells.csv").open(newline="") as file:
        commands = {(row["row"], row["column"]): row for row in csv.DictReader(file)}
    assert set(commands) == set(cells)
    for key, cell in cells.items():
        program, *words = shlex.split(commands[key]["command"])
        done = CliRunner().invoke(main, words)
        assert (program, done.exit_code, done.stderr) == ("twinclock", 0, "")
        found, said = json.loads(done.stdout), commands[key]["key"]
        value = found["summary"][said.removeprefix("summary.")] if said.startswith("summary.") else found[said]
        assert value == cell.value


def test_numbers_of_graphs_are_given_by_their_commands_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of no table yet."""
    ring = ByGraph("ring", 16, "chi_1")
    other = ByGraph("watts_strogatz", 12, "alpha_tilde", rate=0.5, weights="neighbour", options={"k": 4, "p": 0.2})
    rows: list[Row] = [{"chi_1": of_graph(ring), "alpha_tilde": of_graph(other)}]
    check_commands(rows, tmp_path, monkeypatch)
    assert flat(rows[0], {})["chi_1"] == pytest.approx(13.137071184544, rel=1e-9)  # gossip.json, chi_table_r1
    assert not (tmp_path / "scenarios").exists()
