"""How old the newest gradient of every other worker is that a worker's parameters contain.

A worker contains its own gradients from when they are computed. What it sends contains all that it contains when it
asks to send, and whoever receives that contains it from then on: an exchange both ways, a message one way, a collective
all of all. So what counts is what could be known, whatever a rule makes of it; of worker i, the newest gradient of each
worker j is a version vector.

Ages are taken whenever a worker begins a gradient of its own: they say what gradients are computed from. In versions
an age is how many gradients j has computed by then beyond the newest that i contains; in time, how long ago j had
computed that one. Of those of whom i contains nothing yet there is no age.
"""

from __future__ import annotations

from collections import deque
from itertools import pairwise
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from schedules.record.knowledge.order import GOT, MADE, READ, SENT, EventsInOrder, events_of
from schedules.record.memory import Integers

if TYPE_CHECKING:
    import pandas as pd

MOST_WORKERS: Final = 1024
"""Of more workers, gradients of a sample of so many are followed, drawn once and for all."""
MOST_AGES: Final = 2**20
"""Of more ages, those at every k-th gradient of a worker are taken."""


Versions = np.ndarray[tuple[int], np.dtype[np.int32]]
"""A version vector: how many gradients of each source are contained."""


class Ages(NamedTuple):
    """What was known at gradients: int64 [num_ages] each, one a gradient and other worker, in the order of workers.

    Attributes:
        rank: who began a gradient.
        peer: of whom it contained a gradient.
        at_ns: when it began.
        versions: how many gradients the other had computed beyond it.
        age_ns: nanoseconds since the other had computed it.
        num_unknown: of how many others, counted at each gradient, it contained none.
    """

    rank: Integers
    peer: Integers
    at_ns: Integers
    versions: Integers
    age_ns: Integers
    num_unknown: int


def ages(trace: pd.DataFrame, num_workers: int) -> Ages | None:
    """Of a run, from its trace.

    Args:
        trace: table with `schedules.record.trace.COLUMNS`, of either world; rows of a rank in the order of recording.
        num_workers: of the run.
    Returns:
        None of a run in which nobody computed a gradient (kernel `gradient`), or nobody received anything.
    """
    events = events_of(trace)
    if not (events.kind == READ).any() or not (events.kind == GOT).any():
        return None
    sources = sample(num_workers)
    flow = _Flow(events, num_workers, sources)
    flow.run()
    return _ages(events, flow, sources)


def sample(num_workers: int) -> Integers:
    """The workers whose gradients are followed, ascending: all, up to `MOST_WORKERS`."""
    if num_workers <= MOST_WORKERS:
        return np.arange(num_workers)
    return np.sort(np.random.default_rng(0).choice(num_workers, MOST_WORKERS, replace=False))


class _Flow:
    """Version vectors, carried from worker to worker.

    A worker goes on through its events until one needs what another has not come to send yet: so clocks of hosts that
    disagree turn nothing round.

    Attributes:
        known: what the worker contained at each gradient that is looked at, how many of each source's: int32
            [num_looked, num_sources].
        looked: those gradients, as numbers of events.
    """

    def __init__(self, events: EventsInOrder, num_workers: int, sources: Integers) -> None:
        reads = np.flatnonzero(events.kind == READ)
        every = -(-len(reads) * len(sources) // MOST_AGES)
        # Not of all workers the same ones: where there are few, that would be the first of each, when nothing is known.
        self.looked = reads[(_turns(events.rank[reads]) + events.rank[reads]) % every == 0]
        self.known = np.zeros((len(self.looked), len(sources)), dtype=np.int32)
        look = np.full(len(events.kind), -1)
        look[self.looked] = np.arange(len(self.looked))
        number = np.where(events.kind == READ, look, events.meeting)
        bounds = np.searchsorted(events.rank, np.arange(num_workers + 1))
        # Lists, as numpy is slow to hand out one at a time.
        self._events = [
            list(zip(events.kind[a:b].tolist(), number[a:b].tolist(), strict=True)) for a, b in pairwise(bounds)
        ]
        column = {int(rank): place for place, rank in enumerate(sources)}
        self._column = [column.get(rank) for rank in range(num_workers)]
        self._next = [0] * num_workers
        self._contained = list(np.zeros((num_workers, len(sources)), dtype=np.int32))
        sent = np.bincount(events.meeting[events.kind == SENT], minlength=int(events.meeting.max()) + 1)
        got = np.bincount(events.meeting[events.kind == GOT], minlength=len(sent))
        self._to_send, self._to_get = sent.tolist(), got.tolist()
        self._sent: dict[int, Versions] = {}
        self._waiting: dict[int, list[int]] = {}
        self._ready: deque[int] = deque(range(num_workers))

    def run(self) -> None:
        """Carry them to the end."""
        while self._ready or self._waiting:
            if not self._ready:
                # The trace of a run that was cut, or lost ranks, may lack an end: who waits for it takes what there is.
                self._to_send[next(iter(self._waiting))] = 0
                self._wake(next(iter(self._waiting)))
            self._go_on(self._ready.popleft())

    def _wake(self, meeting: int) -> None:
        self._ready.extend(self._waiting.pop(meeting, ()))

    def _go_on(self, rank: int) -> None:
        """A worker's events, up to one that must wait."""
        events, contained, column = self._events[rank], self._contained[rank], self._column[rank]
        for place in range(self._next[rank], len(events)):
            kind, number = events[place]
            if kind == SENT:
                self._send(number, contained)
            elif kind == GOT:
                if self._to_send[number]:
                    self._next[rank] = place
                    self._waiting.setdefault(number, []).append(rank)
                    return
                self._get(number, contained)
            elif kind == READ:
                if number >= 0:
                    self.known[number] = contained
            elif column is not None:
                contained[column] += 1
        self._next[rank] = len(events)

    def _send(self, meeting: int, contained: Versions) -> None:
        before = self._sent.get(meeting)
        if before is None:
            self._sent[meeting] = contained.copy()
        else:
            np.maximum(before, contained, out=before)
        self._to_send[meeting] -= 1
        if not self._to_send[meeting]:
            self._wake(meeting)

    def _get(self, meeting: int, contained: Versions) -> None:
        came = self._sent.get(meeting)
        if came is not None:
            np.maximum(contained, came, out=contained)
        self._to_get[meeting] -= 1
        if not self._to_get[meeting]:
            self._sent.pop(meeting, None)  # the last that gets it


def _ages(events: EventsInOrder, flow: _Flow, sources: Integers) -> Ages:
    """What version vectors come to."""
    rank, at_ns, known = events.rank[flow.looked], events.at_ns[flow.looked], flow.known
    versions, age_ns = np.zeros(known.shape, dtype=np.int64), np.zeros(known.shape, dtype=np.int64)
    made = events.kind == MADE
    for column, source in enumerate(sources.tolist()):
        begin, end = np.searchsorted(events.rank, [source, source + 1])
        ends = np.sort(events.at_ns[begin:end][made[begin:end]])
        if len(ends):
            versions[:, column] = np.searchsorted(ends, at_ns, "right") - known[:, column]
            age_ns[:, column] = at_ns - ends[np.maximum(known[:, column], 1) - 1]
    is_other = rank[:, None] != sources
    is_known = is_other & (known > 0)
    row, place = np.nonzero(is_known)
    return Ages(
        rank=rank[row],
        peer=sources[place],
        at_ns=at_ns[row],
        versions=np.maximum(versions[row, place], 0),  # clocks of hosts are aligned to microseconds, not to the tick
        age_ns=np.maximum(age_ns[row, place], 0),
        num_unknown=int(is_other.sum() - len(row)),
    )


def _turns(rank: Integers) -> Integers:
    """The number of each among those of its rank; ranks ascend."""
    counts = np.bincount(rank)
    return np.arange(len(rank)) - np.repeat(np.cumsum(counts) - counts, counts)
