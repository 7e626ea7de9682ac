"""Parts of any length, limits and channels mean the same in both worlds, and are recorded and counted alike."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from schedules.errors import DivergenceError, ProgramError
from schedules.record.files import read_trace, write_parquet
from schedules.result import Result
from tests.worlds.conftest import World

HERE = Path(__file__).parent
PARTS = {"schedule.program": str(HERE / "programs" / "parts.py"), "topology.graph": "complete"}
NUMBERS: dict[str, dict[str, Any]] = {"numeric": {}, "timing": {"run.numerics": False}}


@pytest.mark.parametrize("numbers", NUMBERS.values(), ids=NUMBERS)
def test_answers_are_those_that_the_program_expects(numbers: dict[str, Any], world: World) -> None:
    world({**PARTS, **numbers})


@pytest.mark.parametrize("numbers", NUMBERS.values(), ids=NUMBERS)
def test_both_worlds_record_and_count_the_same(numbers: dict[str, Any], simulated: World, measured: World) -> None:
    one, other = (run({**PARTS, **numbers}) for run in (simulated, measured))
    assert recorded(one) == recorded(other)
    assert one.summary["bytes_sent"] == other.summary["bytes_sent"]


def recorded(result: Result) -> list[tuple[Any, ...]]:
    """What each rank asked for, whatever the order between its streams."""
    assert result.trace is not None
    columns = ["rank", "op", "peer", "group", "tag", "bytes", "channel"]
    rows = result.trace[result.trace["op"] != "Until"]  # those of read-outs, of which a run may end before the last
    return sorted(rows[columns].itertuples(index=False, name=None))


def test_a_gathering_of_unequal_payloads_is_one(world: World) -> None:
    """In the summary: three ranks bring 0, 8 and 24 bytes, so it is of 24."""
    told = [row for row in world(PARTS).summary["collectives"] if (row["kind"], row["ranks"]) == ("AllGather", 3)]
    assert [(row["bytes"], row["count"]) for row in told] == [(24, 1)]


def test_the_bytes_of_a_message_are_those_that_came(world: World) -> None:
    trace = world(PARTS).trace
    assert trace is not None
    for op in ("Send", "Receive"):
        rows = trace[(trace["op"] == op) & (trace["channel"] == "ring")]
        assert sorted(rows["bytes"]) == [0] * 4 + [24] * 4 + [64] * 4


@pytest.mark.parametrize("transport", ["gloo", "latency", "none"])
@pytest.mark.parametrize("network", [{}, {"platform.network": {"kind": "racks", "hosts_per_rack": 2}}])
def test_every_transport_carries_them(transport: str, network: dict[str, Any], simulated: World) -> None:
    simulated({**PARTS, **network, "platform.transport": transport})


@pytest.mark.parametrize("numbers", NUMBERS.values(), ids=NUMBERS)
def test_each_world_follows_the_other(
    numbers: dict[str, Any], simulated: World, measured: World, tmp_path: Path
) -> None:
    case = {**PARTS, **numbers}
    measured(case, replay=simulated(case).save(tmp_path / "simulated"))
    simulated(case, replay=measured(case).save(tmp_path / "measured"))


def test_a_replay_compares_the_channel(simulated: World, tmp_path: Path) -> None:
    directory = simulated(PARTS).save(tmp_path / "run")
    trace, info = read_trace(directory)
    write_parquet(trace.assign(channel=trace["channel"].replace("second", "third")), directory / "trace.parquet", info)
    told = (
        r"yields AllReduce\(8 B sum via second\), the trace has AllReduce\(group=all, channel=third, tag=0, bytes=8\)"
    )
    with pytest.raises(DivergenceError, match=told):
        simulated(PARTS, replay=directory)


MISTAKES = {"schedule.program": str(HERE / "programs" / "payloads.py")}


@pytest.mark.parametrize(
    ("case", "told"),
    [
        ("limit", r"payloads\.py:\d+: .*\n.*Send\(.*limit 16 B\): expected at most 16 bytes, found 32"),
        ("few parts", r"payloads\.py:\d+: .*\n.*AllToAll\(32 B parts 16,16\): expected a part for each .*, found 2"),
        ("half parts", r"expected parts of whole numbers of 8 bytes each, found \[4, 12, 8, 8\]"),
        ("other parts", r"expected parts of 32 bytes together, found \[8, 8, 8, 0\]"),
        ("strange group", r"expected a group of ascending ranks among the 4 workers, found \(0, 1, 2, 3, 7\)"),
        ("group out of order", r"expected a group of ascending ranks among the 4 workers, found \(1, 0, 2, 3\)"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused_with_the_programs_line(case: str, told: str, world: World) -> None:
    with pytest.raises(ProgramError, match=told):
        world({**MISTAKES, "schedule.case": case})


@pytest.mark.parametrize(
    ("case", "one", "other"),
    [
        ("kinds differ", r"Barrier\(via c\)", r"AllReduce\(32 B via c\) of float64"),
        ("sizes differ", r"AllReduce\(16 B via c\) of float64", r"AllReduce\(32 B via c\) of float64"),
        ("roots differ", r"Broadcast\(32 B from 3 via c\)", r"Broadcast\(32 B via c\)"),
        ("reductions differ", r"AllReduce\(32 B sum via c\) of float64", r"AllReduce\(32 B via c\) of float64"),
        ("tags differ", r"AllReduce\(#1 32 B via c\) of float64", r"AllReduce\(32 B via c\) of float64"),
        ("numbers differ", r"AllReduce\(32 B via c\) of float32", r"AllReduce\(32 B via c\) of float64"),
    ],
)
def test_members_that_part_are_told_with_both_their_operations(case: str, one: str, other: str, world: World) -> None:
    """Rank 3 is the one; whom it is compared with is the first to come."""
    told = rf"rank [012] {other} and rank 3 {one}: expected the same collective with equal sizes and numbers, found two"
    with pytest.raises(ProgramError, match=told):
        world({**MISTAKES, "schedule.case": case})
