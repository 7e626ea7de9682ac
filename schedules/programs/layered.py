"""A step from its layers up: forward from the first layer to the last, and backward again.

  F_1, ..., F_L;  A_L, P_L, ..., A_2, P_2, P_1

with A the backward pass for what a layer was given (nobody needs the first's) and P that for its parameters. When P of
a layer is done its share can go; what a layer waits for, it waits for before its F.

The numbers are those of one gradient, which the F of the last layer computes: then every layer is as it is to be.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any

from schedules import Array, Compute, Operation, Payload, Program, State, Worker, descend
from schedules.programs.averaging import Averaging, Begun, arrived, begin, numbers
from schedules.training.parts import layer

Wait = Callable[[int], Program]
"""Of a layer: what goes before its forward pass."""

Send = Callable[[int, Payload], Program]
"""Of a layer and its part of the gradient: what goes after its backward pass."""


def pieces(worker: Worker) -> list[slice]:
    """The bytes of each layer."""
    num_layers = worker.layers or 1
    return [layer(worker.model.size, number, num_layers) for number in range(num_layers)]


def step(worker: Worker, wait: Wait | None = None, send: Send | None = None) -> Program:
    """One step of the inner optimizer.

    Where something is sent, x is what it will be after the step from its first backward pass on: a layer's share is
    what this step has made of it.
    """
    model = worker.model
    passed = yield from forward(worker, wait)
    if send is None:
        yield from backward(worker, passed)
        model.apply(descend_by, passed.rest(), passed.kept)
        return
    model.change(descend, passed.kept)
    yield from backward(worker, passed, send)
    model.apply(None, passed.rest())


def forward(
    worker: Worker, wait: Wait | None = None, data: tuple[int, int] | None = None
) -> Generator[Operation, Any, Payload]:
    """F of all layers; returns the last one's, which keeps the gradient."""
    last, first = (worker.layers or 1) - 1, None
    for number in range(last + 1):
        if wait is not None:
            yield from wait(number)
        if number < last:
            answer, _ = yield Compute("forward", stage=number, size=0, work=nothing)
            first = answer if number == 0 else first
    passed: Payload
    passed, _ = yield Compute("forward", stage=last, data=data)
    if first is not None:
        passed.what = (
            first.what
        )  # a gradient counts by its first layer, and is of the parameters that its last one read
    return passed


def backward(worker: Worker, passed: Payload, send: Send | None = None) -> Program:
    """A and P of all layers, from the last."""
    for number, piece in reversed([*enumerate(pieces(worker))]):
        if number:
            yield Compute("backward-activation", stage=number, size=0)
        size = piece.stop - piece.start
        inputs = passed, piece.start, size
        part, _ = yield Compute("backward-parameter", stage=number, inputs=inputs, size=size)
        if send is not None:
            yield from send(number, part)


class Sending:
    """Shares of an outer gradient that go while a step is made: a layer's when its backward pass is done.

    Args:
        to: layer -> the target of what is sent of it now; None: nothing is.
    Attributes:
        begun: what is on its way, by target, from the last layer down.
    """

    def __init__(self, worker: Worker, to: Callable[[int], str | None]) -> None:
        self.begun: dict[str, list[Begun]] = {}
        self._worker, self._to, self._pieces = worker, to, pieces(worker)

    def __call__(self, number: int, _: Payload) -> Program:
        """Send a layer's share to its target."""
        target, piece = self._to(number), self._pieces[number]
        if target is None:
            return
        share = self._worker.model.payload(change_of, piece, size=piece.stop - piece.start, to=target)
        share.step += 1  # the step that is being made is in it
        begun = yield from begin(self._worker, share, tag=number, pieces=[piece])
        self.begun.setdefault(target, []).append(begun)


def joined(worker: Worker, begun: Sequence[Begun]) -> Averaging:
    """The mean of what was sent, as one contribution, when all of it has come; of layers in their order."""
    found = yield from arrived(worker, begun)
    if len(found) == 1:
        return found[0]
    return worker.model.payload(join, found[::-1], size=sum(each.size for each in found), of=found[0])


# ------------------------------------------------------------------ the rules


def nothing(s: State) -> None:
    """What the last layer's forward pass computes for all."""


def change_of(s: State, piece: slice) -> Array:
    """Delta of a layer: what the worker's own steps have changed, as a gradient."""
    (place,) = numbers(s, [piece])
    return s.theta[place] - s.x[place]


def join(s: State, shares: tuple[Array, ...]) -> Array:
    """Shares that follow one another."""
    return s.xp.concat(shares)


def descend_by(s: State, _: None, gradient: Array) -> None:
    """x <- x + delta, of the gradient that a forward pass has kept."""
    descend(s, gradient)
