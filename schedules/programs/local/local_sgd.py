"""Local SGD: H steps alone, then x <- (1/n) sum_j x_j, and once more after the last step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from schedules import AllReduce, Array, Compute, Count, Program, State, Table, Worker, descend
from schedules.programs.averaging import NONE, Codec, parameters, vectors

SOURCE = "Stich 2019, Local SGD Converges Fast and Communicates Little (arXiv:1805.09767)"
STALENESS = "none: all wait for the average"
OURS = "the average after the last step, wherever it is"
IN_STEP, LENGTH = True, "steps"

STATE = vectors(of_parameters=True)


class Settings(Table):
    """The keys of [schedule]."""

    steps: Count
    """Of every worker."""
    local_steps: Count
    """Between two averages: H."""
    average: Literal["parameters", "all"] = "parameters"
    """all: what the optimizer remembers, too."""
    codec: Codec = NONE
    """How changes of the parameters are encoded; what the optimizer remembers goes as it is."""


def length(settings: Any, rank: int) -> int:
    """Steps of a worker."""
    return int(settings.steps)


def streams(worker: Worker) -> Mapping[str, Program]:
    """The programs of a worker."""
    return {"compute": steps(worker)}


def steps(worker: Worker) -> Program:
    """The algorithm of a worker."""
    settings, model, step = worker.settings, worker.model, Compute("gradient")
    for number in range(1, settings.steps + 1):
        gradient, _ = yield step
        model.apply(descend, gradient)
        if number % settings.local_steps == 0 or number == settings.steps:
            yield from average(worker)


def average(worker: Worker) -> Program:
    """x <- mean x_j, with what the optimizer remembers where all is averaged."""
    model = worker.model
    mean = yield from parameters(worker)
    model.apply(adopt, mean)
    if worker.settings.average == "all":
        for number in range(worker.moments):
            mean, _ = yield AllReduce(model.payload(moment, number, kind="average"))
            model.change(adopt_moment, mean, number)


def adopt(s: State, mean: Array) -> None:
    """x is the mean."""
    s.x = mean


def moment(s: State, number: int) -> Array:
    """One of the arrays that the optimizer remembers."""
    return s.optimizer.remembered[number]


def adopt_moment(s: State, mean: Array, number: int) -> None:
    """It is the mean."""
    remembered = list(s.optimizer.remembered)
    remembered[number] = mean
    s.optimizer.remembered = tuple(remembered)
