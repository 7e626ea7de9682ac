"""Synchronous data parallel: every step averages the gradients of all workers.

x <- x - gamma (1/n) sum_i g_i. With `overlap`, the gradient is cut into buckets and each is reduced while the next is
still being computed, last layers first.
"""

from __future__ import annotations

from collections.abc import Mapping

from schedules.operations import AllReduce, Await, Barrier, Compute, Program, Start
from schedules.settings import Count, Table
from schedules.units import Bytes
from schedules.worker import Worker

SOURCE = "Li et al. 2020, PyTorch Distributed (arXiv:2006.15704): bucketed overlap"


class Settings(Table):
    """The keys of [schedule]."""

    gradients: Count
    """Gradients per worker."""
    overlap: bool = False
    bucket_size: Bytes = 25e6
    """Bytes of a bucket, where gradients and their reduction overlap."""


def streams(worker: Worker) -> Mapping[str, Program]:
    """The programs of a worker."""
    return {"compute": _overlapped(worker) if worker.settings.overlap else _plain(worker)}


def _plain(worker: Worker) -> Program:
    for _ in range(worker.settings.gradients):
        gradient, _ = yield Compute("gradient")
        mean, _ = yield AllReduce(gradient, "mean")
        worker.model.step(worker.model.like(gradient, mean))
    yield from _finish(worker)


def _overlapped(worker: Worker) -> Program:
    sizes = worker.model.buckets(int(worker.settings.bucket_size))
    for _ in range(worker.settings.gradients):
        activations, _ = yield Compute("forward")
        started = []
        for number in range(len(sizes)):
            bucket, _ = yield Compute("backward", stage=number, inputs=(activations, sizes))
            handle, _ = yield Start(AllReduce(bucket, "mean", tag=number))
            started.append(handle)
        arrivals, _ = yield Await(tuple(started))
        worker.model.step(worker.model.joined(activations, arrivals.results))
    yield from _finish(worker)


def _finish(worker: Worker) -> Program:
    _, time = yield Barrier()
    worker.model.observe_end(time)
