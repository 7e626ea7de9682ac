"""Pipelines with a flush: an iteration ends on a rank before its stages step.

How far the steps of all stages wait for each other, `optimizer_sync` says:

* "none": not at all; then no gradient can be clipped by the whole model's norm.
* "barrier": for the squared norm of the whole gradient, a sum over all ranks. A norm that is no number skips the step.
* "post-validation": each rank steps at once, by the norm of the ranks up to itself, which the rank before hands on. The
  whole norm comes back from rank to rank while the next iteration warms up; where by that a step should have been
  another, it is taken back and made anew (Qi et al. 2023, arXiv:2401.10241, section 4), and so are the forward passes
  of that warm-up, on all ranks: what one has handed on, the others have gone on from.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from typing import Any

from schedules import AllReduce, Compute, Operation, Payload, Program, Put, Receive, Send, Start, Take, Worker
from schedules.programs.pipelines.policies import stepped
from schedules.programs.pipelines.rules import (
    adopt,
    be_mean,
    is_scaled,
    mean_of,
    norm_with,
    step_at_once,
    step_within,
    validate,
)
from schedules.programs.pipelines.tracks import Mail, Part, Tracks
from schedules.programs.pipelines.tying import tying
from schedules.programs.pipelines.walking import Given, Walk

NORM, BACK = "norm", "norm-back"
"""Channels of the norm: as it is summed, and as all have it."""
NORM_BYTES = 8
AGAIN = "again"
"""The queue in which a rank notes whether a warm-up is done again."""


def iterations(worker: Worker, tracks: Tracks) -> Program:
    """Iteration after iteration, each with an update of all stages of the rank."""
    settings, walk = worker.settings, Repeating(worker, tracks)
    flush = Flush(walk)
    for number in range(settings.iterations):
        first = number * settings.replicas * settings.micro_batches
        if number and settings.optimizer_sync == "post-validation":
            yield from walk.warm_up(first)
            yield from walk.past_warm_up(first, is_again=(yield from flush.validated()))
        else:
            yield from walk.through(tracks.ranks[worker.rank], first)
        for tie in worker.ties:
            yield from tying(walk, tie)
        yield from flush.update(number)
    if settings.optimizer_sync == "post-validation":
        yield from flush.validated()


class Repeating(Walk):
    """A walk that may have to do the forward passes again with which an iteration begins."""

    def __init__(self, worker: Worker, tracks: Tracks) -> None:
        super().__init__(worker, tracks)
        self._number = tracks.warm_ups[worker.rank] if worker.settings.optimizer_sync == "post-validation" else 0
        self._cells = tracks.ranks[worker.rank]
        # While that is not known: which receives may be posted, and those that have to wait.
        self._may_be_posted: set[Mail | None] | None = None
        self._deferred: list[Mail] = []

    def warm_up(self, first: int) -> Program:
        """Do them. No receive is posted of what comes later than others' forward passes: behind it the messages of
        these would have to wait."""
        cells, early = self._cells[: self._number], self.tracks.early(self.worker.rank)
        self._may_be_posted = {part.mail for cell in cells for part in cell}.union(early)
        yield from self.through(cells, first)
        self._may_be_posted = None

    def past_warm_up(self, first: int, *, is_again: bool) -> Program:
        """Do the rest of the iteration; before it all again, if the parameters are others now."""
        offset, deferred, self._deferred = first * self.tracks.num_stages, self._deferred, []
        if is_again:
            for mail in self.tracks.early(self.worker.rank):
                yield from self._received(mail, offset)
            self._forget()
            yield from self.through(self._cells, first)
            return
        for mail in deferred:
            self._posted[mail], _ = yield Start(self._receive(mail, offset))
        yield from self.through(self._cells[self._number :], first)

    def _given(self, part: Part, offset: int) -> Generator[Operation, Any, Given]:
        allowed = self._may_be_posted
        if allowed is not None:
            self._deferred += [mail for mail in part.posts if mail not in allowed]
            part = replace(part, posts=tuple(mail for mail in part.posts if mail in allowed))
        return super()._given(part, offset)

    def _forget(self) -> None:
        """Let go what these forward passes have left behind."""
        for part in (part for cell in self._cells[: self._number] for part in cell):
            if self._is_checkpointed:
                counted, _, size = self._inputs.pop(part.key)
            else:
                counted, size = self._left.pop(part.key), self.worker.activations[0]
            if size and self._takes_memory:
                self.worker.account.held("activations", size, counted.read_ns)
        self._handed.clear()
        self.forwards = {stage: [] for stage in self.forwards}


class Flush:
    """The updates of a rank's stages."""

    def __init__(self, walk: Walk) -> None:
        self._walk, self._worker, self._model = walk, walk.worker, walk.worker.stage
        self._replicas: int = walk.worker.settings.replicas
        workers = walk.worker.num_workers // self._replicas
        first = walk.worker.rank // workers * workers
        self._members = tuple(range(first, first + workers))  # the ranks of this replica, which has the whole model
        self._sync: str = walk.worker.settings.optimizer_sync
        self._number = self._stepped_ns = 0
        self._total: Payload | None = None  # of the last update, where it is known

    def update(self, number: int) -> Program:
        """One step of every stage by the mean over an iteration, and over the copies of it where there are several."""
        walk, self._number = self._walk, number
        counted = {stage: tuple(forwards) for stage, forwards in walk.forwards.items()}
        walk.forwards = {stage: [] for stage in counted}
        if self._sync == "none":
            for stage, forwards in counted.items():
                yield from self._alone(stage, forwards)
            return
        norm = yield from self._norm(counted)
        rule = step_within if self._sync == "barrier" else step_at_once
        for stage, forwards in counted.items():
            yield from self._timed(stage)
            self._model(stage).apply(rule, forwards, norm)
        self._stepped_ns = self._worker.account.ledger.now
        self._total = None
        if self._sync == "post-validation" and self._worker.rank == self._members[-1]:
            self._total = norm
            yield from self._handed_back(norm)

    def validated(self) -> Generator[Operation, Any, bool]:
        """The norm of the whole gradient comes, and is handed on; steps that should have been others are made anew.

        Returns:
            whether that may be so on any rank: all ranks say the same.
        """
        total = self._total
        if total is None:
            total, _ = yield Receive(self._worker.rank + 1, NORM_BYTES, self._number, BACK)
            yield from self._handed_back(total)
        # Through a queue, as what is taken is recorded: a replay without numbers goes the same way.
        found = self._model(next(iter(self._walk.forwards))).payload(is_scaled, total, size=NORM_BYTES).array
        yield Put(AGAIN, 0 if found is None else int(found[0]))
        is_again, _ = yield Take(AGAIN)
        return bool(is_again)

    def _handed_back(self, total: Payload) -> Program:
        if self._worker.rank > self._members[0]:
            yield Start(Send(self._worker.rank - 1, total, self._number, BACK))
        for stage in self._walk.forwards:
            self._model(stage).change(validate, total)
            # Until now there were the parameters before the step, and its gradient.
            self._worker.account.held("stashes", 2 * self._model(stage).size, self._stepped_ns)

    def _alone(self, stage: int, forwards: tuple[Payload, ...]) -> Program:
        yield from self._timed(stage)
        yield from stepped(self._model(stage), forwards, self._walk.tracks.holders[stage])

    def _norm(self, counted: dict[int, tuple[Payload, ...]]) -> Generator[Operation, Any, Payload]:
        """The squared norm of the whole gradient or, where it is not waited for, of the ranks up to this one."""
        rank, first, last = self._worker.rank, self._members[0], self._members[-1]
        norm: Payload | None = None
        for stage, forwards in counted.items():
            holders, model = self._walk.tracks.holders[stage], self._model(stage)
            if len(holders) == 1:
                model.change(be_mean, len(forwards))
            else:
                mean, _ = yield AllReduce(model.payload(mean_of, len(forwards)), "mean", holders)
                model.change(adopt, mean)
        if self._sync != "barrier" and rank > first:
            norm, _ = yield Receive(rank - 1, NORM_BYTES, self._number, NORM)
        for stage in counted:
            copies = len(self._walk.tracks.holders[stage]) // self._replicas
            norm = self._model(stage).payload(norm_with, norm, copies, size=NORM_BYTES)
        assert norm is not None, "a rank has stages"
        if self._sync == "barrier" and len(self._members) > 1:
            norm, _ = yield AllReduce(norm, "sum", self._members if self._replicas > 1 else None, channel=NORM)
        elif self._sync != "barrier" and rank < last:
            yield Start(Send(rank + 1, norm, self._number, NORM))
        return norm

    def _timed(self, stage: int) -> Program:
        if "optimizer" in self._worker.kernels:
            yield Compute("optimizer", stage)
