"""Both clocks of a worker in one order: what flows by the clocks' own time, which no latency changes.

A worker takes the ticks of its edges and of its gradients one after the other, and is at its tick while an event lasts,
however long that is: an exchange or a gradient that ends late delays the next, and is the same. The two ends of an edge
come to its ticks in the one global order (time, edge), so nobody waits in a circle: the earliest event of all that are
not over always has its ends ready.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from schedules import Program, Rule, State, Worker
from schedules.programs.gossip.pairing import Exchange, Step, one_after_the_other


def streams(worker: Worker, step: Step, exchange: Exchange, flow: Rule) -> Mapping[str, Program]:
    """The one program of a worker; `flow(s, time)` brings its vectors up to a time, but not past `s.until`."""
    return {"ticks": one_after_the_other(worker, step, exchange, flow, go_on)}


def own_time(worker: Worker) -> Mapping[str, float]:
    """Constants: up to when a worker's vectors have flowed, and up to when they may, in gradient times."""
    return {"time": 0.0, "until": 0.0 if worker.settings.flow == "ticks" else math.inf}


def go_on(s: State, time: float) -> None:
    """A worker's own time goes on, to a tick and no further."""
    s.until = time
