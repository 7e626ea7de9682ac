"""The board of all ranks: each tells who waits for what there, and the launcher draws one picture."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from types import SimpleNamespace
from typing import Any, NamedTuple

from schedules.driving.board import board
from schedules.driving.driver import Stream
from schedules.operations import Handle, parse


class Waiting(NamedTuple):
    """A stream that waits, in plain values: they go through JSON."""

    rank: int
    stream: str
    number: int
    operation: str
    since_ns: int
    awaits: list[list[str]]
    """Operation and lane of each started operation that it awaits."""
    has_left: bool = False


def waiting(streams: Iterable[Stream]) -> list[Waiting]:
    """Who waits for what on this rank."""
    return [
        Waiting(
            each.worker.rank, each.name, each.index, str(each.operation), each.start_ns, _awaits(each), each.has_left
        )
        for each in streams
        if not each.is_over and not each.is_daemon and each.operation is not None
    ]


def _awaits(stream: Stream) -> list[list[str]]:
    pending = (each.running for each in stream.awaited or () if not each.running.is_over)
    return [[str(running.operation), running.name] for running in pending]


def draw(ranks: Sequence[Sequence[Waiting]], now: int, ended: Iterable[int] = ()) -> str:
    """The board, with a remark where two ranks wait for each other in vain, and the ranks whose programs have ended."""
    # The picture is the driver's, which draws streams: these have what it asks of them.
    streams: Any = [_stream(Waiting(*each)) for rank in ranks for each in rank]
    return board(streams, now, ended=ended)


def _stream(told: Waiting) -> Any:
    handles = tuple(
        Handle(0, SimpleNamespace(is_over=False, operation=parse(text), name=lane)) for text, lane in told.awaits
    )
    return SimpleNamespace(
        worker=SimpleNamespace(rank=told.rank),
        name=told.stream,
        index=told.number,
        operation=parse(told.operation),
        start_ns=told.since_ns,
        awaited=handles,
        is_over=False,
        is_daemon=False,
        has_left=told.has_left,
    )
