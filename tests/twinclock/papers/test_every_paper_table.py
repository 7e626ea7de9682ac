"""What holds of every paper's table: ours is ours alone, and each cell is what its scenario gives."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from twinclock.main import main
from twinclock.paper_tables import catalogue, published
from twinclock.paper_tables.cells import Cell
from twinclock.paper_tables.keeping import keep

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
def test_each_cell_is_given_by_its_scenario(name: str, tmp_path: Path) -> None:
    table = catalogue.find(name)
    rows = list(table.ours(table.small or table.inputs))
    keep(tmp_path, rows, [])
    cells = {f"{number}-{key}": each for number, row in enumerate(rows, 1) for key, each in row.items()}
    cells = {key: each for key, each in cells.items() if isinstance(each, Cell)}
    assert cells
    assert {file.stem for file in (tmp_path / "scenarios").iterdir()} == set(cells)
    for key, cell in cells.items():
        done = CliRunner().invoke(main, ["simulate", str(tmp_path / "scenarios" / f"{key}.toml"), "--json"])
        assert (done.exit_code, done.stderr) == (0, "")
        assert json.loads(done.stdout)["summary"][cell.quantity] == cell.value
