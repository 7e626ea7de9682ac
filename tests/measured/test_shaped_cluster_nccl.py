"""NCCL's all-reduces on hosts with shaped links, measured by others: one cell calibrates the efficiency, all others are
predicted, whichever cell it is. (Broadcasts and reduces are in `benchmarks.contest`: these cells fit no such model.)
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from schedules.operations import AllReduce
from schedules.platform.collective_times import nccl_seconds
from schedules.platform.protocols.efficiency import default_efficiency
from simulator import simulate

CELLS = Path(__file__).parent / "shaped-cluster-measured.csv"


class Cell(NamedTuple):
    """One measurement: seconds and bytes/s."""

    n: int
    latency: float
    bandwidth: float
    size: int
    measured: float


def cells(operation: str) -> list[Cell]:
    """Those with a delay and a bandwidth."""
    lines = (line for line in CELLS.read_text(encoding="utf-8").splitlines() if line[0] != "#")
    rows = [row for row in csv.DictReader(lines) if (row["operation"], row["backend"]) == (operation, "nccl")]
    return [
        Cell(
            int(row["nodes"]),
            float(row["delay_ms"]) / 1e3,
            float(row["bandwidth_gbit"]) / 8 * 1e9,
            int(row["size_mib"]) << 20,
            float(row["measured_ms"]) / 1e3,
        )
        for row in rows
        if row["delay_ms"] and row["bandwidth_gbit"]
    ]


ALL = cells("all-reduce")


def all_reduce(cell: Cell, efficiency: float) -> float:
    return nccl_seconds(AllReduce, cell.n, cell.size, cell.bandwidth * efficiency, cell.latency, algorithm="ring")


def calibrated(on: Cell) -> float:
    return float(min(np.arange(0.5, 1.0, 5e-4), key=lambda value: abs(all_reduce(on, value) - on.measured)))


@pytest.mark.parametrize("on", ALL, ids=lambda cell: f"{cell.n} hosts, {cell.size >> 20} MiB, {cell.latency} s")
def test_one_cell_predicts_the_others(on: Cell) -> None:
    found = np.array([all_reduce(each, calibrated(on)) / each.measured - 1 for each in ALL if each != on])
    assert len(found) == 11
    assert np.abs(found).mean() <= 0.011  # asked for: 0.02
    assert np.abs(found).max() <= 0.018  # asked for: 0.06


def test_what_is_calibrated_is_a_frames_payload() -> None:
    """A TCP segment in a frame of 1,500 bytes has 0.949 of the wire's bytes, in one of 9,001 bytes 0.993."""
    assert all(0.949 < calibrated(each) < 0.993 for each in ALL)


def test_the_default_predicts_them_without_any_calibration() -> None:
    """It was fitted to what others measured on fast networks; on slow ones little but its limit is left."""
    efficiency = [default_efficiency(each.size, each.n, each.bandwidth) for each in ALL]
    found = np.array([all_reduce(each, by) / each.measured - 1 for each, by in zip(ALL, efficiency, strict=True)])
    assert np.abs(found).mean() < 0.015
    assert np.abs(found).max() < 0.025


@pytest.mark.parametrize("form", ["closed", "flows"])
def test_a_scenario_predicts_the_same(form: str) -> None:
    cell, efficiency = ALL[-1], calibrated(ALL[0])
    platform = {
        "gradient": {"mean": 10.0},
        "transport": "nccl",
        "efficiency": efficiency,
        "network": {"kind": "fabric", "bandwidth": cell.bandwidth, "latency": cell.latency / 2},
        "collectives": {"form": form},
    }
    scenario = {
        "schedule": {"program": "all-reduce", "gradients": 1},
        "topology": {"graph": "complete", "workers": cell.n},
        "platform": platform,
        "workload": {"parameters": cell.size // 4},
    }
    (row,) = simulate(scenario).summary["collectives"]
    assert row["algorithm"] == "ring"
    assert row["mean_s"] == pytest.approx(all_reduce(cell, efficiency), rel=1e-6)
    assert row["mean_s"] == pytest.approx(cell.measured, rel=0.02)
