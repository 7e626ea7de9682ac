"""The cells of a paper's table: each is one number, and says how to get it again by another command of ours."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from schedules.result import Result
from simulator.run import simulate
from twinclock.printing.topology_facts import build_graph, graph_facts


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
class Cell:
    """One number of a table.

    Attributes:
        value: the number.
        origin: what gives it.
        error: standard error of the value; None: it has no scatter.
    """

    value: float
    origin: ByScenario | ByGraph
    error: float | None = None


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


def ratio_error(tops: ArrayLike, bottoms: ArrayLike) -> float:
    """Standard error of R = sum y / sum x over N independent pairs: s / (sqrt(N) mean x), s^2 the variance of y - R x.

    Args:
        tops, bottoms: y and x: [N], N at least 2.
    Source: Cochran, Sampling Techniques, section 2.11.
    """
    y, x = np.asarray(tops, dtype=np.float64), np.asarray(bottoms, dtype=np.float64)
    residuals = y - y.sum() / x.sum() * x  # their mean is 0
    return float(np.sqrt((residuals**2).sum() / (len(x) - 1) / len(x)) / x.mean())
