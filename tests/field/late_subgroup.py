"""Rank 0 starts an all-reduce in the group (0, 1) and goes on computing; rank 1 joins it twenty gradients later."""

from schedules.operations import AllReduce, Await, Barrier, Compute, Start
from schedules.scenario import Count, Table

SOURCE = "found beside https://github.com/meta-pytorch/torchrec/pull/4149"


class Settings(Table):
    gradients: Count


def streams(worker):
    return {"main": steps(worker)}


def steps(worker):
    mine = worker.model.outgoing()
    if worker.rank == 0:
        handle, _ = yield Start(AllReduce(mine, "sum", (0, 1)))
    for _ in range(worker.settings.gradients):
        yield Compute("gradient")
    if worker.rank == 1:
        handle, _ = yield Start(AllReduce(mine, "sum", (0, 1)))
    if worker.rank < 2:
        yield Await((handle,))
    yield Barrier()
