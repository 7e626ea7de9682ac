"""What a trace says: what operations took, where every rank's time went, how stale contributions were, who met whom.

All times are summed as integer nanoseconds, so parts add up exactly; seconds appear only in means.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from schedules.record.memory import merged
from schedules.record.rows import APPLY, BLOCKED, COMPUTE, SLEEPING, TRANSFERS, kind_of

if TYPE_CHECKING:
    import pandas as pd

    from analysis.measures.under_way import Unfinished

IntMatrix = np.ndarray[tuple[int, int], np.dtype[np.int64]]
IntArray = np.ndarray[tuple[int], np.dtype[np.int64]]

PARTS = ("compute", "transfer", "waiting", "free")
"""The parts of a rank's makespan, in the order in which they claim a moment."""

IDLE = ("waiting", "free")
"""Those in which a rank neither computes nor transfers, which is what summaries call idle."""


def num_ranks(trace: pd.DataFrame) -> int:
    """One more than the highest rank that acts or is met."""
    return 1 + max(int(trace["rank"].max()), int(trace["peer"].max()))


def span_ns(trace: pd.DataFrame, unfinished: Unfinished | None = None) -> tuple[int, int]:
    """Begin and end of the run in nanoseconds. It begins at 0, or before: clocks of hosts agree up to a residual. It
    ends with its last operation, or where it was cut with something under way."""
    end = int(trace["end_ns"].max())
    return min(0, int(trace["start_ns"].min())), end if unfinished is None else max(end, unfinished.cut_ns)


def with_parts(trace: pd.DataFrame) -> pd.DataFrame:
    """The operations of a trace with their kind and how long they waited and were under way.

    Returns:
        the rows without `Apply`, with `ready_ns` moved into [start_ns, end_ns] (clocks of hosts agree up to a residual;
        operations that only wait are ready at their end) and, in int64 nanoseconds, `duration_ns` = end - start,
        `waiting_ns` = ready - start, `transfer_ns` = end - ready; `kind` is that of `schedules.record.rows.kind_of`.
    """
    rows = trace[trace["op"] != APPLY].copy()
    only_waits = rows["op"].isin((*BLOCKED, *SLEEPING))
    ready = rows["ready_ns"].clip(rows["start_ns"], rows["end_ns"]).where(~only_waits, rows["end_ns"])
    rows["ready_ns"] = ready
    rows["duration_ns"] = rows["end_ns"] - rows["start_ns"]
    rows["waiting_ns"] = ready - rows["start_ns"]
    rows["transfer_ns"] = rows["end_ns"] - ready
    rows["kind"] = kind_of(rows)
    return rows


def operation_table(trace: pd.DataFrame) -> pd.DataFrame:
    """What operations took, one row a kind.

    Returns:
        index `kind`; `count`; `duration_s`, `transfer_s`, `waiting_s`: means in seconds of end - start, end - ready and
        ready - start (of a computation, `transfer_s` is the time it ran and `waiting_s` the time it queued for its
        engine); `bytes`: handed over by all of them; and the totals `duration_ns`, `transfer_ns`, `waiting_ns`, int64.
    """
    totals = ["duration_ns", "transfer_ns", "waiting_ns"]
    grouped = with_parts(trace).groupby("kind", sort=True)
    table = grouped[[*totals, "bytes"]].sum()
    table.insert(0, "count", grouped.size())
    for position, column in enumerate(totals):
        mean = table[column] / table["count"] / 1e9
        table.insert(1 + position, column.replace("_ns", "_s"), mean)
    return table[["count", "duration_s", "transfer_s", "waiting_s", "bytes", *totals]]


def breakdown(trace: pd.DataFrame, unfinished: Unfinished | None = None) -> pd.DataFrame:
    """Where the makespan of every rank went. A moment belongs to the first of these that holds:

    * compute: an engine computes;
    * transfer: a transfer of this rank is under way;
    * waiting: a stream is blocked in a communication whose participants are not all there, or awaits one;
    * free: nothing of these (sleeping until a tick, waiting for another stream, finished).

    Args:
        trace: table with `schedules.record.trace.COLUMNS`, of either world.
        unfinished: what was under way when the run was cut: that is compute or transfer, too. What blocked a stream
            then is in no row, so where nothing else was under way it is free.
    Returns:
        index `rank`; int64 nanoseconds `compute_ns`, `transfer_ns`, `waiting_ns`, `free_ns`, which add up to
        `makespan_ns` exactly; `hidden_ns`: transfer under way while the rank computed.
    """
    import pandas as pd

    begin, end = span_ns(trace, unfinished)
    rows = with_parts(trace)
    is_transfer = rows["op"].isin(TRANSFERS)
    # What was started in the background blocks nobody until it is awaited, and then the Await waits.
    in_foreground = ~rows["stream"].str.contains("+", regex=False)  # `+` would be an operator of a regex
    computing = _intervals(rows[rows["op"] == COMPUTE], "ready_ns", "end_ns", begin)
    transferring = _intervals(rows[is_transfer], "ready_ns", "end_ns", begin)
    blocking = rows[(is_transfer & in_foreground) | rows["op"].isin(BLOCKED)]
    waiting = _intervals(blocking, "start_ns", "ready_ns", begin)
    num = num_ranks(trace)
    if unfinished is not None:
        since = [[0], [begin], [begin]]
        computing = np.concatenate((computing, unfinished.computing - since), axis=1)
        transferring = np.concatenate((transferring, unfinished.transferring - since), axis=1)
        num = max(num, *(1 + int(each[0].max(initial=-1)) for each in (computing, transferring)))
    compute, with_transfer = _union_ns(num, computing), _union_ns(num, computing, transferring)
    # Unions that grow: their differences cannot overlap.
    with_waiting = _union_ns(num, computing, transferring, waiting)
    table = {
        "compute_ns": compute,
        "transfer_ns": with_transfer - compute,
        "waiting_ns": with_waiting - with_transfer,
        "free_ns": end - begin - with_waiting,
        "makespan_ns": np.full(num, end - begin, dtype=np.int64),
        # What two have in common: both, less their union.
        "hidden_ns": compute + _union_ns(num, transferring) - with_transfer,
    }
    return pd.DataFrame(table, index=pd.RangeIndex(num, name="rank"))


def _intervals(rows: pd.DataFrame, start: str, end: str, begin_ns: int) -> IntMatrix:
    """Rank, start and end of every row: int64 [3, num_rows], in nanoseconds since the run's begin."""
    # From 0 on, as `merged` needs it: clocks of hosts may put a begin below 0.
    since_begin: IntMatrix = rows[["rank", start, end]].to_numpy(dtype=np.int64).T - [[0], [begin_ns], [begin_ns]]
    return since_begin


def _union_ns(num_ranks: int, *intervals: IntMatrix) -> IntArray:
    """Length of the union of the intervals of every rank: int64 [num_ranks]."""
    rank, start, end = merged(*np.concatenate(intervals, axis=1))
    lengths = np.zeros(num_ranks, dtype=np.int64)
    np.add.at(lengths, rank, end - start)
    return lengths


def staleness(trace: pd.DataFrame) -> pd.DataFrame:
    """How stale every applied contribution was that was computed from known parameters.

    Returns:
        one row a contribution, in the order of the trace: `rank`; `applied`, what it was (`gradient`, `average`, ...);
        `versions` written between read and apply; `steps`: gradient steps of this worker between them (-1: unknown);
        `seconds` between them (NaN: unknown).
    """
    import pandas as pd

    rows = trace[(trace["applied"] != "") & (trace["version_read"] >= 0)]
    seconds = ((rows["end_ns"] - rows["read_ns"]) / 1e9).where(rows["read_ns"] >= 0)
    columns = {
        "rank": rows["rank"],
        "applied": rows["applied"],
        # This contribution has written the last of them.
        "versions": rows["version_written"] - 1 - rows["version_read"],
        "steps": rows["steps_behind"],
        "seconds": seconds,
    }
    return pd.DataFrame(columns).reset_index(drop=True)


def exchanges_while_computing(trace: pd.DataFrame) -> IntArray:
    """How many exchanges were written to the parameters between the read and the apply of every gradient of which that
    is known: the versions that no gradient step has written. int64 [num_gradients]."""
    rows = trace[(trace["gradients"] > 0) & (trace["version_read"] >= 0) & (trace["steps_behind"] >= 0)]
    behind = rows["version_written"] - 1 - rows["version_read"] - rows["steps_behind"]
    return behind.to_numpy(dtype=np.int64)


def partner_matrix(trace: pd.DataFrame, *, weight: str = "count") -> IntMatrix:
    """How often, or how much, every rank sent to every other one, point to point.

    Args:
        trace: table with `schedules.record.trace.COLUMNS`.
        weight: `count` or `bytes`.
    Returns:
        int64 [num_ranks, num_ranks]; entry [i, j] counts the exchanges of i with j and the sends from i to j, or their
        bytes. An exchange is counted at both of its ends, so without sends the matrix is symmetric.
    Raises:
        ValueError: for another weight.
    """
    if weight not in ("count", "bytes"):
        raise ValueError(f"weight: expected 'count' or 'bytes', found {weight!r}")
    rows = trace[trace["op"].isin(("Exchange", "Send")) & (trace["peer"] >= 0)]
    matrix = np.zeros((num_ranks(trace), num_ranks(trace)), dtype=np.int64)
    amounts = rows["bytes"].to_numpy(dtype=np.int64) if weight == "bytes" else np.int64(1)
    # `matrix[...] += 1` would count a pair once.
    np.add.at(matrix, (rows["rank"].to_numpy(), rows["peer"].to_numpy()), amounts)
    return matrix


def gradients_of_ranks(trace: pd.DataFrame, expected: int | None = None) -> dict[int, IntArray]:
    """When the gradients of each rank were done: int64 [num_gradients], ascending, in nanoseconds since the run's
    begin; ranks without any are left out.

    They are those that were applied, in a staged run at stage 0. Where none was applied they are the computations of
    the kernel that there are `expected` of (the summary's count).
    """
    # Rows of operations have the operation's stage; all that is applied in a staged run has a row `Apply`.
    is_counted = (trace["applied"] == "gradient") & ((trace["op"] != APPLY) | (trace["stage"] <= 0))
    found = trace[is_counted]
    counts = found["gradients"].to_numpy(dtype=np.int64)
    if not counts.sum():
        computed = trace[trace["op"] == COMPUTE]
        alike = (each for _, each in computed.groupby(["kernel", "stage"]) if len(each) == expected)
        found = next(alike, computed[:0])
        counts = np.ones(len(found), dtype=np.int64)
    begin = span_ns(trace)[0]
    ranks, times = (np.repeat(found[name].to_numpy(dtype=np.int64), counts) for name in ("rank", "end_ns"))
    return {int(rank): np.sort(times[ranks == rank]) - begin for rank in np.unique(ranks)}
