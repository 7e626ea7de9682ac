"""The proof that both worlds run the same schedule: a replayed run ends with the original's parameters."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from schedules.errors import DivergenceError
from schedules.result import Result
from schedules.scenario import ScenarioError
from tests.worlds.conftest import World

CASES = [
    {
        "topology.graph": graph,
        "topology.workers": workers,
        "schedule.program": "a2cid2" if graph != "complete" else "gossip",
        "schedule.pairing": pairing,
        "optimizer.momentum": momentum,
    }
    for graph, workers, pairing, momentum in product(
        ("ring", "exponential", "complete"), (4, 8), ("edge-clock", "first-come"), (0.0, 0.9)
    )
]


def difference(one: Result, other: Result) -> float:
    """Largest difference of any parameter of any worker, relative to the largest parameter."""
    assert one.parameters is not None
    assert other.parameters is not None
    return float(np.abs(one.parameters - other.parameters).max() / np.abs(one.parameters).max())


def name(case: dict[str, Any]) -> str:
    return "-".join(str(value) for value in case.values())


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=name)
def test_each_world_follows_the_other(case: dict[str, Any], simulated: World, measured: World, tmp_path: Path) -> None:
    original = simulated(case)
    followed = measured(case, replay=original.save(tmp_path / "simulated"))
    assert difference(original, followed) <= 1e-12
    free = measured(case)
    followed = simulated(case, replay=free.save(tmp_path / "measured"))
    assert difference(free, followed) <= 1e-12


@pytest.mark.slow
@pytest.mark.parametrize("program", ["all-reduce", "d-psgd", "gossip", "a2cid2"])
@pytest.mark.parametrize(("problem", "tolerance"), [("logistic-regression", 1e-12), ("digits-mlp", 1e-9)])
def test_every_schedule_on_the_digits(
    program: str, problem: str, tolerance: float, simulated: World, measured: World, tmp_path: Path
) -> None:
    case = {"schedule.program": program, "workload.problem": problem, "optimizer.momentum": 0.9}
    free = measured(case)
    assert difference(free, simulated(case, replay=free.save(tmp_path / "measured"))) <= tolerance


@pytest.mark.parametrize("program", ["all-reduce", "a2cid2"])
def test_adamw_clipped_on_a_cosine(program: str, simulated: World, measured: World, tmp_path: Path) -> None:
    case = {
        "schedule.program": program, "optimizer.name": "adamw", "optimizer.weight_decay": 0.1,
        "optimizer.clip_norm": 0.5, "optimizer.schedule": "cosine", "optimizer.minimum": 0.1, "optimizer.warmup": 0.2,
    }  # fmt: skip
    original = simulated(case)
    assert difference(original, measured(case, replay=original.save(tmp_path / "simulated"))) <= 1e-12
    free = measured(case)
    assert difference(free, simulated(case, replay=free.save(tmp_path / "measured"))) <= 1e-12


def test_a_replay_ends_elsewhere_than_another_seed(simulated: World, measured: World, tmp_path: Path) -> None:
    """The tests above can fail: without the replay the numbers differ."""
    original = simulated({"run.seed": 1})
    assert difference(original, measured({"run.seed": 2})) > 1e-3


def test_the_trace_of_another_scenario_is_refused(simulated: World, measured: World, tmp_path: Path) -> None:
    directory = simulated({}).save(tmp_path / "run")
    for follow in (simulated, measured):
        with pytest.raises(ScenarioError, match=r"schedule\.rate = 1\.0 \(here 2\.0\)"):
            follow({"schedule.rate": 2}, replay=directory)


def test_a_replay_that_cannot_follow_says_where(simulated: World, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    from schedules.record.files import read_trace, write_parquet

    directory = simulated({}).save(tmp_path / "run")
    trace, info = read_trace(directory)
    position = trace.index[(trace["rank"] == 2) & (trace["op"] == "Exchange")][3]
    trace.loc[position, "tag"] += 100
    write_parquet(trace, directory / "trace.parquet", info)
    assert pq.read_metadata(directory / "trace.parquet").num_rows == len(trace)
    index = trace.loc[position, "index"]
    with pytest.raises(DivergenceError, match=rf"rank 2, gossip #{index}: the program yields Exchange"):
        simulated({}, replay=directory)


STARTED = {"schedule.program": str(Path(__file__).parent / "programs" / "started.py"), "topology.graph": "complete"}


def meetings(result: Result) -> list[list[str]]:
    """What each rank was told of its meetings, in the order of their issue."""
    assert result.trace is not None
    rows = result.trace[result.trace["op"] == "Meet"].sort_values("start_ns", kind="stable")
    return [rows[rows["rank"] == rank]["answer"].tolist() for rank in range(4)]


@pytest.mark.parametrize(
    ("original", "follower", "is_cancelling"),
    [("simulated", "measured", True), ("measured", "simulated", False), ("simulated", "simulated", True)],
)
def test_recorded_answers_of_started_meetings_are_given(
    original: str, follower: str, is_cancelling: bool, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    case = {**STARTED, "schedule.is_cancelling": is_cancelling}
    one = request.getfixturevalue(original)(case)
    other = request.getfixturevalue(follower)(case, replay=one.save(tmp_path / "one"))
    assert meetings(one) == meetings(other)
    assert sum(map(len, meetings(one))) > 10
    assert difference(one, other) <= 1e-12


def test_started_exchanges_that_were_lost_are_lost_again(simulated: World, tmp_path: Path) -> None:
    faults = {"outages": [{"rank": 1, "at": f"{at} ms", "back": f"{at + 3} ms"} for at in (3, 11, 19)]}
    case = {**STARTED, "platform.link": {"bandwidth": 1e5, "latency": "1 ms"}}
    one = simulated({**case, "platform.faults": faults})
    assert one.trace is not None
    lost = one.trace[(one.trace["answer"] == "lost") & one.trace["stream"].str.contains("+", regex=False)]
    assert len(lost) > 1
    other = simulated(case, replay=one.save(tmp_path / "one"))
    assert other.trace is not None
    assert (other.trace["answer"] == "lost").sum() == (one.trace["answer"] == "lost").sum()
    assert difference(one, other) <= 1e-12
