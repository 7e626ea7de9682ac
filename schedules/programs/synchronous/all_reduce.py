"""Synchronous data parallel: every step averages the gradients of all workers.

x <- x - gamma (1/n) sum_i g_i. With `overlap`, the gradient is cut into buckets and each is reduced while the next is
still being computed, last layers first.
"""

from __future__ import annotations

from collections.abc import Mapping

from schedules import (
    AllReduce,
    Array,
    Await,
    Barrier,
    Bytes,
    Compute,
    Count,
    Program,
    Start,
    State,
    Table,
    Worker,
    descend,
)

SOURCE = "Li et al. 2020, PyTorch Distributed (arXiv:2006.15704): bucketed overlap"
IN_STEP = True


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
        worker.model.apply(descend, mean)
    yield Barrier()


def _overlapped(worker: Worker) -> Program:
    sizes = buckets(worker.model.size, int(worker.settings.bucket_size))
    for _ in range(worker.settings.gradients):
        forward, _ = yield Compute("forward")
        started, begin = [], 0
        for number, size in enumerate(sizes):
            inputs = forward, begin, size
            bucket, _ = yield Compute("backward", micro_batch=number, inputs=inputs, size=size)
            handle, _ = yield Start(AllReduce(bucket, "mean", tag=number))
            started.append(handle)
            begin += size
        arrivals, _ = yield Await(tuple(started))
        # One contribution, that of the forward pass; its buckets are what it brings.
        worker.model.apply(descend_by_buckets, forward.rest(), arrivals.results)
    yield Barrier()


def buckets(size: int, bucket_size: int) -> list[int]:
    """Bytes of the buckets that a gradient of `size` bytes is cut into, in the order of the backward pass."""
    largest = max(8, min(bucket_size, size) // 8 * 8)  # no number of any dtype is cut in two
    whole, rest = divmod(size, largest)
    return [largest] * whole + [rest] * bool(rest)


def descend_by_buckets(s: State, _: None, parts: tuple[Array, ...]) -> None:
    """x <- x + delta, of the gradient that the buckets are consecutive parts of."""
    descend(s, s.xp.concat(parts))
