"""Asynchronous pairwise averaging: gradients and gossip run side by side, neither waits for the other.

x_i <- x_i - gamma g_i        at each gradient of worker i, computed from an x_i that may have been averaged since
x_i, x_j <- (x_i + x_j) / 2   at each exchange of an edge (i, j)
"""

from __future__ import annotations

from collections.abc import Mapping

from schedules.operations import Exchange, Payload, Program
from schedules.programs.gossip import pairing
from schedules.worker import Worker

SOURCE = "A²CiD² (arXiv:2306.08289), asynchronous baseline; AD-PSGD (arXiv:1710.06952)"
SURVIVES_FAILURES = True

Settings = pairing.Settings


def streams(worker: Worker) -> Mapping[str, Program]:
    """The programs of a worker."""
    return pairing.streams(worker, step, exchange)


def step(worker: Worker, gradient: Payload, time: float) -> None:
    """Apply a gradient."""
    worker.model.step(gradient)


def exchange(worker: Worker, peer: int, index: int, time: float) -> Program:
    """Average with a peer: half the difference of the two values that were sent."""
    mine = worker.model.outgoing()
    theirs, _ = yield Exchange(peer, mine, index)
    if theirs is not None:  # the peer has not failed
        worker.model.average(mine, theirs)
