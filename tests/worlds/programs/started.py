"""Meetings and exchanges that are started and awaited later, while gradients are computed."""

from __future__ import annotations

from collections.abc import Mapping

from schedules.operations import Await, Cancel, Compute, Exchange, Leave, Meet, Program, Start
from schedules.programs.gossip.pairwise import average
from schedules.scenario import Count, Table
from schedules.training.state import descend
from schedules.worker import Worker

SOURCE = "a test of replays"
SURVIVES_FAILURES = True


class Settings(Table):
    gradients: Count = 12
    is_cancelling: bool = False


def streams(worker: Worker) -> Mapping[str, Program]:
    return {"compute": _steps(worker)}


def _steps(worker: Worker) -> Program:
    model = worker.model
    for number in range(worker.settings.gradients):
        meeting, _ = yield Start(Meet(worker.neighbours))
        gradient, _ = yield Compute("gradient")
        model.apply(descend, gradient)
        arrivals, _ = yield Await((meeting,), deadline=0.0)
        if not arrivals.arrived:
            if worker.settings.is_cancelling and number % 3 == worker.rank % 3:
                yield Cancel(meeting)  # in no trace
                continue
            arrivals, _ = yield Await((meeting,))
        partner = arrivals.results[0]
        if partner is not None:
            mine = model.outgoing()
            exchange, _ = yield Start(Exchange(partner.peer, mine, partner.meeting))
            again, _ = yield Compute("gradient")
            arrivals, _ = yield Await((exchange,))
            if arrivals.results[0] is not None:
                model.apply(average, mine, arrivals.results[0])
            model.apply(descend, again)
    yield Leave()
