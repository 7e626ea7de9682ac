"""Two pipelines with a flush, one stage a rank: GPipe and 1F1B, with receives that are posted ahead."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from typing import Literal

from schedules.operations import Await, Compute, Handle, Operation, Payload, Program, Receive, Send, Start
from schedules.scenario import Count, Table
from schedules.worker import Worker

SOURCE = "GPipe (arXiv:1811.06965) and PipeDream-flush (arXiv:2006.09503)"

SIZE = 8
"""Bytes of an activation and of a gradient."""


class Settings(Table):
    gradients: Count = 1
    order: Literal["gpipe", "1f1b"] = "1f1b"
    micro_batches: Count = 8
    ahead: Count = 2
    """Receives that are posted before the first is needed."""
    has_channels: bool = True
    """One a direction; else both share one, of this name:"""
    one_name: str = "both"


def streams(worker: Worker) -> Mapping[str, Program]:
    return {"stage": _stage(worker)}


def order(name: str, stage: int, num_stages: int, num: int) -> Iterator[tuple[str, int]]:
    """What a stage does: F, or the backward for inputs and weights, of which micro-batch."""
    warm_up = num if name == "gpipe" else min(num, num_stages - stage)
    yield from (("F", k) for k in range(warm_up))
    for k in range(num):
        yield "BW", k
        if warm_up + k < num:
            yield "F", warm_up + k


class Ahead:
    """The receives from a peer on a channel, some of them posted ahead; none where there is no peer."""

    def __init__(self, peer: int, channel: str, num: int) -> None:
        self._to_come: Iterator[Operation] = iter([Receive(peer, SIZE, k, channel) for k in range(num)])
        self._posted: deque[Handle] = deque()

    def post(self) -> Program:
        """One more, if there is one."""
        for operation in self._to_come:
            handle, _ = yield Start(operation)
            self._posted.append(handle)
            return

    def take(self) -> Program:
        """Wait for the oldest, and post another in its place."""
        if self._posted:
            yield Await((self._posted.popleft(),))
            yield from self.post()


def _stage(worker: Worker) -> Program:
    settings, rank, num_stages = worker.settings, worker.rank, worker.num_workers
    num = settings.micro_batches
    forward, backward = ("activations", "gradients") if settings.has_channels else (settings.one_name,) * 2
    below, above = rank - 1, rank + 1 if rank + 1 < num_stages else -1
    activations = Ahead(below, forward, num if below >= 0 else 0)
    gradients = Ahead(above, backward, num if above >= 0 else 0)
    for _ in range(settings.ahead):
        yield from activations.post()
        yield from gradients.post()
    sent = []
    for what, k in order(settings.order, rank, num_stages, num):
        yield from (activations if what == "F" else gradients).take()
        for kernel in ("forward",) if what == "F" else ("input_gradient", "weight_gradient"):
            yield Compute(kernel, micro_batch=k)
        peer, channel = (above, forward) if what == "F" else (below, backward)
        if peer >= 0:
            handle, _ = yield Start(Send(peer, Payload(SIZE), k, channel))
            sent.append(handle)
    yield Await(tuple(sent))
