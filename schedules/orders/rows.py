"""The cells of an order as rows of arrays, and the rounds in which they can all go: what is worked out of it fast."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from schedules.orders.steps import Cell, Step, steps_of

Numbers = NDArray[np.int64]

KINDS = {"F": 0, "B": 1, "D": 1, "W": 2}
"""B and D hand on the same: the gradient for the stage's input."""


class Rows(NamedTuple):
    """The cells, rank by rank, as rows 0 to N - 1. Row N is over before all begin, row N + 1 never.

    Attributes:
        before: [N] the row before each on its rank, N of the first.
        needs: [columns, N] the rows that each waits for beside it: of other ranks, N, or N + 1 where it waits for ever.
        is_message: [columns] whether what it waits for comes from another stage. A stage's own is on its rank; but an
            engine of that rank may stand here as a rank.
        rounds: rows that can go together when those of the rounds before have gone: of each rank its next, if it can.
        stuck: the rows that stand first on their ranks when nothing can go on: none if the order is possible.
    """

    before: Numbers
    needs: Numbers
    is_message: NDArray[np.bool_]
    rounds: list[Numbers]
    stuck: Numbers


def rows_of(
    ranks: Sequence[Sequence[Cell]], chains: Sequence[Sequence[int]], waits: Sequence[tuple[Step, Step]] = ()
) -> Rows:
    """The rows of an order's ranks, chains of stages and further waits."""
    lengths = [len(cells) for cells in ranks]
    firsts = np.concatenate(([0], np.cumsum(lengths, dtype=np.int64)))
    cells = list(chain.from_iterable(ranks))
    before = np.arange(-1, len(cells) - 1)
    before[firsts[:-1][firsts[:-1] < len(cells)]] = len(cells)
    needs, is_message = _needs(cells, chains, np.repeat(np.arange(len(ranks)), lengths))
    if waits:
        needs = np.vstack((needs, _waits(cells, waits)))
        is_message = np.append(is_message, False)
    rounds, stuck = _rounds(needs, firsts)
    return Rows(before, needs, is_message, rounds, stuck)


def _needs(cells: Sequence[Cell], chains: Sequence[Sequence[int]], rank: Numbers) -> tuple[Numbers, NDArray[np.bool_]]:
    """See `Rows.needs`: of each step the step of its own stage, and that of the stage before or after."""
    number = len(cells)
    paired = not all(isinstance(cell, Step) for cell in cells)
    steps = list(chain.from_iterable(map(steps_of, cells))) if paired else cells
    row = np.repeat(np.arange(number), [len(steps_of(cell)) for cell in cells]) if paired else np.arange(number)
    if not number:
        return np.empty((0, 0), dtype=np.int64), np.empty(0, dtype=np.bool_)
    letters, stages, numbers = zip(*steps, strict=True)
    kind = np.array([KINDS[letter] for letter in letters])
    stage, k = np.array(stages), np.array(numbers)
    rows = np.full((3, stage.max() + 2, k.max() + 1), number + 1)  # the last stage is that of none
    rows[kind[::-1], stage[::-1], k[::-1]] = row[::-1]  # the first counts, of those that are there twice
    early, late = _neighbours(chains, int(stage.max()) + 1)
    own = np.where(kind == 0, number, rows[kind - 1, stage, k])
    neighbour = np.where(kind == 0, early[stage], late[stage])
    other = np.where((kind == 2) | (neighbour < 0), number, rows[np.minimum(kind, 1), neighbour, k])
    columns = np.full((2 * (1 + paired), number), number)
    second = np.concatenate(([False], row[1:] == row[:-1]))
    for at, wanted in enumerate((own, other)):
        columns[at, row[~second]] = wanted[~second]
        if paired:
            columns[2 + at, row[second]] = wanted[second]
    columns = _without_what_rank_order_says(columns, rank)
    is_used = (columns != number).any(axis=1)
    return columns[is_used], (np.arange(len(columns)) % 2 == 1)[is_used]


def _waits(cells: Sequence[Cell], waits: Sequence[tuple[Step, Step]]) -> Numbers:
    """A column of `Rows.needs`."""
    row = {step: at for at, cell in enumerate(cells) for step in steps_of(cell)}
    column = np.full(len(cells), len(cells))
    for step, other in waits:
        column[row[step]] = row[other]
    return column


def _neighbours(chains: Sequence[Sequence[int]], stages: int) -> tuple[Numbers, Numbers]:
    """The stage before each, and the one after: -1 of none."""
    early, late = np.full(stages, -1), np.full(stages, -1)
    for one, next_one in (pair for stages_of_one in chains for pair in pairwise(stages_of_one)):
        if max(one, next_one) < stages:
            early[next_one], late[one] = one, next_one
    return early, late


def _without_what_rank_order_says(columns: Numbers, rank: Numbers) -> Numbers:
    """The columns without what stands earlier on the same rank; what stands later there never comes."""
    number = columns.shape[1]
    own = np.arange(number)
    is_own = np.append(rank, [-1, -1])[columns] == rank
    return np.where(is_own, np.where(columns < own, number, number + 1), columns)


def _rounds(needs: Numbers, firsts: Numbers) -> tuple[list[Numbers], Numbers]:
    """The rounds, and the rows that are stuck after them."""
    number = int(firsts[-1])
    waits = np.hstack((needs, np.full((len(needs), 1), number + 1))) if len(needs) else None
    following = np.arange(1, number + 2)
    following[firsts[1:] - 1] = number  # behind the last row of a rank is none
    following[-1] = number
    over = np.zeros(number + 2, dtype=bool)
    over[number] = True
    head = np.where(np.diff(firsts) > 0, firsts[:-1], number)
    rounds: list[Numbers] = []
    while True:
        ready = head < number
        for column in waits if waits is not None else ():
            ready &= over[column[head]]
        going = head[ready]
        if not len(going):
            return rounds, head[head < number]
        rounds.append(going)
        over[going] = True
        head[ready] = following[going]
