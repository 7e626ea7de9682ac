"""The one generator that walks an order: receive, compute, start the send."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

from schedules import Await, Compute, Handle, Operation, Payload, Program, Receive, Send, Start, Worker
from schedules.payload import CHANGE
from schedules.programs.pipelines.policies import Stepping
from schedules.programs.pipelines.rules import accumulate
from schedules.programs.pipelines.tracks import BACKWARD, FORWARD, NOBODY, Cell, Mail, Part, Tracks

Computing = Generator[Operation, Any, Payload]
"""A part of a program that computes an answer."""

Given = tuple[Payload, ...]
"""What a step has of another stage: its activation, the gradient for its output, or nothing."""


class Walk:
    """A rank on its way through an order, and what it holds between its steps.

    Attributes:
        worker, tracks: who walks, and where.
        forwards: by stage, the forward passes whose gradients have been added up since the last update.
        engines: by kind of step, where it is computed.
    """

    def __init__(self, worker: Worker, tracks: Tracks, stepping: Stepping | None = None) -> None:
        self.worker, self.tracks, self._stepping = worker, tracks, stepping
        self.engines = dict.fromkeys("FDBW", "compute")
        self.forwards: dict[int, list[Payload]] = {stage: [] for stage in worker.stages or ()}
        self._is_checkpointed = (
            bool(getattr(worker.settings, "checkpoint", False)) if stepping is None else stepping.remakes
        )
        self._returns_outputs = stepping is not None and stepping.returns_outputs
        self._is_buffered = stepping is None or stepping.is_buffered
        self._takes_memory = any(worker.activations)
        self._is_numeric = any(each.is_numeric for each in (worker.stages or {}).values())
        # By the key of a step: graphs of forward passes, the inputs from which they are made anew, and backward passes
        # whose weights are still to come.
        self._graphs: dict[int, Payload] = {}
        self._inputs: dict[int, tuple[Payload, Given, int]] = {}
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
                if self._stepping is not None and part.kind == "D":
                    yield from self._stepping.over()

    def _receive(self, mail: Mail, first: int) -> Receive:
        size = self._size(mail.boundary, mail.channel)
        return Receive(mail.peer, size, self._tag(mail.to, mail.micro_batch + first), mail.channel)

    def _size(self, boundary: int, channel: str) -> int:
        """Bytes of a message; -1 is the boundary of none."""
        if boundary < 0:
            return 0
        return self.worker.boundaries[boundary] * (2 if self._returns_outputs and channel == BACKWARD else 1)

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
        size, at = self._size(part.leaves, FORWARD), None
        if self._stepping is not None:
            at = self._stepping.read(k, given)
        answer: Payload
        answer, _ = yield Compute(
            "forward", part.stage, k, self.engines["F"], inputs=given, size=size, data=(0, k), at=at
        )
        self._keep(part, given, answer)
        if self._stepping is not None:
            self._stepping.seen(answer)
        return answer

    def _keep(self, part: Part, given: Given, answer: Payload) -> None:
        """A forward pass is over: what its backward pass needs."""
        counted = answer.rest() if self._is_numeric else answer
        if self._stepping is None:
            self.forwards[part.stage].append(counted)
        kept = given[0].size if given and self._is_buffered else 0
        if self._returns_outputs:  # what a stage without an inverse keeps is with the answer
            counted.kept, given = answer.kept, ()
        if self._is_checkpointed:
            self._inputs[part.key] = counted, given, kept
        else:
            self._graphs[part.key] = answer

    def _backward(self, part: Part, given: Given, k: int) -> Computing:
        """D, or B: both hand on the gradient for the stage's input."""
        graph = (yield from self._anew(part, given, k)) if self._is_checkpointed else self._graphs.pop(part.key)
        kernel, engine = "backward" if part.kind == "D" else "backward-input", self.engines[part.kind]
        answer: Payload
        answer, _ = yield Compute(
            kernel, part.stage, k, engine, inputs=(graph, *given), size=self._size(part.leaves, BACKWARD), data=(0, k)
        )
        self._done(part, graph, answer)
        return answer

    def _anew(self, part: Part, behind: Given, k: int) -> Computing:
        """The graph of a forward pass of which only the input was kept, or is worked out of the output."""
        counted, given, _ = self._inputs[part.key]
        given, engine = (counted, *behind) if self._returns_outputs else given, self.engines[part.kind]
        graph: Payload
        graph, _ = yield Compute("reconstruct", part.stage, k, engine, inputs=given, size=0, data=(0, k))
        return graph

    def _done(self, part: Part, graph: Payload, answer: Payload) -> None:
        """A backward pass is over: the graph is let go; what the weights need is kept, or their gradient added up."""
        account = self.worker.account
        if self._takes_memory:
            account.held("activations", self.worker.activations[0], graph.read_ns)
        if self._is_checkpointed:
            counted, _, kept = self._inputs.pop(part.key)
            if kept and self._takes_memory:
                account.held("activations", kept, counted.read_ns)
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
        sizes = [self._size(part.leaves, part.channel) for part in cell]
        k = ahead.micro_batch + first
        answer: Payload
        answer, _ = yield Compute("overlapped", ahead.stage, k, inputs=(*given[0], graph, *given[1]), size=sizes[0])
        behind = answer.with_array(sizes[1], None, CHANGE)
        self._keep(ahead, given[0], answer)
        self._done(back, graph, behind)
        return [answer, behind]
