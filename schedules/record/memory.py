"""What the ranks hold in memory over time: the same accounts in both worlds.

A buffer is an interval: so many bytes of a kind that a rank holds from one time up to, not including, another.

| kind | held from | until |
|---|---|---|
| parameters | throughout: one copy | |
| optimizer | throughout: one copy for momentum, two for the moments of adamw, one for a master | |
| vectors | throughout: what the schedule keeps beside x | |
| gradients | the issue of what read the parameters, unless they are added up in a vector | it is applied |
| activations | the begin of a `gradient`, the issue of a `forward` | its end, that of the last `backward` for it |
| in-flight | the issue of an operation | its end: `in_flight` |
| received | the end of a started operation: `received` | it is awaited |
| stashes | when the program says that it began to keep something | it lets go: `schedules.record.ledger.Account.held` |

The peak of a long run is found piece by piece: `envelope` makes the past small and keeps all that its peak needs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd

Integers = NDArray[np.int64]

KINDS = ("activations", "gradients", "in-flight", "optimizer", "parameters", "received", "stashes", "vectors")
"""What a rank may hold, in alphabetical order."""
KIND = {name: number for number, name in enumerate(KINDS)}

LATEST = 2**62  # later than all runs; times and keys below it cannot run over 64 bits


def in_flight(operation: str, n: int, size: int) -> int:
    """Bytes that a rank's operation hands over or receives into while it is under way.

    S bytes a rank, n members: exchange 2 S; send, receive and all-to-all S; all-gather (n-1) S; reduce-scatter S / n.
    All-reduce and broadcast work in place; a barrier and a meeting move nothing to speak of.
    """
    held = _IN_FLIGHT.get(operation)
    return 0 if held is None else held(n, size)


_IN_FLIGHT: Mapping[str, Callable[[int, int], int]] = {
    "Exchange": lambda n, size: 2 * size,
    "Send": lambda n, size: size,
    "Receive": lambda n, size: size,
    "AllToAll": lambda n, size: size,
    "AllGather": lambda n, size: (n - 1) * size,
    "ReduceScatter": lambda n, size: size // n,
}


def received(operation: Any, result: Any) -> int:
    """Bytes that an operation's result takes beside what was handed over; what worked in place takes none."""
    name = operation.__class__.__name__
    if result is None or name not in ("AllGather", "AllToAll", "Exchange", "Receive", "ReduceScatter"):
        return 0
    return int(result.size - (operation.size if name == "AllGather" else 0))  # one's own part is held already


Intervals = tuple[Integers, Integers, Integers]
"""Rank, start and end of each: int64 [num_intervals]."""


def merged(rank: Integers, start: Integers, end: Integers) -> Intervals:
    """The union of time intervals rank by rank, as disjoint intervals (rank, start, end) in ascending order."""
    kept = end > start
    rank, start, end = rank[kept], start[kept], end[kept]
    if not len(rank):
        return rank, start, end
    span = int(end.max()) + 1  # all ranks on one line, so far apart that none reaches another
    order = np.argsort(start + rank * span)
    rank, start, end = rank[order], start[order], end[order]
    reach = np.maximum.accumulate(end + rank * span) - rank * span
    is_first = np.concatenate(([True], (rank[1:] != rank[:-1]) | (start[1:] > reach[:-1])))
    first = np.flatnonzero(is_first)
    last = np.append(first[1:], len(rank)) - 1
    return rank[first], start[first], reach[last]


def union(intervals: Intervals, more: Iterable[Integers]) -> Intervals:
    """The union of two sets of intervals, likewise."""
    return merged(*(np.concatenate((old, new)) for old, new in zip(intervals, more, strict=True)))


def lengths(intervals: Intervals, num_ranks: int) -> Integers:
    """How long the intervals of each rank are together."""
    rank, start, end = intervals
    found = np.zeros(num_ranks, dtype=np.int64)
    np.add.at(found, rank, end - start)
    return found


class Buffers(NamedTuple):
    """Intervals, or changes at `start` where there is no `end`: int64 [num_buffers] each, `kind` by number."""

    rank: Integers
    start: Integers
    end: Integers
    kind: Integers
    size: Integers


NOTHING = Buffers(*(np.empty(0, dtype=np.int64) for _ in range(5)))


class Memory:
    """The buffers of a run.

    Attributes:
        always: bytes that a rank holds throughout: int64 [num_ranks, len(KINDS)].
        keeps_curve: whether every buffer is kept for `curve`; else `fold` keeps what the peak needs.
    """

    def __init__(self, num_ranks: int, *, keeps_curve: bool = False) -> None:
        self.always = np.zeros((num_ranks, len(KINDS)), dtype=np.int64)
        self.keeps_curve = keeps_curve
        self._entered: list[Buffers] = []
        self._activations: list[Buffers] = []  # those of `_entered`, for a peak of their own

    def owns(self, rank: int, sizes: Mapping[str, int]) -> None:
        """Say what a rank holds throughout the run: bytes by kind, of `KINDS`."""
        for kind, size in sizes.items():
            self.always[rank, KIND[kind]] = size

    def enter(self, rank: Integers, start: Integers, end: Integers, kind: Integers | int, size: Integers) -> None:
        """Enter buffers; one of no bytes or no duration is none."""
        is_held = (end > start) & (size > 0)
        columns = (rank, np.maximum(start, 0), end, np.broadcast_to(kind, rank.shape), size)
        self._entered.append(_joined(Buffers(*(each[is_held] for each in columns))))
        of_kind = self._entered[-1].kind == KIND["activations"]
        if of_kind.any():
            self._activations.append(Buffers(*(each[of_kind] for each in self._entered[-1])))

    def fold(self) -> None:
        """Make the past small. Whatever is entered later must end no earlier than all that has been entered."""
        if not self.keeps_curve:
            self._entered = [envelope(self._all())]
        self._activations = [envelope(_together(self._activations))]

    def peak(self) -> Integers:
        """What each rank holds when it holds most, the last time that it does: int64 [num_ranks, len(KINDS)]."""
        rank, start, _, kind, size = envelope(self._all())
        peak = self.always.copy()
        is_first = start == 0  # the envelope only falls: its first step is the peak
        peak[rank[is_first], kind[is_first]] += size[is_first]
        return peak

    def peak_activations(self) -> Integers:
        """The most bytes of activations that each rank holds at a time: int64 [num_ranks]."""
        rank, start, _, _, size = envelope(_together(self._activations))
        peak = np.zeros(len(self.always), dtype=np.int64)
        peak[rank[start == 0]] = size[start == 0]
        return peak

    def curve(self) -> Buffers:
        """The bytes of a kind that a rank holds from `start` up to `end`, the next change (`LATEST`: none follows).

        Sorted by rank, kind and time. Each kind that a rank ever holds has a row at time 0, and one wherever the bytes
        change.
        """
        held, num_kinds = self._all(), len(KINDS)
        line = held.rank * num_kinds + held.kind
        begun = np.unique(np.concatenate((line, np.flatnonzero(self.always))))
        nothing = np.zeros_like(begun)
        line, time = np.concatenate((line, line, begun)), np.concatenate((held.start, held.end, nothing))
        order, is_last = _in_order(line, time)
        line, time = line[order][is_last], time[order][is_last]
        # One sum for all lines, as each ends at 0.
        level = np.cumsum(np.concatenate((held.size, -held.size, nothing))[order])[is_last]
        is_change = np.insert((line[1:] != line[:-1]) | (level[1:] != level[:-1]), 0, True)[: len(line)]
        line, time, level = line[is_change], time[is_change], level[is_change]
        end = np.append(np.where(line[1:] == line[:-1], time[1:], LATEST), LATEST)[: len(line)]
        return Buffers(line // num_kinds, time, end, line % num_kinds, level + self.always.ravel()[line])

    def table(self) -> pd.DataFrame:
        """`curve` as a table: rank, time_ns, kind (text), bytes (those held of that kind from that time on)."""
        import pandas as pd

        rank, time, _, kind, size = self.curve()
        names = np.array(KINDS, dtype=object)
        return pd.DataFrame({"rank": rank, "time_ns": time, "kind": names[kind], "bytes": size})

    def _all(self) -> Buffers:
        return _together(self._entered)


def _together(parts: Sequence[Buffers]) -> Buffers:
    return Buffers(*(np.concatenate(columns) for columns in zip(NOTHING, *parts, strict=True)))


def envelope(held: Buffers) -> Buffers:
    """Of the bytes C(t) that these buffers take: M(t) = max C(t') over t' >= t, rank by rank, from time 0.

    M falls in steps. Where C is a rank's past, up to F, all buffers entered later end at F or after it, so on the past
    they add some A(t) that never falls, and max (M + A) = max (C + A): C <= M gives "at least", and
    M(t) + A(t) = C(t') + A(t) <= C(t') + A(t') gives "at most". Each step has the kinds of the last t' that attains it.
    """
    rank, time = np.concatenate((held.rank, held.rank)), np.concatenate((held.start, held.end))
    order, is_last = _in_order(rank, time)
    size = np.concatenate((held.size, -held.size))[order]
    at = np.flatnonzero(is_last)
    at = at[_falling(rank[order[at]], np.cumsum(size)[at])]  # each level lasts up to the rank's next change
    rank, end = rank[order[at]], time[order[at + 1]]
    start = np.concatenate(([0], np.where(rank[1:] == rank[:-1], end[:-1], 0)))[: len(at)]
    kind = np.concatenate((held.kind, held.kind))[order]
    parts = [NOTHING]
    for number in np.flatnonzero(np.bincount(kind)):
        part = np.cumsum(np.where(kind == number, size, 0))[at]
        is_some = part > 0
        columns = (rank, start, end, np.full_like(part, number), part)
        parts.append(Buffers(*(each[is_some] for each in columns)))
    return Buffers(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def _joined(held: Buffers) -> Buffers:
    """Buffers that follow on one another are one: who computes back to back always has a gradient."""
    is_short = held.rank.max(initial=0) < 2**16  # such numbers are sorted in no time
    order = np.argsort(held.rank.astype(np.uint16) if is_short else held.rank, kind="stable")
    rank, start, end, kind, size = (each[order] for each in held)
    is_next = (rank[1:] == rank[:-1]) & (start[1:] == end[:-1]) & (kind[1:] == kind[:-1]) & (size[1:] == size[:-1])
    first = np.flatnonzero(np.append(True, ~is_next)[: len(rank)])
    last = np.flatnonzero(np.append(~is_next, True)[: len(rank)])
    return Buffers(rank[first], start[first], end[last], kind[first], size[first])


def _in_order(rank: Integers, time: Integers) -> tuple[Integers, NDArray[np.bool_]]:
    """What sorts by rank and time, and of what is sorted, whether it is the last of its rank and time."""
    span = int(time.max(initial=0)) + 1  # rank and time as one number, which sorts fastest
    if span * (int(rank.max(initial=0)) + 1) >= LATEST:
        # By their order, where the times are too large for that.
        time, span = np.unique(time, return_inverse=True)[1], len(time)
    key = rank * span + time
    order = np.argsort(key)
    key = key[order]
    return order, np.append(key[1:] != key[:-1], True)[: len(key)]  # cut off, as of nothing there is no last one


def _falling(rank: Integers, level: Integers) -> Integers:
    """The positions whose level is above all later ones of the same rank; ranks ascend, levels are at least 0."""
    last, span = int(rank.max(initial=0)), int(level.max(initial=0)) + 1
    height = level
    if span * (last + 1) >= LATEST:
        height, span = np.unique(level, return_inverse=True)[1], len(level)  # the same, where the bytes are too many
    raised = (height + (last - rank) * span)[::-1]  # later ranks lie lower, so none hides another
    before = np.concatenate(([-1], np.maximum.accumulate(raised)))[: len(raised)]
    is_above = (raised > before)[::-1]
    return np.flatnonzero(is_above & (level > 0))
