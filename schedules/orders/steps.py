"""What a pipeline's rank does, one after the other: steps, and the pairs of them that begin and end together."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import zip_longest
from typing import Final, Literal, NamedTuple

Kind = Literal["F", "B", "W", "D"]
"""F: forward; B: backward for the input; W: backward for the weights; D: both in one, as plain back-propagation."""


class Step(NamedTuple):
    """One step: a stage, one micro-batch. It prints as `3F7`.

    Attributes:
        kind: see `Kind`.
        stage: of the order's; see `Order.place`.
        micro_batch: counted from 0, through all chains and, without a flush, through the whole stream.
    """

    kind: Kind
    stage: int
    micro_batch: int

    def __str__(self) -> str:
        return f"{self.stage}{self.kind}{self.micro_batch}"


class Pair(NamedTuple):
    """A forward and a backward of two micro-batches that begin and end together (DualPipe). Prints as `(3F7;5D2)`."""

    forward: Step
    backward: Step

    def __str__(self) -> str:
        return f"({self.forward};{self.backward})"


Cell = Step | Pair
"""What a rank does at a time."""


def steps_of(cell: Cell) -> tuple[Step, ...]:
    """The steps of a cell: one, or the two of a pair."""
    return (cell,) if isinstance(cell, Step) else (cell.forward, cell.backward)


class Standing(NamedTuple):
    """Where a cell stands: on which rank, and after how many others."""

    rank: int
    at: int


STEPS_AROUND: Final = 4
"""So many cells on either side of the place that a board is about."""
RANKS_AROUND: Final = 8
"""And so many ranks."""


def board(ranks: Sequence[Sequence[Cell]], marked: Collection[Standing], notes: Mapping[int, str] | None = None) -> str:
    """The ranks, step by step, around the marked cells, which stand in brackets.

    Args:
        ranks: the cells of every rank.
        marked: where what is wrong stands; a rank without any is shown at the first one's step.
        notes: what else is said of a rank.
    """
    if not marked:
        return ""
    first = min(marked)
    shown = range(max(0, first.rank - RANKS_AROUND), min(len(ranks), first.rank + RANKS_AROUND + 1))
    middle = dict.fromkeys(shown, first.at) | {place.rank: place.at for place in sorted(marked, reverse=True)}
    lines = []
    for rank in shown:
        begin = max(0, middle[rank] - STEPS_AROUND)
        cells = enumerate(ranks[rank][begin : middle[rank] + STEPS_AROUND + 1], begin)
        texts = [f"[{cell}]" if Standing(rank, at) in marked else f" {cell} " for at, cell in cells]
        lines.append([f"rank {rank}", f"from step {begin}{(notes or {}).get(rank, '')}:", *texts])
    widths = [max(map(len, column)) for column in zip_longest(*lines, fillvalue="")]
    return "".join(f"\n  {' '.join(map(str.ljust, line, widths))}".rstrip() for line in lines)
