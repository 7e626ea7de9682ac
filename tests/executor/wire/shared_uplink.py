"""A schedule for four ranks in two racks: exchanges across, one pair at a time and then two at once."""

from __future__ import annotations

from collections.abc import Mapping

from schedules.operations import Barrier, Exchange, Payload, Program
from schedules.scenario import Count, Table
from schedules.worker import Worker

SOURCE = "tests"
ROUNDS = 5


class Settings(Table):
    size: Count
    gradients: Count = 1


def streams(worker: Worker) -> Mapping[str, Program]:
    return {"main": _rounds(worker)}


def _rounds(worker: Worker) -> Program:
    """Tags below `ROUNDS`: ranks 0 and 2 have the uplink to themselves. From there on ranks 1 and 3 use it too."""
    for tag in range(2 * ROUNDS):
        yield Barrier()
        if tag >= ROUNDS or worker.rank % 2 == 0:
            yield Exchange((worker.rank + 2) % 4, Payload(worker.settings.size), tag)
    yield Barrier()
