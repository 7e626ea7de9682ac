"""Data parallel where the last rank has fewer batches than the others, and nobody tells them."""

from schedules.operations import AllReduce, Compute
from schedules.scenario import Count, Table

SOURCE = "https://github.com/pytorch/pytorch/issues/38174"


class Settings(Table):
    gradients: Count
    fewer: Count


def streams(worker):
    return {"main": steps(worker)}


def steps(worker):
    last = worker.rank == worker.num_workers - 1
    for number in range(worker.settings.gradients - (worker.settings.fewer if last else 0)):
        gradient, _ = yield Compute("gradient")
        yield AllReduce(gradient, "mean")
