"""What calibration runs: the operations that the scenario's schedule names, at its concurrency, and none of its steps.

It is a schedule like any other, so what is measured is what a run will do, with the same threads on the same cores. Its
phases, one after the other on all ranks:

* `QUIET`: kernels on all ranks at once, and nothing beside;
* `ALONE`: exchanges of one pair after the other, each at a time that both have waited for, at several sizes;
* `TOGETHER`: the same of all at once: in pairs, or with all neighbours where the schedule starts its exchanges;
* `BESIDE`: kernels while exchanges are under way: back to back beside those of one pair after the other, or, where the
  schedule starts its exchanges, step by step with them;
* `COLLECTIVE`: all-reduces at several sizes, and a kernel before each one of the schedule's size;
* `PASSING`: kernels between which the program hands over to another of its rank and back;
* `MEETING`: meetings, each with its exchange, and kernels beside.

A kernel has its phase as its number of a micro-batch, an exchange and the last all-reduces in their tags.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from pydantic import Field

from schedules.operations import (
    AllReduce,
    Await,
    Barrier,
    Compute,
    Exchange,
    Leave,
    Meet,
    Payload,
    Program,
    Put,
    Start,
    Take,
    Until,
)
from schedules.platform.durations import WHOLE
from schedules.settings import Count, Positive, Table
from schedules.worker import Worker

SOURCE = "real-hardware.md, section 4: two sizes and ten exchanges a link give latency and bandwidth"
VARYING_GRAPHS = True  # it does not look at the graph

QUIET, ALONE, TOGETHER, BESIDE, COLLECTIVE, PASSING, MEETING = range(7)
MOST = 1_000_000
"""Exchanges of a phase; its number times this is the tag of its first."""

PAIRS = 2
"""So many pairs take turns where one exchanges at a time."""


class Settings(Table):
    """The keys of [schedule]."""

    gradients: Count = 30
    """Gradients per worker, with nothing beside."""
    beside: Count = 25
    """Kernels per worker of each further phase."""
    repeats: Count = 15
    """Exchanges and all-reduces of each size."""
    sizes: list[int] = Field(default_factory=lambda: [4096, 65_536, 1_048_576, 4_194_304])
    """In bytes."""
    size: Count = 4096
    """Bytes of the schedule's own messages."""
    kinds: list[str] = Field(default_factory=list)
    """The operations that the schedule names."""
    spacing: Positive = 0.1
    """Gradient times between two exchanges that are waited for."""


def streams(worker: Worker) -> Mapping[str, Program]:
    """The programs of a worker: what asks for everything, and the kernels that run beside its exchanges."""
    done = [False]
    return {"probe": _probe(worker, done), "kernels": _kernels(worker, done)}


def _probe(worker: Worker, done: list[bool]) -> Program:
    settings = worker.settings
    for _ in range(settings.gradients):
        yield Compute(WHOLE, micro_batch=QUIET)
    is_started = {"Exchange", "Start"} <= set(settings.kinds)
    for pair in _pairs(worker):
        yield Barrier()
        if worker.rank in pair:
            yield from _exchanges(worker, ALONE, [sum(pair) - worker.rank])
    yield Barrier()
    # 0 with 1, 2 with 3: every rank talks to one other, all pairs at once. Of an odd number the last has nobody.
    peer = worker.rank ^ 1
    yield from _exchanges(worker, TOGETHER, worker.neighbours if is_started else [peer][: peer < worker.num_workers])
    if is_started:
        yield from _steps(worker)
    elif "Exchange" in settings.kinds:
        yield from _turns(worker, done)
    yield Barrier()
    yield from _collectives(worker)
    if {"Put", "Take"} <= set(settings.kinds):
        yield from _passes(worker)
    if "Meet" in settings.kinds:
        done[0] = False
        yield Put("go")
        yield from _meetings(worker)
        done[0] = True


def _pairs(worker: Worker) -> list[tuple[int, int]]:
    return [(first, first + 1) for first in range(0, worker.num_workers - 1, 2)][:PAIRS]


def _exchanges(worker: Worker, phase: int, peers: Sequence[int]) -> Program:
    """With these peers at once, each time at a tick that all have waited for: nobody is warm from the one before."""
    settings = worker.settings
    _, now = yield Until(0.0)
    for number, size in enumerate(settings.sizes):
        for repeat in range(settings.repeats):
            tag = phase * MOST + number * settings.repeats + repeat
            if phase == TOGETHER:
                _, now = yield Barrier()
            _, now = yield Until((math.floor(now / settings.spacing) + 2) * settings.spacing)
            if len(peers) == 1:
                _, now = yield Exchange(peers[0], Payload(size), tag)
                continue
            handles = []
            for peer in peers:
                handle, _ = yield Start(Exchange(peer, Payload(size), tag))
                handles.append(handle)
            _, now = yield Await(tuple(handles))


def _steps(worker: Worker) -> Program:
    """A kernel and the exchanges with all neighbours, started together."""
    for number in range(worker.settings.beside):
        handle, _ = yield Start(Compute(WHOLE, micro_batch=BESIDE))
        handles = [handle]
        for peer in worker.neighbours:
            handle, _ = yield Start(Exchange(peer, Payload(worker.settings.size), BESIDE * MOST + number))
            handles.append(handle)
        yield Await(tuple(handles))


def _turns(worker: Worker, done: list[bool]) -> Program:
    """One pair after the other exchanges as long as its two ranks compute; all compute meanwhile."""
    for pair in _pairs(worker):
        yield Barrier()
        done[0] = False
        yield Put("go")
        if worker.rank in pair:
            yield from _until_done(worker, sum(pair) - worker.rank, done)
        yield Take("done")


def _until_done(worker: Worker, peer: int, done: list[bool]) -> Program:
    for number in range(MOST):
        payload = Payload(worker.settings.size)
        payload.number = int(done[0])  # each tells the other, so both end with the same exchange
        theirs, _ = yield Exchange(peer, payload, BESIDE * MOST + number)
        if payload.number and theirs.number:
            return


def _kernels(worker: Worker, done: list[bool]) -> Program:
    kinds = set(worker.settings.kinds)
    for _ in _pairs(worker) if "Exchange" in kinds and "Start" not in kinds else ():
        yield Take("go")
        for _ in range(worker.settings.beside):
            yield Compute(WHOLE, micro_batch=BESIDE)
        done[0] = True
        yield Put("done")
    for _ in range(worker.settings.beside if {"Put", "Take"} <= kinds else 0):
        yield Take("passed")
        yield Put("back")
    if "Meet" in kinds:
        yield Take("go")
        while not done[0]:
            yield Compute(WHOLE, micro_batch=MEETING)


def _collectives(worker: Worker) -> Program:
    settings = worker.settings
    for size in settings.sizes:
        for _ in range(settings.repeats):
            yield AllReduce(Payload(size), "mean")
    for _ in range(settings.beside if "AllReduce" in settings.kinds else 0):
        yield Compute(WHOLE, micro_batch=COLLECTIVE)
        yield AllReduce(Payload(settings.size), "mean", tag=COLLECTIVE * MOST)  # by which the others are told apart


def _passes(worker: Worker) -> Program:
    for _ in range(worker.settings.beside):
        yield Compute(WHOLE, micro_batch=PASSING)
        yield Put("passed")
        yield Take("back")
    yield Compute(WHOLE, micro_batch=QUIET)  # which follows the last


def _meetings(worker: Worker) -> Program:
    """As many as asked for, and then with those that need more, until nobody does."""
    number, is_alone = 0, False
    while not is_alone:
        if number == worker.settings.beside:
            yield Leave()
        partner, _ = yield Meet(worker.neighbours)
        number, is_alone = number + 1, partner is None
        if partner is not None:
            yield Exchange(partner.peer, Payload(worker.settings.size), MEETING * MOST + partner.meeting)
