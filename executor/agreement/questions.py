"""What goes between the ranks and rank 0's desk, and how it is written: the only place that knows.

A rank asks for the time (None), or to meet, leave or join, and says when its programs are over. It is answered with the
time (a number), or with a partner and when that one was there. All are numbers of fixed widths in bytes: who reads them
builds nothing that the sender names, and what is no question or answer is an error that ends its connection.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from executor.agreement.line import Line
from schedules.operations import Partner

_WORDS = {0: "Time", 1: "Meet", 2: "Leave", 3: "Join", ord("E"): "End"}
_NUMBERS = {word: number for number, word in _WORDS.items()}
_TIME = _WORDS[0]
_QUESTION = struct.Struct("<Bq")  # which word, and when it is asked; the candidates follow
_CANDIDATE_BYTES = 4
_TIME_TOLD = struct.Struct("<q")
_PARTNER_TOLD = struct.Struct("<qii")
_NOBODY = -1


class Question(NamedTuple):
    """What a rank asks.

    Attributes:
        what: `Meet`, `Leave` or `Join`; `End` says that the rank's programs are over.
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


def ask(line: Line, question: Question | None) -> None:
    """Ask, for the time if for nothing else."""
    what, candidates, now_ns = question or Question(_TIME, (), 0)
    line.send(_QUESTION.pack(_NUMBERS[what], now_ns) + struct.pack(f"<{len(candidates)}I", *candidates))


def asked(message: bytes) -> Question | None:
    """What a message of `ask` says.

    Raises:
        ConnectionError: if it is none.
    """
    num_candidates, rest = divmod(len(message) - _QUESTION.size, _CANDIDATE_BYTES)
    if num_candidates < 0 or rest or message[0] not in _WORDS:
        raise ConnectionError("expected a question")
    word, now_ns = _QUESTION.unpack_from(message)
    candidates = struct.unpack_from(f"<{num_candidates}I", message, _QUESTION.size)
    return None if _WORDS[word] == _TIME else Question(_WORDS[word], candidates, now_ns)


def answer(line: Line, told: Answer | int) -> None:
    """Answer, with the time if it was asked for."""
    if isinstance(told, int):
        line.send(_TIME_TOLD.pack(told))
    else:
        line.send(_PARTNER_TOLD.pack(told.ready_ns, *(told.partner or (_NOBODY, _NOBODY))))


def answered(message: bytes) -> Answer | int:
    """What a message of `answer` says.

    Raises:
        ConnectionError: if it is none.
    """
    if len(message) == _TIME_TOLD.size:
        return int(_TIME_TOLD.unpack(message)[0])
    if len(message) != _PARTNER_TOLD.size:
        raise ConnectionError("expected an answer")
    ready_ns, peer, meeting = _PARTNER_TOLD.unpack(message)
    return Answer(None if peer == _NOBODY else Partner(peer, meeting), ready_ns)
