"""A reader's own inputs of a paper's table: a CSV file, and `--set COLUMN=VALUE`."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from schedules.errors import ScenarioError, TooLargeError, nearest
from schedules.scenario.files import read_text, read_value
from schedules.scenario.refusals import validated
from schedules.settings import Table


def read_inputs(file: Path, columns: type[Table]) -> list[Table]:
    """The rows of a CSV file whose header names columns; one that is left out has its default.

    Raises:
        ScenarioError: naming the file, and the row (the first line below the header is 1, and so on) or column.
    """
    try:
        rows = _numbered(read_text(str(file)).removeprefix("\ufeff"))
    except (ValueError, csv.Error) as error:
        told = str(error)
        raise ScenarioError(told if told.startswith(str(file)) else f"{file}: expected CSV, found {told}") from None
    if not rows:
        raise ScenarioError(f"{file}: expected a header with the columns {_known(columns)}, found an empty file")
    above, header = rows.pop(0)
    _check_header(header, columns, str(file))
    if not rows:
        raise ScenarioError(f"{file}: expected a row or more below the header, found none")
    # Where lines above the header are empty, too, its rows have other numbers than an editor's lines less one.
    return [
        _row(header, cells, columns, f"{file}: row {line - above}" + (f" (line {line})" if above > 1 else ""))
        for line, cells in rows
    ]


def _numbered(text: str) -> list[tuple[int, list[str]]]:
    """The rows of a CSV text that have any value, with the line at which each ends, counted from 1."""
    reader = csv.reader(text.splitlines(), strict=True)
    rows = ((reader.line_num, [cell.strip() for cell in row]) for row in reader)
    return [(line, cells) for line, cells in rows if any(cells)]


class InputRows(Sequence[Table]):
    """Rows of inputs that know at which of them whoever goes through them is.

    Attributes:
        current: that row; None: nobody has begun, or all have been handed out.
    """

    def __init__(self, rows: Sequence[Table]) -> None:
        self._rows = rows
        self.current: Table | None = None

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: Any) -> Any:
        return self._rows[index]

    def __iter__(self) -> Iterator[Table]:
        for row in self._rows:
            self.current = row
            yield row
        self.current = None

    def refused(self, error: ScenarioError, where: str) -> ScenarioError:
        """What is wrong with a scenario that a table has made, told of the row that it was made of."""
        # Tables have no --force: whoever insists simulates the scenario.
        told = error.told if isinstance(error, TooLargeError) else str(error).removeprefix("scenario: ")
        row = self.current.model_dump() if self.current is not None else {}
        said = f"row {', '.join(f'{name} = {value!r}' for name, value in row.items())}: " if row else ""
        return ScenarioError(f"{where}: {said}{told}")


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
