"""D-PSGD: every step exchanges the parameters with all neighbours while the gradient is being computed.

x_i <- sum_j W_ij x_j - gamma g_i(x_i), with the Metropolis weights W_ij = 1 / (1 + max(deg_i, deg_j)).
"""

from __future__ import annotations

from collections.abc import Mapping

from schedules.operations import Await, Barrier, Compute, Exchange, Program, Start
from schedules.settings import Count, Table
from schedules.worker import Worker

SOURCE = "Lian et al. 2017, D-PSGD (arXiv:1705.09056), algorithm 1; weights: Xiao and Boyd 2004"


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
    weights = metropolis_weights(worker)
    for number in range(worker.settings.gradients):
        mine = worker.model.outgoing()  # before the gradient begins, which reads the same x
        computing, _ = yield Start(Compute("gradient"))
        exchanging = []
        for peer in worker.neighbours:
            handle, _ = yield Start(Exchange(peer, mine, number))
            exchanging.append(handle)
        ((gradient, *theirs), _), _ = yield Await((computing, *exchanging))
        worker.model.mix_neighbours(gradient, [mine, *theirs], weights)
    _, time = yield Barrier()
    worker.model.observe_end(time)
