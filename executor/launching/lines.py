"""What the launcher and the nursery write to each other: a line of JSON each."""

from __future__ import annotations

from typing import TypedDict


class OrderTables(TypedDict, total=False):
    """The fields of `executor.seat.Task`."""

    scenario: dict[str, object]
    replay: str
    followed: tuple[float, int | None, bool]


class RunOrder(TypedDict):
    """What the launcher asks for: a run by number, with its processes' working directory and import path."""

    run: int
    workers: int
    directory: str
    cwd: str
    path: list[str]
    order: OrderTables


class RankEvent(TypedDict, total=False):
    """What the nursery tells: a rank's process has begun (`pid`) or ended (`status`), or all have (`news`)."""

    run: int
    rank: int
    pid: int
    status: int
    news: str
