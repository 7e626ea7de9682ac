"""Synchronous data parallel: every step averages the gradients of all workers.

x <- x - gamma (1/n) sum_i g_i. With `overlap`, the gradient is cut into buckets and each is reduced while the next is
still being computed, last layers first. With `accumulate` = k, a worker adds up the gradients of k batches first, and
their mean is reduced: x <- x - gamma (1 / n k) sum_i sum_j g_ij.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Any

from schedules import (
    Array,
    Barrier,
    Bytes,
    Compute,
    Count,
    CountOfRank,
    Operation,
    Payload,
    Program,
    State,
    Table,
    Vector,
    Worker,
    descend,
)
from schedules.programs import averaging
from schedules.programs.averaging import NONE, Codec, arrived, averaged
from schedules.programs.synchronous import accumulation
from schedules.programs.synchronous.accumulation import add, batches, clear, mean_of

SOURCE = "Li et al. 2020, PyTorch Distributed (arXiv:2006.15704): bucketed overlap, and no_sync for accumulation"
STALENESS = "none: every step waits for all gradients"
IN_STEP = True

updates = accumulation.updates


class Settings(Table):
    """The keys of [schedule]."""

    gradients: CountOfRank
    """Gradients per worker: one number, as all make the same steps."""
    overlap: bool = False
    bucket_size: Bytes = 25e6
    """Bytes of a bucket, where gradients and their reduction overlap."""
    accumulate: Count = 1
    """Gradients of a worker that are added up before their mean is reduced; the last update takes what is left."""
    codec: Codec = NONE
    """How what is sent is encoded."""


def STATE(settings: Any) -> dict[str, Vector]:
    """What a worker keeps beside x."""
    return accumulation.vectors(settings) | averaging.residual(settings)


def streams(worker: Worker) -> Mapping[str, Program]:
    """The programs of a worker."""
    return {"compute": _overlapped(worker) if worker.settings.overlap else _plain(worker)}


def _plain(worker: Worker) -> Program:
    for numbers in batches(worker):
        if worker.settings.accumulate > 1:
            yield from _accumulated(worker, numbers)
            continue
        gradient, _ = yield Compute("gradient")
        mean = yield from averaged(worker, gradient)
        worker.model.apply(descend, mean)
    yield Barrier()


def _accumulated(worker: Worker, numbers: range) -> Program:
    made = yield from _added(worker, numbers)
    mean = yield from averaged(worker, worker.model.payload(mean_of, len(numbers)))
    worker.model.apply(descend_and_clear, tuple(made), mean)


def _added(worker: Worker, numbers: range) -> Generator[Operation, Any, list[Payload]]:
    """Compute gradients and add them up; what counts them."""
    made = []
    for number in numbers:
        # Numbered by the program: with overlap `gradient` and `forward` share the batches of a worker.
        gradient, _ = yield Compute("gradient", data=(worker.rank, number))
        worker.model.change(add, gradient)
        made.append(gradient.rest())
    return made


def _overlapped(worker: Worker) -> Program:
    sizes, is_adding = buckets(worker.model.size, int(worker.settings.bucket_size)), worker.settings.accumulate > 1
    for numbers in batches(worker):
        made = yield from _added(worker, numbers[:-1])  # only the last is reduced while it is computed
        forward, _ = yield Compute("forward", data=(worker.rank, numbers[-1]))
        started, begin = [], 0
        for number, size in enumerate(sizes):
            inputs = forward, begin, size
            bucket, _ = yield Compute("backward", micro_batch=number, inputs=inputs, size=size)
            if is_adding:
                bucket = worker.model.payload(mean_with, bucket, begin, len(numbers), of=bucket, size=size)
            piece = slice(begin, begin + size)
            started.append((yield from averaging.begin(worker, bucket, tag=number, pieces=[piece])))
            begin += size
        means = yield from arrived(worker, started)
        # One contribution, that of the forward pass; its buckets are what it brings.
        if is_adding:
            worker.model.apply(descend_by_buckets_and_clear, (*made, forward.rest()), means)
        else:
            worker.model.apply(descend_by_buckets, forward.rest(), means)
    yield Barrier()


def buckets(size: int, bucket_size: int) -> list[int]:
    """Bytes of the buckets that a gradient of `size` bytes is cut into, in the order of the backward pass."""
    largest = max(8, min(bucket_size, size) // 8 * 8)  # no number of any dtype is cut in two
    whole, rest = divmod(size, largest)
    return [largest] * whole + [rest] * bool(rest)


def descend_by_buckets(s: State, _: None, parts: tuple[Array, ...]) -> None:
    """x <- x + delta, of the gradient that the buckets are consecutive parts of."""
    descend(s, s.xp.concat(parts))


def mean_with(s: State, bucket: Array, begin: int, number: int) -> Array:
    """The mean of so many gradients, of which all but the last were added up: the part of it that is this bucket's,
    from so many bytes on."""
    first = begin // bucket.itemsize
    return (s.gradient[first : first + len(bucket)] + bucket) / number


def descend_and_clear(s: State, _: tuple[None, ...], mean: Array) -> None:
    """x <- x + delta, and nothing is added up any more."""
    descend(s, mean)
    clear(s)


def descend_by_buckets_and_clear(s: State, _: tuple[None, ...], parts: tuple[Array, ...]) -> None:
    """The same, of the mean that the buckets are consecutive parts of."""
    descend_and_clear(s, _, s.xp.concat(parts))
