"""A reader's own inputs of a paper's table: a CSV file, and `--set COLUMN=VALUE`."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from schedules.errors import ScenarioError, nearest
from schedules.scenario.files import read_text, read_value
from schedules.scenario.refusals import validated
from schedules.settings import Table


def read_inputs(file: Path, columns: type[Table]) -> list[Table]:
    """The rows of a CSV file whose header names columns; one that is left out has its default.

    Raises:
        ScenarioError: naming the file, and the row (the first below the header is 1) or column.
    """
    try:
        lines = list(csv.reader(read_text(str(file)).removeprefix("\ufeff").splitlines(), strict=True))
    except (ValueError, csv.Error) as error:
        told = str(error)
        raise ScenarioError(told if told.startswith(str(file)) else f"{file}: expected CSV, found {told}") from None
    filled = [[cell.strip() for cell in line] for line in lines if any(cell.strip() for cell in line)]
    if not filled:
        raise ScenarioError(f"{file}: expected a header with the columns {_known(columns)}, found an empty file")
    header, *rows = filled
    _check_header(header, columns, str(file))
    if not rows:
        raise ScenarioError(f"{file}: expected a row or more below the header, found none")
    return [_row(header, cells, columns, f"{file}: row {number}") for number, cells in enumerate(rows, start=1)]


def changed(rows: Sequence[Table], settings: Mapping[str, object]) -> list[Table]:
    """The rows with other values in some columns; those that are equal then are one.

    Raises:
        ScenarioError: naming the column.
    """
    found: list[Table] = []
    for row in rows:
        columns = type(row)
        for name in settings:
            _check_name(name, columns, f"--set {name}")
        said = {**row.model_dump(), **settings}
        new = validated(columns, said, "--set")
        if new not in found:
            found.append(new)
    return found


def _check_header(header: Sequence[str], columns: type[Table], where: str) -> None:
    for name in header:
        _check_name(name, columns, f"{where}: column {name!r}")
        if header.count(name) > 1:
            raise ScenarioError(f"{where}: column {name!r}: expected it once, found it {header.count(name)} times")
    needed = [name for name, field in columns.model_fields.items() if field.is_required()]
    missing = [name for name in needed if name not in header]
    if missing:
        raise ScenarioError(f"{where}: expected a column {missing[0]!r}, found {', '.join(header)}")


def _check_name(name: str, columns: type[Table], where: str) -> None:
    known = columns.model_fields
    if name not in known:
        raise ScenarioError(
            f"{where}: expected one of the columns {_known(columns)}, found {name!r}{nearest(name, known)}"
        )


def _row(header: Sequence[str], cells: Sequence[str], columns: type[Table], where: str) -> Table:
    if len(cells) != len(header):
        raise ScenarioError(f"{where}: expected {len(header)} values, found {len(cells)}")
    for name, text in zip(header, cells, strict=True):
        if not text:
            raise ScenarioError(f"{where}: {name}: expected a value, found none")
    is_text = {name for name, field in columns.model_fields.items() if field.annotation is str}
    read = {name: text if name in is_text else read_value(text) for name, text in zip(header, cells, strict=True)}
    return validated(columns, read, where)


def _known(columns: type[Table]) -> str:
    return ", ".join(columns.model_fields)
