"""Tables are found where their files lie."""

from __future__ import annotations

from pathlib import Path

import pytest

from twinclock import papers
from twinclock.paper_tables import catalogue


def test_every_file_is_a_table() -> None:
    root = Path(papers.__file__).parent
    files = [path for path in root.rglob("*.py") if not path.stem.startswith("_")]
    assert catalogue.names() == sorted(path.stem.replace("_", "-") for path in files)
    assert "synchronous-exponential" in catalogue.names()


def test_every_data_file_is_of_a_table() -> None:
    data = Path(papers.__file__).parent / "data"
    assert {path.stem for path in data.iterdir()} <= set(catalogue.names())


def test_an_unknown_name_is_told_with_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"found 'synchronus-exponential' \(did you mean synchronous-exponential\?\)"):
        catalogue.find("synchronus-exponential")
