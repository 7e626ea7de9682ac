"""NCCL's all-reduces on hosts with shaped links, measured by others: one cell calibrates the efficiency, all others are
predicted, whichever cell it is. (Broadcasts and reduces are in `benchmarks.contest`: these cells fit no such model.)
"""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks._cells import EFFICIENCIES, Cell, cells, nccl_all_reduce
from benchmarks._cells import calibrated as calibrated_by
from schedules.platform.protocols.efficiency import default_efficiency
from simulator import simulate

ALL = cells("all-reduce", "nccl")


def calibrated(on: Cell) -> float:
    return calibrated_by(nccl_all_reduce, on, EFFICIENCIES)


@pytest.mark.parametrize("on", ALL, ids=lambda cell: f"{cell.n} hosts, {cell.size >> 20} MiB, {cell.latency} s")
def test_one_cell_predicts_the_others(on: Cell) -> None:
    found = np.array([nccl_all_reduce(each, calibrated(on)) / each.measured - 1 for each in ALL if each != on])
    assert len(found) == 11
    assert np.abs(found).mean() <= 0.011  # asked for: 0.02
    assert np.abs(found).max() <= 0.018  # asked for: 0.06


def test_what_is_calibrated_is_a_frames_payload() -> None:
    """A TCP segment in a frame of 1,500 bytes has 0.949 of the wire's bytes, in one of 9,001 bytes 0.993."""
    assert all(0.949 < calibrated(each) < 0.993 for each in ALL)


def test_the_default_predicts_them_without_any_calibration() -> None:
    """It was fitted to what others measured on fast networks; on slow ones little but its limit is left."""
    efficiency = [default_efficiency(each.size, each.n, each.bandwidth) for each in ALL]
    found = np.array([nccl_all_reduce(each, by) / each.measured - 1 for each, by in zip(ALL, efficiency, strict=True)])
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
    assert row["mean_s"] == pytest.approx(nccl_all_reduce(cell, efficiency), rel=1e-6)
    assert row["mean_s"] == pytest.approx(cell.measured, rel=0.02)
