"""Standard errors of ratios, and rows laid beside what was published."""

from __future__ import annotations

import numpy as np
import pytest

from twinclock.paper_tables.cells import ByScenario, Cell, Row, ratio_error
from twinclock.paper_tables.published import Published, flat

KNOWN = Published("a book", ("n",), [{"n": 4, "time": 2.0, "share": 0.25}, {"n": 8, "time": 3.0}])
CELL = Cell(2.5, ByScenario({}, "makespan_s"), 0.1)


def test_with_a_constant_denominator_it_is_that_of_a_mean() -> None:
    values = np.random.default_rng(0).normal(size=50)
    expected = values.std(ddof=1) / np.sqrt(50) / 4
    assert ratio_error(values, np.full(50, 4.0)) == pytest.approx(expected, rel=1e-12)


def test_a_constant_ratio_has_none() -> None:
    x = np.random.default_rng(0).uniform(1, 2, size=50)
    assert ratio_error(0.3 * x, x) == pytest.approx(0, abs=1e-15)


def test_it_is_the_scatter_of_many_ratios() -> None:
    generator = np.random.default_rng(1)
    x = generator.exponential(size=(2000, 40)) + 1
    y = x + generator.normal(size=(2000, 40))
    ratios = y.sum(axis=1) / x.sum(axis=1)
    errors = [ratio_error(*pair) for pair in zip(y, x, strict=True)]
    assert np.mean(errors) == pytest.approx(ratios.std(ddof=1), rel=0.05)


def test_a_published_row_is_found_by_its_keys() -> None:
    assert KNOWN.beside({"n": 4, "seed": 7}) == {"time": 2.0, "share": 0.25}
    assert KNOWN.beside({"n": 5}) == {}
    assert Published().beside({"n": 4}) == {}


def test_a_row_becomes_columns() -> None:
    row: Row = {"n": 4, "graph": "ring", "time": CELL, "share": 0.5}
    assert flat(row, KNOWN.beside(row)) == {
        "n": 4, "graph": "ring",
        "time": 2.5, "time_error": 0.1, "time_published": 2.0, "time_difference": 0.5,
        "share": 0.5, "share_published": 0.25, "share_difference": 0.25,
    }  # fmt: skip


def test_a_row_that_nobody_published_has_ours_alone() -> None:
    row: Row = {"n": 5, "time": CELL}
    assert flat(row, KNOWN.beside(row)) == {"n": 5, "time": 2.5, "time_error": 0.1}
