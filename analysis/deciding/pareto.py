"""Which cases of a sweep no other beats in throughput, memory and staleness, and the fastest that fits into a memory.

Where all cases go over as many samples (`run.samples`) and have a loss, what they come to is compared: loss, seconds,
bytes, staleness and memory, of those on one platform, which is given rather than chosen. A case beats another if it is
at least as good in all of these and better in one. All of those that no case beats are
worth a look: whatever else is better in one is worse in another.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from schedules.record.quantities import EQUAL_SAMPLES, WORK_PER_S

if TYPE_CHECKING:
    import pandas as pd

MEMORY: Final = "peak_memory_bytes"
"""Of the rank that holds most."""

STALENESS: Final = "staleness_mean"
LOSS, SECONDS, BYTES = "loss", "makespan_s", "bytes_sent"
STALEST: Final = "staleness_mean.stalest"
"""Of the kind of contribution whose mean is largest: an outer change may be old where no gradient is."""

LESS: Final = (LOSS, SECONDS, BYTES, STALENESS, STALEST, MEMORY)
"""Of which less is better."""

_BATCH_SIZE: Final = "workload.batch_size"


def goals(table: pd.DataFrame) -> tuple[str, ...]:
    """The columns that cases are compared in: throughput first, of which more is better; of the others less is. Of as
    many samples loss first; less of all is better.

    Throughput is in gradients/s; in samples/s where the batch size varies; in a unit of the schedules' own where they
    make no gradients. What no case has is left out.

    Args:
        table: of a sweep, as `simulator.sweep` returns it.
    """
    good = _good(table)
    if table.attrs.get(EQUAL_SAMPLES) and LOSS in good and good[LOSS].notna().any():
        return tuple(key for key in (LOSS, SECONDS, BYTES, STALEST, MEMORY) if key in good)
    own = [key for key in map(str, table) if key.startswith(WORK_PER_S)]
    counted = ["samples_per_s"] if _BATCH_SIZE in table else []
    speeds = [key for key in (*counted, "gradients_per_s", *own) if key in good and (good[key] > 0).any()]
    others = [key for key in (MEMORY, STALENESS) if key in good and good[key].notna().any()]
    return (*speeds[:1], *others)


def compared(table: pd.DataFrame) -> pd.DataFrame:
    """The cases that went well and have a number in every goal."""
    good = _good(table)
    return good[good[list(goals(table))].notna().all(axis=1)]


def platforms(cases: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """The cases of each platform, with what tells it from the others; of all together, where none is compared so."""
    keys = [key for key in map(str, cases) if key.startswith("platform.") and cases[key].nunique(dropna=False) > 1]
    if LOSS not in goals(cases) or not keys:
        return [("", cases)]
    groups = cases.groupby(keys, sort=False, dropna=False)
    return [(", ".join(map(str, name)), rows) for name, rows in groups]


def unbeaten(table: pd.DataFrame) -> pd.DataFrame:
    """The cases that no other beats, the fastest first, or of a loss those of least loss, a platform after the other;
    none where there is nothing to compare in."""
    import pandas as pd

    keys, cases = goals(table), compared(table)
    if not keys:
        return cases[:0]
    return pd.concat([_unbeaten(rows, keys) for _, rows in platforms(cases)])


def _unbeaten(cases: pd.DataFrame, keys: tuple[str, ...]) -> pd.DataFrame:
    signs = [1 if key in LESS else -1 for key in keys]
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
    found = unbeaten(good[good[MEMORY] <= limit_bytes])
    return (found.sort_values(SECONDS, kind="stable") if SECONDS in goals(table) else found)[:1]


def smallest(table: pd.DataFrame) -> pd.DataFrame:
    """The case that needs the least memory: one row; none where no case says what it needs."""
    if MEMORY not in table:
        return table[:0]
    good = _good(table)
    return good[good[MEMORY].notna()].sort_values(MEMORY, kind="stable")[:1]


def _good(table: pd.DataFrame) -> pd.DataFrame:
    good = table[table["error"] == ""]
    kinds = [key for key in map(str, table) if key.startswith(f"{STALENESS}.")]
    if STALEST in table or not table.attrs.get(EQUAL_SAMPLES) or not kinds:
        return good
    return good.assign(**{STALEST: good[kinds].max(axis=1)})
