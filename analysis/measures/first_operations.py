"""Whether the first operation on an edge or in a group takes longer than the later ones: connections that were cold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from schedules.record.rows import POINT_TO_POINT, TRANSFERS

if TYPE_CHECKING:
    import pandas as pd

RATIO: Final = 2.6
"""From so many times the median on a first operation stands out: the least that cold connections cost once."""

_FEWEST: Final = 5
"""Of fewer operations of a kind and size the median says nothing."""


class Outstanding(NamedTuple):
    """First operations of one kind that stand out.

    Attributes:
        kind: of operation, `Exchange`.
        number: on how many edges or groups.
        longest_s, median_s: the one that took most times the median, and the median of its kind and size.
    """

    kind: str
    number: int
    longest_s: float
    median_s: float


def first_operations(trace: pd.DataFrame) -> list[Outstanding]:
    """The kinds of operations whose first one on an edge or in a group took `RATIO` times the median or more.

    Compared are transfers, from `ready_ns` to `end_ns`, with all of the run that have the same kind and bytes. An edge
    is a pair of ranks, seen from whichever of them took longer.
    """
    rows = trace[trace["op"].isin(TRANSFERS) & (trace["bytes"] > 0)]
    rows = rows.assign(took_ns=rows["end_ns"] - rows["ready_ns"], place=_places(rows))
    by_size = rows.groupby(["op", "bytes"], observed=True)["took_ns"]
    rows = rows.assign(median_ns=by_size.transform("median"), count=by_size.transform("count"))
    order = rows.sort_values("start_ns", kind="stable")
    first = order.drop_duplicates(["op", "rank", "place", "channel"])
    ratio = first["took_ns"] / first["median_ns"].clip(lower=1)
    late = first.assign(ratio=ratio)[(ratio >= RATIO) & (first["count"] >= _FEWEST)]
    found = []
    for kind, each in late.sort_values("ratio", kind="stable").groupby("op", observed=True):
        worst = each.iloc[-1]
        number = len(each.drop_duplicates(["place", "channel"]))
        found.append(Outstanding(str(kind), number, worst["took_ns"] / 1e9, worst["median_ns"] / 1e9))
    return found


def _places(rows: pd.DataFrame) -> pd.Series[str]:
    """The edge or the group of each transfer, as text; of an edge with the lower rank first."""
    low, high = rows[["rank", "peer"]].min(axis=1).astype(str), rows[["rank", "peer"]].max(axis=1).astype(str)
    return (low + "-" + high).where(rows["op"].isin(POINT_TO_POINT), rows["group"].astype(str))
