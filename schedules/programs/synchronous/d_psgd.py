"""D-PSGD: every step exchanges the parameters with all neighbours while the gradient is being computed.

x_i <- sum_j W_ij x_j - gamma g_i(x_i), with the Metropolis weights W_ij = 1 / (1 + max(deg_i, deg_j)). With
`accumulate` = k, g_i is the mean of k gradients at x_i, and a step exchanges once for all of them.
"""

from __future__ import annotations

from collections.abc import Mapping

from schedules import (
    Array,
    Await,
    Barrier,
    Compute,
    Count,
    CountOfRank,
    Exchange,
    Program,
    Start,
    State,
    Table,
    Worker,
)
from schedules.programs.synchronous import accumulation
from schedules.programs.synchronous.accumulation import add, batches, clear, mean_of

SOURCE = "Lian et al. 2017, D-PSGD (arXiv:1705.09056), algorithm 1; weights: Xiao and Boyd 2004"
STALENESS = "none: every step waits for all neighbours"
IN_STEP = True

STATE = accumulation.vectors
updates = accumulation.updates


class Settings(Table):
    """The keys of [schedule]."""

    gradients: CountOfRank
    """Gradients per worker: one number, as all make the same steps."""
    accumulate: Count = 1
    """Gradients of a worker, at the same parameters, whose mean is one update; the last is of those that are left."""


START = Start(Compute("gradient"))
"""One for all: operations are values, and making one takes as long as entering a gradient."""


def streams(worker: Worker) -> Mapping[str, Program]:
    """The programs of a worker."""
    return {"compute": _steps(worker)}


def metropolis_weights(worker: Worker) -> list[float]:
    """W_ii, then W_ij for the neighbours in ascending order; they sum to 1."""
    graph = worker.graph
    weights = [1 / (1 + max(graph.degree[worker.rank], graph.degree[peer])) for peer in worker.neighbours]
    return [1 - sum(weights), *weights]


def _steps(worker: Worker) -> Program:
    weights, model = metropolis_weights(worker)[1:], worker.model
    for update, numbers in enumerate(batches(worker)):
        mine = model.outgoing()  # before the gradient begins, which reads the same x
        computing, _ = yield START
        exchanging = []
        for peer in worker.neighbours:
            handle, _ = yield Start(Exchange(peer, mine, update))
            exchanging.append(handle)
        made = []
        for _ in numbers[1:]:  # all of them at the same x
            ((gradient,), _), _ = yield Await((computing,))
            model.change(add, gradient)
            made.append(gradient.rest())
            computing, _ = yield START
        ((gradient, *theirs), _), _ = yield Await((computing, *exchanging))
        if worker.settings.accumulate > 1:
            model.change(add, gradient)
            model.apply(mix_mean, (*made, gradient.rest()), len(numbers), mine, theirs, weights)
        else:
            model.apply(mix, gradient, mine, theirs, weights)
    yield Barrier()


def mix(s: State, gradient: Array, mine: Array, theirs: tuple[Array, ...], weights: tuple[float, ...]) -> None:
    """x <- sum_j W_ij x_j - gamma g, with the x_j that were sent.

    As W_ii = 1 - sum_{j != i} W_ij, this is x += sum_{j != i} W_ij (x_j - x_i) + delta, which loses nothing that was
    applied since x_i was sent, and with symmetric weights keeps the mean of all workers.
    """
    change = s.optimizer.delta(s.x, gradient)
    for other, weight in zip(theirs, weights, strict=True):
        change = change + weight * (other - mine)
    s.x = s.x + change


def mix_mean(
    s: State,
    _: tuple[None, ...],
    number: int,
    mine: Array,
    theirs: tuple[Array, ...],
    weights: tuple[float, ...],
) -> None:
    """The same, with the mean of so many gradients that were added up."""
    mix(s, mean_of(s, number), mine, theirs, weights)
    clear(s)
