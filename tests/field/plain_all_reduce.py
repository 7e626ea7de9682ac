"""One all-reduce of the whole model after another, nothing else."""

from schedules.operations import AllReduce
from schedules.scenario import Count, Table

SOURCE = "https://github.com/NVIDIA/nccl-tests"


class Settings(Table):
    gradients: Count


def streams(worker):
    return {"main": steps(worker)}


def steps(worker):
    for number in range(worker.settings.gradients):
        yield AllReduce(worker.model.outgoing(), "sum")
