"""Synchronous data parallel: every step averages the gradients of all workers.

x <- x - gamma (1/n) sum_i g_i. With `overlap`, the gradient is cut into buckets, or layers, and each is reduced while
the next is still being computed, last layers first. With `accumulate` = k, a worker adds up the gradients of k batches
first, and their mean is reduced: x <- x - gamma (1 / n k) sum_i sum_j g_ij.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator

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
from schedules.programs import averaging, layered
from schedules.programs.averaging import NONE, Begun, Codec, arrived, averaged
from schedules.programs.synchronous import accumulation
from schedules.programs.synchronous.accumulation import add, batches, clear, mean_of
from schedules.training.parts import buckets

SOURCE = "Li et al. 2020, PyTorch Distributed (arXiv:2006.15704): bucketed overlap, and no_sync for accumulation"
STALENESS = "none: every step waits for all gradients"
IN_STEP = True

updates = accumulation.updates


def _read_overlap(value: object) -> object:
    if value.__class__ is not bool and value != "layers":
        raise ValueError("expected true, false or 'layers'")
    return value


class Settings(Table):
    """The keys of [schedule]."""

    gradients: CountOfRank
    """Gradients per worker: one number, as all make the same steps."""
    overlap: Annotated[bool | Literal["layers"], BeforeValidator(_read_overlap)] = False
    """Whether a gradient is reduced while it is computed: true, in buckets; "layers", a layer's share when its backward
    pass is done (workload.layers)."""
    bucket_size: Bytes = 25e6
    """Bytes of a bucket, where gradients and their reduction overlap."""
    first_bucket: Bytes | None = None
    """Of the first one, whose reduction then begins the sooner; left out, as the others."""
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
    is_adding = worker.settings.accumulate > 1
    for numbers in batches(worker):
        made = yield from _added(worker, numbers[:-1])  # only the last is reduced while it is computed
        forward, started = yield from _reduced(worker, numbers)
        means = yield from arrived(worker, started)
        # One contribution, that of the forward pass; its buckets are what it brings.
        if is_adding:
            worker.model.apply(descend_by_buckets_and_clear, (*made, forward.rest()), means)
        else:
            worker.model.apply(descend_by_buckets, forward.rest(), means)
    yield Barrier()


def _reduced(worker: Worker, numbers: range) -> Generator[Operation, Any, tuple[Payload, list[Begun]]]:
    """Compute the last of these gradients, each part of it being reduced while the next is computed."""
    model, started = worker.model, list[Begun]()
    sizes = buckets(model.size, worker.settings.bucket_size, worker.settings.first_bucket)

    def reduce(number: int, bucket: Payload, piece: slice) -> Program:
        if worker.settings.accumulate > 1:
            size = piece.stop - piece.start
            bucket = model.payload(mean_with, bucket, piece.start, len(numbers), of=bucket, size=size)
        started.append((yield from averaging.begin(worker, bucket, tag=number, pieces=[piece])))

    data = worker.rank, numbers[-1]
    if worker.settings.overlap == "layers":
        pieces = layered.pieces(worker)
        forward = yield from layered.forward(worker, data=data)
        yield from layered.backward(worker, forward, lambda number, share: reduce(number, share, pieces[number]))
        return forward, started[::-1]  # in their order: shares of the last layers come first
    forward, _ = yield Compute("forward", data=data)
    begin = 0
    for number, size in enumerate(sizes):
        kernel = "backward" if number or worker.settings.first_bucket is None else "backward-first"
        inputs = forward, begin, size
        bucket, _ = yield Compute(kernel, micro_batch=number, inputs=inputs, size=size)
        yield from reduce(number, bucket, slice(begin, begin + size))
        begin += size
    return forward, started


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
