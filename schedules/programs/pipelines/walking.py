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
        # Of a message by its boundary; -1 is the boundary of none.
        back = 2 if self._returns_outputs else 1
        self._sizes = {
            FORWARD: (*worker.boundaries, 0),
            BACKWARD: (*(back * each for each in worker.boundaries), 0),
        }
        self._takes_memory = any(worker.activations)
        self._is_numeric = any(each.is_numeric for each in (worker.stages or {}).values())
        # By the key of a step. What it leaves behind for the next of its stage and micro-batch: the graph of a forward
        # pass, then the answer of a backward pass whose weights are still to come, and since when.
        self._left: dict[int, Payload] = {}
        self._since: dict[int, int] = {}
        self._inputs: dict[int, tuple[Payload, Given, int]] = {}  # from which graphs are made anew
        self._handed: dict[tuple[str, int], Payload] = {}  # from a stage to the next on this rank
        self._posted: dict[Mail, Handle] = {}
        self._begun: dict[int, int] = {}  # forward passes at older parameters, by the key of the step
        self._ask = {"F": self._forward, "D": self._backward, "B": self._backward, "W": self._weights}
        self._over = {"F": self._keep, "D": self._done, "B": self._done, "W": self._done_weights}

    def through(self, cells: Sequence[Cell], first: int) -> Program:
        """Do what stands in the cells, one after the other.

        Args:
            first: number of the first micro-batch through the whole run.
        """
        # What most cells do stands here and not in functions of its own: a simulation of a pipeline is this loop.
        rank, handed, posted, offset = self.worker.rank, self._handed, self._posted, first * self.tracks.num_stages
        sizes, ask, over, left, remakes = self._sizes, self._ask, self._over, self._left, self._is_checkpointed
        for cell in cells:
            if len(cell) == 2:
                yield from self._both(cell, first)
                continue
            part = cell[0]
            mail, kind, k = part.mail, part.kind, part.micro_batch + first
            given: Given = ()
            if part.posts or (posted and mail in posted):
                given = yield from self._given(part, offset)
            elif mail is not None:
                received, _ = yield Receive(
                    mail.peer, sizes[mail.direction][mail.boundary], offset + mail.tag, mail.channel
                )
                given = (received,)
            elif part.has_input:
                given = (handed.pop(part.needs),)
            behind = None if kind == "F" or (remakes and kind != "W") else left.pop(part.key)
            if remakes and kind in "DB":
                behind = yield from self._anew(part, given, k)
            answer, _ = yield ask[kind](part, given, behind, k)
            over[kind](part, given, behind, answer)
            if part.target == rank:
                handed[part.gives] = answer
            elif part.target != NOBODY:
                yield Start(Send(part.target, answer, offset + part.tag, part.channel))
            if self._stepping is not None and kind == "D":
                yield from self._stepping.over()

    def _both(self, cell: Cell, first: int) -> Program:
        """Do what stands in a cell of two."""
        offset, given = first * self.tracks.num_stages, []
        for part in cell:
            given.append((yield from self._given(part, offset)))
        answers = yield from self._pair(cell, given, first)
        for part, answer in zip(cell, answers, strict=True):
            if part.target == self.worker.rank:
                self._handed[part.gives] = answer
            elif part.target != NOBODY:
                yield Start(Send(part.target, answer, offset + part.tag, part.channel))

    def _given(self, part: Part, offset: int) -> Generator[Operation, Any, Given]:
        """What a step has of another stage, once the receives that go before it are posted."""
        for mail in part.posts:
            self._posted[mail], _ = yield Start(self._receive(mail, offset))
        if part.mail is None:
            return (self._handed.pop(part.needs),) if part.has_input else ()
        return (yield from self._received(part.mail, offset))

    def _received(self, mail: Mail, offset: int) -> Generator[Operation, Any, Given]:
        if mail in self._posted:
            arrivals, _ = yield Await((self._posted.pop(mail),))
            return tuple(arrivals.results)
        received, _ = yield self._receive(mail, offset)
        return (received,)

    def _receive(self, mail: Mail, offset: int) -> Receive:
        return Receive(mail.peer, self._sizes[mail.direction][mail.boundary], offset + mail.tag, mail.channel)

    # ------------------------------------------------------------------ what a step computes, and what is done then

    def _computed(self, part: Part, given: Given, first: int) -> Computing:
        """A step of a pair, as `through` has those that are alone."""
        kind, k = part.kind, part.micro_batch + first
        behind = None if kind == "F" or self._is_checkpointed else self._left.pop(part.key)
        if self._is_checkpointed and kind != "F":
            behind = yield from self._anew(part, given, k)
        answer: Payload
        answer, _ = yield self._ask[kind](part, given, behind, k)
        self._over[kind](part, given, behind, answer)
        return answer

    def _forward(self, part: Part, given: Given, behind: Payload | None, k: int) -> Compute:
        size, at = self._sizes[FORWARD][part.leaves], None
        if self._stepping is not None:
            at = self._stepping.read(k, given)
            if at is not None:  # the answer says when those parameters were made
                self._begun[part.key] = self.worker.account.ledger.now
        return Compute("forward", part.stage, k, self.engines["F"], given, size, at, (0, k))

    def _keep(self, part: Part, given: Given, behind: Payload | None, answer: Payload) -> None:
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
            self._left[part.key] = answer
        if self._stepping is not None:
            self._stepping.seen(answer)

    def _backward(self, part: Part, given: Given, behind: Payload | None, k: int) -> Compute:
        """D, or B: both hand on the gradient for the stage's input."""
        kernel = "backward" if part.kind == "D" else "backward-input"
        size = self._sizes[BACKWARD][part.leaves]
        return Compute(kernel, part.stage, k, self.engines[part.kind], (behind, *given), size, None, (0, k))

    def _anew(self, part: Part, behind: Given, k: int) -> Computing:
        """The graph of a forward pass of which only the input was kept, or is worked out of the output."""
        counted, given, _ = self._inputs[part.key]
        given, engine = (counted, *behind) if self._returns_outputs else given, self.engines[part.kind]
        graph: Payload
        graph, _ = yield Compute("reconstruct", part.stage, k, engine, inputs=given, size=0, data=(0, k))
        return graph

    def _done(self, part: Part, given: Given, graph: Payload | None, answer: Payload) -> None:
        """A backward pass is over: the graph is let go; what the weights need is kept, or their gradient added up."""
        if self._takes_memory or self._is_checkpointed:
            self._let_go(part, graph)
        if part.kind == "D":
            self.worker.stage(part.stage).change(accumulate, answer.kept)
        else:
            self._left[part.key] = answer

    def _let_go(self, part: Part, graph: Payload | None) -> None:
        """The graph of a forward pass, and the input from which it was made anew, are held no longer."""
        account = self.worker.account
        if self._takes_memory:
            assert graph is not None, "a backward pass has one"
            account.held("activations", self.worker.activations[0], self._begun.pop(part.key, graph.read_ns))
            if part.kind == "B":
                self._since[part.key] = account.ledger.now
        if self._is_checkpointed:
            counted, _, kept = self._inputs.pop(part.key)
            if kept and self._takes_memory:
                account.held("activations", kept, counted.read_ns)

    def _weights(self, part: Part, given: Given, behind: Payload | None, k: int) -> Compute:
        return Compute("backward-weight", part.stage, k, self.engines["W"], (behind,), 0, None, (0, k))

    def _done_weights(self, part: Part, given: Given, behind: Payload | None, answer: Payload) -> None:
        if self._takes_memory:
            self.worker.account.held("activations", self.worker.activations[1], self._since.pop(part.key))
        self.worker.stage(part.stage).change(accumulate, answer.kept)

    def _pair(self, cell: Cell, given: Sequence[Given], first: int) -> Generator[Operation, Any, list[Payload]]:
        """A forward and a backward that begin and end together: one kernel where the platform has one, else two."""
        ahead, back = cell
        if "overlapped" not in self.worker.kernels or self._is_numeric:
            forward = yield from self._computed(ahead, given[0], first)
            return [forward, (yield from self._computed(back, given[1], first))]
        graph = self._left.pop(back.key)
        sizes = [self._sizes[part.direction][part.leaves] for part in cell]
        k = ahead.micro_batch + first
        answer: Payload
        answer, _ = yield Compute("overlapped", ahead.stage, k, inputs=(*given[0], graph, *given[1]), size=sizes[0])
        behind = answer.with_array(sizes[1], None, CHANGE)
        self._keep(ahead, given[0], None, answer)
        self._done(back, given[1], graph, behind)
        return [answer, behind]
