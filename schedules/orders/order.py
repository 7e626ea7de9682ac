"""The order of a pipeline: what each rank does, one after the other. Data, from which all else follows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from schedules.orders.rows import Rows, rows_of
from schedules.orders.steps import Cell, Pair, Standing, Step, board, steps_of


class OrderError(ValueError):
    """An order that cannot be run: the message has its ranks, step by step, around the place."""


@dataclass(frozen=True)
class Order:
    """The order of a pipeline.

    Attributes:
        ranks: the cells of every rank, in the order in which it does them, one at a time.
        place: the rank of every stage.
        chains: the stages that a micro-batch passes, in its forward pass: one chain; of DualPipe two, whose i-th stages
            are copies of one another. Of C chains, chain c has the micro-batches from c m / C on; but see
            `replicated`.
        waits: steps, and what must be over before each beside its needs, without a message.
    """

    ranks: tuple[tuple[Cell, ...], ...]
    place: tuple[int, ...]
    chains: tuple[tuple[int, ...], ...]
    waits: tuple[tuple[Step, Step], ...] = ()

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

    @cached_property
    def rows(self) -> Rows:
        """The cells as rows of arrays, with what each waits for."""
        return rows_of(self.ranks, self.chains, self.waits)

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
        if len(self.rows.stuck):
            raise _blocked(self)
        cells = self.cells
        return [cells[row] for together in self.rows.rounds for row in together.tolist()]

    def check(self, micro_batches: int) -> None:
        """Look whether every stage does every micro-batch of its chain once, on its own rank, in a possible order.

        Raises:
            OrderError: if not.
        """
        for rank, cells in enumerate(self.ranks):
            stages = {step.stage for cell in cells for step in steps_of(cell)}
            if any(not 0 <= stage < len(self.place) or self.place[stage] != rank for stage in stages):
                raise _elsewhere(self, rank)
        counted = Counter(step for cell in self.cells for step in steps_of(cell))
        expected = _expected(self, counted, micro_batches)
        if counted.keys() != expected or len(expected) < counted.total():
            raise _miscounted(self, counted, expected)
        if len(self.rows.stuck):
            raise _blocked(self)


def micro_batches_of(chain: int, num_chains: int, micro_batches: int) -> range:
    """Those of a chain."""
    return range(chain * micro_batches // num_chains, (chain + 1) * micro_batches // num_chains)


def replicated(order: Order, copies: int) -> Order:
    """Several copies of an order beside each other, on ranks of their own: of each stage they have copies, too. Copy q
    has the micro-batches q, q + copies and so on."""
    if copies == 1:
        return order
    stages, ranks = len(order.place), len(order.ranks)

    def moved(step: Step, q: int) -> Step:
        return Step(step.kind, step.stage + q * stages, step.micro_batch * copies + q)

    def cell_of(cell: Cell, q: int) -> Cell:
        return moved(cell, q) if isinstance(cell, Step) else Pair(moved(cell.forward, q), moved(cell.backward, q))

    numbers = range(copies)
    return Order(
        tuple(tuple(cell_of(cell, q) for cell in cells) for q in numbers for cells in order.ranks),
        tuple(rank + q * ranks for q in numbers for rank in order.place),
        tuple(tuple(stage + q * stages for stage in chain) for q in numbers for chain in order.chains),
    )


def in_a_row(ranks: Sequence[Sequence[Cell]], place: Sequence[int] | None = None) -> Order:
    """An order of one chain: stage by stage, each on a rank of its own unless `place` says the ranks."""
    place = tuple(range(len(ranks)) if place is None else place)
    return Order(tuple(map(tuple, ranks)), place, (tuple(range(len(place))),))


# ---- what is wrong with an order


def _expected(order: Order, counted: Counter[Step], micro_batches: int) -> set[Step]:
    """The steps that there must be beside those that there are: of a backward in two both, else D."""
    parted = {step.stage for step in counted if step.kind == "B"}
    found = set()
    for number, chain in enumerate(order.chains):
        for k in micro_batches_of(number, len(order.chains), micro_batches):
            for stage in chain:
                found.add(Step("F", stage, k))
                whole, first = Step("D", stage, k), Step("B", stage, k)
                if whole in counted or (first not in counted and stage not in parted):
                    found.add(whole)
                else:
                    found |= {first, Step("W", stage, k)}
    return found


def _elsewhere(order: Order, rank: int) -> OrderError:
    """Of the first step on a rank that does not belong there."""
    for at, cell in enumerate(order.ranks[rank]):
        for step in steps_of(cell):
            if not 0 <= step.stage < len(order.place):
                return _error(order, f"stages 0 to {len(order.place) - 1}", f"{step}", Standing(rank, at))
            own = order.place[step.stage]
            if own != rank:
                twins = _all_of(order, step)
                found = " and ".join(f"rank {each}" for each in sorted({place.rank for place in twins}))
                return _error(order, f"{step} on rank {own} alone, as stage {step.stage}", f"it on {found}", *twins)
    raise AssertionError


def _miscounted(order: Order, counted: Counter[Step], expected: set[Step]) -> OrderError:
    """Of the first step, by micro-batch and stage, that is missing, too much, or there more than once."""
    step = min(
        {step for step in counted.keys() | expected if counted[step] != (step in expected)},
        key=lambda step: (step.micro_batch, step.stage, "FDBW".index(step.kind)),
    )
    twins = _all_of(order, step)
    if len(twins) > 1 and step in expected:
        return _error(order, f"{step} once", f"it {len(twins)} times on rank {twins[0].rank}", *twins)
    if twins:
        return _error(order, f"no {step} beside {_beside(step, expected)}", "it", *twins)
    of_stage = [other for other in order.where if other.stage == step.stage]
    near = [other for other in of_stage if other.micro_batch == step.micro_batch] or of_stage
    marked = [order.where[other] for other in near[-1:]]
    return _error(order, f"{step} on rank {order.place[step.stage]}", "it nowhere", *marked)


def _beside(step: Step, expected: set[Step]) -> str:
    """What makes a step too much."""
    others = sorted(str(other) for other in expected if other[1:] == step[1:])
    last = max((other.micro_batch for other in expected if other.stage == step.stage), default=-1)
    return ", ".join(others) or f"micro-batches 0 to {last}"


def _blocked(order: Order) -> OrderError:
    """Of what waits for ever: for a step that is nowhere, or later on its own rank; or all for each other."""
    over = {step for rows in order.rows.rounds for row in rows.tolist() for step in steps_of(order.cells[row])}
    heads = {}
    for cell in (order.cells[row] for row in order.rows.stuck.tolist()):
        lacking = next(need for step in steps_of(cell) for need in order.needs(step) if need not in over)
        own, other = order.where[steps_of(cell)[0]], order.where.get(lacking)
        if other is None:
            return _error(order, f"{lacking} before {cell}", "it nowhere", own)
        if other.rank == own.rank:
            return _error(order, f"{lacking} before {cell} on rank {own.rank}", "it behind", own, other)
        heads[own] = f", waits for {lacking}"
    shown = board(order.ranks, heads.keys(), {place.rank: note for place, note in heads.items()})
    return OrderError(f"expected an order in which some step can go next, found all waiting for each other{shown}")


def _all_of(order: Order, step: Step) -> list[Standing]:
    """Where a step stands, as often as it is there."""
    return [
        Standing(rank, at)
        for rank, cells in enumerate(order.ranks)
        for at, cell in enumerate(cells)
        if step in steps_of(cell)
    ]


def _error(order: Order, expected: str, found: str, *marked: Standing) -> OrderError:
    """With the ranks, step by step, around what is marked."""
    return OrderError(f"expected {expected}, found {found}{board(order.ranks, marked)}")
