"""What the software of ranks costs, from the trace of a calibration (`executor.calibration.probes`).

The model is the simulator's: threads are late by a mean, and by more while as many ranks as the machine has cores have
messages or collectives under way. So each lateness is looked up in the trace together with how many these were.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from executor.calibration.probes import BESIDE, PASSING, QUIET
from executor.calibration.told import LEAST_SAMPLES, Numbers, Told, mean_of
from schedules.operations import COLLECTIVES, Await, Compute, Exchange, Meet

if TYPE_CHECKING:
    import pandas as pd

Instants = NDArray[np.int64]

NAMES = frozenset(each.__name__ for each in COLLECTIVES)


def host_fits(trace: pd.DataFrame, cores: int, works: Mapping[int, Sequence[int]]) -> dict[str, Told]:
    """The means of the table `platform.host`, those on top of them with `busy.` before their names.

    Args:
        trace: of the probe.
        cores: that its ranks shared.
        works: nanoseconds that each rank's paced kernels were to take, in the order of issue; of ranks that really
            compute, none.
    """
    moving = _Moving(trace)
    # Where the schedule issues kernels beside or between messages, this is how: those with nothing beside tell of the
    # others.
    is_alike = bool((trace["op"].eq(Compute.__name__) & trace["micro_batch"].eq(BESIDE) & _is_started(trace)).any())
    found: dict[str, Told] = {}
    for name, samples in _lateness(trace, works, is_alike).items():
        is_busy = moving.at(samples.at) >= cores
        late = samples.late[~is_busy]
        if len(late) < LEAST_SAMPLES and is_alike:  # the schedule leaves the machine no such moment
            others = _lateness(trace, works, is_alike=False)[name]
            late = others.late[moving.at(others.at) < cores]
        quiet = found[name] = mean_of(name, late)
        found[f"busy.{name}"] = _on_top(mean_of(f"busy.{name}", samples.late[is_busy]), quiet)
    meetings = _gaps(trace, trace["op"].eq(Meet.__name__), "ready_ns").late
    if len(meetings):
        found["meeting"] = mean_of("meeting", meetings)
    passed = _gaps(trace, trace["op"].eq(Compute.__name__) & trace["micro_batch"].eq(PASSING), "end_ns").late
    if len(passed):
        both = mean_of("passing", passed)  # there and back, behind one handing over
        handing = found["handing"].value
        value, low, high = (max(each - handing, 0.0) / 2 for each in both[:3])
        found["passing"] = Told(value, low, high, both.doubt)
    return found


ASKED = NAMES | {Compute.__name__, Exchange.__name__, Meet.__name__, "Until"}
"""The driver says of some operations that they begin when the one before them ended; these are asked of a service,
which says when it was asked."""


class _Samples(NamedTuple):
    """How late threads were, in seconds, and when they should have woken."""

    late: Numbers
    at: Instants


def _lateness(trace: pd.DataFrame, works: Mapping[int, Sequence[int]], is_alike: bool) -> dict[str, _Samples]:
    return {
        "start": _starts(trace, is_alike),
        "waking": _wakings(trace, works),
        "handing": _handings(trace, is_alike),
    }


def _on_top(busy: Told, quiet: Told) -> Told:
    """What the one is more than the other, or nothing."""
    if not busy.high:
        return busy
    error = float(np.hypot(busy.high - busy.value, quiet.high - quiet.value))
    more = busy.value - quiet.value
    return Told(max(more, 0.0), max(more - error, 0.0), max(more + error, 0.0), busy.doubt)


class _Moving:
    """How many ranks had messages or collectives under way, at any time of a trace."""

    def __init__(self, trace: pd.DataFrame) -> None:
        rows = trace[trace["op"].isin(NAMES | {Exchange.__name__})]
        changes: list[tuple[int, int]] = []
        for _, of_rank in rows.groupby("rank"):
            ends = of_rank[["ready_ns", "end_ns"]].sort_values("ready_ns").to_numpy(dtype=np.int64)
            changes += _merged(ends)
        self._at = np.array(sorted(changes), dtype=np.int64).reshape(-1, 2)
        self._number = np.concatenate(([0], self._at[:, 1].cumsum()))

    def at(self, instants: Instants) -> NDArray[np.int64]:
        """How many, at each of some instants."""
        found: NDArray[np.int64] = self._number[np.searchsorted(self._at[:, 0], instants, side="right")]
        return found


def _merged(ends: Instants) -> list[tuple[int, int]]:
    """(instant, +1 or -1) at which one of some spans, in order of their begins, begins to be under way or none is."""
    changes: list[tuple[int, int]] = []
    until = -1
    for begin, end in ends.tolist():
        if begin > until:
            changes += [(until, -1)] * (until >= 0) + [(begin, 1)]
        until = max(until, end)
    return changes + [(until, -1)] * (until >= 0)


def _is_started(trace: pd.DataFrame) -> pd.Series[bool]:
    """Whether an operation is one that was started: these have lanes of their own."""
    return trace["stream"].str.contains("+", regex=False)


def _starts(trace: pd.DataFrame, is_alike: bool) -> _Samples:
    """From issue until the engine's thread has begun, of kernels that found it waiting; and when that was."""
    rows = trace[trace["op"].eq(Compute.__name__)].sort_values(["rank", "start_ns"])
    is_free = rows["start_ns"] >= rows.groupby("rank")["end_ns"].shift(1, fill_value=0)
    rows = rows[is_free & (~_is_quiet(rows) if is_alike else True)]
    late = (rows["ready_ns"] - rows["start_ns"]).to_numpy(dtype=np.float64)
    usual = int(np.median(late)) if len(late) else 0
    return _Samples(late / 1e9, rows["start_ns"].to_numpy(dtype=np.int64) + usual)


def _is_quiet(rows: pd.DataFrame) -> pd.Series[bool]:
    return rows["micro_batch"].eq(QUIET)


def _wakings(trace: pd.DataFrame, works: Mapping[int, Sequence[int]]) -> _Samples:
    """By how much paced kernels overslept, and when they should have woken."""
    late: list[float] = []
    at: list[int] = []
    rows = trace[trace["op"].eq(Compute.__name__)].sort_values(["rank", "start_ns"])
    for rank in rows["rank"].unique().tolist():
        of_rank = rows[rows["rank"].eq(rank)]
        ready, end = (of_rank[name].to_numpy(dtype=np.int64) for name in ("ready_ns", "end_ns"))
        work = np.array(works.get(rank, ())[: len(ready)], dtype=np.int64)
        if len(work) and work.any():
            due = ready + work
            late += ((end - due) / 1e9).tolist()
            at += due.tolist()
    return _Samples(np.array(late, dtype=np.float64), np.array(at, dtype=np.int64))


def _handings(trace: pd.DataFrame, is_alike: bool) -> _Samples:
    """From the end of an operation until its program has issued the next, where it waits for nothing in between."""
    ends = trace["op"].isin({Compute.__name__, Exchange.__name__, *NAMES - {"Barrier"}}) & ~_is_started(trace)
    # What the loop has to do with all it has started is in it where the schedule's own loop has.
    ends = trace["op"].eq(Await.__name__) if is_alike else ends
    following = trace.sort_values(["rank", "stream", "index"]).groupby(["rank", "stream"])["op"].shift(-1)
    return _gaps(trace, ends & following.reindex(trace.index).isin(ASKED | {"Start"}), "end_ns")


def _gaps(trace: pd.DataFrame, is_end: pd.Series[bool], column: str) -> _Samples:
    """Seconds from a time of some operations to the next issue by the same program, and when they began."""
    base = trace["stream"].str.split("+", n=1).str[0]
    late: list[float] = []
    at: list[int] = []
    for _, rows in trace.groupby([trace["rank"], base]):
        issues = np.sort(rows.loc[rows["op"].isin(ASKED), "start_ns"].to_numpy(dtype=np.int64))
        chosen = rows[is_end.loc[rows.index]]
        ended, since = (chosen[name].to_numpy(dtype=np.int64) for name in ("end_ns", column))
        following = np.searchsorted(issues, ended, side="left")
        is_followed = following < len(issues)
        late += ((issues[following[is_followed]] - since[is_followed]) / 1e9).tolist()
        at += since[is_followed].tolist()
    return _Samples(np.array(late, dtype=np.float64), np.array(at, dtype=np.int64))
