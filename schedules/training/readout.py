"""Looking at the parameters while a run is under way, and at its end: loss, accuracy, consensus distance."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from schedules.errors import MisuseError
from schedules.misuse.values import short
from schedules.operations import Array, Program, Until
from schedules.training.problems import Problem, to_numpy
from schedules.training.state import State

Observation = tuple[int, float, NDArray[np.float64]]
"""A read-out: its number, when (in gradient times), and the parameters then [num_params], on the host."""

LAST = 1_000_000_000
"""Number of the read-out at the end of the run; the others count from 0."""

ReadOut = Callable[[State, float], Array]
"""`read_out(s, time)`: the parameters to look at, from a copy of the state; None: this worker is not looked at."""


class ReadOuts:
    """The read-outs of one worker.

    Args:
        state: of the worker.
        read_out: of the schedule; None: x as it is.
        keeps: whether those under way are kept; large models are looked at only at the end.
    Attributes:
        observations: in the order in which they were made.
    """

    def __init__(self, state: State, read_out: ReadOut | None, *, keeps: bool = True) -> None:
        self._state, self._read_out, self._keeps = state, read_out, keeps
        self.observations: list[Observation] = []
        self._final: Array = None

    def observe(self, index: int, time: float, *, is_kept: bool = True) -> None:
        """Read out the parameters at `time`, in gradient times, as the `index`-th observation. The state stays.

        Args:
            is_kept: whether it belongs to the series; the parameters at the end are known in any case.
        """
        if not self._keeps and index != LAST:
            return
        state = copy.copy(self._state)
        x = state.x if self._read_out is None else state.run(self._read_out, (time,))
        if x is not None and getattr(x, "shape", None) != self._state.x.shape:
            told = f"expected the parameters, {tuple(self._state.x.shape)}, or None"
            raise MisuseError(f"rule read_out: {told}, found {getattr(x, 'shape', None) or short(x)}")
        if index == LAST:
            self._final = x
        if x is not None and self._keeps and is_kept:
            self.observations.append((index, time, to_numpy(x).astype(np.float64, copy=False)))

    def parameters(self) -> Array:
        """Those read out at the end, or x as it is, where there was no end: [num_params]."""
        return self._state.x if self._final is None else self._final


def observations(read_outs: ReadOuts, number: int, period: float) -> Program:
    """Read out the parameters at equal times; bounded, so that a run that is stuck comes to its end."""
    read_outs.observe(0, 0.0)
    for index in range(1, 10 * number + 1):
        _, time = yield Until(index * period)
        read_outs.observe(index, time)


class Numbers(NamedTuple):
    """What comes of a numeric run.

    Attributes:
        parameters: at the end: float64 [num_workers, num_params]; in a staged run [1, num_params], stage after stage.
        series: rows as `series` makes them; None in a staged run, where nobody has the whole model meanwhile.
        told: keys of the summary.
    """

    parameters: NDArray[np.float64]
    series: list[dict[str, float | int | None]] | None
    told: dict[str, float | int | None]


def numbers(
    final: Sequence[Sequence[Array]],
    observed: Sequence[Sequence[Observation]],
    stages: Sequence[Sequence[int]],
    problem: Problem,
    gradient_s: float,
) -> Numbers:
    """What comes of the read-outs of all ranks.

    Args:
        final: the parameters of each rank's models at the end, by stage.
        observed: the read-outs of the ranks that are looked at.
        stages: for every stage the ranks that hold it; none where each holds the whole model.
    """
    if stages:
        whole = whole_model(final, stages)
        told = {"loss": problem.loss(whole[0]), "accuracy": problem.accuracy(whole[0])}
        return Numbers(whole, None, {key: value for key, value in told.items() if value is not None})
    rows = series([each for each in observed if each], problem, gradient_s)
    told = {key: rows[-1][key] for key in ("loss", "accuracy", "consensus_distance")} if rows else {}
    return Numbers(np.stack([_double(each) for (each,) in final]), rows, told)


def whole_model(final: Sequence[Sequence[Array]], stages: Sequence[Sequence[int]]) -> NDArray[np.float64]:
    """The stages of a model one behind the other, each from the first rank that holds it: float64 [1, num_params]."""
    held = [[stage for stage, ranks in enumerate(stages) if rank in ranks] for rank in range(len(final))]
    parts = [final[ranks[0]][held[ranks[0]].index(stage)] for stage, ranks in enumerate(stages)]
    return np.concatenate([_double(each) for each in parts])[None]


def _double(array: Array) -> NDArray[np.float64]:
    return np.asarray(array, dtype=np.float64)


def consensus_distance(stack: NDArray[np.floating]) -> float:
    """sum_i |x_i - mean x|^2, the squared Frobenius norm of (I - 11^T/n) X.

    Args:
        stack: [num_workers, num_params].
    Source: gossip.md section 8, which asks for this sum and for the sum divided by n: `series` has both.
    """
    with np.errstate(over="ignore", invalid="ignore"):  # a run that diverges shows it in its numbers, not in warnings
        # From the first worker: equal models are at distance zero exactly, and close ones lose no digits.
        offsets = stack - stack[0]
        return float(np.sum((offsets - offsets.mean(axis=0)) ** 2))


def series(
    observations_by_rank: Sequence[Sequence[Observation]],
    problem: Problem,
    gradient_s: float,
) -> list[dict[str, float | int | None]]:
    """Loss, accuracy and consensus distance against time, from the observations that every rank has made.

    Loss and accuracy are those of the mean of the workers' models.

    Args:
        observations_by_rank: (index, time, x) in any order; of two with the same index the later one counts.
        gradient_s: one gradient time in seconds.
    Returns:
        One dict an index, ascending: `index`, `time` (gradient times, mean over ranks), `time_s`, `loss`, `accuracy`
        (None where there is none), `consensus_distance` (the sum over workers), `consensus_distance_mean` (over n).
    """
    tables = [{index: (time, x) for index, time, x in observations} for observations in observations_by_rank]
    # Read-outs end with their worker, and workers do not end together.
    common = sorted(set.intersection(*map(set, tables))) if tables else []
    return [_summary(index, [table[index] for table in tables], problem, gradient_s) for index in common]


def _summary(
    index: int, readings: Sequence[tuple[float, NDArray[np.float64]]], problem: Problem, gradient_s: float
) -> dict[str, float | int | None]:
    stack = np.stack([x for _, x in readings])
    time = math.fsum(time for time, _ in readings) / len(readings)
    mean, distance = stack.mean(axis=0), consensus_distance(stack)
    return {
        "index": index,
        "time": time,
        "time_s": time * gradient_s,
        "loss": problem.loss(mean),
        "accuracy": problem.accuracy(mean),
        "consensus_distance": distance,
        "consensus_distance_mean": distance / len(stack),
    }
