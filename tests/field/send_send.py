"""Two ranks send to each other first and receive afterwards; both calls are blocking."""

from schedules.operations import Receive, Send
from schedules.scenario import Count, Table

SOURCE = "https://github.com/NVIDIA/nccl/issues/479"


class Settings(Table):
    gradients: Count


def streams(worker):
    return {"main": steps(worker)}


def steps(worker):
    peer = 1 - worker.rank
    for number in range(worker.settings.gradients):
        mine = worker.model.outgoing()
        yield Send(peer, mine, number)
        yield Receive(peer, mine.size, number)
