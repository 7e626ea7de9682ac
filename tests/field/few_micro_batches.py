"""1F1B on a chain of stages (rank = stage); kernels forward and backward; correct warm-up for any number of micro batches."""

from schedules.operations import Await, Barrier, Compute, Payload, Receive, Send, Start
from schedules.scenario import Count, Table

SOURCE = "https://github.com/pytorch/torchtitan/issues/775"


class Settings(Table):
    gradients: Count
    micro_batches: Count


ACT = 1000


def streams(worker):
    return {"main": steps(worker)}


def steps(worker):
    s, n, m = worker.rank, worker.num_workers, worker.settings.micro_batches
    for step in range(worker.settings.gradients):
        warm = min(m, n - 1 - s)
        sends = []

        def fwd(k):
            if s > 0:
                yield Receive(s - 1, ACT, 2 * (step * m + k))
            yield Compute("fwd", micro_batch=k)
            if s < n - 1:
                h, _ = yield Start(Send(s + 1, Payload(ACT), 2 * (step * m + k)))
                sends.append(h)

        def bwd(k):
            if s < n - 1:
                yield Receive(s + 1, ACT, 2 * (step * m + k) + 1)
            yield Compute("bwd", micro_batch=k)
            if s > 0:
                h, _ = yield Start(Send(s - 1, Payload(ACT), 2 * (step * m + k) + 1))
                sends.append(h)

        for k in range(warm):
            yield from fwd(k)
        for k in range(warm, m):
            yield from fwd(k)
            yield from bwd(k - warm)
        for k in range(m - warm, m):
            yield from bwd(k)
        if sends:
            yield Await(tuple(sends))
    yield Barrier()
