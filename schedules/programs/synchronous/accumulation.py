"""Gradients that are added up before they are used: what the synchronous schedules share.

A worker computes the gradients of k batches at the same parameters and adds them up in the vector `gradient`; their
mean is then what one gradient of the joined batch is. So a run of T gradients makes T / k updates; where k does not
divide T the last update is of those that are left.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from schedules import ZERO, Array, State, Vector, Worker, of_rank


def vectors(settings: Any) -> dict[str, Vector]:
    """What a worker keeps beside x: the sum, where there is more than one to be added up."""
    return {"gradient": ZERO} if settings.accumulate > 1 else {}


def updates(settings: Any, rank: int) -> int:
    """Steps of a worker's optimizer."""
    return int(-(-of_rank(settings.gradients, rank) // settings.accumulate))


def batches(worker: Worker) -> Iterator[range]:
    """The numbers of a worker's gradients, update by update."""
    length, number = of_rank(worker.settings.gradients, worker.rank), worker.settings.accumulate
    return (range(first, min(first + number, length)) for first in range(0, length, number))


def add(s: State, gradient: Array) -> None:
    """One more."""
    s.gradient = s.gradient + gradient


def mean_of(s: State, number: int) -> Array:
    """The mean of so many that were added up."""
    return s.gradient / number


def clear(s: State) -> None:
    """Begin anew."""
    s.gradient = s.xp.zeros_like(s.gradient)
