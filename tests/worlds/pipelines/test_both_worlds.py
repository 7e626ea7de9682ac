"""Pipelines with a flush on four processes: the same operations a rank as in simulated time, and both replays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from executor.launching.launch import Ranks, execute
from schedules.result import Result
from simulator import simulate
from tests.worlds.pipelines.cases import scenario

MS = {"forward": "2 ms", "backward-input": "2 ms", "backward-weight": "2 ms", "optimizer": "1 ms"}
CASES = {"gpipe": {}, "1f1b": {"iterations": 2}, "interleaved-1f1b": {"chunks": 2}, "zb-v": {}, "dualpipe": {}}


def operations(result: Result) -> list[list[str]]:
    """Those of each rank's stream in their order, without what was started beside it."""
    assert result.trace is not None
    rows = result.trace[result.trace["stream"] == "compute"].sort_values("index", kind="stable")
    columns = ["op", "kernel", "stage", "micro_batch", "peer", "tag", "bytes", "channel", "applied", "gradients"]
    return [rows[rows["rank"] == rank][columns].astype(str).agg(" ".join, axis=1).tolist() for rank in range(4)]


@pytest.mark.parametrize(
    ("program", "keys"),
    [
        ("petra", {}),
        ("dualpipe", {}),
        ("delayed-gradients", {"accumulate": 2}),
        ("interleaved-1f1b", {"chunks": 2, "iterations": 2, "optimizer_sync": "post-validation"}),
    ],
)
def test_bytes_by_link_need_no_trace(program: str, keys: dict[str, Any]) -> None:
    case = scenario(program, 4, 8, 0.1, MS, keys, workload={"boundary": ["10 kB"] * (7 if "chunks" in keys else 3)})
    traced, other = simulate(case), simulate(case, overrides={"run.trace": False})
    assert traced.trace is not None
    sends = traced.trace[traced.trace["op"] == "Send"].groupby(["rank", "peer"])["bytes"].sum()
    expected = {f"{rank}-{peer}": size for (rank, peer), size in sends.items()}
    assert len(expected) >= 6
    assert traced.summary["bytes_per_link"] == other.summary["bytes_per_link"] == expected


@pytest.mark.slow
@pytest.mark.parametrize("program", CASES)
def test_both_worlds_do_the_same(program: str, ranks: Ranks, tmp_path: Path) -> None:
    tables: dict[str, Any] = {
        "platform": {"transport": "gloo", "link": {"latency": "50 us", "bandwidth": "1 GB/s"}},
        "workload": {"boundary": "10 kB", "activations": ["3 kB", "1 kB"], "parameters": 1000},
        "execution": {"timeout": "60 s"},
    }
    case = scenario(program, 4, 8, 0.0, MS, dict(CASES[program]), **tables)
    simulated, measured = simulate(case), execute(case, ranks=ranks)
    expected = operations(simulated)
    assert all(expected)
    assert operations(measured) == expected
    keys = ("gradients", "staleness_max", "peak_activations", "bytes_per_link", "weight_versions", "stage_staleness")
    assert {key: measured.summary[key] for key in keys} == {key: simulated.summary[key] for key in keys}
    assert operations(simulate(case, replay=measured)) == expected
    assert operations(execute(case, ranks=ranks, replay=simulated)) == expected
