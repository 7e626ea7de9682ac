"""Collectives on hosts with shaped links, measured by others, and what the transports' formulas say of them.

What is calibrated is calibrated on the cell where it weighs most. Of gloo: how late threads are, and the rate at which
the root of a reduce takes in (only what leaves a host is shaped), where links take least; the window of a connection
after a rest where a round trip holds most bytes, of the smaller size. Of NCCL, the efficiency of each operation.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from schedules.operations import AllReduce, Broadcast
from schedules.platform.collective_times import nccl_seconds
from schedules.platform.protocols.windows import Windows
from schedules.platform.transports import gloo_reduce_seconds, gloo_seconds
from schedules.platform.volumes import depth

MEASURED = Path(__file__).parent.parent / "tests" / "measured"
MS, GBIT, MIB = 1e-3, 1e9 / 8, 1 << 20


class Cell(NamedTuple):
    """One measurement: seconds and bytes/s."""

    n: int
    latency: float
    bandwidth: float
    size: int
    measured: float

    @property
    def name(self) -> str:
        """For people."""
        shape = f"{self.latency / MS:g} ms, {self.bandwidth / GBIT:g} Gbit/s"
        return f"{self.n} hosts, {shape}, {self.size // MIB} MiB"


Predict = Callable[[Cell, float], float]
"""(cell, what is calibrated) -> seconds."""


def table(name: str) -> list[dict[str, str]]:
    """The rows of a file of measurements."""
    with (MEASURED / name).open(encoding="utf-8") as file:
        return list(csv.DictReader(line for line in file if not line.startswith("#")))


def cells(operation: str, backend: str = "gloo") -> list[Cell]:
    """Those with a delay and a bandwidth."""
    return [
        Cell(
            int(row["nodes"]),
            float(row["delay_ms"]) * MS,
            float(row["bandwidth_gbit"]) * GBIT,
            int(row["size_mib"]) * MIB,
            float(row["measured_ms"]) * MS,
        )
        for row in table("shaped-cluster-measured.csv")
        if (row["operation"], row["backend"]) == (operation, backend) and row["delay_ms"] and row["bandwidth_gbit"]
    ]


def cell(operation: str, n: int, gbit: float, mib: int, backend: str = "gloo") -> Cell:
    """The one of some hosts, bandwidth and size."""
    wanted = n, gbit * GBIT, mib * MIB
    (found,) = (each for each in cells(operation, backend) if (each.n, each.bandwidth, each.size) == wanted)
    return found


def calibrated(predict: Predict, on: Cell, candidates: Iterable[float]) -> float:
    """Of some values, the one whose prediction of a cell is nearest."""
    return min(candidates, key=lambda value: abs(predict(on, value) - on.measured))


# ---- gloo

WINDOWS = [float(each) for each in np.geomspace(2e4, 2e6, 200)]
LATENESS = [float(each) for each in np.arange(0.05, 1.5, 0.025) * MS]
RATES = [float(each) for each in np.geomspace(2e8, 1e10, 100)]


def send(each: Cell, first: float) -> float:
    """S/B + 2 L, and what is lost while the connection opens: k latencies in all, with k about 8 here."""
    opening = Windows(first=first).opening(each.size, each.bandwidth, 2 * each.latency)
    return each.size / each.bandwidth + 2 * each.latency + opening


def broadcast(each: Cell, first: float) -> float:
    """By the window of a connection after a rest."""
    return gloo_seconds(Broadcast, each.n, each.size, each.bandwidth, each.latency, windows=Windows(first=first))


SLOWEST_SEND, SLOWEST_BROADCAST = cell("send", 2, 1, 64), cell("broadcast", 4, 1, 128)
FASTEST, FASTEST_REDUCE = cell("all-reduce", 4, 5, 128), cell("reduce", 4, 5, 128)


@cache
def first_window() -> float:
    """Of a connection after a rest, by a send."""
    return calibrated(send, SLOWEST_SEND, WINDOWS)


def all_reduce(each: Cell, overhead: float) -> float:
    """By how late threads are."""
    windows = Windows(first=first_window())
    return gloo_seconds(AllReduce, each.n, each.size, each.bandwidth, each.latency, overhead, windows=windows)


@cache
def lateness() -> float:
    """Of threads, by an all-reduce."""
    return calibrated(all_reduce, FASTEST, LATENESS)


def reduce(each: Cell, into: float) -> float:
    """By the rate at which the root takes in."""
    windows = Windows(first=first_window())
    return gloo_reduce_seconds(each.n, each.size, each.bandwidth, each.latency, lateness(), into=into, windows=windows)


# ---- NCCL

EFFICIENCIES = [float(each) for each in np.arange(0.5, 1.0, 5e-4)]


def nccl_all_reduce(each: Cell, efficiency: float) -> float:
    """A ring."""
    return nccl_seconds(AllReduce, each.n, each.size, each.bandwidth * efficiency, each.latency, algorithm="ring")


def nccl_chain(each: Cell, efficiency: float) -> float:
    """A broadcast, or a reduce, which is one backwards."""
    return nccl_seconds(Broadcast, each.n, each.size, each.bandwidth * efficiency, each.latency, algorithm="chain")


def nccl_send(each: Cell, efficiency: float) -> float:
    """S / B + L."""
    return each.size / (each.bandwidth * efficiency) + each.latency


# ---- what people use: alpha and beta


def plain(operation: str, each: Cell) -> float:
    """A ring, a binomial tree, or one message, each hop of which takes L and its bytes / B."""
    n, hop = each.n, each.latency + each.size / each.bandwidth
    if operation == "all-reduce":
        return 2 * (n - 1) * (each.latency + each.size / n / each.bandwidth)
    return hop if operation == "send" else depth(n) * hop


class Calibration(NamedTuple):
    """How an operation is predicted from one of its cells."""

    predict: Predict
    on: Cell
    candidates: Sequence[float]
    what: str


def calibrations() -> Mapping[tuple[str, str], Calibration]:
    """By backend and operation."""
    nccl = {
        operation: Calibration(predict, cell(operation, n, 5, 128, "nccl"), EFFICIENCIES, "efficiency")
        for operation, n, predict in (
            ("all-reduce", 4, nccl_all_reduce),
            ("broadcast", 4, nccl_chain),
            ("reduce", 4, nccl_chain),
            ("send", 2, nccl_send),
        )
    }
    gloo = {
        "all-reduce": Calibration(all_reduce, FASTEST, LATENESS, "overhead"),
        "broadcast": Calibration(broadcast, SLOWEST_BROADCAST, WINDOWS, "initial_window"),
        "reduce": Calibration(reduce, FASTEST_REDUCE, RATES, "rate into the root"),
        "send": Calibration(send, SLOWEST_SEND, WINDOWS, "initial_window"),
    }
    found = {("gloo", operation): each for operation, each in gloo.items()}
    return found | {("nccl", operation): each for operation, each in nccl.items()}
