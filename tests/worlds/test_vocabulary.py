"""Every operation means the same in both worlds, and both record the same operations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from schedules.result import Result
from tests.worlds.conftest import World

HERE = Path(__file__).parent
VOCABULARY = {
    "schedule.program": str(HERE / "programs" / "vocabulary.py"),
    "topology.graph": "complete",
    "platform.order": "overtaking",  # it posts receives before it sends
}


def operations(result: Result, rank: int, stream: str) -> list[tuple[Any, ...]]:
    """What a stream asked for, in order: kind, kernel, peer, group, tag, bytes."""
    assert result.trace is not None
    rows = result.trace[(result.trace["rank"] == rank) & (result.trace["stream"] == stream)]
    columns = ["op", "kernel", "peer", "group", "tag", "bytes"]
    return list(rows[columns].itertuples(index=False, name=None))


def test_every_operation_answers_as_the_program_expects(world: World) -> None:
    result = world(VOCABULARY)
    asked = [row[0] for row in operations(result, 0, "compute")]
    assert {"Until", "Put", "Take", "Send", "Exchange", "Await", "Cancel", "Meet", "Leave", "Join"} <= set(asked)
    assert {"AllReduce", "ReduceScatter", "AllGather", "AllToAll", "Broadcast", "Barrier"} <= set(asked)


def test_both_worlds_record_the_same_operations(simulated: World, measured: World) -> None:
    one, other = simulated(VOCABULARY), measured(VOCABULARY)
    for rank in range(4):
        for stream in ("compute", "helper"):
            assert operations(one, rank, stream) == operations(other, rank, stream)


@pytest.mark.parametrize("program", ["all-reduce", "d-psgd", "gossip", "a2cid2"])
def test_every_schedule_asks_for_the_same_in_both(program: str, simulated: World, measured: World) -> None:
    one, other = (run({"schedule.program": program}) for run in (simulated, measured))
    assert one.summary["gradients"] == other.summary["gradients"] == 80
    assert one.summary["exchanges"] == other.summary["exchanges"]
    assert one.summary["bytes_sent"] == other.summary["bytes_sent"]
    assert set(one.summary) == set(other.summary)
    assert one.trace is not None
    assert other.trace is not None
    assert list(one.trace.columns) == list(other.trace.columns)
    for rank in range(4):
        for stream in ("compute", "gossip"):
            assert operations(one, rank, stream) == operations(other, rank, stream)


def test_streams_are_atomic_between_yields(world: World) -> None:
    """The two streams of a worker both read, wait for nothing, and write: no update may be lost."""
    result = world({"schedule.program": str(HERE / "programs" / "counter.py")})
    assert result.summary["gradients"] == 4 * 2 * 20
