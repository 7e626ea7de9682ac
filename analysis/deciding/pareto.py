"""Which cases of a sweep no other beats in throughput, memory and staleness, and the fastest that fits into a memory.

A case beats another if it is at least as good in all three and better in one. All of those that no case beats are
worth a look: whatever else is better in one is worse in another.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from schedules.record.quantities import WORK_PER_S

if TYPE_CHECKING:
    import pandas as pd

MEMORY: Final = "peak_memory_bytes"
"""Of the rank that holds most."""

STALENESS: Final = "staleness_mean"
_BATCH_SIZE: Final = "workload.batch_size"


def goals(table: pd.DataFrame) -> tuple[str, ...]:
    """The columns that cases are compared in: throughput first, of which more is better; of the others less is.

    Throughput is in gradients/s; in samples/s where the batch size varies; in a unit of the schedules' own where they
    make no gradients. What no case has is left out.

    Args:
        table: of a sweep, as `simulator.sweep` returns it.
    """
    good = _good(table)
    own = [key for key in map(str, table) if key.startswith(WORK_PER_S)]
    counted = ["samples_per_s"] if _BATCH_SIZE in table else []
    speeds = [key for key in (*counted, "gradients_per_s", *own) if key in good and (good[key] > 0).any()]
    others = [key for key in (MEMORY, STALENESS) if key in good and good[key].notna().any()]
    return (*speeds[:1], *others)


def compared(table: pd.DataFrame) -> pd.DataFrame:
    """The cases that went well and have a number in every goal."""
    good = _good(table)
    return good[good[list(goals(table))].notna().all(axis=1)]


def unbeaten(table: pd.DataFrame) -> pd.DataFrame:
    """The cases that no other beats, the fastest first; none where there is nothing to compare in."""
    keys, cases = goals(table), compared(table)
    if not keys:
        return cases[:0]
    signs = [1 if key in (MEMORY, STALENESS) else -1 for key in keys]
    costs: NDArray[np.float64] = cases[list(keys)].to_numpy(dtype=np.float64) * signs
    kept: list[int] = []
    # In this order none is beaten by a later one.
    for row in np.lexsort(costs.T[::-1]).tolist():
        before = costs[kept]
        if not ((before <= costs[row]).all(axis=1) & (before < costs[row]).any(axis=1)).any():
            kept.append(row)
    return cases.iloc[kept]


def fastest_within(table: pd.DataFrame, limit_bytes: float) -> pd.DataFrame:
    """The fastest case whose memory is within a limit, of equals the least stale and the smallest: one row, or none."""
    if MEMORY not in table:
        return table[:0]
    good = _good(table)
    return unbeaten(good[good[MEMORY] <= limit_bytes])[:1]


def smallest(table: pd.DataFrame) -> pd.DataFrame:
    """The case that needs the least memory: one row; none where no case says what it needs."""
    if MEMORY not in table:
        return table[:0]
    good = _good(table)
    return good[good[MEMORY].notna()].sort_values(MEMORY, kind="stable")[:1]


def _good(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["error"] == ""]
