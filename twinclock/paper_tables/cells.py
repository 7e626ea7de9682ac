"""The cells of a paper's table: each is one number, and says how to get it again by a command."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from schedules.result import Result
from schedules.training.readout import LAST
from simulator.run import simulate
from twinclock.printing.topology_facts import build_graph, graph_facts

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class ByScenario:
    """What `twinclock simulate` gives for a scenario.

    Attributes:
        tables: unresolved, as they would stand in a file.
        quantity: a key of the run's summary.
    """

    tables: Mapping[str, Any]
    quantity: str


@dataclass(frozen=True)
class BySeeds:
    """The mean over the runs that `twinclock sweep` makes of a scenario, of what each has in a while of its series.

    Attributes:
        tables: unresolved, as they would stand in a file, with a table [sweep] of seeds.
        quantity: a column of the series.
        since, until: of the while, in gradient times: its end is not in it, and never the read-out at the run's end.
    """

    tables: Mapping[str, Any]
    quantity: str
    since: float
    until: float

    def of_run(self, series: pd.DataFrame) -> float:
        """The number of one run: the mean of the quantity in that while.

        Args:
            series: of the run: a row a read-out.
        """
        is_in = (series["time"] >= self.since) & (series["time"] < self.until) & (series["index"] < LAST)
        assert is_in.any(), f"no read-out from {self.since} to {self.until}"
        return float(series.loc[is_in, self.quantity].mean())


@dataclass(frozen=True)
class ByGraph:
    """What `twinclock topologies` gives for a communication graph.

    Attributes:
        name: of the graph.
        workers: how many.
        quantity: "chi_1", say: a key of what the command prints with `--json`.
        rate, weights, options: as the command has them.
    """

    name: str
    workers: int
    quantity: str
    rate: float = 1.0
    weights: str = "uniform"
    options: Mapping[str, int | float] = field(default_factory=dict)


@dataclass(frozen=True)
class ByCall:
    """What a function of a module gives for numbers and texts: a number that takes no scenario, such as an exact one.

    Attributes:
        function: importable by its name.
        arguments: of the call.
    """

    function: Callable[..., float]
    arguments: tuple[int | float | str, ...]


Origin = ByScenario | BySeeds | ByGraph | ByCall


@dataclass(frozen=True)
class Cell:
    """One number of a table.

    Attributes:
        value: the number.
        origin: what gives it; None: other cells do.
        error: standard error of the value; None: it has no scatter.
        half_width: of the value's 95 % interval; None: there is no more than the error.
        exact: what the value tends to, where that is known.
    """

    value: float
    origin: Origin | None
    error: float | None = None
    half_width: float | None = None
    exact: Cell | None = None


Row = dict[str, int | float | str | Cell]
"""A row of a table by column: what says which row it is, cells, and numbers that follow from cells."""


def simulated(tables: Mapping[str, Any], quantity: str, error: Callable[[Result], float] | None = None) -> Cell:
    """A cell from one simulation.

    Args:
        tables: of a scenario, unresolved.
        quantity: a key of the summary.
        error: the standard error of it, from the run.
    Raises:
        ScenarioError: if the scenario is wrong.
        ScheduleError: if the run cannot go on.
    """
    result = simulate(tables)
    scatter = None if error is None else error(result)
    return Cell(float(result.summary[quantity]), ByScenario(tables, quantity), scatter)


def of_graph(origin: ByGraph) -> Cell:
    """A cell that is a number of a graph.

    Raises:
        ValueError: for an unknown graph or option, or an impossible size or value.
    """
    graph = build_graph(origin.name, origin.workers, origin.options, rate=origin.rate, weights=origin.weights)
    return Cell(float(graph_facts(graph)[origin.quantity]), origin)


def called(function: Callable[..., float], *arguments: int | float | str) -> Cell:
    """A cell that is what a function of a module gives."""
    return Cell(float(function(*arguments)), ByCall(function, arguments))


def ratio_error(tops: ArrayLike, bottoms: ArrayLike) -> float:
    """Standard error of R = sum y / sum x over N independent pairs: s / (sqrt(N) mean x), s^2 the variance of y - R x.

    Args:
        tops, bottoms: y and x: [N], N at least 2.
    Source: Cochran, Sampling Techniques, section 2.11.
    """
    y, x = np.asarray(tops, dtype=np.float64), np.asarray(bottoms, dtype=np.float64)
    residuals = y - y.sum() / x.sum() * x  # their mean is 0
    return float(np.sqrt((residuals**2).sum() / (len(x) - 1) / len(x)) / x.mean())
