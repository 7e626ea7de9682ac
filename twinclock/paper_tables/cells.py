"""The cells of a paper's table: each is a number of one simulation, whose scenario says how to get it again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from schedules.result import Result
from simulator.run import simulate


@dataclass(frozen=True)
class Cell:
    """One number of a table.

    Attributes:
        value: as `twinclock simulate` gives it for the scenario, under the quantity's name.
        scenario: unresolved tables, as they would stand in a file.
        quantity: a key of the run's summary.
        error: standard error of the value; None: it has no scatter.
    """

    value: float
    scenario: Mapping[str, Any]
    quantity: str
    error: float | None = None


Row = dict[str, int | float | str | Cell]
"""A row of a table by column: what says which row it is, cells, and numbers that follow from cells."""


def simulated(scenario: Mapping[str, Any], quantity: str, error: Callable[[Result], float] | None = None) -> Cell:
    """A cell from one simulation.

    Args:
        scenario: unresolved tables.
        quantity: a key of the summary.
        error: the standard error of it, from the run.
    Raises:
        ScenarioError: if the scenario is wrong.
        ScheduleError: if the run cannot go on.
    """
    result = simulate(scenario)
    return Cell(float(result.summary[quantity]), scenario, quantity, None if error is None else error(result))


def ratio_error(tops: ArrayLike, bottoms: ArrayLike) -> float:
    """Standard error of R = sum y / sum x over N independent pairs: s / (sqrt(N) mean x), s^2 the variance of y - R x.

    Args:
        tops, bottoms: y and x: [N], N at least 2.
    Source: Cochran, Sampling Techniques, section 2.11.
    """
    y, x = np.asarray(tops, dtype=np.float64), np.asarray(bottoms, dtype=np.float64)
    residuals = y - y.sum() / x.sum() * x  # their mean is 0
    return float(np.sqrt((residuals**2).sum() / (len(x) - 1) / len(x)) / x.mean())
