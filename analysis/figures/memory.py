"""What a rank holds in memory over time, stacked by kind of buffer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from analysis.figures.style import new_figure, styled
from schedules.record.quantities import time_unit, with_unit

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLOURS: Final = {
    "parameters": "#332288",
    "optimizer": "#5f7fbf",
    "x-tilde": "#88ccee",
    "gradients": "#44aa99",
    "activations": "#117733",
    "stashes": "#999933",
    "received": "#cc6677",
    "in-flight": "#aa4499",
}
"""Of Tol's muted palette, in the order of the stack: what is always there at the bottom, what is brief on top."""
_OTHER: Final = "#999999"
_SPANS: Final = 600
"""A longer curve shows the fullest moment in each of so many equal spans of time."""
_UNITS: Final = ((10**9, "GB"), (10**6, "MB"), (10**3, "kB"), (1, "B"))


def memory_curve(memory: pd.DataFrame, *, until_ns: int = 0) -> Figure:
    """Bytes by kind against time, of the rank that holds most; the title tells the others' peaks.

    Args:
        memory: columns rank, time_ns, kind, bytes (held of that kind from that time on), sorted by rank, kind, time.
        until_ns: end of the run, where that is later than the last change: what is held throughout has none.
    """
    ranks, peaks = _peaks(memory)
    fullest = int(peaks.argmax()) if len(peaks) else 0
    end = max(int(memory["time_ns"].max()) if len(memory) else 0, until_ns)
    with styled():
        figure, (axes,) = new_figure(8.0, 2.9)
        rows = memory[memory["rank"] == ranks[fullest]] if len(peaks) else memory
        kinds = sorted({*rows["kind"]}, key=lambda kind: (list(_COLOURS).index(kind) if kind in _COLOURS else 99, kind))
        times, levels = _thinned(*_levels(rows, kinds, end))
        _stack(axes, times, levels, kinds)
        axes.set_title(_title(ranks, peaks, fullest))
        if kinds:
            figure.legend(loc="outside lower center", ncols=len(kinds), handlelength=1.2, handleheight=0.9)
    return figure


def _title(ranks: NDArray[np.int64], peaks: NDArray[np.int64], fullest: int) -> str:
    if not len(peaks):
        return "Memory: nothing was held"
    peak, others = with_unit(peaks[fullest], "B"), np.delete(peaks, fullest)
    if not len(others) or others.min() == peaks[fullest]:
        whose = "every rank holds as much" if len(others) else "the only rank"
    elif others.min() == others.max():
        whose = f"the others {with_unit(others.min(), 'B')}"
    else:
        whose = f"the others {with_unit(others.min(), 'B')} to {with_unit(others.max(), 'B')}"
    return f"Memory of rank {ranks[fullest]}: {peak} at the peak; {whose}"


def _peaks(memory: pd.DataFrame) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The ranks, ascending, and the most that each holds at a time, in bytes."""
    rank, time, size = (memory[name].to_numpy(dtype=np.int64) for name in ("rank", "time_ns", "bytes"))
    lines = memory["kind"].to_numpy()
    is_next = np.append(False, (rank[1:] == rank[:-1]) & (lines[1:] == lines[:-1]))[: len(rank)]
    change = size - np.where(is_next, np.roll(size, 1), 0)
    order = np.lexsort((time, rank))
    # One sum over all ranks; what it was before a rank's first row is taken off again.
    rank, time, total = rank[order], time[order], np.cumsum(change[order])
    ranks, first = np.unique(rank, return_index=True)
    before = np.append(0, total)[first]
    # Kinds that change at once count together.
    is_last = np.append((rank[1:] != rank[:-1]) | (time[1:] != time[:-1]), True)[: len(rank)]
    peaks = np.zeros(len(ranks), dtype=np.int64)
    at = np.searchsorted(ranks, rank[is_last])
    np.maximum.at(peaks, at, total[is_last] - before[at])
    return ranks, peaks


def _levels(rows: pd.DataFrame, kinds: list[str], end: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Times in ns at which anything changes, and the end; bytes by kind from then on: int64 [num_kinds, num_times]."""
    times = np.unique(np.append(rows["time_ns"].to_numpy(dtype=np.int64), [0, end]))
    levels = np.zeros((len(kinds), len(times)), dtype=np.int64)
    for number, kind in enumerate(kinds):
        own = rows[rows["kind"] == kind]
        position = np.searchsorted(own["time_ns"].to_numpy(), times, side="right")
        levels[number] = np.append(0, own["bytes"].to_numpy(dtype=np.int64))[position]  # 0: before the first row
    return times, levels


def _thinned(times: NDArray[np.int64], levels: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Of each of so many equal spans of time the change that leads to most; with the first and the last."""
    if len(times) <= 2 * _SPANS:
        return times, levels
    span = times * _SPANS // (times[-1] + 1)  # + 1: the end is in the last span
    order = np.lexsort((levels.sum(axis=0), span))
    fullest = order[np.append(span[order][1:] != span[order][:-1], True)]
    kept = np.unique(np.append(fullest, [0, len(times) - 1]))
    return times[kept], levels[:, kept]


def _stack(axes: Axes, times: NDArray[np.int64], levels: NDArray[np.int64], kinds: list[str]) -> None:
    most = int(levels.sum(axis=0).max(initial=0))
    factor, unit = next(each for each in _UNITS if most >= each[0] or each[0] == 1)
    colours = [_COLOURS.get(kind, _OTHER) for kind in kinds]
    scale, unit_of_time = time_unit(times[-1] / 1e9)
    if kinds:
        axes.stackplot(times / 1e9 / scale, levels / factor, labels=kinds, colors=colours, step="post", linewidth=0)
    axes.set_xlim(0, max(times[-1] / 1e9 / scale, 1e-9))  # a run of no time still needs an axis
    axes.set_ylim(0, 1.05 * max(most, 1) / factor)
    axes.set_xlabel(f"time ({unit_of_time})")
    axes.set_ylabel(f"held ({unit})")
