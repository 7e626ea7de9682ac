"""The board of all ranks, drawn from what each has told of itself."""

import json
from types import SimpleNamespace
from typing import Any

import pytest

from executor.agreement.boards import draw, waiting
from schedules.operations import Meet, Operation, Receive


def told(rank: int, operation: Operation, *, has_left: bool) -> list[Any]:
    """What a rank tells of its one stream, as it comes out of JSON."""
    stream: Any = SimpleNamespace(
        worker=SimpleNamespace(rank=rank), name="gossip", index=3, operation=operation, start_ns=0, awaited=None,
        is_over=False, is_daemon=False, has_left=has_left,
    )  # fmt: skip
    found: list[Any] = json.loads(json.dumps(waiting([stream])))
    return found


@pytest.mark.parametrize("has_left", [False, True])
def test_who_waits_for_others_sake_alone_is_told(has_left: bool) -> None:
    ranks = [told(0, Meet((1,)), has_left=has_left), told(1, Receive(0, 8), has_left=has_left)]
    first, second = draw(ranks, 2_000_000).splitlines()
    remark = "   <- it has left: it needs nobody, and meets those that have not left" if has_left else ""
    assert first == "  rank 0  gossip  #3  Meet(1)  waiting 2.000 ms" + remark
    assert second == "  rank 1  gossip  #3  Receive(<-0 8 B)  waiting 2.000 ms"


def test_who_has_ended_is_named() -> None:
    assert draw([told(0, Receive(1, 8), has_left=False)], 0, ended=[1]).splitlines() == [
        "  rank 0  gossip  #3  Receive(<-1 8 B)  waiting 0.000 ms",
        "  rank 1: its programs have ended",
    ]
