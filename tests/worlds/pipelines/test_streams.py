"""Pipelines without a flush under a pure latency: periods, makespans, staleness and versions of their papers.

Values of docs/papers/pipelines.md, sections 4 and 12 ([paper] and [derived]; PETRA is arXiv:2406.02052, v1).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from schedules.errors import ScenarioError
from schedules.result import Result
from simulator import simulate

KERNELS = {"forward": 1.0, "backward": 2.0, "reconstruct": 1.0}


def run(program: str, p: int, m: int, c: float = 0.0, tables: dict[str, Any] | None = None, **settings: Any) -> Result:
    return simulate(
        {
            "schedule": {"program": program, "micro_batches": m, **settings},
            "topology": {"workers": p},
            "platform": {
                "transport": "latency", "link": {"latency": c, "bandwidth": "1 TB/s"}, "kernels": KERNELS,
            },
            "workload": {},
        },
        overrides=tables,
    )  # fmt: skip


def traced(result: Result) -> pd.DataFrame:
    assert result.trace is not None
    return result.trace


def period(result: Result) -> float:
    """Seconds from one backward pass of stage 0 to the next, from a quarter to three quarters of the stream."""
    trace = traced(result)
    rows = trace[(trace["op"] == "Compute") & (trace["kernel"] == "backward") & (trace["rank"] == 0)]
    ends = np.sort(rows["end_ns"].to_numpy()) / 1e9
    first, last = len(ends) // 4, 3 * len(ends) // 4
    return float((ends[last] - ends[first]) / (last - first))


# ---- PETRA's table 1, J = 6, F 1 s, backward 2 s: nine rows of time per batch

ROWS: dict[str, tuple[str, dict[str, Any], float, float]] = {
    "backprop": ("gpipe", {}, 1.0, 18.0),
    "reversible backprop": ("gpipe", {"checkpoint": True}, 1.0, 24.0),
    "delayed, overlapped last": ("delayed-gradients", {"engines": 2, "overlap_last": True}, 1.0, 2.0),
    "delayed, fused last": ("delayed-gradients", {"engines": 2}, 1.0, 3.0),
    "delayed with checkpoints": ("delayed-gradients", {"engines": 2, "checkpoint": True}, 1.0, 3.0),
    "petra": ("petra", {"engines": 2}, 1.0, 3.0),
    "petra as coded": ("petra", {"engines": 2}, 2.0, 4.0),
    "delayed, one engine": ("delayed-gradients", {}, 1.0, 3.0),
    "petra, one engine": ("petra", {}, 1.0, 4.0),
    "petra as coded, one engine": ("petra", {}, 2.0, 5.0),
}


@pytest.mark.parametrize("row", ROWS)
def test_time_per_batch(row: str) -> None:
    program, settings, again, wanted = ROWS[row]
    tables = {"platform.kernels": {**KERNELS, "reconstruct": again}}
    if program == "gpipe":  # one micro-batch at a time
        assert run(program, 6, 1, tables=tables, **settings).summary["makespan_s"] == wanted
    else:
        assert period(run(program, 6, 60, tables=tables, **settings)) == pytest.approx(wanted, abs=1e-9)


@pytest.mark.parametrize(("stages", "num", "makespan"), [(4, 8, 41.0), (6, 12, 65.0)])
def test_makespan_of_petra(stages: int, num: int, makespan: float) -> None:
    assert run("petra", stages, num).summary["makespan_s"] == makespan


@pytest.mark.parametrize("stages", [3, 4, 7])
@pytest.mark.parametrize("c", [0.0, 1.0, 2.0, 2.5, 3.0, 4.0])
def test_period_of_petra_with_latency(stages: int, c: float) -> None:
    """T = F + r + backward = 4: hidden until c = T / 2, then by the closed form."""
    whole, last = 4.0, 3.0
    wanted = max(
        whole,
        *(((n + 1) * whole + 2 * n * c) / (2 * n + 1) for n in range(1, stages - 1)),
        ((stages - 1) * whole + last + 2 * (stages - 1) * c) / (2 * stages - 1),
    )
    num = 12 * (2 * stages - 1) * 4  # whole cycles of the critical circle in the window
    assert period(run("petra", stages, num, c)) == pytest.approx(wanted, rel=1e-3)


def test_period_of_unbalanced_stages() -> None:
    kernels = {"forward": [1.0, 2.0, 1.0, 1.0], "backward": [2.0, 4.0, 2.0, 2.0], "reconstruct": [1.0, 2.0, 1.0, 1.0]}
    assert period(run("petra", 4, 80, tables={"platform.kernels": kernels})) == pytest.approx(8.0, abs=1e-9)


@pytest.mark.parametrize(("stages", "c"), [(4, 0.25), (4, 1.0), (3, 0.5)])
@pytest.mark.parametrize(("program", "accumulate"), [("pipedream", 1), ("pipedream-2bw", 6)])
def test_period_of_1f1b_that_is_never_flushed(program: str, accumulate: int, stages: int, c: float) -> None:
    """F + D + 2 c (p - 1) / p: asynchrony removes the flush, not the latency."""
    found = period(run(program, stages, 4 * 6 * stages * 5, c, accumulate=accumulate))
    assert found == pytest.approx(3 + 2 * c * (stages - 1) / stages, rel=1e-3)


# ---- staleness and versions


def staleness(result: Result) -> list[list[int]]:
    """Updates between the forward and the backward pass of every micro-batch, stage by stage."""
    trace = traced(result)
    rows = trace[trace["op"] == "Apply"].sort_values("index")
    behind = rows["version_written"] - 1 - rows["version_read"]
    return [behind[rows["stage"] == stage].tolist() for stage in sorted(set(rows["stage"]))]


@pytest.mark.parametrize("stages", [2, 4, 6])
def test_staleness_of_pipedream(stages: int) -> None:
    """p - 1 - i, after a ramp."""
    found = staleness(run("pipedream", stages, 20))
    assert found == [[min(k, stages - 1 - i) for k in range(20)] for i in range(stages)]


@pytest.mark.parametrize("stages", [4, 6, 10])
@pytest.mark.parametrize("program", ["petra", "delayed-gradients"])
def test_delays(program: str, stages: int) -> None:
    """2 (J - 1 - i) updates, after a ramp."""
    found = staleness(run(program, stages, 30))
    assert found == [[min(k, 2 * (stages - 1 - i)) for k in range(30)] for i in range(stages)]


@pytest.mark.parametrize("engines", [1, 2])
def test_an_overlapped_last_stage_is_one_tick_later(engines: int) -> None:
    if engines == 1:
        with pytest.raises(ScenarioError, match=r"schedule.overlap_last: expected schedule.engines = 2 beside it"):
            run("delayed-gradients", 4, 8, overlap_last=True)
    else:
        found = staleness(run("delayed-gradients", 4, 40, engines=2, overlap_last=True))
        assert [each[-1] for each in found] == [7, 5, 3, 1]


def test_updates_between_with_accumulation() -> None:
    """J = 4, 4 gradients an update: (min, max, mean) (1, 2, 1.5), (1, 1, 1), (0, 1, .5), (0, 0, 0)."""
    rows = traced(run("petra", 4, 80, accumulate=4))
    applied = rows[rows["op"] == "Apply"]
    behind = (applied["version_written"] - 1 - applied["version_read"]).where(applied["version_written"] > 4).dropna()
    found = behind.groupby(applied["stage"]).agg(["min", "max", "mean"]).to_numpy().tolist()
    assert found == [[1, 2, 1.5], [1, 1, 1], [0, 1, 0.5], [0, 0, 0]]


def test_versions_of_two_buffers() -> None:
    """max(floor((k - 1) / m) - 1, 0), k from 1: m = 4."""
    rows = traced(run("pipedream-2bw", 4, 16, accumulate=4))
    applied = rows[rows["op"] == "Apply"].sort_values(["stage", "index"])
    wanted = [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2]
    for _, each in applied.groupby("stage"):
        assert each["version_read"].tolist() == wanted


def test_vertical_sync() -> None:
    """All stages see version max(0, k - p + 1)."""
    rows = traced(run("pipedream", 4, 12, vertical_sync=True))
    applied = rows[rows["op"] == "Apply"].sort_values(["stage", "index"])
    for _, each in applied.groupby("stage"):
        assert each["version_read"].tolist() == [max(0, k - 3) for k in range(12)]


# ---- memory


def stashed(program: str, stages: int = 4, num: int = 40, **settings: Any) -> list[float]:
    """Versions of the parameters that each rank holds at most, and nothing else."""
    tables = {"workload.parameters": 1000 * stages, "workload.dtype": "float32"}
    found = run(program, stages, num, tables=tables, **settings)
    return [peak / 4000 for peak in found.summary["per_rank"]["peak_memory_bytes"]]


def test_versions_that_are_kept() -> None:
    """PipeDream p - i, 2BW two, PETRA one; with vertical sync as many as the first stage's."""
    own = stashed("petra")  # the parameters, and what adds the gradients up
    assert own == [own[0]] * 4
    assert [each - own[0] for each in stashed("pipedream")] == [3, 2, 1, 0]
    assert [each - own[0] for each in stashed("pipedream-2bw", accumulate=4)] == [1, 1, 1, 1]
    assert [each - own[0] for each in stashed("delayed-gradients")] == [6, 4, 2, 0]
    assert [each - own[0] for each in stashed("delayed-gradients", checkpoint=True)] == [0, 0, 0, 0]


def test_inputs_that_wait_of_stages_that_are_not_reversible() -> None:
    """2 (J - j) + 1 at most, as F comes before D: the first stage's input is its batch, which is not counted."""
    tables = {"workload.activations": "1 B", "workload.boundary": "1 MB", "platform.link.latency": 0.0}
    buffered = run("petra", 4, 40, tables=tables, buffered=[0, 1, 2]).summary["per_rank"]["peak_memory_bytes"]
    without = run("petra", 4, 40, tables=tables).summary["per_rank"]["peak_memory_bytes"]
    assert [round((a - b) / 1e6) for a, b in zip(buffered, without, strict=True)] == [0, 5, 3, 0]


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"accumulate": 3}, "schedule.accumulate: expected a divisor of the 8 micro-batches of the stream, found 3"),
        ({"engines": 3}, "schedule.engines: "),
        ({"buffered": [4]}, "schedule.buffered: expected stages from 0 to 3, found 4"),
    ],
)
def test_bad_input(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(ScenarioError, match=told):
        run("petra", 4, 8, **settings)


def test_two_buffers_need_as_many_gradients_as_stages() -> None:
    with pytest.raises(ScenarioError, match=r"schedule.accumulate: expected at least topology.workers = 4, found 2"):
        run("pipedream-2bw", 4, 8, accumulate=2)


@pytest.mark.parametrize(
    ("program", "settings", "wanted"),
    [
        ("pipedream", {}, [4, 3, 2, 1]),
        ("pipedream", {"vertical_sync": True}, [4, 4, 4, 4]),
        ("pipedream-2bw", {"accumulate": 4}, [2, 2, 2, 2]),
        ("delayed-gradients", {}, [7, 5, 3, 1]),
        ("delayed-gradients", {"accumulate": 2}, [4, 3, 2, 1]),
        ("delayed-gradients", {"checkpoint": True}, [1, 1, 1, 1]),
        ("petra", {}, [1, 1, 1, 1]),
        ("gpipe", {}, [1, 1, 1, 1]),
    ],
)
def test_weight_versions(program: str, settings: dict[str, Any], wanted: list[int]) -> None:
    assert run(program, 4, 40, **settings).summary["weight_versions"] == wanted
