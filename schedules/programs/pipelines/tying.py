"""Parameters that several stages share: before a step the gradients of all their copies are summed."""

from __future__ import annotations

from schedules import AllReduce, Array, Program, State
from schedules.programs.pipelines.walking import Walk
from schedules.training.vectors import Tie

Pieces = tuple[slice, ...]
"""Where parameters lie in the vector of a stage; nothing in a timing-only run."""


def tying(walk: Walk, tie: Tie) -> Program:
    """Put the sum of the gradients into every copy.

    Where each stage is there several times, c, in chains whose gradients have yet to be averaged, it is 1 / c of the
    sum. All ranks go through the ties in one order, so that no two wait for each other.
    """
    worker, holders = walk.worker, walk.tracks.holders
    held = [stage for stage in tie.stages if stage in walk.forwards]
    if not held:
        return
    total = None
    for stage in held:
        total = worker.stage(stage).payload(plus, tie.where.get(stage, ()), total, size=tie.size)
    assert total is not None
    ranks = tuple(sorted({rank for stage in tie.stages for rank in holders[stage]}))
    if len(ranks) > 1:
        total, _ = yield AllReduce(total, "sum", ranks)
    for stage in held:
        worker.stage(stage).change(put, tie.where.get(stage, ()), total, len(holders[stage]))


def plus(s: State, pieces: Pieces, others: Array | None) -> Array:
    """The gradients of the shared parameters, and those of other stages."""
    own = s.xp.concat([s.gradient[each] for each in pieces])
    return own if others is None else own + others


def put(s: State, pieces: Pieces, total: Array, copies: int) -> None:
    """In their places what all copies have."""
    gradient, begin = s.gradient + 0, 0  # a new vector, which may be written to
    for each in pieces:
        end = begin + each.stop - each.start
        gradient[each] = total[begin:end] / copies
        begin = end
    s.gradient = gradient
