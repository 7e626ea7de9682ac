"""The one generator that walks an order: receive, compute, start the send."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

from schedules import Await, Compute, Handle, Operation, Payload, Program, Receive, Send, Start, Worker
from schedules.payload import CHANGE
from schedules.programs.pipelines.rules import accumulate
from schedules.programs.pipelines.tracks import NOBODY, Cell, Mail, Part, Tracks

Computing = Generator[Operation, Any, Payload]
"""A part of a program that computes an answer."""

Given = tuple[Payload, ...]
"""What a step has of another stage: its activation, the gradient for its output, or nothing."""


class Walk:
    """A rank on its way through an order, and what it holds between its steps.

    Attributes:
        worker, tracks: who walks, and where.
        forwards: by stage, the forward passes whose gradients have been added up since the last update.
    """

    def __init__(self, worker: Worker, tracks: Tracks) -> None:
        self.worker, self.tracks = worker, tracks
        self.forwards: dict[int, list[Payload]] = {stage: [] for stage in worker.stages or ()}
        self._is_checkpointed = bool(getattr(worker.settings, "checkpoint", False))
        self._takes_memory = any(worker.activations)
        self._is_numeric = any(each.is_numeric for each in (worker.stages or {}).values())
        # By the key of a step: graphs of forward passes, the inputs from which they are made anew, and backward passes
        # whose weights are still to come.
        self._graphs: dict[int, Payload] = {}
        self._inputs: dict[int, tuple[Payload, Given]] = {}
        self._backwards: dict[int, tuple[Payload, int]] = {}
        self._handed: dict[tuple[str, int], Payload] = {}  # from a stage to the next on this rank
        self._posted: dict[Mail, Handle] = {}

    def through(self, cells: Sequence[Cell], first: int) -> Program:
        """Do what stands in the cells, one after the other.

        Args:
            first: number of the first micro-batch through the whole run.
        """
        rank, handed, posted = self.worker.rank, self._handed, self._posted
        for cell in cells:
            given: list[Given] = []
            for part in cell:
                for mail in part.posts:
                    posted[mail], _ = yield Start(self._receive(mail, first))
                if part.mail is None:
                    given.append((handed.pop((part.channel, part.key)),) if part.has_input else ())
                elif part.mail in posted:
                    arrivals, _ = yield Await((posted.pop(part.mail),))
                    given.append(arrivals.results)
                else:
                    received, _ = yield self._receive(part.mail, first)
                    given.append((received,))
            if len(cell) == 1:
                answers = [(yield from self._compute(cell[0], given[0], first))]
            else:
                answers = yield from self._pair(cell, given, first)
            for part, answer in zip(cell, answers, strict=True):
                if part.target == rank:
                    handed[part.channel, part.to_key] = answer
                elif part.target != NOBODY:
                    yield Start(Send(part.target, answer, self._tag(part.to, part.micro_batch + first), part.channel))

    def _receive(self, mail: Mail, first: int) -> Receive:
        size = self.worker.boundaries[mail.boundary]
        return Receive(mail.peer, size, self._tag(mail.to, mail.micro_batch + first), mail.channel)

    def _tag(self, stage: int, micro_batch: int) -> int:
        """Of a message to a stage."""
        return micro_batch * self.tracks.num_stages + stage

    # ------------------------------------------------------------------ what a step computes

    def _compute(self, part: Part, given: Given, first: int) -> Computing:
        if part.kind == "F":
            return self._forward(part, given, part.micro_batch + first)
        if part.kind == "W":
            return self._weights(part, part.micro_batch + first)
        return self._backward(part, given, part.micro_batch + first)

    def _forward(self, part: Part, given: Given, k: int) -> Computing:
        size = self.worker.boundaries[part.leaves] if part.leaves >= 0 else 0
        answer: Payload
        answer, _ = yield Compute("forward", part.stage, k, inputs=given, size=size, data=(0, k))
        self._keep(part, given, answer)
        return answer

    def _keep(self, part: Part, given: Given, answer: Payload) -> None:
        """A forward pass is over: what its backward pass needs."""
        counted = answer.rest() if self._is_numeric else answer
        self.forwards[part.stage].append(counted)
        if self._is_checkpointed:
            self._inputs[part.key] = counted, given
        else:
            self._graphs[part.key] = answer

    def _backward(self, part: Part, given: Given, k: int) -> Computing:
        """D, or B: both hand on the gradient for the stage's input."""
        graph = (yield from self._anew(part, k)) if self._is_checkpointed else self._graphs.pop(part.key)
        size = self.worker.boundaries[part.leaves] if part.leaves >= 0 else 0
        kernel = "backward" if part.kind == "D" else "backward-input"
        answer: Payload
        answer, _ = yield Compute(kernel, part.stage, k, inputs=(graph, *given), size=size, data=(0, k))
        self._done(part, graph, answer)
        return answer

    def _anew(self, part: Part, k: int) -> Computing:
        """The graph of a forward pass of which only the input was kept."""
        _, given = self._inputs[part.key]
        graph: Payload
        graph, _ = yield Compute("reconstruct", part.stage, k, inputs=given, size=0, data=(0, k))
        return graph

    def _done(self, part: Part, graph: Payload, answer: Payload) -> None:
        """A backward pass is over: the graph is let go; what the weights need is kept, or their gradient added up."""
        account = self.worker.account
        if self._takes_memory:
            account.held("activations", self.worker.activations[0], graph.read_ns)
        if self._is_checkpointed:
            counted, given = self._inputs.pop(part.key)
            if given and self._takes_memory:
                account.held("activations", given[0].size, counted.read_ns)
        if part.kind == "D":
            self.worker.stage(part.stage).change(accumulate, answer.kept)
        else:
            self._backwards[part.key] = answer, account.ledger.now

    def _weights(self, part: Part, k: int) -> Computing:
        behind, since_ns = self._backwards.pop(part.key)
        answer: Payload
        answer, _ = yield Compute("backward-weight", part.stage, k, inputs=(behind,), size=0, data=(0, k))
        if self._takes_memory:
            self.worker.account.held("activations", self.worker.activations[1], since_ns)
        self.worker.stage(part.stage).change(accumulate, answer.kept)
        return answer

    def _pair(self, cell: Cell, given: Sequence[Given], first: int) -> Generator[Operation, Any, list[Payload]]:
        """A forward and a backward that begin and end together: one kernel where the platform has one, else two."""
        ahead, back = cell
        if "overlapped" not in self.worker.kernels or self._is_numeric:
            forward = yield from self._compute(ahead, given[0], first)
            return [forward, (yield from self._compute(back, given[1], first))]
        graph = self._graphs.pop(back.key)
        sizes = [self.worker.boundaries[part.leaves] if part.leaves >= 0 else 0 for part in cell]
        k = ahead.micro_batch + first
        answer: Payload
        answer, _ = yield Compute("overlapped", ahead.stage, k, inputs=(*given[0], graph, *given[1]), size=sizes[0])
        behind = answer.with_array(sizes[1], None, CHANGE)
        self._keep(ahead, given[0], answer)
        self._done(back, graph, behind)
        return [answer, behind]
