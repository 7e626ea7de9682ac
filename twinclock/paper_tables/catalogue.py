"""The tables of papers by name. Each is a file below `twinclock/papers/`; what lies there is found."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from schedules.errors import nearest
from schedules.settings import Table
from twinclock.paper_tables.cells import Row
from twinclock.paper_tables.seeds import PlannedRow

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PAPERS = "twinclock.papers"


@dataclass(frozen=True)
class PaperTable:
    """One table.

    Attributes:
        name: as in `twinclock paper NAME`: that of its file.
        summary: one line.
        source: the paper.
        inputs: what it is of, a row a table of settings; all rows are of one class, whose fields are the columns.
        small: the same, for a quick look; None: there is no smaller one.
        ours: inputs -> the rows that our simulations give, or are to give.
        figure: the rows, all simulated -> a drawing of them; None: there is none.
    """

    name: str
    summary: str
    source: str
    inputs: Sequence[Table]
    small: Sequence[Table] | None
    ours: Callable[[Sequence[Any]], Iterable[PlannedRow]]
    figure: Callable[[Sequence[Row]], Figure] | None

    @property
    def columns(self) -> type[Table]:
        """The class of a row of the inputs."""
        return type(self.inputs[0])


def names() -> list[str]:
    """All names, sorted."""
    return sorted(_modules())


def find(name: str) -> PaperTable:
    """The table of that name.

    A table is a module with a docstring, `SOURCE`, `INPUTS` and `ours(inputs)`; it may have `SMALL` and `figure(rows)`.

    Raises:
        ValueError: if there is none, with the nearest name.
    """
    modules = _modules()
    if name not in modules:
        raise ValueError(f"expected one of {', '.join(sorted(modules))}, found {name!r}{nearest(name, modules)}")
    module = importlib.import_module(modules[name])
    assert module.__doc__, f"{modules[name]}: its first line says what the table is of"
    return PaperTable(
        name=name,
        summary=module.__doc__.strip().splitlines()[0],
        source=module.SOURCE,
        inputs=module.INPUTS,
        small=getattr(module, "SMALL", None),
        ours=module.ours,
        figure=getattr(module, "figure", None),
    )


def _modules() -> dict[str, str]:
    """The module of every table; files and folders with a leading underscore are none."""
    root = Path(__file__).parent.parent / "papers"
    found = [each.name for each in pkgutil.walk_packages([str(root)], f"{PAPERS}.") if not each.ispkg]
    tables = [each for each in found if "._" not in each]
    by_name = {each.rpartition(".")[2].replace("_", "-"): each for each in tables}
    assert len(by_name) == len(tables), "two tables have one name"
    return by_name
