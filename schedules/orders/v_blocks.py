"""Orders in the shape of a V with little memory: `v-half` and `v-min`. Rank r has the stages r and 2p - 1 - r.

A block says in which slots each rank does the two forwards and the two backwards of one micro-batch; repeated every six
slots or more, with a W in each slot that is left over, it is an order without idle slots but for its beginning and its
end. How long a micro-batch lives on a rank decides the memory. Then steps move forward in time, one after the other, to
the first slot that is free, after what they need and without passing the cap: that shortens the beginning and the end.
Source: Qi et al. 2024, "Pipeline Parallelism with Controllable Memory" (arXiv:2405.15362), sections 3 and 4.

The blocks are searched here, within the cap of memory: a step follows that of the rank before after one to three slots
(`PACES`), and the chain turns after one to six. Slots are of one length; among the orders found, and those of list
scheduling (`listed`), the best under the real durations and the latency is taken.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from itertools import product
from typing import Final, NamedTuple

from schedules.orders.listed import (
    ROUNDING,
    Durations,
    Line,
    Rule,
    best_of,
    cost_of,
    limits_of,
    line_of,
    peak_of,
)
from schedules.orders.order import Order, in_a_row
from schedules.orders.steps import Kind, Step

Block = tuple[tuple[int, int, int, int], ...]
"""Of every rank, the slots of its F and F and of its B and B of one micro-batch, in the order of the chain."""

PERIODS: Final = (6, 7, 8)
"""Slots between two micro-batches: six are the steps that a rank does for one; more need less memory."""
PACES: Final = ((1, 2, 1, 2), (1, 1, 1, 1), (2, 1, 2, 1), (1, 1, 2, 2), (1, 3, 1, 3), (3, 1, 3, 1))
"""Slots from rank to rank: of the forwards down and up the V, and of the backwards. The paper's have 2, 1, 2, 1
(V-Half) and 1 throughout (V-Min)."""
TRIED: Final = 600_000
"""Steps of all blocks that are made to orders, at most: some three seconds."""
BEST: Final = 3
"""Blocks that are tried with all micro-batches, after all were with twice as many as ranks."""
PREFERENCES: Final = ("fbBF", "fFBb", "BfFb", "bfBF")
"""Of list scheduling: F and B on the way down the V (the earlier stage of a rank), f and b on the way up."""
SLOPES: Final = (math.inf, 0.5, 0.75, 1.0, 1.25, 1.5)


class Slot(NamedTuple):
    """A step in a slot of a rank."""

    at: int
    rank: int
    step: Step


def blocks(workers: int, period: int) -> Iterator[Block]:
    """Those of a period in which no rank has two steps at a time."""
    for paces, turns in product(PACES, product(range(1, 7), repeat=3)):
        block = _block(workers, paces, turns)
        if all(len({slot % period for slot in slots}) == 4 for slots in block):
            yield block


def _block(workers: int, paces: tuple[int, ...], turns: tuple[int, ...]) -> Block:
    """The slots of every rank: a step is `pace` slots after that of the rank before, a turn takes its own number."""
    columns, begin = [], 0
    for leg, (pace, turn) in enumerate(zip(paces, (*turns, 0), strict=True)):
        column = [begin + pace * rank for rank in range(workers)]
        columns.append(column if leg % 2 == 0 else column[::-1])
        begin = column[-1] + turn
    return tuple(zip(*columns, strict=True))


def repeated(line: Line, block: Block, period: int) -> list[Slot]:
    """The forwards and backwards of all micro-batches, in order of time."""
    workers = line.workers
    found = []
    for rank, slots in enumerate(block):
        low, high = rank, 2 * workers - 1 - rank
        own: list[tuple[Kind, int]] = [("F", low), ("F", high), ("B", high), ("B", low)]
        for (kind, stage), at in zip(own, slots, strict=True):
            found += [Slot(at + period * k, rank, Step(kind, stage, k)) for k in range(line.micro_batches)]
    return sorted(found)


def with_weights(line: Line, slots: list[Slot]) -> list[Slot]:
    """With each W in the first slot of its rank that is left over, first in, first out."""
    found = list(slots)
    for rank in range(line.workers):
        own = {slot.at: slot.step for slot in slots if slot.rank == rank}
        waiting: list[Step] = []
        at, begun, lacking = 0, 0, len(own) // 2
        while begun < lacking:
            step = own.get(at)
            if step is not None and step.kind == "B":
                waiting.append(Step("W", step.stage, step.micro_batch))
            elif step is None and begun < len(waiting):
                found.append(Slot(at, rank, waiting[begun]))
                begun += 1
            at += 1
    return sorted(found)


class Board:
    """Slots of all ranks, in which steps move to earlier ones."""

    def __init__(self, line: Line, slots: list[Slot]) -> None:
        self.line = line
        self.change = {"F": line.share, "B": (line.held - 1) * line.share, "W": -line.held * line.share}
        length = slots[-1].at + 1
        self.taken = [bytearray(length) for _ in range(line.workers)]
        self.memory = [[0.0] * length for _ in range(line.workers)]
        self.at = {slot.step: slot.at for slot in slots}
        for at, rank, step in slots:
            self.taken[rank][at] = 1
            self._add(rank, at, length, self.change[step.kind])

    def _add(self, rank: int, begin: int, end: int, memory: float) -> None:
        own = self.memory[rank]
        for at in range(begin, end):
            own[at] += memory

    def move(self, slot: Slot) -> None:
        """To the first slot that is free, after what it needs and the step before of its kind, within the cap."""
        at, rank, step = slot
        first = self._after(step)
        if step.kind == "F":
            own, room = self.memory[rank], self.line.memory_cap - self.line.share + ROUNDING
            earliest = at
            while earliest > first and own[earliest - 1] <= room:
                earliest -= 1
            first = earliest
        found = self.taken[rank].find(0, first, at)
        if found >= 0:
            self.taken[rank][at], self.taken[rank][found] = 0, 1
            self._add(rank, found, at, self.change[step.kind])
            self.at[step] = found

    def _after(self, step: Step) -> int:
        """The first slot that the order of the chain allows."""
        kind, stage, k = step
        needs = [Step(kind, stage, k - 1)]
        if kind == "W":
            needs.append(Step("B", stage, k))
        elif kind == "B":
            needs.append(Step("F", stage, k))
        if kind != "W":
            needs.append(Step(kind, stage + 1 if kind == "B" else stage - 1, k))
        return 1 + max(self.at.get(need, -1) for need in needs)

    def slots(self) -> list[Slot]:
        """What is where now, in order of time."""
        return sorted(Slot(at, self.line.place[step.stage], step) for step, at in self.at.items())


def moved(line: Line, slots: list[Slot]) -> list[Slot]:
    """All steps as early as they can be, one after the other; then, of those after the last forward of their rank, the
    backwards before all Ws, which fill what is left over."""
    board = Board(line, slots)
    for slot in slots:
        board.move(slot)
    slots = board.slots()
    last = {slot.rank: slot.at for slot in slots if slot.step.kind == "F"}
    kept = [slot for slot in slots if slot.step.kind != "W" or slot.at < last[slot.rank]]
    board = Board(line, kept)
    for slot in kept:
        if slot.at > last[slot.rank]:
            board.move(slot)
    return filled(line, board.slots())


def filled(line: Line, slots: list[Slot]) -> list[Slot]:
    """With the Ws that there are not yet, after the backwards, in the first slots left over."""
    found = list(slots)
    there = {slot.step for slot in slots}
    for rank in range(line.workers):
        own = [slot for slot in slots if slot.rank == rank]
        taken = {slot.at for slot in own}
        at = 0
        for slot in own:
            lacking = Step("W", slot.step.stage, slot.step.micro_batch)
            if slot.step.kind == "B" and lacking not in there:
                at = max(at, slot.at + 1)
                while at in taken:
                    at += 1
                taken.add(at)
                found.append(Slot(at, rank, lacking))
    return sorted(found)


def order_of(line: Line, slots: list[Slot]) -> Order:
    """The order of the slots."""
    ranks: list[list[Step]] = [[] for _ in range(line.workers)]
    for slot in slots:
        ranks[slot.rank].append(slot.step)
    return in_a_row(ranks, line.place)


def made(line: Line, block: Block, period: int) -> Order | None:
    """The order of a block; None if it does not meet the cap."""
    lives = ((slots[3] - slots[0]) + (slots[2] - slots[1]) for slots in block)
    if max(lives) * line.share > line.memory_cap * period:
        return None
    slots = with_weights(line, repeated(line, block, period))
    if peak_of(line, order_of(line, slots)) > line.memory_cap + ROUNDING:
        return None
    order = order_of(line, moved(line, slots))
    return order if peak_of(line, order) <= line.memory_cap + ROUNDING else None


def repeating(line: Line) -> list[Order]:
    """The best orders of blocks. They are chosen with twice as many micro-batches as ranks: beginning and end are then
    as with more."""
    few = replace(line, micro_batches=min(line.micro_batches, 2 * line.workers))
    found, tried = [], 0
    for period in PERIODS:
        for number, block in enumerate(blocks(line.workers, period)):
            order = made(few, block, period) if tried < TRIED else None
            if order is not None:
                found.append((cost_of(few, order), period, number, block))
                tried += len(order.cells)
        if found:
            break
    orders = (made(line, block, period) for _, period, _, block in sorted(found)[:BEST])
    return [order for order in orders if order is not None]


def _rules(line: Line) -> Iterator[Rule]:
    """Of list scheduling: the forwards down the V are limited, those up it are not."""
    workers = line.workers
    for patience, extra, slope, preference in product((0.0, 0.5), (0, 1, 2), SLOPES, PREFERENCES):
        limits = limits_of(line, slope, extra)
        yield Rule(
            tuple(
                tuple((int(k in "Bb"), 2 * workers - 1 - rank if k in "fb" else rank) for k in preference)
                for rank in range(workers)
            ),
            (*limits, *(2 * line.micro_batches,) * workers),
            patience,
        )


# A search is long, and a run builds its order more than once.
@lru_cache(maxsize=64)
def _found(line: Line) -> Order:
    return best_of(line, _rules(line), repeating(line))


def v_half(
    workers: int,
    micro_batches: int,
    *,
    durations: Durations | None = None,
    latency: int = 0,
    memory_cap: float | None = None,
    activations: tuple[float, float] = (1.0, 1.0),
) -> Order:
    """The order found under half of 1F1B's memory, to whole micro-batches as the paper has it, floor((p + 2) / 2),
    unless another cap is said.

    Args:
        durations: nanoseconds of F, B and W by stage; all one without.
        latency: nanoseconds of a message.
        memory_cap: in M_B.
        activations: M_B and M_W, in any unit.
    Raises:
        ValueError: if no order meets the cap.
    """
    cap = (workers + 2) // 2 if memory_cap is None else memory_cap
    return _found(line_of(_folded(workers), micro_batches, durations, latency, cap, activations))


def v_min(
    workers: int,
    micro_batches: int,
    *,
    durations: Durations | None = None,
    latency: int = 0,
    memory_cap: float | None = None,
    activations: tuple[float, float] = (1.0, 1.0),
) -> Order:
    """As `v_half`, under a third, floor((p + 4) / 3), unless another cap is said."""
    cap = (workers + 4) // 3 if memory_cap is None else memory_cap
    return _found(line_of(_folded(workers), micro_batches, durations, latency, cap, activations))


def _folded(workers: int) -> list[int]:
    """The ranks of the stages, down the V and up it."""
    return [*range(workers), *reversed(range(workers))]
