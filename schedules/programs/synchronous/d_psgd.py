"""D-PSGD: every step exchanges the parameters with all neighbours while the gradient is being computed.

x_i <- sum_j W_ij x_j - gamma g_i(x_i), with the Metropolis weights W_ij = 1 / (1 + max(deg_i, deg_j)).
"""

from __future__ import annotations

from collections.abc import Mapping

from schedules import Array, Await, Barrier, Compute, Count, Exchange, Program, Start, State, Table, Worker

SOURCE = "Lian et al. 2017, D-PSGD (arXiv:1705.09056), algorithm 1; weights: Xiao and Boyd 2004"
IN_STEP = True


class Settings(Table):
    """The keys of [schedule]."""

    gradients: Count
    """Gradients per worker."""


def streams(worker: Worker) -> Mapping[str, Program]:
    """The programs of a worker."""
    return {"compute": _steps(worker)}


def metropolis_weights(worker: Worker) -> list[float]:
    """W_ii, then W_ij for the neighbours in ascending order; they sum to 1."""
    graph = worker.graph
    weights = [1 / (1 + max(graph.degree[worker.rank], graph.degree[peer])) for peer in worker.neighbours]
    return [1 - sum(weights), *weights]


def _steps(worker: Worker) -> Program:
    weights = metropolis_weights(worker)[1:]
    for number in range(worker.settings.gradients):
        mine = worker.model.outgoing()  # before the gradient begins, which reads the same x
        computing, _ = yield Start(Compute("gradient"))
        exchanging = []
        for peer in worker.neighbours:
            handle, _ = yield Start(Exchange(peer, mine, number))
            exchanging.append(handle)
        ((gradient, *theirs), _), _ = yield Await((computing, *exchanging))
        worker.model.apply(mix, gradient, mine, theirs, weights)
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
