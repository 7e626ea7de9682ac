"""The critical path of a run: the chain of work, transfers and waits that made it as long as it is.

It is walked backwards from the operation that ended last. Where an operation waited for somebody, the path goes on with
what that somebody did until then: with the rank whose end of an exchange, message or meeting came last, with the last
member of a collective, with the computation or message that held the engine or connection, with the started operation
that an `Await` got last, with the stream that put the item that was taken. So the path is a chain of intervals that
covers the run from its begin to its end without a gap. Each has one of these categories:

| category | what |
|---|---|
| compute | a kernel ran |
| transfer | bytes of a message or collective moved |
| sharing | bytes of a message moved slower than its route allows, since others used its links, too |
| latency | the part of a message's or collective's time that does not depend on its bytes, a barrier |
| queueing | for an engine, where the trace does not say who had it |
| clock | until a tick or a deadline |
| waiting | for somebody whose part the trace does not have |
| unfinished | from the last operation that was done to where the run was cut |
| other | not explained: between operations of a measured program, clocks that do not quite agree |

A run gets shorter only if something on its path does, and by that much at most: another path may be nearly as long. A
tick of a clock or a deadline does not move, whatever was done before it. So where a program slept until one, all that
came before was early, and the path from the begin of the run to there is the clock's.

Source: Barford and Crovella 2001, "Critical path analysis of TCP transactions"; Schulz 2005, "Extracting critical path
graphs from MPI applications".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from analysis.measures.delays import Delays
from schedules.operations import COLLECTIVES, Await, Exchange, Meet, Put, Receive, Send, Take, Until
from schedules.record.dependencies import Dependencies, dependencies
from schedules.record.rows import COMPUTE as COMPUTATION
from schedules.record.rows import SLEEPING, IntArray

if TYPE_CHECKING:
    import pandas as pd

CATEGORIES: Final = ("compute", "transfer", "sharing", "latency", "queueing", "clock", "waiting", "unfinished", "other")
COMPUTE, TRANSFER, SHARING, LATENCY, QUEUEING, CLOCK, WAITING, UNFINISHED, OTHER = CATEGORIES

_ROUNDING_NS: Final = 2  # latency and bytes are rounded each: so much is no sharing

Step = tuple[int, int]
"""A row that the path goes on with, or -1, and the row that it comes from."""


@dataclass(frozen=True)
class CriticalPath:
    """The path, in the order of time.

    Attributes:
        intervals: columns start_ns, end_ns, category, kind (`Compute gradient`), rank, peer (-1: none); each begins
            where the one before it ends.
        handovers: columns time_ns, rank, waited_for, waited_ns: where the path comes over from another rank, since this
            one had waited for it.
    """

    intervals: pd.DataFrame
    handovers: pd.DataFrame

    @property
    def length_ns(self) -> int:
        """The makespan of the run, which the intervals add up to."""
        return int((self.intervals["end_ns"] - self.intervals["start_ns"]).sum())

    def by(self, *columns: str) -> pd.DataFrame:
        """Time by `category`, `kind`, `rank` or several of them: these columns, length_ns and share, longest first."""
        lengths = self.intervals.assign(length_ns=self.intervals["end_ns"] - self.intervals["start_ns"])
        table = lengths.groupby(list(columns), sort=True)["length_ns"].sum().reset_index()
        table["share"] = table["length_ns"] / max(self.length_ns, 1)
        return table.sort_values("length_ns", ascending=False, kind="stable").reset_index(drop=True)


def critical_path(
    trace: pd.DataFrame | Dependencies, delays: Delays | None = None, *, until_ns: int = 0, cut_ns: int | None = None
) -> CriticalPath:
    """Find the critical path of a run.

    Args:
        trace: table with `schedules.record.trace.COLUMNS`, of either world, or its dependencies.
        delays: which part of the messages' time is latency; without it none is.
        until_ns: end of the run, where that is later than the last operation.
        cut_ns: when the run was cut, with something under way that no row tells of; None: it was not.
    """
    import pandas as pd

    found = trace if isinstance(trace, Dependencies) else dependencies(trace)
    walk = _Walk(found, delays or Delays(), max(until_ns, cut_ns or 0))
    walk.run(None if cut_ns is None else UNFINISHED)
    columns = ["start_ns", "end_ns", "category", "row", "peer"]
    intervals = pd.DataFrame(walk.intervals[::-1], columns=columns)
    rows = intervals.pop("row").to_numpy(dtype=np.int64)
    intervals.insert(3, "kind", found.kind[rows])
    intervals.insert(4, "rank", found.rank[rows])
    handovers = pd.DataFrame(walk.handovers[::-1], columns=["time_ns", "rank", "waited_for", "waited_ns"])
    return CriticalPath(intervals, handovers)


def last_operation(found: Dependencies) -> int:
    """The operation of a program that ended last. What was started and never awaited holds nobody up."""
    rows = np.flatnonzero(~found.is_started)
    is_asleep = np.isin(found.op[rows], SLEEPING)
    # lexsort goes by its last key first: the latest, of these one that was not asleep, of these the lowest rank.
    return int(rows[np.lexsort((found.rank[rows], is_asleep, -found.end[rows]))[0]])


def _view(column: IntArray) -> memoryview[int]:
    """A column whose plain integers are looked at one at a time: a memoryview hands them out three times as fast as an
    array does."""
    return column.data


class _Walk:
    """The way back. `now` is how far it has come: everything from there to the end of the run is in `intervals`."""

    def __init__(self, found: Dependencies, delays: Delays, until_ns: int) -> None:
        self.delays = delays
        self.intervals: list[tuple[int, int, str, int, int]] = []
        self.handovers: list[tuple[int, int, int, int]] = []
        self._last = last_operation(found)
        self.begin = min(0, int(found.start.min()))  # clocks of hosts agree up to a residual
        self.now = max(int(found.end[self._last]), until_ns)
        self.rank, self.peer, self.size = _view(found.rank), _view(found.peer), _view(found.size)
        self.start, self.ready, self.end = _view(found.start), _view(found.ready), _view(found.end)
        self.previous, self.partner, self.last = _view(found.previous), _view(found.partner), _view(found.last)
        self.behind, self.before = _view(found.behind), _view(found.before)
        self.awaited, self.waker = _view(found.awaited), _view(found.waker)
        self.op, self.num_members = found.op, found.num_members

    def run(self, tail: str | None = None) -> None:
        """Walk back to the begin of the run; what comes after the last operation is of the category `tail`."""
        row, seen = self._last, set[int]()
        self.back_to(self.end[row], tail or OTHER, row)
        while self.now > self.begin:
            self.back_to(self.end[row], OTHER, row)  # between the end of what was waited for and what came of it
            visit = _VISITS.get(self.op[row], _visit_unknown) if row not in seen else _visit_unknown
            seen.add(row)
            row, came_from = visit(self, row)
            if row < 0:  # its program has done nothing before that took time
                self.back_to(self.begin, OTHER, came_from)

    def back_to(self, time: int, category: str, row: int, peer: int = -1) -> None:
        """The path from `time` to now is of this category."""
        time = max(time, self.begin)
        if time < self.now:  # never forward, even where clocks do not quite agree
            self.intervals.append((time, self.now, category, row, peer))
            self.now = time

    def own_way(self, row: int) -> Step:
        """Go on with what the program of this row did before."""
        return self.previous[row], row

    def hand_over(self, row: int, cause: int) -> Step:
        """Go on with what the program of `cause` did before, since that is what this row waited for."""
        if self.rank[cause] != self.rank[row]:
            waited = max(0, self.start[cause] - self.start[row])
            self.handovers.append((self.now, self.rank[row], self.rank[cause], waited))
        return self.previous[cause], cause


def _visit_compute(walk: _Walk, row: int) -> Step:
    walk.back_to(walk.ready[row], COMPUTE, row)
    holder = walk.behind[row]
    if holder >= 0:
        walk.back_to(walk.end[holder], QUEUEING, row)
        return holder, row
    walk.back_to(walk.start[row], QUEUEING, row)
    return walk.own_way(row)


def _visit_message(walk: _Walk, row: int) -> Step:
    """A send, a receive or an exchange: the end that was ready last, or the message before it on the connection."""
    mate = walk.partner[row]
    if mate < 0:
        walk.back_to(walk.ready[row], TRANSFER, row, walk.peer[row])
        walk.back_to(walk.start[row], WAITING, row, walk.peer[row])
        return walk.own_way(row)
    other = walk.rank[mate]
    there = walk.end[row] - walk.delays.overhead_ns  # the software's part comes after the last byte
    walk.back_to(there, LATENCY, row, other)
    leaves, cause = _decisive_end(walk, row, mate)
    arrives = min(leaves + _latency(walk, row, mate), there)  # a measured message may beat the scenario's latency
    earlier = _before(walk, row, mate)
    if earlier >= 0 and arrives < walk.end[earlier] - walk.delays.overhead_ns < there:
        _move_bytes(walk, row, mate, walk.end[earlier] - walk.delays.overhead_ns)
        return earlier, row
    _move_bytes(walk, row, mate, arrives)
    walk.back_to(walk.start[cause] if cause in (row, mate) else leaves, LATENCY, row, other)
    if cause in (row, mate):
        return walk.hand_over(row, cause)
    return cause, row


def _move_bytes(walk: _Walk, row: int, mate: int, begin: int) -> None:
    """The bytes of a message move from `begin` to now; what they take longer than alone is due to others."""
    source, target = (walk.rank[end] for end in _ends(walk, row, mate))
    alone = walk.delays.bytes_ns(source, target, walk.size[row])
    if alone is not None and walk.now - begin - alone > _ROUNDING_NS:
        walk.back_to(walk.now - alone, TRANSFER, row, walk.rank[mate])
        walk.back_to(begin, SHARING, row, walk.rank[mate])
    walk.back_to(begin, TRANSFER, row, walk.rank[mate])


def _ends(walk: _Walk, row: int, mate: int) -> tuple[int, int]:
    """The sending and the receiving end of the message that ends this row: of an exchange, the mate's."""
    return (row, mate) if walk.op[row] == Send.__name__ else (mate, row)


def _decisive_end(walk: _Walk, row: int, mate: int) -> tuple[int, int]:
    """When the message could leave, and because of which end, or of which earlier message of its stream.

    In runs of former versions both ends may have been issued and one posted only when the one before it was over.
    """
    holder = walk.behind[row] if walk.behind[row] >= 0 else walk.behind[mate]
    if holder >= 0 and walk.ready[row] > max(walk.start[row], walk.start[mate]):
        return walk.ready[row], holder
    source, target = _ends(walk, row, mate)
    sender = walk.start[source]
    announcement = walk.delays.announcement(walk.rank[source], walk.rank[target])
    if walk.op[row] == Exchange.__name__:
        announcement = max(announcement, 0)  # its ends wait for each other, whatever the transport
    receiver = walk.start[target] + announcement
    if sender == receiver:  # nobody was late, so the path stays on its rank
        return sender, row
    return (sender, source) if sender > receiver else (receiver, target)


def _latency(walk: _Walk, row: int, mate: int) -> int:
    source, target = (walk.rank[end] for end in _ends(walk, row, mate))
    latency = walk.delays.message(source, target)
    if walk.op[row] == Exchange.__name__ and walk.delays.ends_together:  # over when both directions are
        latency = max(latency, walk.delays.message(target, source))
    return latency


def _before(walk: _Walk, row: int, mate: int) -> int:
    """The message before this one on its connection; of an exchange that ends together, the later of two."""
    _, target = _ends(walk, row, mate)
    earlier = walk.before[target]
    if walk.op[row] == Exchange.__name__ and walk.delays.ends_together:
        other = walk.before[mate]
        if other >= 0 and (earlier < 0 or walk.end[other] > walk.end[earlier]):
            return other
    return earlier


def _visit_collective(walk: _Walk, row: int) -> Step:
    last, holder = walk.last[row], walk.behind[row]
    begin = walk.end[holder] if holder >= 0 else walk.start[last]
    latency = walk.delays.collective(walk.op[row], int(walk.num_members[row]), walk.size[row])
    walk.back_to(min(begin + latency, walk.end[row]), TRANSFER, row)
    walk.back_to(begin, LATENCY, row)
    return (holder, row) if holder >= 0 else walk.hand_over(row, last)


def _visit_meet(walk: _Walk, row: int) -> Step:
    mate = walk.partner[row] if walk.partner[row] >= 0 else walk.waker[row]
    if mate < 0:
        walk.back_to(walk.start[row], WAITING, row)
        return walk.own_way(row)
    cause = mate if walk.start[mate] > walk.start[row] else row
    walk.back_to(walk.start[cause], LATENCY, row, walk.rank[mate])
    return walk.hand_over(row, cause)


def _visit_await(walk: _Walk, row: int) -> Step:
    started = walk.awaited[row]
    if started >= 0:
        walk.back_to(walk.end[started], OTHER, row)
        return started, row
    return _visit_until(walk, row)  # what it awaited was there before, or never: its deadline has ended it


def _visit_until(walk: _Walk, row: int) -> Step:
    """What came before was early."""
    walk.back_to(walk.begin, CLOCK, row)
    return -1, row


def _visit_queue(walk: _Walk, row: int) -> Step:
    """`Put` and `Take`: another stream of the worker ended it."""
    waker = walk.waker[row]
    if waker < 0:
        walk.back_to(walk.start[row], WAITING, row)
        return walk.own_way(row)
    walk.back_to(walk.start[waker], OTHER, row)
    return walk.hand_over(row, waker)


def _visit_unknown(walk: _Walk, row: int) -> Step:
    walk.back_to(walk.start[row], OTHER, row)
    return walk.own_way(row)


_VISITS: Final[Mapping[str, Callable[[_Walk, int], Step]]] = {
    COMPUTATION: _visit_compute,
    **dict.fromkeys((each.__name__ for each in (Send, Receive, Exchange)), _visit_message),
    **dict.fromkeys((each.__name__ for each in COLLECTIVES), _visit_collective),
    Meet.__name__: _visit_meet,
    Await.__name__: _visit_await,
    Until.__name__: _visit_until,
    Put.__name__: _visit_queue,
    Take.__name__: _visit_queue,
}
