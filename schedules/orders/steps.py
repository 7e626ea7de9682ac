"""What a pipeline's rank does, one after the other: steps, and the pairs of them that begin and end together."""

from __future__ import annotations

from typing import Literal, NamedTuple

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
