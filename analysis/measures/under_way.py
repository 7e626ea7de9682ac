"""What was under way when a run was cut.

A trace has a row for each operation that is done, so what was under way at the cut is in none. The summary counts its
time up to the cut (`schedules.record.ledger.Ledger.stop`), rank by rank, and from that it is worked out here: what is
under way at the cut ends there, all of it, so that its union is one interval a rank, and how far that goes back is what
the summary has more than the trace.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from schedules.record.memory import Intervals, merged
from schedules.record.quantities import with_unit
from schedules.record.rows import COMPUTE, TRANSFERS

if TYPE_CHECKING:
    import pandas as pd

    from schedules.result import Result

IntMatrix = np.ndarray[tuple[int, int], np.dtype[np.int64]]

UNDER_WAY: Final = "under way at the cut"
"""What it is called."""


@dataclass(frozen=True)
class Unfinished:
    """The computing and transferring that a run was cut in the middle of.

    Attributes:
        cut_ns: when, in nanoseconds since the run's start.
        computing, transferring: rank, start and end, an interval a rank at most: int64 [3, num_intervals], nanoseconds.
    """

    cut_ns: int
    computing: IntMatrix
    transferring: IntMatrix


def under_way(run: Result) -> Unfinished | None:
    """What was under way when a run was cut; None of a run that was not, or that has kept no trace."""
    if run.cut_ns is None or run.trace is None:
        return None
    return found_under_way(run.trace, run.summary, run.cut_ns)


def found_under_way(trace: pd.DataFrame, summary: Mapping[str, Any], cut_ns: int) -> Unfinished:
    """The same of a trace and the summary of its run.

    Args:
        trace: table with `schedules.record.trace.COLUMNS`.
        summary: with `compute_s` and `transfer_s` of each rank under `per_rank`; what it lacks counts as nothing.
        cut_ns: when the run was cut, in nanoseconds since its start.
    """
    per_rank = summary.get("per_rank") or {}
    computed, transferred = trace[trace["op"] == COMPUTE], trace[trace["op"].isin(TRANSFERS)]
    return Unfinished(
        cut_ns,
        _missing(computed, per_rank.get("compute_s", ()), cut_ns),
        _missing(transferred, per_rank.get("transfer_s", ()), cut_ns),
    )


def cut_remark(run: Result) -> str:
    """What a reader must know of a run that was cut, behind "The run "; "" of another, and of one without a trace."""
    if run.cut_ns is None or run.trace is None:
        return ""
    return (
        f"was cut at {with_unit(run.cut_ns / 1e9, 's')}, and what was under way then is in no row of the trace. How "
        "long ranks had computed and transferred follows from the summary, and counts in the shares of time. What it "
        "was is not known: operations, waits and staleness have only what was done, and waiting that was not over "
        "counts as free."
    )


def _missing(rows: pd.DataFrame, told_s: Sequence[float], cut_ns: int) -> IntMatrix:
    """The interval of each rank, up to the cut, by which the union of its rows falls short of what is told."""
    rank, start, end = _union(rows, cut_ns)
    # They are in the order of ranks, so those of one stand together.
    first = np.searchsorted(rank, np.arange(len(told_s) + 1))
    intervals = []
    for each, (seconds, low, high) in enumerate(zip(told_s, first[:-1], first[1:], strict=True)):
        known = list(zip(start[low:high].tolist(), end[low:high].tolist(), strict=True))
        missing = round(seconds * 1e9) - sum(until - since for since, until in known)
        if missing > 0:
            intervals.append((each, _begin(known, missing, cut_ns), cut_ns))
    return np.array(intervals, dtype=np.int64).reshape(-1, 3).T


def _union(rows: pd.DataFrame, cut_ns: int) -> Intervals:
    """When the ranks were at it by these rows, up to the cut."""
    rank, ready, end = (rows[name].to_numpy(dtype=np.int64) for name in ("rank", "ready_ns", "end_ns"))
    until = np.minimum(end, cut_ns)
    begin = min(0, int(ready.min(initial=0)))  # clocks of hosts may put it below 0, which `merged` does not take
    ranks, starts, ends = merged(rank, np.minimum(ready, until) - begin, until - begin)
    return ranks, starts + begin, ends + begin


def _begin(known: list[tuple[int, int]], missing_ns: int, cut_ns: int) -> int:
    """Where an interval up to the cut begins that adds so much to those that are known, disjoint and in order."""
    now = cut_ns
    for start, end in reversed(known):
        if missing_ns <= now - end:
            break
        missing_ns, now = missing_ns - (now - end), start
    return now - missing_ns
