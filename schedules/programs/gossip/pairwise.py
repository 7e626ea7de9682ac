"""Asynchronous pairwise averaging: gradients and gossip run side by side, neither waits for the other.

x_i <- x_i - gamma g_i        at each gradient of worker i, computed from an x_i that may have been averaged since
x_i, x_j <- (x_i + x_j) / 2   at each exchange of an edge (i, j)
"""

from __future__ import annotations

from collections.abc import Mapping

from schedules import Array, Exchange, Payload, Program, State, Worker, descend
from schedules.programs.gossip import pairing

SOURCE = "A²CiD² (arXiv:2306.08289), asynchronous baseline; AD-PSGD (arXiv:1710.06952)"
STALENESS = (
    "of a gradient as many versions as averages ended while it was computed; of an average likewise, by gradients"
)
SURVIVES_FAILURES = True
VARYING_GRAPHS = True

Settings = pairing.Settings


def streams(worker: Worker) -> Mapping[str, Program]:
    """The programs of a worker."""
    return pairing.streams(worker, step, exchange)


def step(worker: Worker, gradient: Payload, time: float) -> None:
    """Apply a gradient."""
    worker.model.apply(descend, gradient)


def exchange(worker: Worker, peer: int, index: int, time: float, due: float | None = None) -> Program:
    """Average with a peer: half the difference of the two values that were sent."""
    mine = worker.model.outgoing()
    theirs, _ = yield Exchange(peer, mine, index, due)
    if theirs is not None:  # the peer has not failed
        worker.model.apply(average, mine, theirs)


def average(s: State, mine: Array, theirs: Array) -> None:
    """x -= (mine - theirs) / 2, of the values that were sent, from x as it is now.

    The sum over the pair is kept, even if a gradient landed while the exchange was under way. Each end may form the
    difference in its own order: IEEE subtraction rounds symmetrically, so a - b is bit for bit -(b - a) (but for the
    sign of a zero, which changes no sum), and the ends need not agree on who is first (gossip.md, pitfall 6).
    """
    s.x = s.x - 0.5 * (mine - theirs)
