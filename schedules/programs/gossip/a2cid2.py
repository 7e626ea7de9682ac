"""A²CiD²: gossip accelerated by a second copy x~ of the parameters that is mixed in continuously.

dx_i  = eta (x~_i - x_i) dt - gamma g_i dN_i - 1/2     (x_i - x_j) dM_ij
dx~_i = eta (x_i - x~_i) dt - gamma g_i dN_i - alpha~ (x_i - x_j) dM_ij

eta = 1 / (2 sqrt(chi_1 chi_2)), alpha~ = sqrt(chi_1 / chi_2) / 2. Both ends mix up to the time at which they send,
send the mixed x, and apply the difference of what was sent when it has arrived, mixed up to then: jumps use left
limits.
"""

from __future__ import annotations

from collections.abc import Mapping

from schedules.operations import Exchange, Payload, Program
from schedules.programs.gossip import pairing
from schedules.worker import Worker

SOURCE = "A²CiD² (arXiv:2306.08289), and its official code, AdelNabli/ACiD"
HAS_TILDE = True
SURVIVES_FAILURES = True

Settings = pairing.Settings


def streams(worker: Worker) -> Mapping[str, Program]:
    """The programs of a worker."""
    return pairing.streams(worker, step, exchange)


def step(worker: Worker, gradient: Payload, time: float) -> None:
    """Mix, then apply the same update to x and x~."""
    worker.model.mix(time)
    worker.model.step(gradient)


def exchange(worker: Worker, peer: int, index: int, time: float) -> Program:
    """Mix, send x, and let x jump by 1/2 and x~ by alpha~ of the difference."""
    worker.model.mix(time)
    mine = worker.model.outgoing()
    theirs, time = yield Exchange(peer, mine, index)
    worker.model.mix(time)
    if theirs is not None:  # the peer has not failed
        worker.model.average(mine, theirs)
