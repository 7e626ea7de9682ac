"""Who waited for whom, and how long."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from schedules.operations import Await, Meet
from schedules.record.dependencies import Dependencies, dependencies
from schedules.record.rows import POINT_TO_POINT, IntArray

if TYPE_CHECKING:
    import pandas as pd


def waits(trace: pd.DataFrame | Dependencies) -> pd.DataFrame:
    """The time that programs were held up by another rank, summed over the run.

    A program waits for the other end of its message, exchange or meeting until that is there, and in a collective for
    the member that comes last. What was started beside a program holds it up only while it awaits that, and counts
    where it was what the `Await` got last. Two streams of a rank may wait at the same time, and while it computes.

    Args:
        trace: table with `schedules.record.trace.COLUMNS`, of either world, or its dependencies.
    Returns:
        columns rank, waited_for, waited_ns; the longest first.
    """
    import pandas as pd

    found = trace if isinstance(trace, Dependencies) else dependencies(trace)
    whom, waited = _held_up(found)
    awaits = np.flatnonzero((found.op == Await.__name__) & (found.awaited >= 0))
    started = found.awaited[awaits]
    # Until the other end was there, but only from when the program itself had nothing else to do.
    begin = np.maximum(found.start[awaits], found.start[started])
    end = np.minimum(found.end[awaits], found.start[started] + waited[started])
    direct = np.flatnonzero(~found.is_started & (waited > 0))
    columns = {
        "rank": np.concatenate((found.rank[direct], found.rank[awaits])),
        "waited_for": np.concatenate((whom[direct], whom[started])),
        "waited_ns": np.concatenate((waited[direct], np.maximum(end - begin, 0))),
    }
    table = pd.DataFrame(columns)
    table = table[(table["waited_ns"] > 0) & (table["waited_for"] >= 0)]
    table = table.groupby(["rank", "waited_for"], sort=True)["waited_ns"].sum().reset_index()
    return table.sort_values("waited_ns", ascending=False, kind="stable").reset_index(drop=True)


def _held_up(found: Dependencies) -> tuple[IntArray, IntArray]:
    """For each operation the rank that came last (-1: unknown or itself), and nanoseconds until it was there."""
    cause = np.where(found.last >= 0, found.last, found.partner)
    is_meeting_nobody = (found.op == Meet.__name__) & (found.partner < 0)
    cause = np.where(is_meeting_nobody, found.waker, cause)
    is_alone = np.isin(found.op, POINT_TO_POINT) & (cause < 0)  # the other row is missing; `ready` still tells when
    until = np.where(cause >= 0, found.start[cause], np.where(is_alone, found.ready, found.start))
    waited = np.clip(until - found.start, 0, found.end - found.start)
    whom = np.where(cause >= 0, found.rank[cause], found.peer)
    return np.where(waited > 0, whom, -1), waited
