"""A reader's own inputs: a CSV file with the columns of a table, and `--set`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import pytest
from pydantic import Field

from schedules.scenario import ScenarioError
from schedules.settings import Table
from schedules.units import Seconds
from twinclock.paper_tables.inputs import changed, read_inputs


class Columns(Table):
    """Of a table."""

    workers: Annotated[int, Field(ge=2)]
    mean: Annotated[Seconds, Field(gt=0)] = 1.0
    graph: str = "ring"


def read(tmp_path: Path, text: str | bytes) -> list[Table]:
    (tmp_path / "mine.csv").write_bytes(text.encode() if isinstance(text, str) else text)
    return read_inputs(tmp_path / "mine.csv", Columns)


@pytest.mark.parametrize(
    "text",
    [
        "workers,mean,graph\n3,20 ms,17\n5,2,ring\n",
        "\ufeffgraph, mean ,workers\r\n17,0.02,3\r\n\r\nring,2.0,5\r\n,,\n",
        '"workers","mean","graph"\n"3","20 ms","17"\n"5","2","ring"',
    ],
)
def test_rows_are_read_by_the_names_of_their_columns(text: str, tmp_path: Path) -> None:
    assert read(tmp_path, text) == [Columns(workers=3, mean=0.02, graph="17"), Columns(workers=5, mean=2.0)]


def test_a_column_that_is_left_out_has_its_default(tmp_path: Path) -> None:
    assert read(tmp_path, "workers\n4\n") == [Columns(workers=4)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "mine.csv: expected a header with the columns workers, mean, graph, found an empty file"),
        (" \n,\n", "found an empty file"),
        ("workers\n", "mine.csv: expected a row or more below the header, found none"),
        ("worker\n4\n", "column 'worker': expected one of the columns workers, mean, graph, found 'worker' (did you"),
        ("mean\n4\n", "mine.csv: expected a column 'workers', found mean"),
        ("workers,workers\n4,4\n", "mine.csv: column 'workers': expected it once, found it 2 times"),
        ("workers,mean\n4,1\n4\n", "mine.csv: row 2: expected 2 values, found 1"),
        ("workers\n4,5\n", "mine.csv: row 1: expected 1 values, found 2"),
        ("workers,mean\n4,\n", "mine.csv: row 1: mean: expected a value, found none"),
        ("workers\n4\n1\n", "mine.csv: row 2: workers: expected a number of at least 2, found 1"),
        ("workers\nfour\n", "mine.csv: row 1: workers: expected a whole number, found 'four'"),
        ("workers\n4.5\n", "mine.csv: row 1: workers: expected a whole number, found 4.5"),
        ("workers\ntrue\n", "mine.csv: row 1: workers: expected a whole number, found true"),
        ("workers,mean\n4,nan\n", "mine.csv: row 1: mean: expected a finite quantity such as"),
        ("workers,mean\n4,0\n", "mine.csv: row 1: mean: expected a number above 0, found 0"),
        ("workers,mean\n4,5 km\n", "mine.csv: row 1: mean: expected"),
        ('workers\n"4\n', "mine.csv: expected CSV, found unexpected end of data"),
        (b"workers\n\xff\n", "mine.csv: expected a text in UTF-8, found other bytes"),
    ],
)
def test_a_wrong_file_is_told_in_a_line(text: str | bytes, message: str, tmp_path: Path) -> None:
    with pytest.raises(ScenarioError) as error:
        read(tmp_path, text)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match=r"none\.csv: expected a file, found none"):
        read_inputs(tmp_path / "none.csv", Columns)


def test_settings_change_a_column_in_all_rows() -> None:
    rows = [Columns(workers=2), Columns(workers=3, graph="star")]
    assert changed(rows, {"mean": "5 ms"}) == [
        Columns(workers=2, mean=0.005),
        Columns(workers=3, mean=0.005, graph="star"),
    ]
    assert changed(rows, {}) == rows


def test_rows_that_are_equal_then_are_one() -> None:
    assert changed([Columns(workers=2), Columns(workers=3)], {"workers": 7}) == [Columns(workers=7)]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"meen": 1},
            r"--set meen: expected one of the columns workers, mean, graph, found 'meen' \(did you mean mean\?",
        ),
        ({"workers": 1}, "--set: workers: expected a number of at least 2, found 1"),
    ],
)
def test_wrong_settings(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ScenarioError, match=message):
        changed([Columns(workers=2)], settings)
