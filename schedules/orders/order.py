"""The order of a pipeline: what each rank does, one after the other. Data, from which all else follows."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

from schedules.orders.steps import Cell, Step, steps_of


class OrderError(ValueError):
    """An order that cannot be run: the message has its ranks, step by step, around the place."""


class Standing(NamedTuple):
    """Where a cell stands: on which rank, and after how many others."""

    rank: int
    at: int


@dataclass(frozen=True)
class Order:
    """The order of a pipeline.

    Attributes:
        ranks: the cells of every rank, in the order in which it does them, one at a time.
        place: the rank of every stage.
        chains: the stages that a micro-batch passes, in its forward pass: one chain; of DualPipe two, whose i-th stages
            are copies of one another. Of C chains, chain c has the micro-batches from c m / C on.
    """

    ranks: tuple[tuple[Cell, ...], ...]
    place: tuple[int, ...]
    chains: tuple[tuple[int, ...], ...]

    @cached_property
    def where(self) -> dict[Step, Standing]:
        """Where each step stands; of one that is there twice, the first."""
        found: dict[Step, Standing] = {}
        for rank, cells in enumerate(self.ranks):
            for at, cell in enumerate(cells):
                for step in steps_of(cell):
                    found.setdefault(step, Standing(rank, at))
        return found

    @cached_property
    def cells(self) -> list[Cell]:
        """All cells, rank by rank: the rows of `retime`."""
        return [cell for cells in self.ranks for cell in cells]

    @cached_property
    def _before(self) -> dict[int, int]:
        """The stage before each in its chain."""
        return {late: early for chain in self.chains for early, late in pairwise(chain)}

    @cached_property
    def _after(self) -> dict[int, int]:
        """The stage after each."""
        return {early: late for late, early in self._before.items()}

    def before(self, stage: int) -> int | None:
        """The stage before it in its chain; None of the first."""
        return self._before.get(stage)

    def after(self, stage: int) -> int | None:
        """The stage after it in its chain; None of the last."""
        return self._after.get(stage)

    def backward(self, stage: int, micro_batch: int) -> Step:
        """The step that hands the gradient for a stage's input on: D, or B where the weights' is apart."""
        whole = Step("D", stage, micro_batch)
        return whole if whole in self.where else Step("B", stage, micro_batch)

    def needs(self, step: Step) -> tuple[Step, ...]:
        """The steps that must be over before it, but for what stands before it on its rank."""
        kind, stage, k = step
        if kind == "F":
            early = self._before.get(stage)
            return () if early is None else (Step("F", early, k),)
        if kind == "W":
            return (Step("B", stage, k),)
        late = self._after.get(stage)
        own = Step("F", stage, k)
        return (own,) if late is None else (own, self.backward(late, k))

    def sequence(self) -> list[Cell]:
        """All cells in a possible order of one after the other.

        Raises:
            OrderError: if some wait for each other.
        """
        done: set[Step] = set()
        waiting: dict[Step, list[int]] = {}
        position, ready, found = [0] * len(self.ranks), deque(range(len(self.ranks))), []
        while ready:
            rank = ready.popleft()
            cells = self.ranks[rank]
            while position[rank] < len(cells):
                cell = cells[position[rank]]
                own = steps_of(cell)
                lacking = next((need for step in own for need in self.needs(step) if need not in done), None)
                if lacking is not None:
                    waiting.setdefault(lacking, []).append(rank)
                    break
                found.append(cell)
                position[rank] += 1
                done.update(own)
                for step in own:
                    ready.extend(waiting.pop(step, ()))
        if len(found) < len(self.cells):
            stuck = [str(cells[at]) for cells, at in zip(self.ranks, position, strict=True) if at < len(cells)]
            raise OrderError(f"expected an order in which some step can go first, found {', '.join(stuck)} waiting")
        return found

    def check(self, micro_batches: int) -> None:
        """Look whether every stage does every micro-batch of its chain once, on its own rank, in a possible order.

        Raises:
            OrderError: if not.
        """
        counted: dict[Step, int] = {}
        for rank, cells in enumerate(self.ranks):
            for cell in cells:
                for step in steps_of(cell):
                    counted[step] = counted.get(step, 0) + 1
                    if self.place[step.stage] != rank:
                        raise OrderError(f"expected {step} on rank {self.place[step.stage]}, found it on rank {rank}")
        for step in self._expected(micro_batches):
            number = counted.pop(step, 0)
            if number != 1:
                raise OrderError(f"expected {step} once, found it {number} times")
        if counted:
            raise OrderError(f"expected no {next(iter(counted))}, found it")
        self.sequence()

    def _expected(self, micro_batches: int) -> list[Step]:
        """The steps that there must be."""
        found = []
        for number, chain in enumerate(self.chains):
            for k in micro_batches_of(number, len(self.chains), micro_batches):
                for stage in chain:
                    backward = self.backward(stage, k)
                    found += [Step("F", stage, k), backward]
                    found += [Step("W", stage, k)] if backward.kind == "B" else []
        return found


def micro_batches_of(chain: int, num_chains: int, micro_batches: int) -> range:
    """Those of a chain."""
    return range(chain * micro_batches // num_chains, (chain + 1) * micro_batches // num_chains)


def in_a_row(ranks: Sequence[Sequence[Cell]], place: Sequence[int] | None = None) -> Order:
    """An order of one chain: stage by stage, each on a rank of its own unless `place` says the ranks."""
    place = tuple(range(len(ranks)) if place is None else place)
    return Order(tuple(map(tuple, ranks)), place, (tuple(range(len(place))),))
