"""Cyclic data parallelism, v2: a stage is fresh where its update comes in time, and else one step late.

theta^{t+1} = theta^t - (gamma / N) sum_i grad f_i(u_i), where stage j of u_i is that of theta^t if i + j >= N - 1, and
else that of theta^{t-1} (i and j from 0; theta^{-1} = theta^0).
"""

from __future__ import annotations

from collections.abc import Mapping

from schedules import Program, Worker
from schedules.programs.cyclic import cycle, told

SOURCE = "Fournier and Oyallon 2024, Cyclic Data Parallelism (arXiv:2403.08837), rule v2 and its code"
STALENESS = "one step of stage j of worker i where i + j < N - 1, none of the others"
IN_STEP = True

STATE, Settings = cycle.STATE, cycle.Settings
place, edges, kernels, shards = cycle.place, cycle.edges, cycle.kernels, cycle.shards
summary = told.summary


def streams(worker: Worker) -> Mapping[str, Program]:
    """The programs of a worker."""
    return cycle.streams(worker, delay)


def delay(i: int, j: int, n: int) -> int:
    """How many steps late worker i of n is with stage j."""
    return 0 if i + j >= n - 1 else 1
