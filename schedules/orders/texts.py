"""Orders as text: torch's CSV, written and read, and the cells that the zero-bubble repository prints, read.

torch's `compute_only` CSV has a row a rank and a cell a step: `3F7` is stage 3's forward of micro-batch 7, `3I7` and
`3W7` the two parts of its backward (our B and W), `3B7` the whole (our D), `(0F7;7B3)OVERLAP_F_B` a pair. An empty cell
is an idle slot. Of `compute_comms` what is no computation is left out, for it follows from the order.

The zero-bubble repository (`print_schedule` of its schedulers) prints a line a rank, `f0 f1 b0 w0`; with two stages a
rank, in a V, one of them in capitals. B is the whole backward where the micro-batch has no W. What sends, receives and
validates is left out.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from schedules.orders.order import Order, OrderError
from schedules.orders.steps import Cell, Kind, Pair, Step, steps_of

TORCH: Final = {"F": "F", "B": "I", "W": "W", "D": "B"}
"""torch's letters."""
FROM_TORCH: Final[dict[str, Kind]] = {"F": "F", "I": "B", "W": "W", "B": "D"}

STEP = re.compile(r"(\d+)([FIWB])(\d+)")
OURS = re.compile(r"\b(\d+)([FBWD])(\d+)\b")
PAIR = re.compile(r"\(\s*(\d+)F(\d+)\s*;\s*(\d+)B(\d+)\s*\)OVERLAP_F_B")
NO_COMPUTATION = re.compile(r"\d+(?:(?:SEND|RECV)_[FB]\d+|UNSHARD|RESHARD|REDUCE_GRAD)")
LETTERS: Final[dict[str, Kind]] = {"F": "F", "B": "B", "W": "W"}
PRINTED = re.compile(r"([FBWfbw])-?(\d+)")
PRINTED_NO_COMPUTATION = re.compile(r"(?:[SR][FB]|[SR]?PV)\d+", re.IGNORECASE)


def write_csv(order: Order) -> str:
    """torch's `compute_only` CSV of an order, without idle slots."""
    rows = ([_torchs(cell) for cell in cells] for cells in order.ranks)
    return "".join(f"{','.join(row)}\n" for row in rows)


def _torchs(cell: Cell) -> str:
    """A cell in torch's letters."""
    texts = [f"{step.stage}{TORCH[step.kind]}{step.micro_batch}" for step in steps_of(cell)]
    return texts[0] if len(texts) == 1 else f"({';'.join(texts)})OVERLAP_F_B"


def read_csv(text: str, file: str = "the order") -> Order:
    """The order that a text has, of torch's letters or printed by the zero-bubble repository.

    Where a stage is follows from the text. The order is not looked through: see `Order.check`.

    Args:
        file: what the text is called in errors.
    Raises:
        OrderError: if a cell is none, with the file, row and column; or a stage is missing.
    """
    table = [
        [Written(file, row, column, cell) for column, cell in enumerate(_cells(line), 1)]
        for row, line in enumerate(text.splitlines(), 1)
        if line.strip(", \t")
    ]
    if not table:
        raise OrderError(f"{file}: expected a row of cells a rank, found none")
    return _placed(_printed(table) if _is_printed(text) else _from_torch(table), file)


def _is_printed(text: str) -> bool:
    """Whether a text's first cell begins with its letter, as the zero-bubble repository prints it."""
    return text.lstrip(", \t\r\n")[:1].isalpha()


def _as_written(told: str, text: str) -> str:
    """Words about an order, its steps in the letters of the text that it was read from."""
    letters = {"D": "B"} if _is_printed(text) else TORCH
    return OURS.sub(lambda step: f"{step[1]}{letters.get(step[2], step[2])}{step[3]}", told)


def order_of_a_file(workers: int, micro_batches: int, *, text: str | None = None, file: str = "the order") -> Order:
    """The order that a text has, if so many workers can run it.

    Raises:
        ValueError: if there is no text, or it has other ranks.
        OrderError: see `read_csv` and `Order.check`.
    """
    if text is None:
        raise ValueError("schedule.file: expected a file with an order, found none")
    order = read_csv(text, file)
    if len(order.ranks) != workers:
        raise ValueError(
            f"schedule.file: expected a row a worker of a replica, {workers}, found {len(order.ranks)}, in {file}"
        )
    try:
        order.check(micro_batches)
    except OrderError as error:
        raise OrderError(f"{file}: {_as_written(str(error), text)}") from None
    return order


class Written(NamedTuple):
    """A cell of a file, where it stands, from 1."""

    file: str
    row: int
    column: int
    text: str

    def error(self, expected: str) -> OrderError:
        """Of a cell that is none."""
        return OrderError(
            f"{self.file}, row {self.row}, column {self.column}: expected {expected}, found {self.text!r}"
        )


def _cells(line: str) -> list[str]:
    """The cells of a line, which commas divide, or blanks where there is none."""
    return [cell.strip() for cell in line.split(",")] if "," in line else line.split()


def _from_torch(table: Sequence[Sequence[Written]]) -> list[list[Cell]]:
    """The ranks' cells."""
    return [[cell for written in row if (cell := _one_of_torch(written)) is not None] for row in table]


def _one_of_torch(written: Written) -> Cell | None:
    """A cell; None of what is no computation, or idle."""
    if match := STEP.fullmatch(written.text):
        stage, letter, micro_batch = match.groups()
        return Step(FROM_TORCH[letter], int(stage), int(micro_batch))
    if match := PAIR.fullmatch(written.text):
        stage, micro_batch, other, its = map(int, match.groups())
        return Pair(Step("F", stage, micro_batch), Step("D", other, its))
    if written.text and not NO_COMPUTATION.fullmatch(written.text):
        raise written.error("a step as torch writes it, such as 2F0, 2I0, 2W0, 2B0 or (0F7;7B3)OVERLAP_F_B")
    return None


def _one_printed(written: Written) -> tuple[str, int] | None:
    """The letter and number of a cell; None of what is no computation."""
    if match := PRINTED.fullmatch(written.text):
        return match[1], int(match[2])
    if written.text and not PRINTED_NO_COMPUTATION.fullmatch(written.text):
        raise written.error("a step as the zero-bubble repository prints it, such as F0, B0, W0 or f0")
    return None


def _printed(table: Sequence[Sequence[Written]]) -> list[list[Cell]]:
    """The ranks' cells, of what the zero-bubble repository prints."""
    cells = [[match for written in row if (match := _one_printed(written)) is not None] for row in table]
    far = 2 * len(cells) - 1
    found: list[list[Cell]] = []
    for rank, row in enumerate(cells):
        near = row[0][0].isupper() if row else True  # the first step of a rank is of its first stage
        parted = {(letter.isupper(), k) for letter, k in row if letter in "Ww"}
        found.append([])
        for letter, k in row:
            kind: Kind = "D" if letter in "Bb" and (letter.isupper(), k) not in parted else LETTERS[letter.upper()]
            found[-1].append(Step(kind, rank if letter.isupper() == near else far - rank, k))
    return found


def _placed(ranks: Sequence[Sequence[Cell]], file: str) -> Order:
    """The order of ranks, each of whose stages is where its first step is.

    Two chains, as DualPipe's, are one half of the stages with earlier micro-batches than the other half has.
    """
    steps = [(rank, step) for rank, cells in enumerate(ranks) for cell in cells for step in steps_of(cell)]
    place: dict[int, int] = {}
    for rank, step in steps:
        place.setdefault(step.stage, rank)
    stages = range(max(place, default=-1) + 1)
    if missing := set(stages) - place.keys():
        raise OrderError(f"{file}: expected steps of stages 0 to {stages[-1]}, found none of stage {min(missing)}")
    half = len(stages) // 2
    first, second = ({step.micro_batch for _, step in steps if (step.stage < half) is early} for early in (True, False))
    is_two = len(stages) == 2 * half and max(first, default=0) < min(second, default=0)
    chains = (tuple(stages[:half]), tuple(stages[half:])) if is_two else (tuple(stages),)
    return Order(tuple(map(tuple, ranks)), tuple(place[stage] for stage in stages), chains)
