"""Rows of a trace: of which kind each is, and looking some up by others, all at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from schedules.operations import (
    COLLECTIVES,
    Await,
    Cancel,
    Compute,
    Exchange,
    Join,
    Leave,
    Meet,
    Put,
    Receive,
    Send,
    Start,
    Take,
    Until,
)

if TYPE_CHECKING:
    import pandas as pd

IntArray = np.ndarray[tuple[int], np.dtype[np.int64]]
BoolArray = np.ndarray[tuple[int], np.dtype[np.bool_]]
Texts = np.ndarray[tuple[int], np.dtype[np.object_]]

NOTHING: Final = -1
"""There is no such row."""


COMPUTE: Final = Compute.__name__
POINT_TO_POINT: Final = tuple(kind.__name__ for kind in (Send, Receive, Exchange))
TRANSFERS: Final = (*POINT_TO_POINT, *(kind.__name__ for kind in COLLECTIVES))
"""Operations that move data: a participant is missing until `ready_ns`, then a transfer is under way until `end_ns`."""

BLOCKED: Final = (Meet.__name__, Await.__name__)
"""Operations that only wait, for a partner or for what was started: all of their duration is waiting."""

SLEEPING: Final = tuple(kind.__name__ for kind in (Until, Put, Take))
"""Operations that wait for a clock or for another stream of the same worker: all of their duration is waiting, too."""

BOOKKEEPING: Final = tuple(kind.__name__ for kind in (Start, Cancel, Join, Leave))
"""Operations that take no time."""

APPLY: Final = "Apply"
"""Rows that are no operation: a further contribution applied in the same segment."""


def kind_of(rows: pd.DataFrame) -> pd.Series[str]:
    """The kind of every row of a trace: `Exchange`, `Compute gradient`."""
    has_kernel = rows["kernel"] != ""
    return rows["op"].where(~has_kernel, rows["op"] + " " + rows["kernel"])


def latest(rows: IntArray, lane: IntArray, time: IntArray, asked: IntArray, when: IntArray) -> IntArray:
    """For each lane and time that is asked for: which of `rows` is the last there, at that time or before.

    Args:
        rows: candidates, int64 [num_candidates].
        lane, time: of each row of the trace, int64 [num_rows].
        asked, when: lanes and times, int64 [num_asked].
    Returns:
        int64 [num_asked], -1 where there is none. Of candidates at the same time, the last in the order of the trace.
    """
    if not len(rows) or not len(asked):
        return np.full(len(asked), NOTHING)
    begin = min(int(time[rows].min()), int(when.min()))
    span = max(int(time[rows].max()), int(when.max())) - begin + 1
    known = lane[rows] * span + time[rows] - begin  # lane and time as one number: one search finds both
    order = np.argsort(known, kind="stable")
    place = np.searchsorted(known[order], asked * span + when - begin, side="right") - 1
    found = rows[order[np.maximum(place, 0)]]  # -1 would be the last of all; it is ruled out below
    return np.where((place >= 0) & (lane[found] == asked), found, NOTHING)


def spread(num_rows: int, rows: IntArray, values: IntArray) -> IntArray:
    """A column of so many rows with these values in these rows, and nothing elsewhere."""
    column = np.full(num_rows, NOTHING)
    column[rows] = values
    return column


def paired(keys: tuple[IntArray, ...], side: IntArray, start: IntArray) -> IntArray:
    """The k-th of a key on one side belongs to the k-th on the other: positions, -1 where there is none."""
    key = numbered(*keys)
    turn = counted(numbered(key, side), start)
    order = np.lexsort((side, turn, key))  # by key, then turn: the two ends of one stand side by side
    first, second = order[:-1], order[1:]
    belong = (key[first] == key[second]) & (turn[first] == turn[second]) & (side[first] != side[second])
    partner = np.full(len(key), NOTHING)
    partner[first[belong]], partner[second[belong]] = second[belong], first[belong]
    return partner


def numbered(*columns: IntArray | Texts) -> IntArray:
    """A number for each combination of values."""
    import pandas as pd

    frame = pd.DataFrame(dict(enumerate(columns)))
    numbers = frame.groupby(list(frame.columns), sort=False).ngroup().to_numpy()
    return numbers.astype(np.int64)


def counted(key: IntArray, start: IntArray) -> IntArray:
    """Which one each is of its key, in the order of issue: 0, 1, 2, ..."""
    order = np.lexsort((start, key))
    ordered = key[order]
    first = np.flatnonzero(np.concatenate((np.ones(min(1, len(key)), bool), ordered[1:] != ordered[:-1])))
    count = np.empty(len(key), dtype=np.int64)
    count[order] = np.arange(len(key)) - np.repeat(first, np.diff(np.append(first, len(key))))
    return count
