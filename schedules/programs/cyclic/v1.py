"""Cyclic data parallelism, v1: all stages are one step late.

theta^{t+1} = theta^t - (gamma / N) sum_i grad f_i(theta^{t-1}), on all stages (theta^{-1} = theta^0).
"""

from __future__ import annotations

from collections.abc import Mapping

from schedules import Program, Worker
from schedules.programs.cyclic import cycle, told

SOURCE = "Fournier and Oyallon 2024, Cyclic Data Parallelism (arXiv:2403.08837), rule v1"
STALENESS = "one step"
IN_STEP = True

STATE, Settings = cycle.STATE, cycle.Settings
place, edges, kernels, shards = cycle.place, cycle.edges, cycle.kernels, cycle.shards
summary = told.summary


def streams(worker: Worker) -> Mapping[str, Program]:
    """The programs of a worker."""
    return cycle.streams(worker, delay)


def delay(i: int, j: int, n: int) -> int:
    """How many steps late worker i of n is with stage j."""
    return 1
