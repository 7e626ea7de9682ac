"""Utilization of synchronous all-reduce with exponential gradients: 1 / H_n.

In every round all n workers wait for the slowest. With independent exponential gradients of mean 1 and an all-reduce
that takes no time a round takes H_n = 1 + 1/2 + ... + 1/n, the mean of the largest of n, and a worker computes for 1.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from schedules.result import Result
from schedules.settings import Table
from schedules.units import Seconds
from twinclock.paper_tables.cells import Row, ratio_error, simulated

SOURCE = "order statistics: the mean of the largest of n exponentials (docs/papers/gossip.md, section 10)"


class ExponentialRounds(Table):
    """The columns of the inputs."""

    workers: Annotated[int, Field(ge=2)]
    gradients: Annotated[int, Field(ge=2)] = 4000
    """Of a worker; as many rounds."""
    mean: Annotated[Seconds, Field(gt=0)] = 1.0
    """Of a gradient's duration; the utilization does not depend on it."""
    seed: Annotated[int, Field(ge=0)] = 0


INPUTS = tuple(ExponentialRounds(workers=workers) for workers in (4, 8, 16))
SMALL = tuple(ExponentialRounds(workers=workers, gradients=400) for workers in (4, 8))


def ours(inputs: Sequence[ExponentialRounds]) -> Iterator[Row]:
    """The share of the time in which a worker computes, a simulation a row."""
    for each in inputs:
        scenario = {
            "schedule": {"program": "all-reduce", "gradients": each.gradients},
            "topology": {"graph": "complete", "workers": each.workers},
            "platform": {"gradient": {"distribution": "exponential", "mean": each.mean}, "transport": "none"},
            "workload": {"parameters": 1000},
            "run": {"seed": each.seed},
        }
        utilization = simulated(scenario, "utilization_compute", _error)
        yield {**each.model_dump(), "utilization": utilization}


def _error(result: Result) -> float:
    """Rounds are independent: workers compute for so long on average, and each round lasts as long as its slowest."""
    durations = _durations(result)
    return ratio_error(durations.mean(axis=0), durations.max(axis=0))


def _durations(result: Result) -> NDArray[np.float64]:
    """Seconds of every gradient: [num_workers, num_rounds]."""
    trace = result.kept_trace
    rows = trace[trace["op"] == "Compute"].sort_values(["rank", "start_ns"])
    taken = (rows["end_ns"] - rows["ready_ns"]).to_numpy(dtype=np.float64) / 1e9
    return taken.reshape(result.scenario.topology.workers, -1)
