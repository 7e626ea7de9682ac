"""Pipelines without a flush: the micro-batches are one stream, and a stage steps whenever it has enough gradients."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from schedules import Program, Put, Take, Worker
from schedules.programs.pipelines.policies import Policy, Stepping
from schedules.programs.pipelines.tracks import Cell, Tracks
from schedules.programs.pipelines.walking import Walk

LOCK, FORWARDS = "lock", "forwards"
"""Queues between the two engines of a rank: backward passes that are over, and forward passes."""


def one_engine(worker: Worker, tracks: Tracks, policy: Policy) -> Mapping[str, Program]:
    """A rank's passes one after the other, as its order has them."""
    cells = tracks.ranks[worker.rank]
    return {"compute": _walk(worker, tracks, policy, cells).through(cells, 0)}


def two_engines(worker: Worker, tracks: Tracks, policy: Policy) -> Mapping[str, Program]:
    """Forward and backward passes beside each other, as far apart as the order has them.

    On a last stage whose backward pass follows its forward pass they are one after the other.
    """
    cells = tracks.ranks[worker.rank]
    if _ahead_in(cells) == 1:
        return one_engine(worker, tracks, policy)
    walk = _walk(worker, tracks, policy, cells)
    walk.engines |= {"F": "forward", "D": "backward"}
    worker.capacity(LOCK, len(cells))
    worker.capacity(FORWARDS, len(cells))
    return {"forward": _forwards(walk, cells), "backward": _backwards(walk, cells)}


def _walk(worker: Worker, tracks: Tracks, policy: Policy, cells: Sequence[Cell]) -> Walk:
    (stage,) = tuple(worker.stages or ())
    holders = tracks.holders
    is_fused = stage == len(holders) - 1 and _ahead_in(cells) == 1  # of a single micro-batch all stages' do so
    return Walk(worker, tracks, Stepping(worker, stage, policy, holders=holders[stage], is_fused=is_fused))


def _forwards(walk: Walk, cells: Sequence[Cell]) -> Program:
    """Never further ahead of the backward passes than in the order: else the first stages would run away from the
    last, whose queues have no end."""
    ahead = _ahead_in(cells)
    for number, cell in enumerate(each for each in cells if each[0].kind == "F"):
        if number >= ahead:
            yield Take(LOCK)
        yield from walk.through((cell,), 0)
        yield Put(FORWARDS)


def _backwards(walk: Walk, cells: Sequence[Cell]) -> Program:
    for cell in (each for each in cells if each[0].kind == "D"):
        yield Take(FORWARDS)
        yield from walk.through((cell,), 0)
        yield Put(LOCK)


def _ahead_in(cells: Sequence[Cell]) -> int:
    return most_ahead(part.kind for (part,) in cells)


def most_ahead(kinds: Iterable[str]) -> int:
    """How many forward passes have begun, at most, whose backward pass is not over; by the kinds of a rank's steps."""
    most = under_way = 0
    for kind in kinds:
        under_way += 1 if kind == "F" else -1
        most = max(most, under_way)
    return most
