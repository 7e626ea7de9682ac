"""Kinds of operations, as tables and figures name them: by the operation, and for a computation by its kernel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

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
