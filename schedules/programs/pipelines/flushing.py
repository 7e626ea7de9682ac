"""Pipelines with a flush: an iteration ends on a rank before its stages step."""

from __future__ import annotations

from schedules import AllReduce, Compute, Program, Worker
from schedules.programs.pipelines.rules import mean_of, step, step_by
from schedules.programs.pipelines.tracks import Tracks
from schedules.programs.pipelines.tying import tying
from schedules.programs.pipelines.walking import Walk


def iterations(worker: Worker, tracks: Tracks) -> Program:
    """Iteration after iteration, each with an update of all stages of the rank."""
    settings, walk = worker.settings, Walk(worker, tracks)
    for number in range(settings.iterations):
        yield from walk.through(tracks.ranks[worker.rank], number * settings.micro_batches)
        for tie in worker.ties:
            yield from tying(walk, tie)
        for stage in walk.forwards:
            yield from _update(walk, stage)


def _update(walk: Walk, stage: int) -> Program:
    """One step of a stage by the mean over an iteration, and over the copies of the stage where there are several."""
    worker, holders = walk.worker, walk.tracks.holders[stage]
    model, forwards = worker.stage(stage), tuple(walk.forwards[stage])
    walk.forwards[stage] = []
    if "optimizer" in worker.kernels:
        yield Compute("optimizer", stage)
    if len(holders) == 1:
        model.apply(step, forwards, len(forwards))
    else:
        mean, _ = yield AllReduce(model.payload(mean_of, len(forwards)), "mean", holders)
        model.apply(step_by, forwards, mean)
