"""The board: who is on it, who is not and why, and remarks on what is wrong and on nothing else."""

from __future__ import annotations

from math import inf
from types import SimpleNamespace
from typing import Any

import pytest

from schedules.driving.board import board
from schedules.operations import AllReduce, Await, Exchange, Handle, Operation, Payload, Receive, Send

BYTES = Payload(8)


def stream(
    rank: int, operation: Operation | None, *awaited: Operation, is_over: bool = False, is_daemon: bool = False
) -> Any:
    handles = [
        Handle(number, SimpleNamespace(operation=each, name=f"main+{number}", is_over=False))
        for number, each in enumerate(awaited, start=1)
    ]
    return SimpleNamespace(
        worker=SimpleNamespace(rank=rank), name="main", index=0, operation=operation, start_ns=0, awaited=handles,
        is_over=is_over, is_daemon=is_daemon, has_left=False,
    )  # fmt: skip


def remarks(*streams: Any) -> list[str]:
    return [line.partition("<- ")[2] if "   <- " in line else "" for line in board(streams, 0).splitlines()]


TAGS = "tags differ: the two programs disagree on order"
CHANNELS = "channels differ: neither is for the other"
SENDS = "both send first: neither receives"
RECEIVES = "both receive first: neither sends"
ODD = "an exchange is met by an exchange alone"


@pytest.mark.parametrize(
    ("first", "second", "told"),
    [
        (Exchange(1, BYTES, 9), Exchange(0, BYTES, 10), TAGS),
        (Send(1, BYTES, 1), Receive(0, 8, 2), TAGS),
        (Send(1, BYTES, 1, "a"), Receive(0, 8, 1, "b"), CHANNELS),
        (Send(1, BYTES, 1, "a"), Receive(0, 8, 2, "b"), CHANNELS),
        (Send(1, BYTES, 1), Send(0, BYTES, 1), SENDS),
        (Send(1, BYTES, 1), Send(0, BYTES, 2), SENDS),  # their tags are of opposite directions
        (Send(1, BYTES, 1, "a"), Send(0, BYTES, 1, "b"), SENDS),
        (Receive(1, 8, 1), Receive(0, 8, 2), RECEIVES),
        (Exchange(1, BYTES), Send(0, BYTES), ODD),
        (Receive(1, 8), Exchange(0, BYTES), ODD),
        (Exchange(1, BYTES, 3), Exchange(0, Payload(16), 3), ""),  # their sizes are told by the operations
        (Send(1, BYTES, 1), Receive(2, 8, 2), ""),
        (Send(1, BYTES, 1), AllReduce(BYTES), ""),
    ],
)
def test_what_two_ranks_have_for_each_other(first: Operation, second: Operation, told: str) -> None:
    assert remarks(stream(0, first), stream(1, second), stream(2, AllReduce(BYTES))) == [told, told, ""]


def test_one_that_receives_in_another_stream_does_not_send_first() -> None:
    lines = remarks(stream(0, Send(1, BYTES, 1)), stream(1, Send(0, BYTES, 5)), stream(1, Receive(0, 8, 2)))
    assert lines == [TAGS, "", TAGS]


def test_what_is_started_and_awaited_has_its_remark() -> None:
    waits = Await((1,))
    assert remarks(stream(0, waits, Receive(1, 8, 4)), stream(1, waits, Send(0, BYTES, 5), Send(0, BYTES, 6))) == [
        "", TAGS, "", TAGS, TAGS,
    ]  # fmt: skip
    assert remarks(stream(0, waits, Receive(1, 8, 4)), stream(1, Send(0, BYTES, 4))) == ["", "", ""]


def test_who_has_ended_is_named() -> None:
    over = [stream(rank, None, is_over=True) for rank in (1, 3, 4, 5, 8, 9)]
    daemons = [stream(1, None, is_daemon=True)]
    shown = board([stream(0, AllReduce(BYTES)), *over, *daemons], 2_000_000, ended=(7,))
    assert shown.splitlines() == [
        "  rank 0  main  #0  AllReduce(8 B)  waiting 2.000 ms",
        "  ranks 1, 3 to 5, 7 to 9: their programs have ended",
    ]


def test_a_rank_with_another_stream_has_not_ended() -> None:
    assert "ended" not in board([stream(0, AllReduce(BYTES)), stream(0, None, is_over=True)], 0)


def test_who_has_failed_has_not_come_to_its_end() -> None:
    streams = [stream(0, AllReduce(BYTES)), stream(1, None, is_over=True), stream(2, None, is_over=True)]
    assert board(streams, 0, away={1: inf, 2: 17.0}).splitlines()[1:] == [
        "  rank 1: it has failed, and does not come back",
        "  rank 2: its programs have ended",
    ]
