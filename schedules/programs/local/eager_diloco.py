"""Eager updates: the changes of one round are reduced while the next is computed, the worker's own are used at once.

Delta~_i = Delta_i^r / n + (1/n) sum_{j != i} Delta_j^{r-1} = mean^{r-1} + (Delta_i^r - Delta_i^{r-1}) / n; with
`delayed` it is mean^{r-1} alone. Before the first round there are none, and what is on its way after the last is
still applied.
"""

from __future__ import annotations

from collections.abc import Mapping

from schedules import COPY, ZERO, Array, Program, State, Worker
from schedules.programs.averaging import Begun, begin, vectors
from schedules.programs.layered import joined
from schedules.programs.local import outer
from schedules.programs.local.outer import change, layered_round, local_steps, outer_step

SOURCE = "Kale et al. 2025, Eager Updates for Overlapped Communication in DiLoCo (arXiv:2502.12996)"
STALENESS = "one outer version of what others send, none of the worker's own part (delayed: one of all)"
OURS = "what is on its way after the last round is applied before the end"
IN_STEP, LAYERED, LENGTH = True, True, "rounds"

STATE = vectors(theta=COPY, momentum=ZERO, sent=ZERO)
length, read_out = outer.length, outer.read_out


class Settings(outer.Outer):
    """The keys of [schedule]."""

    delayed: bool = False
    """Whether a worker's own change is used as late as the others': the naive variant."""


def streams(worker: Worker) -> Mapping[str, Program]:
    """The programs of a worker."""
    return {"compute": rounds(worker)}


def rounds(worker: Worker) -> Program:
    """The algorithm of a worker."""
    model, settings = worker.model, worker.settings
    own = 0.0 if settings.delayed else 1 / worker.num_workers
    rates = own, settings.outer_learning_rate, settings.outer_momentum
    shares: list[Begun] = []
    reducing: list[Begun] = []
    for _ in range(settings.rounds):
        if worker.layers is None:
            yield from local_steps(worker)
        else:
            shares = yield from layered_round(worker)
        mine = model.payload(change, to="theta")
        if reducing:
            mean = yield from joined(worker, reducing)
            model.apply(step, mean, mine, *rates)
        elif settings.delayed:
            model.change(first_step, mine, *rates)
        else:
            model.apply(first_step, mine, *rates)
        reducing = shares or [(yield from begin(worker, mine))]
    if not reducing:
        return
    mean = yield from joined(worker, reducing)
    model.apply(last_step, mean, *rates)


def step(s: State, mean: Array, mine: Array, own: float, rate: float, mu: float) -> None:
    """The mean of the round before, with the worker's own share in it made new."""
    outer_step(s, mean + own * (mine - s.sent), rate, mu)
    s.sent = mine


def first_step(s: State, mine: Array, own: float, rate: float, mu: float) -> None:
    """There is no round before."""
    step(s, s.xp.zeros_like(mine), mine, own, rate, mu)


def last_step(s: State, mean: Array, own: float, rate: float, mu: float) -> None:
    """There is no round after: what others have sent, and of the worker's own what has not been used."""
    step(s, mean, s.xp.zeros_like(mean), own, rate, mu)
