"""What no program can have is refused in a line that begins with the key."""

from __future__ import annotations

import re
from typing import Any

import pytest

from schedules import orders


@pytest.mark.parametrize(
    ("program", "workers", "micro_batches", "settings", "message"),
    [
        ("1f2b", 4, 8, {}, "schedule.program: expected one of gpipe, 1f1b, "),
        ("1f2b", 4, 8, {}, ", found '1f2b' (did you mean 1f1b"),
        ("gpipe", 4, 0, {}, "schedule.micro_batches: expected at least 1, found 0"),
        ("gpipe", 0, 4, {}, "topology.workers: expected at least 1, found 0"),
        ("gpipe", 4, 8, {"chunks": 2}, "schedule.chunks: expected none beside program = 'gpipe', found 2"),
        ("petra", 4, 8, {"overlap_last": True}, "schedule.overlap_last: expected none beside program = 'petra', found"),
        ("looped-bfs", 4, 8, {"chunks": 0}, "schedule.chunks: expected at least 1, found 0"),
        ("zb-v", 4, 8, {"chunks": 3}, "schedule.chunks: expected 2, which a V has, found 3"),
        ("dualpipe-v", 4, 8, {"chunks": 4}, "schedule.chunks: expected 2, which a V has, found 4"),
        ("interleaved-1f1b", 4, 7, {}, "schedule.micro_batches: expected a multiple of workers = 4, found 7"),
        (
            "interleaved-zb",
            4,
            14,
            {"chunks": 2},
            "schedule.micro_batches: expected a multiple of workers = 4, found 14",
        ),
        ("dualpipe", 3, 8, {}, "topology.workers: expected an even number, found 3"),
        ("dualpipe", 4, 9, {}, "schedule.micro_batches: expected an even number, of at least 2 x workers = 8, found 9"),
        ("dualpipe", 4, 6, {}, "schedule.micro_batches: expected an even number, of at least 2 x workers = 8, found 6"),
        ("order", 4, 7, {}, "schedule.file: expected a file with an order, found none"),
        (
            "order",
            3,
            1,
            {"text": "0F0,0B0", "file": "x.csv"},
            "schedule.file: expected a row a worker of a replica, 3, found 1, in x.csv",
        ),
        ("order", 1, 2, {"text": "0F0,0B0", "file": "x.csv"}, "x.csv: expected 0F1 on rank 0, found it nowhere\n"),
        ("dualpipe-v", 4, 7, {}, "schedule.micro_batches: expected at least 2 x workers = 8, found 7"),
    ],
)
def test_refusals(program: str, workers: int, micro_batches: int, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        orders.build(program, workers, micro_batches, **settings)


@pytest.mark.parametrize("program", ["gpipe", "zb-h1", "zb-v", "dualpipe", "petra"])
def test_keys_that_nobody_said_are_no_mistake(program: str) -> None:
    assert orders.build(program, 4, 8, chunks=1, overlap_last=False) == orders.build(program, 4, 8)


@pytest.mark.parametrize("program", [program for program in orders.BUILDERS if program != "order"])
@pytest.mark.parametrize("workers", [1, 2, 3, 4, 6])
@pytest.mark.parametrize("micro_batches", [1, 2, 5, 12, 24])
def test_what_is_built_can_be_run(program: str, workers: int, micro_batches: int) -> None:
    """Of any number of workers and micro-batches that is not refused."""
    try:
        order = orders.build(program, workers, micro_batches)
    except ValueError:
        assert program.startswith(("dualpipe", "interleaved"))
        return
    order.check(micro_batches)
