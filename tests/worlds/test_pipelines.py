"""Pipelines on communicators that keep the order: they need a channel a direction, and then lose nothing.

Makespans of p = 4 stages, m = 8 micro-batches, forward, input and weight gradient of a second each, by the closed forms
of a pure latency c: GPipe (m+p-1) 3 + 2 (p-1) c, 1F1B (m+p-1) 3 + 2 (m+p-3-floor((m-2)/p)) c.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from schedules.errors import DeadlockError
from schedules.record.files import read_trace, write_parquet
from tests.worlds.conftest import World

HERE = Path(__file__).parent
PIPELINE: dict[str, Any] = {
    "schedule.program": str(HERE / "programs" / "pipeline.py"),
    "topology.graph": "path",
    "platform.gradient": {"mean": 1.0},
    "platform.kernels": {name: {"mean": 1.0} for name in ("forward", "input_gradient", "weight_gradient")},
    "platform.order": "in-order",
    "run.numerics": False,
}
CLOSED = {"gpipe": lambda c: 33 + 6 * c, "1f1b": lambda c: 33 + 16 * c}


def link(latency: float) -> dict[str, Any]:
    return {"bandwidth": 8e12, "latency": latency}  # a message's bytes take nothing, to the nanosecond


@pytest.mark.parametrize(("order", "latency", "makespan"), [("1f1b", 0.5, 41), ("gpipe", 2.0, 45)])
def test_with_a_channel_a_direction_nothing_is_lost(
    order: str, latency: float, makespan: float, simulated: World
) -> None:
    result = simulated({**PIPELINE, "schedule.order": order, "platform.link": link(latency)})
    assert result.summary["makespan_s"] == makespan == CLOSED[order](latency)


@pytest.mark.parametrize("latency", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("order", CLOSED)
def test_in_order_is_as_fast_as_pure_latency(order: str, latency: float, simulated: World) -> None:
    case = {**PIPELINE, "schedule.order": order, "platform.link": link(latency)}
    free = simulated({**case, "platform.order": "auto", "platform.transport": "latency", "schedule.ahead": 1})
    assert free.summary["makespan_s"] == simulated(case).summary["makespan_s"] == CLOSED[order](latency)


@pytest.mark.parametrize("order", CLOSED)
def test_on_one_channel_receives_posted_ahead_block_the_sends(order: str, simulated: World) -> None:
    case = {**PIPELINE, "schedule.order": order, "schedule.has_channels": False}
    with pytest.raises(DeadlockError, match="of the sends and receives are blocked by earlier ones of their channel"):
        simulated(case)


def test_the_trace_says_the_channel(simulated: World) -> None:
    trace = simulated(PIPELINE).trace
    assert trace is not None
    rows = trace[trace["op"] == "Send"]
    assert rows.groupby("channel").size().to_dict() == {"activations": 24, "gradients": 24}
    assert ((rows["channel"] == "activations") == (rows["peer"] > rows["rank"])).all()


def test_a_trace_without_channels_is_followed(simulated: World, tmp_path: Path) -> None:
    """Of a former version: it has no such column, and its messages had no channels."""
    case = {**PIPELINE, "schedule.has_channels": False, "platform.order": "overtaking", "schedule.one_name": ""}
    directory = simulated(case).save(tmp_path / "run")
    trace, info = read_trace(directory)
    write_parquet(trace.drop(columns="channel"), directory / "trace.parquet", info)
    followed = simulated(case, replay=directory)
    assert followed.trace is not None
    assert (followed.trace["channel"] == "").all()


@pytest.mark.parametrize("order", CLOSED)
def test_a_pipeline_is_replayed_in_the_other_world(
    order: str, simulated: World, measured: World, tmp_path: Path
) -> None:
    fast = {"platform.gradient": {"mean": "1 ms"}, "platform.link": link(1e-4)}
    fast["platform.kernels"] = {name: {"mean": "1 ms"} for name in ("forward", "input_gradient", "weight_gradient")}
    case = {**PIPELINE, **fast, "schedule.order": order}
    one = measured(case)
    followed = simulated(case, replay=one.save(tmp_path / "measured"))
    measured(case, replay=followed.save(tmp_path / "simulated"))
