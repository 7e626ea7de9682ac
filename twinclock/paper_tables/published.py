"""What was published of a paper's table, or follows in closed form: read for the difference column alone."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from twinclock.paper_tables.cells import Cell, Row

DATA = Path(__file__).parent.parent / "papers" / "data"
"""The folder of the data files, one a table: NAME.toml with `source`, `keys` and `[[rows]]`."""


@dataclass(frozen=True)
class Published:
    """The numbers of a data file; none where there is no file.

    Attributes:
        source: where they are from.
        keys: the columns that say which row a number is of.
        rows: keys and numbers, by column.
    """

    source: str = ""
    keys: tuple[str, ...] = ()
    rows: list[Mapping[str, object]] = field(default_factory=list)

    def beside(self, row: Row) -> dict[str, float]:
        """The numbers for a row of ours, by column; of a row that nobody published none."""
        for each in self.rows:
            if all(each[key] == row.get(key) for key in self.keys):
                return {name: float(str(value)) for name, value in each.items() if name not in self.keys}
        return {}


def read_published(name: str) -> Published:
    """The data file of a table."""
    file = DATA / f"{name}.toml"
    if not file.is_file():
        return Published()
    found = tomllib.loads(file.read_text(encoding="utf-8"))
    return Published(found["source"], tuple(found["keys"]), found["rows"])


def flat(row: Row, published: Mapping[str, float]) -> dict[str, int | float | str]:
    """A row with a column each for values and for what stands behind them, where it is known: half of a 95 % interval
    (`_interval`) or a standard error (`_error`), what is exact, what was published, and the difference to that."""
    found: dict[str, int | float | str] = {}
    for name, each in row.items():
        value = each.value if isinstance(each, Cell) else each
        found[name] = value
        if isinstance(each, Cell):
            found |= {f"{name}_{what}": number for what, number in _beside(each).items()}
        if name in published and not isinstance(value, str):
            found[f"{name}_published"] = published[name]
            found[f"{name}_difference"] = value - published[name]
    return found


def _beside(cell: Cell) -> dict[str, float]:
    scatter = ("error", cell.error) if cell.half_width is None else ("interval", cell.half_width)
    exact = None if cell.exact is None else cell.exact.value
    return {name: number for name, number in (scatter, ("exact", exact)) if number is not None}
