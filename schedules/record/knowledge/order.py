"""In which order each worker of a run sent, received and computed, from its trace.

Times do not say it: where operations take no time, much falls on one nanosecond. The order of the rows does: a row is
recorded when a program has consumed the operation's answer, and what it asks for next is issued then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from schedules.operations import COLLECTIVES, Barrier, Exchange, Receive, Send, Start
from schedules.record.dependencies import LOST
from schedules.record.rows import APPLY, COMPUTE, NOTHING, IntArray, Texts, counted, numbered

if TYPE_CHECKING:
    import pandas as pd

SENT, GOT, READ, MADE = range(4)
"""What happens: an operation that sends is issued; one that receives is over; a gradient begins; it is computed."""

_COLLECTIVES: Final = tuple(kind.__name__ for kind in COLLECTIVES if kind is not Barrier)
_SENDING: Final = (Exchange.__name__, Send.__name__, *_COLLECTIVES)
_RECEIVING: Final = (Exchange.__name__, Receive.__name__, *_COLLECTIVES)
GRADIENT: Final = "gradient"


class EventsInOrder(NamedTuple):
    """What happened, worker by worker, each worker's in its own order: int64 [num_events] each.

    Attributes:
        rank: whose it is.
        kind: `SENT`, `GOT`, `READ` or `MADE`.
        meeting: of what is sent and received, the number of what it is a part of: an exchange, a message, a collective.
        at_ns: when.
    """

    rank: IntArray
    kind: IntArray
    meeting: IntArray
    at_ns: IntArray


def events_of(trace: pd.DataFrame) -> EventsInOrder:
    """What the workers sent and received, and the gradients that they computed (kernel `gradient`).

    Args:
        trace: table with `schedules.record.trace.COLUMNS`, of either world; rows of a rank in the order of recording.
    """
    rows = trace[trace["op"] != APPLY]
    rank, start, end = (rows[name].to_numpy(dtype=np.int64) for name in ("rank", "start_ns", "end_ns"))
    op = rows["op"].to_numpy(dtype=object)
    consumed = 2 * _counted(rank)
    issued = _issued(rows, rank, op, start, consumed)
    is_lost = (rows["answer"] == LOST).to_numpy() if "answer" in rows else np.zeros(len(rows), bool)
    is_gradient = (op == COMPUTE) & (rows["kernel"] == GRADIENT).to_numpy()
    meeting = _meetings(rows, rank, op, start)
    found = [
        (SENT, np.flatnonzero(np.isin(op, _SENDING) & ~is_lost), issued, start),
        (GOT, np.flatnonzero(np.isin(op, _RECEIVING) & ~is_lost), consumed, end),
        (READ, np.flatnonzero(is_gradient), issued, start),
        (MADE, np.flatnonzero(is_gradient), consumed, end),
    ]
    kind = np.concatenate([np.full(len(each), kind) for kind, each, _, _ in found])
    which = np.concatenate([each for _, each, _, _ in found])
    place = np.concatenate([places[each] for _, each, places, _ in found])
    at_ns = np.concatenate([times[each] for _, each, _, times in found])
    order = np.lexsort((place, rank[which]))
    return EventsInOrder(rank[which][order], kind[order], meeting[which][order], at_ns[order])


def _counted(key: IntArray) -> IntArray:
    """The number of each row among those of its key, in the order of the rows."""
    return counted(key, np.zeros_like(key))


def _issued(rows: pd.DataFrame, rank: IntArray, op: Texts, start: IntArray, consumed: IntArray) -> IntArray:
    """The place of each row's issue in the order of its worker: right after what its stream consumed before."""
    stream = rows["stream"].to_numpy(dtype=object)
    base = {name: str(name).partition("+")[0] for name in dict.fromkeys(stream.tolist())}
    program = numbered(rank, np.array([base[name] for name in stream], dtype=object))
    is_started = np.array([base[name] != name for name in stream], dtype=bool)
    issued = np.full(len(rank), NOTHING)
    order = np.lexsort((consumed, program, is_started))
    before, after = order[:-1], order[1:]
    follows = (program[before] == program[after]) & ~is_started[after]
    issued[after[follows]] = consumed[before[follows]] + 1
    starts, started = np.flatnonzero(op == Start.__name__), np.flatnonzero(is_started)
    for each in np.unique(program[started]):
        chosen = started[program[started] == each]
        issued[chosen] = _started(starts[program[starts] == each], chosen, start, consumed, issued)
    return issued


def _started(starts: IntArray, started: IntArray, start: IntArray, consumed: IntArray, issued: IntArray) -> IntArray:
    """The place of issue of the operations that a program started: that of its rows `Start`, in the order of issue."""
    order = np.lexsort((consumed[started], start[started]))
    turn = np.empty(len(started), dtype=np.int64)
    turn[order] = np.arange(len(started))
    if len(starts) != len(started):  # some were cancelled, or are under way at a cut: by their times then
        turn = np.searchsorted(start[starts], start[started], "right") - 1
    place = np.where(turn >= 0, issued[starts[np.maximum(turn, 0)]], NOTHING) if len(starts) else NOTHING
    return np.minimum(place, consumed[started] - 1)


def _meetings(rows: pd.DataFrame, rank: IntArray, op: Texts, start: IntArray) -> IntArray:
    """The number of the exchange, the message or the collective that each row is a part of; `NOTHING` for others.

    The k-th at one end belongs to the k-th at the other, in the order of issue."""
    import pandas as pd

    peer, tag = (rows[name].to_numpy(dtype=np.int64) for name in ("peer", "tag"))
    is_pair, is_receive = op == Exchange.__name__, op == Receive.__name__
    chosen = np.flatnonzero(np.isin(op, (*_SENDING, Receive.__name__)))
    source, target = np.where(is_receive, peer, rank), np.where(is_receive, rank, peer)
    first = np.where(is_pair, np.minimum(rank, peer), source)
    second = np.where(is_pair, np.maximum(rank, peer), target)
    is_one = np.isin(op, _COLLECTIVES)
    first, second = np.where(is_one, NOTHING, first), np.where(is_one, NOTHING, second)
    what = pd.factorize(np.where(is_receive, Send.__name__, op))[0].astype(np.int64)
    group, channel = (
        pd.factorize(rows[name])[0].astype(np.int64) if name in rows else np.zeros(len(rows), np.int64)
        for name in ("group", "channel")
    )
    key = numbered(*(each[chosen] for each in (what, group, channel, tag, first, second)))
    turn = counted(numbered(key, rank[chosen]), start[chosen])
    meeting = np.full(len(rank), NOTHING)
    meeting[chosen] = numbered(key, turn)
    return meeting
