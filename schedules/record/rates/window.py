"""The part of a run over which throughput is counted."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from schedules.record.contributions import Applied, Done
from schedules.record.memory import Integers


class Window(NamedTuple):
    """The part of a run over which throughput is counted, so that it says what the run was like and not how it ended.

    Attributes:
        end_ns: when it ends.
        gradients: how many each rank has applied in it: int64 [num_ranks].
        per_s: gradients divided by the time of the last of them: float64 [num_ranks]; 0 of a rank that has none.
    """

    end_ns: int
    gradients: Integers
    per_s: NDArray[np.float64]


def window(
    applied: Applied | Done,
    num_ranks: int,
    makespan_ns: int,
    *,
    cut_ns: int | None = None,
    failed: Collection[int] = (),
    servers: Collection[int] = (),
) -> Window:
    """It ends with the first last gradient of a rank, or with the cut.

    Throughput is the sum of k_i / t_i, where k_i gradients were applied by rank i, the last of them at t_i. With one
    time for all, a synchronous run whose ranks apply their last gradients in turn would lack nearly a step of it. A
    rank that has applied all that it has at once counts even if that is after the end: else of a run of one step, which
    measured ranks end a microsecond apart, one rank alone would count.

    Args:
        applied: what was applied, in the whole run.
        num_ranks: of the run.
        makespan_ns: when the run ended: the window's end, where nothing was applied.
        cut_ns: when the world cut the run; None: it did not.
        failed: ranks that have failed for good: they end no window, and their time is the window's.
        servers: the ranks that count, where the schedule has servers: they count as one. None: all count.
    """
    is_counted = applied.gradients > 0
    if servers:
        is_counted &= np.isin(applied.rank, list(servers))
    rank, at_ns, gradients = (column[is_counted] for column in (applied.rank, applied.at_ns, applied.gradients))
    last = _latest(rank, at_ns, num_ranks)
    if cut_ns is not None:
        end = cut_ns
    elif servers or set(np.unique(rank).tolist()) <= set(failed):
        end = int(last.max(initial=-1)) if len(rank) else makespan_ns
    else:
        end = min(int(last[each]) for each in np.unique(rank).tolist() if each not in failed)
    is_in = at_ns <= end
    counts = np.zeros(num_ranks, dtype=np.int64)
    np.add.at(counts, rank[is_in], gradients[is_in])
    if cut_ns is None:
        is_once = _first(rank, at_ns, num_ranks) == last
        is_once[list(failed)] = False
        is_in |= is_once[rank]
    made, times = np.zeros(num_ranks, dtype=np.int64), _latest(rank[is_in], at_ns[is_in], num_ranks)
    np.add.at(made, rank[is_in], gradients[is_in])
    if servers:
        times[:] = times.max(initial=-1)
    times[list(failed)] = end
    per_s = np.divide(made * 1e9, times, out=np.zeros(num_ranks), where=times > 0)  # of no time there is no rate
    return Window(end, counts, per_s)


def _latest(rank: Integers, at_ns: Integers, num_ranks: int) -> Integers:
    """The last time of each rank; -1 where it has none."""
    latest = np.full(num_ranks, -1, dtype=np.int64)
    np.maximum.at(latest, rank, at_ns)
    return latest


def _first(rank: Integers, at_ns: Integers, num_ranks: int) -> Integers:
    """The first time of each rank; the latest of all numbers where it has none."""
    first = np.full(num_ranks, np.iinfo(np.int64).max, dtype=np.int64)
    np.minimum.at(first, rank, at_ns)
    return first
