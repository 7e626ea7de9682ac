"""What goes between the ranks and rank 0's desk, and how it is written: the only place that knows.

A rank first says which it is. Then it asks: for the time (None), or to meet, leave or join. It is answered with the
time (a number), or with a partner and when that one was there.
"""

from __future__ import annotations

from multiprocessing.connection import Connection
from typing import NamedTuple, TypeAlias

from schedules.operations import Partner

Line: TypeAlias = "Connection[object, object]"
"""One end of a connection between a rank and the desk."""


class Question(NamedTuple):
    """What a rank asks.

    Attributes:
        what: `Meet`, `Leave` or `Join`.
        candidates: whom it would meet.
        now_ns: when it asks.
    """

    what: str
    candidates: tuple[int, ...]
    now_ns: int


class Answer(NamedTuple):
    """What it is told: whom it meets, or None, and when the last of the two had asked."""

    partner: Partner | None
    ready_ns: int


def introduce(line: Line, rank: int) -> None:
    """Say which rank is on this line."""
    line.send(rank)


def introduced(line: Line) -> int:
    """Which rank is on the line: inverse of `introduce`."""
    rank = line.recv()
    assert isinstance(rank, int)
    return rank


def ask(line: Line, question: Question | None) -> None:
    """Ask, for the time if for nothing else."""
    line.send(None if question is None else tuple(question))


def asked(line: Line) -> Question | None:
    """Inverse of `ask`."""
    question = line.recv()
    assert question is None or isinstance(question, tuple)
    return None if question is None else Question(*question)


def answer(line: Line, told: Answer | int) -> None:
    """Answer, with the time if it was asked for."""
    line.send(told if isinstance(told, int) else tuple(told))


def answered(line: Line) -> Answer | int:
    """Inverse of `answer`."""
    told = line.recv()
    assert isinstance(told, int | tuple)
    return told if isinstance(told, int) else Answer(*told)
