"""One collective, whichever is asked for."""

from collections.abc import Mapping

from schedules import Program, Table, Worker
from schedules.operations import AllGather, AllReduce, AllToAll, Barrier, Broadcast, Operation, ReduceScatter, Until
from schedules.settings import Count

SOURCE = "a test"


class Settings(Table):
    """What is asked for."""

    gradients: Count
    kind: str


def streams(worker: Worker) -> Mapping[str, Program]:
    return {"main": collective(worker)}


def collective(worker: Worker) -> Program:
    kind, mine = worker.settings.kind, worker.model.outgoing()
    if kind == "LateBroadcast" and worker.rank == 3:
        yield Until(5.0)  # gradient times, of 10 ms
    made: dict[str, Operation] = {
        "AllReduce": AllReduce(mine, "sum"),
        "ReduceScatter": ReduceScatter(mine, "sum"),
        "AllGather": AllGather(mine),
        "AllToAll": AllToAll(mine),
        "Barrier": Barrier(),
        "Broadcast": Broadcast(mine, 0),
    }
    yield made[kind.removeprefix("Late")]
