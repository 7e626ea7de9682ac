"""Two groups with the same members in two shapes; rank 0 reduces in A before B, rank 1 in B before A."""

from schedules.operations import AllReduce, AllToAll
from schedules.scenario import Count, Table

SOURCE = "https://github.com/meta-pytorch/torchrec/pull/4149"


class Settings(Table):
    gradients: Count


def streams(worker):
    return {"main": steps(worker)}


def steps(worker):
    mine = worker.model.outgoing()
    first = (0, 1) if worker.rank != 1 else None
    kinds = [AllToAll(mine, (0, 1)), AllReduce(mine, "sum")]
    if worker.rank == 1:
        kinds.reverse()
    for each in kinds:
        if isinstance(each, AllToAll) and worker.rank > 1:
            continue
        yield each
