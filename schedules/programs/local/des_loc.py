"""DES-LOC: local steps of Adam, with periods of their own for the average of x and of each moment.

Before step k, those whose period divides k are averaged.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from schedules import AllReduce, Compute, Count, Program, Table, Worker, descend
from schedules.programs.averaging import NONE, Codec, parameters, vectors
from schedules.programs.local.local_sgd import adopt, adopt_moment, moment

SOURCE = "Iacob et al. 2025, DES-LOC (arXiv:2505.22549)"
STALENESS = "none: all wait for each average"
OURS = "it goes with any optimizer; one that remembers less than two arrays has fewer averages"
IN_STEP, LENGTH = True, "steps"

STATE = vectors(of_parameters=True)


class Settings(Table):
    """The keys of [schedule]."""

    steps: Count
    """Of every worker."""
    period: Count
    """K_x, of the parameters."""
    first_period: Count
    """K_u, of the first moment."""
    second_period: Count
    """K_v, of the second moment."""
    codec: Codec = NONE
    """How changes of the parameters are encoded; moments go as they are."""


def length(settings: Any, rank: int) -> int:
    """Steps of a worker."""
    return int(settings.steps)


def streams(worker: Worker) -> Mapping[str, Program]:
    """The programs of a worker."""
    return {"compute": steps(worker)}


def steps(worker: Worker) -> Program:
    """The algorithm of a worker."""
    model, settings = worker.model, worker.settings
    periods = (settings.first_period, settings.second_period)[: worker.moments]
    for number in range(settings.steps):
        if number and number % settings.period == 0:
            mean = yield from parameters(worker)
            model.apply(adopt, mean)
        for index, period in enumerate(periods):
            if number and number % period == 0:
                mean, _ = yield AllReduce(model.payload(moment, index, kind="average"))
                model.change(adopt_moment, mean, index)
        gradient, _ = yield Compute("gradient")
        model.apply(descend, gradient)
