"""What holds in every run, worked out from what it left behind: by other means than the simulator's own."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import networkx as nx
import numpy as np
import pandas as pd

from analysis.measures.explanation import explain_run
from schedules.operations import COLLECTIVES
from schedules.platform.transports import TRANSPORTS
from schedules.result import Result

MESSAGES = ("Send", "Exchange")
BUSY = ("Compute", "Send", "Receive", "Exchange", *(kind.__name__ for kind in COLLECTIVES))


def check(result: Result) -> None:
    """Raise an AssertionError if anything does not hold."""
    trace, summary = result.trace, result.summary
    assert trace is not None
    makespan = round(summary["makespan_s"] * 1e9)
    assert (trace["start_ns"] >= 0).all()
    assert (trace["start_ns"] <= trace["ready_ns"]).all()
    assert (trace["ready_ns"] <= trace["end_ns"]).all()
    check_time(trace, summary, makespan, is_whole=result.scenario.platform.faults is None)
    check_links(result)
    check_memory(result)
    check_lost(trace, result.scenario.platform.faults)
    path = explain_run(result).path
    assert (path is None) == trace.empty
    if path is not None:
        assert path.length_ns == makespan
        assert (path.intervals["start_ns"].to_numpy()[1:] == path.intervals["end_ns"].to_numpy()[:-1]).all()


def same(one: Result, other: Result) -> None:
    """Two runs of one scenario, to the last bit."""
    assert one.trace is not None
    assert one.links is not None
    assert one.memory is not None
    assert one.trace.equals(other.trace)
    assert one.links.equals(other.links)
    assert one.memory.equals(other.memory)
    assert one.summary == other.summary
    if one.parameters is not None:
        np.testing.assert_array_equal(one.parameters, other.parameters)


# ---- time


def check_time(trace: pd.DataFrame, summary: dict[str, Any], makespan: int, *, is_whole: bool) -> None:
    """Busy and idle are the makespan, to the nanosecond; a kernel that was lost is in no trace, but was busy."""
    per_rank = summary["per_rank"]
    rows = trace[trace["op"].isin(BUSY)]
    for rank, idle_s in enumerate(per_rank["idle_s"]):
        mine = rows[rows["rank"] == rank]
        busy, idle = length(zip(mine["ready_ns"], mine["end_ns"], strict=True)), round(idle_s * 1e9)
        assert 0 <= idle <= makespan
        if is_whole:
            assert busy + idle == makespan
    for key in ("compute_s", "transfer_s"):
        assert all(0 <= seconds <= summary["makespan_s"] for seconds in per_rank[key])
    for key in ("utilization_compute", "utilization_communication", "idle_fraction"):
        assert 0 <= summary[key] <= 1


def length(intervals: Iterable[tuple[int, int]]) -> int:
    """Of the union."""
    total = reach = 0
    for start, end in sorted(intervals):
        total += max(0, end - max(start, reach))
        reach = max(reach, end)
    return total


# ---- links


def check_links(result: Result) -> None:
    """No link carries more than it can, and all of them together every byte of every message on every hop."""
    links, trace, makespan = result.links, result.trace, result.summary["makespan_s"]
    assert links is not None
    assert trace is not None
    assert (links["utilisation"] >= 0).all()
    rounded = makespan + 1e-9 * len(trace)  # every message ends in a whole nanosecond
    assert (links["carried_bytes"] <= links["bandwidth"] * rounded).all()
    assert (links["busy_s"] <= rounded).all()
    expected = None if result.scenario.platform.faults else carried(result)
    if not TRANSPORTS[result.scenario.platform.transport].takes_bytes:
        expected = 0.0
    if expected is not None:
        assert abs(links["carried_bytes"].sum() - expected) <= 1e-9 * expected + 1e-3 + rounding(result)


def carried(result: Result) -> float | None:
    """Bytes times hops; None where collectives go by flows of another kind than a ring."""
    trace, network, hops = result.trace, result.network, _hops(result)
    assert trace is not None
    assert network is not None
    rows = trace[trace["op"].isin(MESSAGES)]
    total = float(sum(hops(*pair) * size for *pair, size in rows[["rank", "peer", "bytes"]].to_numpy().tolist()))
    for row in result.summary.get("collectives", []):
        if row["form"] == "flows":
            n = row["ranks"]
            has_nics = "nic" in nx.get_node_attributes(network, "kind").values()  # with several rings over them
            if (
                has_nics
                or row["algorithm"] != "ring"
                or row["kind"] != "AllReduce"
                or n != len(result.summary["per_rank"]["idle_s"])
            ):
                return None
            around = sum(hops(rank, (rank + 1) % n) for rank in range(n))
            total += row["count"] * around * 2 * (n - 1) / n * row["bytes"]
    return total


def rounding(result: Result) -> float:
    """Parts of a collective are whole bytes."""
    return sum(20 * row["count"] * row["ranks"] ** 2 for row in result.summary.get("collectives", []))


def _hops(result: Result) -> Callable[[int, int], int]:
    if result.scenario.platform.network is None:
        return lambda source, target: 1
    network: Any = result.network
    kinds = nx.get_node_attributes(network, "kind")
    places = [node for node in network if kinds[node] == "gpu"] or [node for node in network if kinds[node] == "host"]
    distances = dict(nx.all_pairs_shortest_path_length(network))
    return lambda source, target: int(distances[places[source]][places[target]])


# ---- memory and failures


def check_memory(result: Result) -> None:
    """Nothing is held below nothing; the peak is the largest sum of the curve."""
    memory = result.memory
    assert memory is not None
    assert (memory["bytes"] >= 0).all()
    by_kind = memory.pivot_table(index=["rank", "time_ns"], columns="kind", values="bytes")
    held = by_kind.groupby(level="rank").ffill().fillna(0).sum(axis=1)
    assert held.groupby(level="rank").max().tolist() == result.summary["per_rank"]["peak_memory_bytes"]


def check_lost(trace: pd.DataFrame, faults: Any) -> None:
    """Both ends give the same exchanges up."""
    if faults is None or all(outage.back is not None for outage in faults.outages):
        lost = trace[trace["answer"] == "lost"]
        ends = sorted(zip(lost["rank"], lost["peer"], lost["tag"], strict=True))
        assert ends == sorted((peer, rank, tag) for rank, peer, tag in ends)
