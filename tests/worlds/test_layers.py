"""Steps from the layers up: their kernels, what is counted, and what does not depend on it, in both worlds."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator import simulate
from tests.worlds.conftest import BASE, World
from tests.worlds.test_local_steps import measured, simulated
from tests.worlds.test_replay_parity import difference

__all__ = ["measured", "simulated"]  # fixtures

LAYERS = 3
CASES: dict[str, dict[str, Any]] = {
    "all-reduce": {"gradients": 6, "overlap": "layers"},
    "diloco": {"rounds": 3, "local_steps": 2},
    "eager-diloco": {"rounds": 3, "local_steps": 2},
    "streaming-diloco": {"steps": 6, "local_steps": 2, "fragments": 3, "overlap": 1},
}
layered = pytest.mark.parametrize("name", CASES)


def tables(name: str, layers: int | None = LAYERS) -> dict[str, Any]:
    schedule = {"program": name, **CASES[name]}
    if layers is None and name == "all-reduce":
        schedule["overlap"] = False
    workload = {**BASE["workload"], "options": {"dimension": 7, "noise": 0.5}}
    if layers is not None:
        workload["layers"] = layers
    return {**BASE, "schedule": schedule, "workload": workload}


def kernels(trace: pd.DataFrame) -> list[list[str]]:
    """Of each worker its kernels with their layers, in the order of issue."""
    computed = trace[trace["op"] == "Compute"].sort_values(["rank", "index"])
    names = computed["kernel"].astype(str) + computed["stage"].astype(str)
    return [list(names[computed["rank"] == rank]) for rank in range(4)]


@layered
def test_a_step_goes_up_and_down_the_layers(name: str, world: World) -> None:
    trace = world(tables(name)).trace
    assert trace is not None
    step = ["forward0", "forward1", "forward2", "backward-activation2", "backward-parameter2"]
    step += ["backward-activation1", "backward-parameter1", "backward-parameter0"]
    assert kernels(trace) == [6 * step] * 4


@layered
def test_what_is_counted_is_what_it_is_without_layers(name: str, world: World) -> None:
    """Parameters, staleness, steps, gradients and bytes; in a run whose steps are all alike, throughput, too."""
    by_layers, whole = world(tables(name)), world(tables(name, None))
    assert difference(by_layers, whole) <= 1e-12
    for key in ("gradients", "bytes_sent", "staleness_mean", "staleness_max", "change_age_steps_mean"):
        assert by_layers.summary.get(key) == whole.summary.get(key), key
    assert by_layers.trace is not None
    assert whole.trace is not None
    for facts in ("target", "applied", "gradients"):
        found = [sorted(map(str, each[facts][each["applied"] != ""])) for each in (by_layers.trace, whole.trace)]
        assert found[0] == found[1]
    ages = [sorted(each["steps_behind"][each["applied"] == "change"]) for each in (by_layers.trace, whole.trace)]
    assert ages[0] == ages[1]


def timing(name: str, layers: int | None = LAYERS, *, kernel: dict[str, str] | None = None, **more: Any) -> Any:
    schedule = {"program": name, **CASES[name], **more}
    platform = {"gradient": {"mean": "80 ms"}, "link": {"bandwidth": "1 GB/s", "latency": "1 ms"}, "transport": "ideal"}
    workload = {"parameters": 6_000_000} | ({} if layers is None else {"layers": layers})
    return simulate(
        {
            "schedule": schedule,
            "topology": {"graph": "ring", "workers": 4},
            "platform": {**platform, "kernels": kernel or {}},
            "workload": workload,
        }
    )


def took(result: Any, kernel: str) -> set[float]:
    rows = result.trace[(result.trace["op"] == "Compute") & (result.trace["kernel"] == kernel)]
    return set((rows["end_ns"] - rows["start_ns"]) / 1e6)


@layered
def test_kernels_are_of_one_length_unless_the_platform_says_more(name: str) -> None:
    """80 ms of 3L - 1 = 8 kernels; a duration that is given is of all layers."""
    usual = timing(name)
    assert took(usual, "forward") == took(usual, "backward-activation") == took(usual, "backward-parameter") == {10.0}
    given = timing(name, kernel={"forward": "12 ms", "backward-activation": "12 ms", "backward-parameter": "30 ms"})
    assert took(given, "forward") == {4.0}
    assert took(given, "backward-activation") == {6.0}
    assert took(given, "backward-parameter") == {10.0}


def test_a_share_goes_when_its_backward_pass_is_done() -> None:
    """Of 24 MB on four workers: a layer's 8 MB take 12 ms and 6 ms of latency; the last layer's P ends at 50 ms, the
    others' at 70 and 80 ms."""
    trace = timing("all-reduce", gradients=1).trace
    reduced = trace[(trace["op"] == "AllReduce") & (trace["rank"] == 0)].sort_values("start_ns")
    assert list(reduced["start_ns"] / 1e6) == [50.0, 70.0, 80.0]
    assert list(reduced["end_ns"] / 1e6) == pytest.approx([68.0, 88.0, 106.0], abs=1e-3)


def test_a_first_bucket_begins_the_sooner() -> None:
    """Backward passes take two thirds of a gradient, each bucket the part that it is of it: 1, 8, 8 and 7 of 24 MB; the
    last two as long as one another."""
    result = timing("all-reduce", None, gradients=1, overlap=True, bucket_size="8 MB", first_bucket="1 MB")
    assert result.trace is not None
    assert list(took(result, "backward-first")) == pytest.approx([80 * 2 / 3 / 24], abs=1e-5)
    assert list(took(result, "backward")) == pytest.approx([80 * 2 / 3 * 23 / 24 / 3], abs=1e-5)
    sent = result.trace[(result.trace["op"] == "AllReduce") & (result.trace["rank"] == 0)].sort_values("start_ns")
    assert list(sent["bytes"]) == [1_000_000, 8_000_000, 8_000_000, 7_000_000]


@settings(max_examples=25, deadline=None)
@given(
    local_steps=st.integers(1, 9),
    rounds=st.integers(1, 4),
    layers=st.one_of(st.none(), st.integers(1, 6)),
    fragments=st.integers(1, 6),
    overlap=st.integers(0, 8),
    pattern=st.sampled_from(["strided", "sequential"]),
)
def test_invariants_of_rounds(
    local_steps: int, rounds: int, layers: int | None, fragments: int, overlap: int, pattern: str
) -> None:
    """Bytes a round do not depend on H, and streaming's are DiLoCo's; all ranks have one timetable; nothing is on its
    way at the end."""
    blocking = timing("diloco", layers, rounds=rounds, local_steps=local_steps)
    assert blocking.summary["bytes_sent"] == rounds * 2 * 3 * 24_000_000
    streamed = timing(
        "streaming-diloco",
        layers,
        steps=rounds * local_steps,
        local_steps=local_steps,
        fragments=min(fragments, layers or fragments),
        overlap=min(overlap, local_steps - 1),
        pattern=pattern,
    )
    assert streamed.summary["bytes_sent"] == blocking.summary["bytes_sent"]
    for result in (blocking, streamed):
        reduced = result.trace[result.trace["op"] == "AllReduce"].sort_values(["rank", "start_ns"])
        orders = {tuple(rows["bytes"]) for _, rows in reduced.groupby("rank")}
        assert len(orders) == 1
        assert reduced["end_ns"].notna().all()
        assert reduced["end_ns"].max() <= result.summary["makespan_s"] * 1e9 + 1
        applied = result.trace["applied"] == "change"
        assert result.trace["version_written"][applied].max() >= 1


def test_equal_seeds_give_equal_bytes() -> None:
    first, second = (timing("streaming-diloco", codec="ternary").trace for _ in range(2))
    pd.testing.assert_frame_equal(first, second)
