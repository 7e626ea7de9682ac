"""What messages cost that is no link's: their software, and what all of a machine share; from a calibration's trace.

Collectives are fitted by the formula that the simulator has for them (`schedules.platform.protocols.segments`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from executor.calibration.probes import ALONE, BESIDE, MEETING, MOST, TOGETHER
from executor.calibration.told import LARGEST_SPREAD, LEAST_SAMPLES, Numbers, Told, mean_of, median_of
from schedules.operations import Exchange
from schedules.platform.link_fits import LinkEstimate, message_seconds, messages_of
from schedules.platform.protocols.segments import RingWay, all_reduce_ring, ring_seconds
from schedules.platform.transports import Transport

if TYPE_CHECKING:
    import pandas as pd

SHARES_LESS = 0.9
"""Messages that all together are no slower than this share of what they are alone share nothing."""

TOGETHER_SHARE = 0.5
"""Exchanges that begin within this share of the time until the last is over are beside each other."""

SMALL = 65_536
"""Bytes of messages that take what they take whatever their size."""

LEAST_RATE, MOST_RATE = 1e6, 1e12
"""Bytes/s of a flow: where the search ends."""

MOST_OVERHEAD_S = 0.05
"""Of a message within a collective: where the search ends."""


def shared_bandwidth(trace: pd.DataFrame, link: LinkEstimate, size: int) -> Told | None:
    """Bytes/s of all messages together, from the exchanges of all ranks at once; None: they share nothing.

    By the difference between messages of that size and small ones: that not all begin in one instant is in both.
    """
    rows = trace[trace["op"].eq(Exchange.__name__) & (trace["tag"] // MOST).eq(TOGETHER)]
    small, large = (_spans(rows[rows["bytes"].eq(each)]) for each in (SMALL, size))
    if min(len(small), len(large)) < LEAST_SAMPLES:
        return None
    of_size = rows[rows["bytes"].eq(size)]
    flows = len(of_size) / of_size["tag"].nunique()
    least, most = median_of(small), median_of(large)
    more, error = most.value - least.value, float(np.hypot(most.high - most.value, least.high - least.value))
    moved = flows * (size - SMALL)
    if more <= error or moved / more > SHARES_LESS * flows * link.bandwidth:
        return None
    low, high = moved / (more + error), moved / (more - error)
    return _rate(moved / more, low, high)


def _rate(value: float, low: float, high: float) -> Told:
    is_wide = high - low > 2 * LARGEST_SPREAD * value
    return Told(value, low, high, f"host.bandwidth: it is from {low:.3g} to {high:.3g} B/s" if is_wide else "")


def _spans(rows: pd.DataFrame) -> Numbers:
    """Seconds from the first of the exchanges of a tag until the last of them is over, where all began together."""
    by_tag = rows.groupby("tag")
    first, last, end = by_tag["ready_ns"].min(), by_tag["ready_ns"].max(), by_tag["end_ns"].max()
    found: Numbers = ((end - first)[last - first <= TOGETHER_SHARE * (end - first)] / 1e9).to_numpy(dtype=np.float64)
    return found


def message_overhead(
    trace: pd.DataFrame, transport: Transport, link: LinkEstimate, size: int, shared: float | None
) -> Told | None:
    """What an exchange of that size costs beside latency and bytes on average; None where none was made.

    A fit cares little for the few that something held up. But a schedule waits for these, too. Of those after meetings,
    where the schedule meets; else of those beside kernels, unless they share the machine with others.

    Args:
        shared: bytes/s of all messages of the machine together, where they share it.
    """
    rows = trace[trace["op"].eq(Exchange.__name__) & trace["bytes"].eq(size)]
    phases, bandwidth = rows["tag"] // MOST, link.bandwidth
    told = phases.eq(MEETING)
    if told.any() and shared is not None:  # of pairs that met at about the same time
        bandwidth = min(bandwidth, shared / (rows["rank"].nunique() // 2 * 2))
    if not told.any():
        is_started = bool(rows.loc[phases.eq(BESIDE), "stream"].str.contains("+", regex=False).any())
        told = phases.eq(ALONE if is_started else BESIDE)
    if not told.any():
        told = phases.eq(ALONE)
    ends = messages_of(rows[told]) if told.any() else None
    if ends is None or not transport.has_overhead:
        return None
    rest = message_seconds(ends, transport, np.array([link.latency, 1 / bandwidth, 0.0]))
    return mean_of("overhead", ends.taken - rest)


def collective_overhead(trace: pd.DataFrame, n: int, size: int, way: RingWay) -> Told | None:
    """How late threads are in an all-reduce of that size, by the ring's formula; None where too few were made."""
    seconds = _reductions(trace, size)
    if len(seconds) < LEAST_SAMPLES or n < 2:
        return None
    value, low, high = (_overhead(each, n, size, way) for each in median_of(seconds)[:3])
    bound = {0.0: "none at all", MOST_OVERHEAD_S: f"{MOST_OVERHEAD_S:g} s"}.get(value)
    doubt = f"collectives.overhead: the fit ends at its bound, {bound}" if bound else ""
    return Told(value, low, high, doubt)


def collective_bandwidth(trace: pd.DataFrame, n: int, size: int, way: RingWay) -> Told | None:
    """Bytes/s of all messages of an all-reduce of that size together, by the ring's formula, with the overhead that
    small ones tell; None: no fewer than its links carry."""
    seconds = _reductions(trace, size)
    if len(seconds) < LEAST_SAMPLES or n < 2:
        return None
    ring = all_reduce_ring(n, size)

    def rate(taken: float) -> float:
        return _bisected(lambda each: -ring_seconds(ring, way._replace(bandwidth=each)), -taken, LEAST_RATE, MOST_RATE)

    value, high, low = (n * rate(each) for each in median_of(seconds)[:3])
    return None if value > n * way.bandwidth else _rate(value, low, high)


def _reductions(trace: pd.DataFrame, size: int) -> Numbers:
    """Seconds of the all-reduces of that size one behind the other, from their last member's coming to the last end."""
    rows = trace[trace["op"].eq("AllReduce") & trace["bytes"].eq(size) & trace["tag"].lt(MOST)]
    by_ready = rows.groupby("ready_ns")["end_ns"].max()  # all members of one have the same
    found: Numbers = ((by_ready - by_ready.index) / 1e9).to_numpy(dtype=np.float64)
    return found


def _overhead(seconds: float, n: int, size: int, way: RingWay) -> float:
    """The overhead with which a ring takes so many seconds."""
    ring = all_reduce_ring(n, size)
    return _bisected(lambda each: ring_seconds(ring, way._replace(overhead=each)), seconds, 0.0, MOST_OVERHEAD_S)


def _bisected(rising: Callable[[float], float], value: float, low: float, high: float) -> float:
    """Where a function comes to a value; at the end of the search where it does not."""
    if rising(low) >= value:
        return low
    if rising(high) <= value:
        return high
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (middle, high) if rising(middle) < value else (low, middle)
    return (low + high) / 2
