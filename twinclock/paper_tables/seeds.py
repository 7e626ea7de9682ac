"""Cells that scatter: means over simulations that differ in their seed. Those of a whole table are one sweep."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schedules.errors import ScheduleError
from simulator.cases import Case, plan
from simulator.sweep import Sweep
from twinclock.paper_tables.cells import BySeeds, Cell, Row, ratio_error
from twinclock.progress import Counted

CONFIDENCE = 0.95


# Compared by identity: one that stands in two places is one, and is simulated once.
@dataclass(frozen=True, eq=False)
class OverSeeds:
    """A cell that is still to be simulated, once a seed from 0 on.

    Attributes:
        tables: of a scenario, unresolved, without a seed. What stands in a list of one value in its [sweep] is a column
            of the sweep's tables.
        num_seeds: at least 2.
        quantity, since, until: of each run's series, as in `BySeeds`.
        exact: what the mean tends to, where that is known.
    """

    tables: Mapping[str, Any]
    num_seeds: int
    quantity: str
    since: float
    until: float
    exact: Cell | None = None

    @property
    def origin(self) -> BySeeds:
        """What gives its number again."""
        swept = {**self.tables.get("sweep", {}), "run.seed": list(range(self.num_seeds))}
        return BySeeds({**self.tables, "sweep": swept}, self.quantity, self.since, self.until)


@dataclass(frozen=True, eq=False)
class Quotient:
    """A cell that follows from two others: the mean of one over that of the other, which have equal seeds.

    Attributes:
        top, bottom: both are simulated, whether they stand in the table or not.
    """

    top: OverSeeds
    bottom: OverSeeds


PlannedRow = Mapping[str, int | float | str | Cell | OverSeeds | Quotient]
"""A row in which cells may be still to be simulated."""


class TableSweep:
    """All simulations that the rows of a table are still in need of, each once, in one sweep: the longest first.

    Args:
        rows: of the table.
        out: directory of the sweep: what is finished there is not simulated again.
    Raises:
        ScenarioError: if a scenario is wrong.
    """

    def __init__(self, rows: Iterable[PlannedRow], out: Path) -> None:
        self._rows = list(rows)
        self._cases = {cell: plan(cell.origin.tables) for cell in _cells(self._rows)}
        each = [case for cases in self._cases.values() for case in cases]
        self._sweep = Sweep(sorted(each, key=_num_gradients, reverse=True), out) if each else None

    def seen(self) -> Counted | None:
        """How far it has come, in gradients; any thread may ask. None: there is nothing to be simulated."""
        if self._sweep is None:
            return None
        lengths = {case.key: _num_gradients(case) for case in self._sweep.cases}
        done = [lengths[key] for key in list(self._sweep.records)]
        return Counted(sum(done) / sum(lengths.values()), len(done), len(lengths))

    def run(self, jobs: int = -1) -> list[Row]:
        """Simulate what is not finished, and return the rows with all cells.

        Args:
            jobs: processes at a time; -1: one a core.
        Raises:
            ScheduleError: if a run cannot go on, or a process was lost.
        """
        if self._sweep is not None:
            self._sweep.run(jobs=jobs, progress=False)
            for key, error in self._sweep.errors.items():
                case = next(case for case in self._sweep.cases if case.key == key)
                raise ScheduleError(f"{case.settings['schedule.program']}, {case}: {error}")
        return [{name: self._filled(each) for name, each in row.items()} for row in self._rows]

    def _filled(self, each: int | float | str | Cell | OverSeeds | Quotient) -> int | float | str | Cell:
        match each:
            case OverSeeds():
                values = self._values(each)
                error = float(values.std(ddof=1)) / math.sqrt(len(values))
                return Cell(float(values.mean()), each.origin, error, _half_width(error, len(values)), each.exact)
            case Quotient(top, bottom):
                pairs = self._values(top), self._values(bottom)
                error, value = ratio_error(*pairs), float(pairs[0].mean() / pairs[1].mean())
                is_known = top.exact is not None and bottom.exact is not None
                exact = Cell(top.exact.value / bottom.exact.value, None) if is_known else None  # type: ignore[union-attr]
                return Cell(value, None, error, _half_width(error, len(pairs[0])), exact)
        return each

    def _values(self, cell: OverSeeds) -> NDArray[np.float64]:
        """What each run has, in the order of the seeds: [num_seeds]."""
        # Imported late, so that the command's `--help` need not load it.
        import pandas as pd

        assert self._sweep is not None
        series = [self._sweep.records[case.key]["series"] for case in self._cases[cell]]
        return np.array([cell.origin.of_run(pd.DataFrame(each)) for each in series])


def _cells(rows: Sequence[PlannedRow]) -> Iterator[OverSeeds]:
    for row in rows:
        for each in row.values():
            match each:
                case OverSeeds():
                    yield each
                case Quotient(top, bottom):
                    yield from (top, bottom)


def _num_gradients(case: Case) -> float:
    """Of all workers: about how long the simulation of a case takes, beside others."""
    topology, schedule = (case.tables.get(name) for name in ("topology", "schedule"))
    assert isinstance(topology, Mapping)
    assert isinstance(schedule, Mapping)
    return float(topology["workers"] * np.mean(schedule["gradients"]))


def _half_width(error: float, count: int) -> float:
    """Half of the 95 % interval of a mean of independent values, by Student's distribution."""
    # Half a second to load, which no other table needs.
    from scipy.special import stdtrit

    return float(stdtrit(count - 1, (1 + CONFIDENCE) / 2)) * error
