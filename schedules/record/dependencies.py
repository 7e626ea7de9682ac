"""What every operation of a trace depended on: found for all rows at once, without a loop over them.

A trace says when an operation was issued, when its last participant was there and when it was over. Who that was
follows from the order: the k-th exchange of two ranks under one tag at one end belongs to the k-th at the other, and so
do sends and receives of a channel, meetings by their number, and collectives of one kind, group, channel and tag.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from schedules.operations import COLLECTIVES, Await, Exchange, Leave, Meet, Put, Receive, Send, Take
from schedules.record.rows import (
    APPLY,
    BLOCKED,
    COMPUTE,
    NOTHING,
    SLEEPING,
    BoolArray,
    IntArray,
    Texts,
    counted,
    kind_of,
    latest,
    numbered,
    paired,
    spread,
)

if TYPE_CHECKING:
    import pandas as pd

NOBODY: Final = "nobody"
LOST: Final = "lost"
"""Recorded answers: of a `Meet` that nobody came to, and of an exchange whose other end had failed."""
_COLLECTIVES: Final = tuple(kind.__name__ for kind in COLLECTIVES)
_HANDING_OVER: Final = {Take.__name__: Put.__name__, Put.__name__: Take.__name__}


@dataclass(frozen=True)
class Dependencies:
    """One entry an operation, in the order of the trace; -1: there is none. Times are int64 nanoseconds.

    Attributes:
        op, kind: texts; `kind` as in `schedules.record.rows`.
        rank, peer, size: of the operation; -1: no peer; bytes.
        start, ready, end: when it was issued, when the last participant was there, when it was over.
        is_started: it ran beside the program, which awaited it later.
        previous: what its program did before: the last operation of the same stream that took time.
        partner: the other end of a message, an exchange or a meeting.
        last: the member of this collective that took part last before this one was over; itself if none did later.
        num_members: of this collective, else 0.
        behind: what it queued behind: a computation on the same engine, an earlier collective of the communicator, in
            former versions an earlier send or receive of the stream.
        before: the message that arrived on the same connection before this one, as the row of its receiving end.
        awaited: the started operation with which an `Await` ended.
        waker: what another stream of the worker did to end a `Put` or `Take`, or the `Leave` that ended a `Meet`.
    """

    op: Texts
    kind: Texts
    rank: IntArray
    peer: IntArray
    size: IntArray
    start: IntArray
    ready: IntArray
    end: IntArray
    is_started: BoolArray
    previous: IntArray
    partner: IntArray
    last: IntArray
    num_members: IntArray
    behind: IntArray
    before: IntArray
    awaited: IntArray
    waker: IntArray


def dependencies(trace: pd.DataFrame) -> Dependencies:
    """Work them out.

    Args:
        trace: table with `schedules.record.trace.COLUMNS`, of either world; rows of a lane in the order of its program.
    """
    rows = trace[trace["op"] != APPLY]
    rank, peer, tag, size, start, end = (
        rows[name].to_numpy(dtype=np.int64) for name in ("rank", "peer", "tag", "bytes", "start_ns", "end_ns")
    )
    op = rows["op"].to_numpy(dtype=object)
    ready = np.where(np.isin(op, (*BLOCKED, *SLEEPING)), end, np.clip(rows["ready_ns"].to_numpy(np.int64), start, end))
    base, is_started = _streams(rows["stream"])
    stream = rank * (int(base.max()) + 1) + base
    channel = _channels(rows)
    number = numbered(tag, channel)
    partner = np.where(rows["answer"] == LOST, NOTHING, _partners(op, rank, peer, number, rows["answer"], start, end))
    group = numbered(_groups(rows["group"], rank), channel)
    gathering = _gatherings(op, rank, tag, group, start)
    held = _held_by_earlier(gathering, rank * (int(group.max()) + 1) + group, end)
    last = _last_members(gathering, start, end, held)
    return Dependencies(
        op=op,
        kind=kind_of(rows).to_numpy(dtype=object),
        rank=rank,
        peer=peer,
        size=size,
        start=start,
        ready=ready,
        end=end,
        is_started=is_started,
        previous=_previous(stream, start, end, is_started),
        partner=partner,
        last=last,
        num_members=_num_members(gathering),
        behind=_behind(op, (rank, stream), (start, ready, end), last, held),
        before=_before(op, rank, peer, end),
        awaited=_awaited(op, stream, start, end, is_started),
        waker=_wakers(op, (rank, base), rows["answer"], start, end),
    )


def _streams(names: pd.Series[str]) -> tuple[IntArray, BoolArray]:
    """The number of each row's stream, counted over all ranks, and whether it is a lane `stream+k` beside it."""
    import pandas as pd

    codes, lanes = pd.factorize(names)
    streams = [str(lane).partition("+")[0] for lane in lanes]
    numbers = {name: number for number, name in enumerate(dict.fromkeys(streams))}
    base = np.array([numbers[name] for name in streams], dtype=np.int64)
    is_started = np.array(["+" in str(lane) for lane in lanes], dtype=np.bool_)
    return base[codes], is_started[codes]


def _channels(rows: pd.DataFrame) -> IntArray:
    """The number of each row's channel; older traces have none."""
    import pandas as pd

    return pd.factorize(rows["channel"])[0].astype(np.int64) if "channel" in rows else np.zeros(len(rows), np.int64)


def _groups(groups: pd.Series[str], rank: IntArray) -> IntArray:
    """The number of each row's group. One that lists all ranks is everybody."""
    import pandas as pd

    everybody = ",".join(map(str, range(int(rank.max()) + 1)))
    return pd.factorize(groups.replace(everybody, "all"))[0].astype(np.int64)


def _previous(stream: IntArray, start: IntArray, end: IntArray, is_started: BoolArray) -> IntArray:
    """A started operation follows what its program did before it started it."""
    steps = np.flatnonzero(~is_started & (end > start))  # what took no time held nobody up
    return latest(steps, stream, end, stream, start)


def _awaited(op: Texts, stream: IntArray, start: IntArray, end: IntArray, is_started: BoolArray) -> IntArray:
    awaits = np.flatnonzero((op == Await.__name__) & (end > start))
    found = latest(np.flatnonzero(is_started), stream, end, stream[awaits], end[awaits])
    return spread(len(op), awaits, np.where(end[found] > start[awaits], found, NOTHING))  # else it was there before


# ---------------------------------------------------------------------- who belongs together


def _partners(
    op: Texts, rank: IntArray, peer: IntArray, tag: IntArray, answers: pd.Series[str], start: IntArray, end: IntArray
) -> IntArray:
    partner = np.full(len(op), NOTHING)
    met, meeting = _meetings(op, answers)
    lower, higher = np.minimum(rank, peer), np.maximum(rank, peer)
    is_exchange, is_send = op == Exchange.__name__, op == Send.__name__
    is_message = is_send | (op == Receive.__name__)
    source, target = np.where(is_send, rank, peer), np.where(is_send, peer, rank)
    for chosen, first, second, number, side in (
        (is_exchange, lower, higher, tag, rank < peer),
        (is_message, source, target, tag, is_send),
        (met >= 0, np.minimum(rank, met), np.maximum(rank, met), meeting, rank < met),
    ):
        rows = np.flatnonzero(chosen)
        keys = (first[rows], second[rows], number[rows])
        other = paired(keys, side[rows].astype(np.int64), start[rows])
        partner[rows] = np.where(other >= 0, rows[other], NOTHING) if len(rows) else NOTHING
    # Ends that never overlap were matched wrongly: an operation in between was cancelled, or the trace is cut off.
    is_together = (start[partner] <= end) & (start <= end[partner])
    return np.where(is_together, partner, NOTHING)


def _meetings(op: Texts, answers: pd.Series[str]) -> tuple[IntArray, IntArray]:
    """Whom each `Meet` met, and which meeting of the two it was; -1 for everything else."""
    import pandas as pd

    codes, texts = pd.factorize(answers.where(op == Meet.__name__, ""))  # each text is taken apart once
    split = [str(text).partition("#") for text in texts]
    pairs = [(int(peer), int(number)) if sign else (NOTHING, NOTHING) for peer, sign, number in split]
    met, meeting = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    return met[codes], meeting[codes]


def _gatherings(op: Texts, rank: IntArray, tag: IntArray, group: IntArray, start: IntArray) -> IntArray:
    """The number of the collective that each row is a part of; -1: none."""
    rows = np.flatnonzero(np.isin(op, _COLLECTIVES))
    key = numbered(op[rows], group[rows], tag[rows])
    turn = counted(numbered(key, rank[rows]), start[rows])
    return spread(len(op), rows, numbered(key, turn))


def _num_members(gathering: IntArray) -> IntArray:
    rows = np.flatnonzero(gathering >= 0)
    counts = np.zeros(len(gathering), dtype=np.int64)
    if len(rows):
        counts[rows] = np.bincount(gathering[rows])[gathering[rows]]
    return counts


def _held_by_earlier(gathering: IntArray, channel: IntArray, end: IntArray) -> IntArray:
    """The collective of the same rank and group that was over before this one: they go one behind the other."""
    rows = np.flatnonzero(gathering >= 0)
    return spread(len(end), rows, latest(rows, channel, end, channel[rows], end[rows] - 1))


def _last_members(gathering: IntArray, start: IntArray, end: IntArray, held: IntArray) -> IntArray:
    """The member that took part last, of those that did before this one was over; a member that did as late itself."""
    rows = np.flatnonzero(gathering >= 0)
    part = np.where(held >= 0, np.maximum(start, end[held]), start)
    last = latest(rows, gathering, part, gathering[rows], end[rows])
    own = np.where(part[last] == part[rows], rows, last)
    return spread(len(start), rows, np.where(last >= 0, own, rows))


# ---------------------------------------------------------------------- queues


def _behind(
    op: Texts, lanes: tuple[IntArray, ...], times: tuple[IntArray, ...], last: IntArray, held: IntArray
) -> IntArray:
    rank, stream = lanes
    start, ready, end = times
    found = np.full(len(op), NOTHING)
    computing = np.flatnonzero(op == COMPUTE)
    queued = computing[ready[computing] > start[computing]]
    holder = latest(computing, rank, end, rank[queued], ready[queued])
    found[queued] = np.where(end[holder] > start[queued], holder, NOTHING)

    rows = np.flatnonzero(last >= 0)
    earlier = held[last[rows]]
    found[rows] = np.where(end[earlier] > start[last[rows]], earlier, NOTHING)

    messages = np.flatnonzero((op == Send.__name__) | (op == Receive.__name__))
    # In former versions a send or receive waited until the one before it in its stream was over. One that is posted
    # when the one before it in its channel has met its other end is held up by nobody: that one was issued earlier, at
    # both ends.
    late = messages[ready[messages] > start[messages]]
    turn = latest(messages, stream, end, stream[late], ready[late])
    found[late] = np.where((end[turn] == ready[late]) & (turn != late), turn, NOTHING)
    return found


def _before(op: Texts, rank: IntArray, peer: IntArray, end: IntArray) -> IntArray:
    rows = np.flatnonzero(((op == Exchange.__name__) | (op == Receive.__name__)) & (peer >= 0))
    order = rows[np.lexsort((end[rows], rank[rows], peer[rows]))]
    earlier, later = order[:-1], order[1:]
    is_same = (peer[earlier] == peer[later]) & (rank[earlier] == rank[later])
    return spread(len(op), later, np.where(is_same, earlier, NOTHING))


# ---------------------------------------------------------------------- hand-overs within a worker


def _wakers(op: Texts, lanes: tuple[IntArray, ...], told: pd.Series[str], start: IntArray, end: IntArray) -> IntArray:
    found = np.full(len(op), NOTHING)
    for waiting, waking in _HANDING_OVER.items():
        rows = np.flatnonzero((op == waiting) & (end > start))
        others = np.flatnonzero(op == waking)
        found[rows] = _by_another_stream(others, rows, lanes, start, end)
    lonely = np.flatnonzero((op == Meet.__name__) & (end > start) & (told == NOBODY).to_numpy())
    everywhere = np.zeros(len(op), dtype=np.int64)
    leaving = latest(np.flatnonzero(op == Leave.__name__), everywhere, start, everywhere[lonely], end[lonely])
    found[lonely] = np.where(start[leaving] >= start[lonely], leaving, NOTHING)
    return found


def _by_another_stream(
    others: IntArray, rows: IntArray, lanes: tuple[IntArray, ...], start: IntArray, end: IntArray
) -> IntArray:
    """The last of `others` on the same rank but another stream that was issued while each of `rows` waited.

    The stream that waits is passed over: it may do such a thing itself right after it was woken.
    """
    rank, base = lanes
    best = np.full(len(rows), NOTHING)
    for each in np.unique(base[others]):
        asked = np.flatnonzero(base[rows] != each)
        waiting = rows[asked]
        found = latest(others[base[others] == each], rank, start, rank[waiting], end[waiting])
        is_better = (found >= 0) & (start[found] >= start[waiting])
        is_better &= (best[asked] < 0) | (start[found] > start[best[asked]])
        best[asked[is_better]] = found[is_better]
    return best
