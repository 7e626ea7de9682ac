"""gloo's collectives on hosts with shaped links, measured by others: one cell an operation calibrates, all others are
predicted.

What is calibrated is calibrated on the cell where it weighs most: how late threads are, and the rate at which the root
of a reduce takes in (only what leaves a host is shaped), where links take least; the window of a connection after a
rest where a round trip holds most bytes, of the smaller size. The choice is not what makes it fit: nine of the twelve
cells of an all-reduce would do, all of a broadcast's, five of a send's six, and of a reduce the six where the root's
interface is what is waited for.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from schedules.operations import AllReduce, Broadcast
from schedules.platform.protocols.segments import DRAWS
from schedules.platform.protocols.windows import Windows
from schedules.platform.transports import gloo_reduce_seconds, gloo_seconds
from simulator import simulate

CELLS = Path(__file__).parent / "shaped-cluster-measured.csv"
MS, GBIT, MIB = 1e-3, 1e9 / 8, 1 << 20


class Cell(NamedTuple):
    """One measurement: seconds and bytes/s."""

    n: int
    latency: float
    bandwidth: float
    size: int
    measured: float


Predict = Callable[[Cell, float], float]


def rows(operation: str) -> list[dict[str, str]]:
    with CELLS.open(encoding="utf-8") as file:
        lines = (line for line in file if not line.startswith("#"))
        return [row for row in csv.DictReader(lines) if (row["operation"], row["backend"]) == (operation, "gloo")]


def cells(operation: str) -> list[Cell]:
    """Those with a delay and a bandwidth."""
    return [
        Cell(
            int(row["nodes"]),
            float(row["delay_ms"]) * MS,
            float(row["bandwidth_gbit"]) * GBIT,
            int(row["size_mib"]) * MIB,
            float(row["measured_ms"]) * MS,
        )
        for row in rows(operation)
        if row["delay_ms"] and row["bandwidth_gbit"]
    ]


def cell(operation: str, n: int, gbit: float, mib: int) -> Cell:
    (found,) = (each for each in cells(operation) if (each.n, each.bandwidth, each.size) == (n, gbit * GBIT, mib * MIB))
    return found


def calibrated(predict: Predict, on: Cell, candidates: Sequence[float]) -> float:
    """Of some values, the one whose prediction of a cell is nearest."""
    return min(candidates, key=lambda value: abs(predict(on, value) - on.measured))


def errors(operation: str, predict: Predict, value: float, but: Cell) -> np.ndarray:
    """Relative errors of all cells but the one that calibrated."""
    return np.array([predict(each, value) / each.measured - 1 for each in cells(operation) if each != but])


WINDOWS = [float(each) for each in np.geomspace(2e4, 2e6, 200)]
LATENESS = [float(each) for each in np.arange(0.05, 1.5, 0.025) * MS]
RATES = [float(each) for each in np.geomspace(2e8, 1e10, 100)]


def send(each: Cell, first: float) -> float:
    """S/B + 2 L, and what is lost while the connection opens: k latencies in all, with k about 8 here."""
    opening = Windows(first=first).opening(each.size, each.bandwidth, 2 * each.latency)
    return each.size / each.bandwidth + 2 * each.latency + opening


def broadcast(each: Cell, first: float) -> float:
    return gloo_seconds(Broadcast, each.n, each.size, each.bandwidth, each.latency, windows=Windows(first=first))


SLOWEST_SEND, SLOWEST_BROADCAST = cell("send", 2, 1, 64), cell("broadcast", 4, 1, 128)
FASTEST, FASTEST_REDUCE = cell("all-reduce", 4, 5, 128), cell("reduce", 4, 5, 128)
FIRST = calibrated(send, SLOWEST_SEND, WINDOWS)


def all_reduce(each: Cell, overhead: float) -> float:
    return gloo_seconds(
        AllReduce, each.n, each.size, each.bandwidth, each.latency, overhead, windows=Windows(first=FIRST)
    )


OVERHEAD = calibrated(all_reduce, FASTEST, LATENESS)


def reduce(each: Cell, into: float) -> float:
    return gloo_reduce_seconds(
        each.n, each.size, each.bandwidth, each.latency, OVERHEAD, into=into, windows=Windows(first=FIRST)
    )


@pytest.mark.parametrize(
    ("operation", "predict", "on", "candidates", "mean", "worst"),
    [
        ("all-reduce", all_reduce, FASTEST, LATENESS, 0.02, 0.06),
        ("broadcast", broadcast, SLOWEST_BROADCAST, WINDOWS, 0.02, 0.06),
        ("reduce", reduce, FASTEST_REDUCE, RATES, 0.04, 0.10),
        ("send", send, SLOWEST_SEND, WINDOWS, 0.02, 0.06),
    ],
)
def test_what_others_measured_is_predicted_from_one_cell(
    operation: str, predict: Predict, on: Cell, candidates: Sequence[float], mean: float, worst: float
) -> None:
    found = errors(operation, predict, calibrated(predict, on, candidates), on)
    assert len(found) == (5 if operation == "send" else 11)
    assert np.abs(found).mean() <= mean
    assert np.abs(found).max() <= worst


def test_what_is_calibrated_is_what_the_hosts_had() -> None:
    """Ten segments of a jumbo frame are 89.5 kB; an interface of "up to 10 Gbit/s"; half a millisecond to wake."""
    assert 80e3 < FIRST < 160e3
    assert 0.4 * MS < OVERHEAD < 0.6 * MS
    assert calibrated(reduce, FASTEST_REDUCE, RATES) == pytest.approx(10 * GBIT, rel=0.05)


def test_a_send_pays_k_latencies_over_its_bytes() -> None:
    """What the cells say: 7.6 to 9.3."""
    paid = [(send(each, FIRST) - each.size / each.bandwidth) / each.latency for each in cells("send")]
    assert all(6 < k < 9.4 for k in paid)


@pytest.mark.slow
@pytest.mark.parametrize("each", [FASTEST, cell("all-reduce", 8, 2, 128)], ids=lambda each: f"{each.n} hosts")
def test_a_scenario_predicts_the_same(each: Cell) -> None:
    """By flows, over hosts on one switch: the mean over as many all-reduces as there are draws of lateness."""
    platform = {
        "gradient": {"mean": 10.0},
        "transport": "gloo",
        "overhead": OVERHEAD,
        "initial_window": FIRST,
        "network": {"kind": "fabric", "bandwidth": each.bandwidth, "latency": each.latency / 2},
    }
    scenario = {
        "schedule": {"program": "all-reduce", "gradients": DRAWS},
        "topology": {"graph": "complete", "workers": each.n},
        "platform": platform,
        "workload": {"parameters": each.size // 4},
    }
    (row,) = simulate(scenario).summary["collectives"]
    assert row["mean_s"] == pytest.approx(all_reduce(each, OVERHEAD), rel=0.02)
    assert row["mean_s"] == pytest.approx(each.measured, rel=0.04)


@pytest.mark.parametrize("delay", ["1", "5", "10"])
def test_without_a_bandwidth_a_window_is_the_limit(delay: str) -> None:
    """Not scored: the longer of two such sends calibrates `window`, and the shorter is only near, as its connection
    opens meanwhile. At 5 and 10 ms the window is the same; at 1 ms the interface is."""
    both = {
        int(row["size_mib"]): row for row in rows("send") if (row["delay_ms"], row["bandwidth_gbit"]) == (delay, "")
    }
    rate = 64 * MIB / (float(both[128]["measured_ms"]) - float(both[64]["measured_ms"])) / MS
    window = rate * 2 * float(delay) * MS
    assert window == pytest.approx({"1": 1.2e6, "5": 2.8e6, "10": 3.05e6}[delay], rel=0.02)
    assert Windows(largest=window).rate(10 * GBIT, 2 * float(delay) * MS) == pytest.approx(rate)
