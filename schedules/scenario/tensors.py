"""The tensors of a model that has no numbers, as a CSV file names them."""

from __future__ import annotations

import csv
from collections.abc import Mapping

from schedules.training.vectors import Tensor, tensors

COLUMNS = ("name", "shape")


def parse_tensors(text: str, where: str) -> Mapping[str, Tensor]:
    """The tensors by name, one behind the other as the rows are.

    Args:
        text: of a CSV file whose first row has `COLUMNS`; a shape is such as 64x3x3x3. Further columns may be there.
        where: the file, for errors.
    Raises:
        ValueError: for a column that is missing, a shape that is none, or a name that is there already.
    """
    rows = csv.DictReader(text.splitlines())
    found = rows.fieldnames or ()
    if not set(COLUMNS) <= set(found):
        raise ValueError(f"{where}: expected the columns {' and '.join(COLUMNS)}, found {', '.join(found) or 'none'}")
    shapes: dict[str, tuple[int, ...]] = {}
    for row in rows:
        name, line = row["name"], f"{where}, line {rows.line_num}"
        if None in row:  # a shape with commas, say
            raise ValueError(f"{line}: expected {len(found)} fields, found {len(found) + len(row[None])}")
        if not name or name in shapes:
            raise ValueError(f"{line}: expected a name of its own, found {name!r}")
        shapes[name] = _shape(row["shape"], line)
    if not shapes:
        raise ValueError(f"{where}: expected at least one tensor, found none")
    return tensors(shapes)


def _shape(text: str | None, where: str) -> tuple[int, ...]:
    sizes = (text or "").strip().split("x")
    # isdigit alone lets superscripts through, which int refuses.
    if not all(each.isascii() and each.isdigit() and 0 < int(each) < 2**48 for each in sizes):
        raise ValueError(f"{where}: expected a shape such as 64x3x3x3, found {text!r}")
    return tuple(map(int, sizes))
