"""Clocks whose ticks are the events of a list, in the place of those that are drawn (`schedules.clocks`)."""

from __future__ import annotations

from collections.abc import Iterator

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from schedules.clocks import Tick
from topologies.event_lists import EventList


class ListedClocks:
    """The clocks of one run that go by a list.

    Args:
        graph: undirected, with the rates of its edges, which the events need not follow.
        seed: of the run.
        listed: the events of the run.
        horizon: when it ends, in gradient times: what flows between events is read out there.
    """

    has_unit = True

    def __init__(self, graph: nx.Graph[int], seed: int, listed: EventList, horizon: float) -> None:
        self.graph = graph
        self.seed = seed
        self.horizon = horizon
        self._times = listed.times
        self._peers, self._index, self._places = _by_worker(listed, len(graph))

    def edges(self, rank: int) -> Iterator[Tick]:
        """The exchanges of a worker, in the order of the list; each with its number on its edge."""
        return self._ticks(rank, is_edge=True)

    def gradient(self, rank: int) -> Iterator[Tick]:
        """The gradients of a worker; the peer is -1."""
        return self._ticks(rank, is_edge=False)

    def events(self, rank: int) -> Iterator[Tick]:
        """Both together, in the order of the list."""
        return self._ticks(rank, is_edge=None)

    def exchange_times(self) -> NDArray[np.float64]:
        """Of all exchanges, in gradient times: float64 [num_exchanges]."""
        ends = np.concatenate([places[peers >= 0] for places, peers in zip(self._places, self._peers, strict=True)])
        times: NDArray[np.float64] = self._times[np.unique(ends)]
        return times

    def _ticks(self, rank: int, *, is_edge: bool | None) -> Iterator[Tick]:
        places, peers, index = self._places[rank], self._peers[rank], self._index[rank]
        if is_edge is not None:
            chosen = (peers >= 0) == is_edge
            places, peers, index = places[chosen], peers[chosen], index[chosen]
        # Lists, as programs and the trace want Python's numbers.
        return zip(self._times[places].tolist(), peers.tolist(), index.tolist(), strict=True)


_Split = list[NDArray[np.int64]]
"""Of each worker, its events: int64 [num_events of the worker]."""


def _by_worker(listed: EventList, num_workers: int) -> tuple[_Split, _Split, _Split]:
    """For each worker and event of its own: the peer, the number on its clock, and the place in the list."""
    exchanges = np.flatnonzero(listed.j >= 0)
    low, high = np.minimum(listed.i, listed.j), np.maximum(listed.i, listed.j)
    # A gradient's clock is that of (-1, worker), which is no edge.
    number = _number_within((low + 1) * num_workers + high)
    worker = np.concatenate([listed.i, listed.j[exchanges]])
    peer = np.concatenate([listed.j, listed.i[exchanges]])
    place = np.concatenate([np.arange(len(listed)), exchanges])
    order = np.lexsort((place, worker))
    cuts = np.cumsum(np.bincount(worker, minlength=num_workers))[:-1]
    split = [np.split(each[order], cuts) for each in (peer, number[place], place)]
    return split[0], split[1], split[2]


def _number_within(clocks: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many events before each are of the same clock."""
    order = np.argsort(clocks, kind="stable")
    _, first, lengths = np.unique(clocks[order], return_index=True, return_counts=True)
    number = np.empty(len(clocks), dtype=np.int64)
    number[order] = np.arange(len(clocks)) - first.repeat(lengths)
    return number
