"""Following a trace: it fixes, for every rank, the order in which its streams were resumed, and every recorded answer.

Segments between two yields are atomic, so the order decides the numbers: a replayed run ends with the same parameters
as the original. Times, peers and arrivals are delivered as recorded; payloads are exchanged anew.
"""

from __future__ import annotations

import math
from collections import defaultdict
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from schedules.driving.driver import Handler, Running, Stream
from schedules.errors import DivergenceError
from schedules.operations import Await, Barrier, Compute, Meet, Operation, Partner, Receive, Take, Until
from schedules.record.trace import What, describe, moved

if TYPE_CHECKING:
    import pandas as pd


LOST = "lost"
"""The recorded answer of an exchange that was given up, as its other end had failed."""


class Row(NamedTuple):
    """What a replay needs of one operation of the trace."""

    stream: str
    op: What
    peer: int
    tag: int
    size: int
    start_ns: int
    end_ns: int
    answer: str

    def __str__(self) -> str:
        name, kernel, stage, micro_batch, group, channel = self.op
        words = {"kernel": kernel, "stage": stage, "micro_batch": micro_batch, "group": group, "channel": channel}
        words |= {"peer": self.peer, "tag": self.tag, "bytes": self.size or -1}  # -1 is not shown
        return f"{name}({', '.join(f'{key}={value}' for key, value in words.items() if value not in (-1, ''))})"


Asked = tuple[int, str, What, int, int, int]
"""Of a started operation: rank, program, and what `Row` has from `op` to `size`; -1 of a receive (`_is_recorded`)."""


class Replay:
    """The recorded order of some ranks, and how far it has been followed.

    Args:
        trace: table with `schedules.record.trace.COLUMNS`; rows of a rank in the order in which its streams were
            resumed.
        gradient_s: gradient time of the recorded run in seconds: recorded times are told in its units.
        cut_ns: when the recorded run was cut; None: it was not.
        is_whole: whether its programs came to their end. If not, or if it was cut, the replay ends with its rows.
    Attributes:
        cut_at: when the recorded run was cut, in its gradient times, or None.
    """

    def __init__(
        self,
        trace: pd.DataFrame,
        gradient_s: float,
        cut_ns: int | None = None,
        is_whole: bool = True,
    ) -> None:
        self.gradient_ns = gradient_s * 1e9
        self.cut_at = None if cut_ns is None else cut_ns / self.gradient_ns
        self.is_whole = is_whole and cut_ns is None
        self._order: dict[int, list[Row]] = defaultdict(list)
        self._rows: dict[tuple[int, str], list[Row]] = defaultdict(list)
        self._next: dict[int, int] = defaultdict(int)
        self._held: dict[int, dict[str, Stream]] = defaultdict(dict)
        self._draining: set[int] = set()
        self._started: dict[Asked, list[Row]] = defaultdict(list)
        operations = trace[trace["op"] != "Apply"]  # no program yields these
        if "channel" not in operations.columns:
            operations = operations.assign(channel="")  # of an older version
        columns = [
            "rank",
            "stream",
            "op",
            "kernel",
            "stage",
            "micro_batch",
            "group",
            "channel",
            "peer",
            "tag",
            "bytes",
            "start_ns",
            "end_ns",
            "answer",
        ]
        for rank, stream, op, kernel, stage, micro, group, channel, peer, tag, size, start, end, answer in zip(
            *(operations[column].tolist() for column in columns), strict=True
        ):
            row = Row(stream, (op, kernel, stage, micro, group, channel), peer, tag, size, start, end, answer)
            program, _, lane = stream.partition("+")
            if lane:
                asked = -1 if op == Receive.__name__ else size
                self._started[rank, program, row.op, peer, tag, asked].append(row)
            else:
                self._order[rank].append(row)
                self._rows[rank, stream].append(row)
        for rows in self._started.values():
            rows.sort(key=lambda row: row.start_ns)  # they were recorded when they were over

    def handlers(self) -> dict[type[Operation], Handler]:
        """What a replay answers itself: clocks do not make it wait, and whom to meet is recorded."""
        at_once = {Until: _at_once, Meet: self._meet}
        # Of a run that lost a rank: the others have not waited for it, and a barrier hands over nothing.
        return at_once if self.is_whole else {**at_once, Barrier: _at_once}

    def issue(self, stream: Stream, handler: Handler) -> None:
        """A stream asks for an operation: it must be the recorded one."""
        row = self._row(stream)
        if row is None:
            if stream.is_daemon:  # it was closed when the others had ended, perhaps before it asked for this
                return
            if not self.is_whole:
                self._help(stream, handler)
                return
            raise DivergenceError(f"{_label(stream)}: the program yields {stream.operation}, the trace has ended there")
        operation = stream.operation
        if not _is_recorded(operation, row):  # looked at before the world does anything
            raise DivergenceError(f"{_label(stream)}: the program yields {operation}, the trace has {row}")
        if row.answer == LOST:
            stream.note = LOST
        if row.answer == LOST or handler(stream):
            self.hold(stream)

    def _help(self, stream: Stream, handler: Handler) -> None:
        """A stream asks for what was under way when the recorded run was cut: it is resumed no more.

        What it asked for begins all the same: its other end may have been over by then. But what has no other end does
        not.
        """
        if not isinstance(stream.operation, Until | Meet | Await | Compute):
            handler(stream)

    def start(self, started: Running, handler: Handler) -> bool:
        """An operation is started: it has its recorded answer, if it has one that a world would choose.

        One that was cancelled, or not over by the end, is in no trace: nobody answers it.
        """
        row = self._started_row(started)
        if row is not None and row.answer == LOST:
            started.note = LOST
            return True
        if row is None and not self.is_whole:
            started.lane = -1  # it was under way at the end: it may serve its other end, and has no row here either
            if isinstance(started.operation, Compute):
                return False
        if not isinstance(started.operation, Meet):
            return handler(started)
        if row is None:
            return False
        _answer_meeting(started, row)
        return True

    def hold(self, stream: Stream) -> None:
        """A stream's operation is over: resume what is next in the recorded order, as far as it is there."""
        rank = stream.worker.rank
        self._held[rank][stream.name] = stream
        # Resuming a program may end its next operation at once, which calls this again: the loop below goes on with it,
        # so the stack does not grow with the trace.
        if rank in self._draining:
            return
        self._draining.add(rank)
        order, held = self._order[rank], self._held[rank]
        while self._next[rank] < len(order):
            row = order[self._next[rank]]
            ready = held.pop(row.stream, None)
            if ready is None:
                break
            self._next[rank] += 1
            is_number = row.answer and row.op[0] == Take.__name__
            ready.replayed((int(row.answer) if is_number else ready.result, row.end_ns / self.gradient_ns))
        self._draining.discard(rank)

    def wanted(self, stream: Stream) -> frozenset[int]:
        """The positions that had arrived when the recorded `Await` ended."""
        row = self._row(stream)
        assert row is not None, "issue() has checked it"
        return frozenset(int(position) for position in row.answer.split(",") if position)

    def is_through(self, rank: int) -> bool:
        """Whether all rows of a rank of a run that was cut have been followed: its replay has ended there."""
        return not self.is_whole and self._next[rank] >= len(self._order[rank])

    def check_end(self) -> None:
        """The programs have ended: so must the trace.

        Raises:
            DivergenceError: if the trace goes on, naming its next operation.
        """
        for rank, order in self._order.items():
            if self._next[rank] < len(order):
                row = order[self._next[rank]]
                raise DivergenceError(
                    f"replay diverges at rank {rank}, {row.stream}: the program has ended, the trace has {row}"
                )

    def _meet(self, running: Running) -> bool:
        row = self._row(running.stream)
        assert row is not None, "issue() has checked it"
        _answer_meeting(running, row)
        return True

    def _started_row(self, started: Running) -> Row | None:
        """The row of a started operation: the first of its kind that was issued from its `Start` on, and before what
        its program did next was over: then it may have started another of this kind."""
        stream, operation = started.stream, started.operation
        rank = stream.worker.rank
        size = -1 if isinstance(operation, Receive) else moved(operation)
        found = (describe(operation), operation.peer, operation.tag, size)
        rows = self._rows[rank, stream.name]
        if stream.index >= len(rows):  # started when the recorded run was cut: nobody has heard of it
            return None
        begin = rows[stream.index].start_ns
        # Not simply what follows: of operations that were over at once, several may have followed at the same time, as
        # the record has it, and in real time what they started began a little later.
        following = (row.end_ns for row in islice(rows, stream.index + 1, None))
        end = next((each for each in following if each > begin), math.inf)
        candidates = self._started[rank, stream.name, *found]
        row = next(
            (each for each in candidates if begin <= each.start_ns <= end and _is_recorded(operation, each)), None
        )
        if row is not None:
            candidates.remove(row)  # the next of its kind has the next row
        return row

    def _row(self, stream: Stream) -> Row | None:
        rows = self._rows[stream.worker.rank, stream.name]
        return rows[stream.index] if stream.index < len(rows) else None


def _is_recorded(operation: Operation, row: Row) -> bool:
    """Whether a row is of this operation. Of a receive it has what came, which may be less than was asked for."""
    if (describe(operation), operation.peer, operation.tag) != (row.op, row.peer, row.tag):
        return False
    size = moved(operation)
    return row.size <= size if isinstance(operation, Receive) else row.size == size


def _answer_meeting(running: Running, row: Row) -> None:
    running.note = row.answer
    running.result = read_partner(row.answer)


def note_partner(partner: Partner | None) -> str:
    """How the answer of `Meet` is recorded."""
    return "nobody" if partner is None else f"{partner.peer}#{partner.meeting}"


def read_partner(text: str) -> Partner | None:
    """Inverse of `note_partner`."""
    if text == "nobody":
        return None
    peer, _, index = text.partition("#")
    return Partner(int(peer), int(index))


def _at_once(_: Running) -> bool:
    return True


def _label(stream: Stream) -> Any:
    return f"replay diverges at rank {stream.worker.rank}, {stream.name} #{stream.index}"
