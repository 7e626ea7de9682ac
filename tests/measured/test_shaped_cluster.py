"""gloo's collectives on hosts with shaped links, measured by others: one cell an operation calibrates, all others are
predicted.

What is calibrated is calibrated on the cell where it weighs most: how late threads are, and the rate at which the root
of a reduce takes in (only what leaves a host is shaped), where links take least; the window of a connection after a
rest where a round trip holds most bytes, of the smaller size. The choice is not what makes it fit: nine of the twelve
cells of an all-reduce would do, all of a broadcast's, five of a send's six, and of a reduce the six where the root's
interface is what is waited for.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from benchmarks._cells import (
    FASTEST,
    FASTEST_REDUCE,
    GBIT,
    LATENESS,
    MIB,
    MS,
    RATES,
    SLOWEST_BROADCAST,
    SLOWEST_SEND,
    WINDOWS,
    Cell,
    Predict,
    all_reduce,
    broadcast,
    calibrated,
    cell,
    cells,
    first_window,
    lateness,
    reduce,
    send,
    table,
)
from schedules.platform.protocols.segments import DRAWS
from schedules.platform.protocols.windows import Windows
from simulator import simulate

FIRST, OVERHEAD = first_window(), lateness()


def errors(operation: str, predict: Predict, value: float, but: Cell) -> np.ndarray:
    """Relative errors of all cells but the one that calibrated."""
    return np.array([predict(each, value) / each.measured - 1 for each in cells(operation) if each != but])


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
    wanted = "send", "gloo", delay, ""
    both = {
        int(row["size_mib"]): row
        for row in table("shaped-cluster-measured.csv")
        if (row["operation"], row["backend"], row["delay_ms"], row["bandwidth_gbit"]) == wanted
    }
    rate = 64 * MIB / (float(both[128]["measured_ms"]) - float(both[64]["measured_ms"])) / MS
    window = rate * 2 * float(delay) * MS
    assert window == pytest.approx({"1": 1.2e6, "5": 2.8e6, "10": 3.05e6}[delay], rel=0.02)
    assert Windows(largest=window).rate(10 * GBIT, 2 * float(delay) * MS) == pytest.approx(rate)
