"""Seeded clocks and random streams: everything random in a run comes from here.

Every stream is `numpy.random.default_rng([seed, STREAM, i, j])`, keyed by what it is for, so adding an edge or a worker
moves no other stream. Poisson clocks tick in gradient times (one gradient time = the mean duration of one gradient).
"""

from __future__ import annotations

import enum
import heapq
import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, count
from operator import itemgetter

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from topologies.parts import is_varying
from topologies.varying import Intensity, of_union


class StreamKey(enum.IntEnum):
    """What a random stream is for. The numbers are part of the reproducibility contract: never renumber."""

    EDGE = 1
    GRADIENT_CLOCK = 2
    DURATION = 3
    QUOTA = 4
    NEIGHBOUR_ORDER = 5
    DATA = 6
    BATCH = 7
    INITIAL = 8
    PROGRAM = 9
    FAILURE = 10
    STRAGGLER = 11
    COIN = 12
    CODEC = 13


Tick = tuple[float, int, int]
"""One tick of a clock: its time in gradient times, the peer at the other end (-1: none), its number on its clock."""


def stream(seed: int, key: StreamKey, i: int = 0, j: int = 0) -> np.random.Generator:
    """The random stream for `(key, i, j)` of a run."""
    # What numpy makes of a list of integers, words of 32 bits each from its low end; handed over as words, a third is
    # saved of what a run with a clock on every edge spends on its streams.
    number = int(key)  # numpy is slow to read an enumeration
    words = (seed, number, i, j) if seed < 2**32 else (seed % 2**32, seed >> 32, number, i, j)
    return np.random.default_rng(np.array(words, dtype=np.uint32))


class Poisson:
    """A Poisson clock, whose ticks are drawn as far as they are asked for.

    Args:
        generator: its own random stream.
        rate: in ticks per gradient time.
    """

    def __init__(self, generator: np.random.Generator, rate: float) -> None:
        self._generator = generator
        self._rate = rate
        self._times = np.empty(0)
        self._last = 0.0 if rate > 0 else np.inf  # a clock without a rate has no tick to be drawn

    def until(self, horizon: float) -> NDArray[np.float64]:
        """The ticks up to `horizon` that were not asked for yet, ascending, in gradient times: float64 [num_ticks]."""
        while self._last <= horizon:
            expected = self._rate * (horizon - self._last)
            # Four standard deviations more than are expected: one draw nearly always reaches the horizon.
            gaps = self._generator.exponential(1 / self._rate, size=int(expected + 4 * expected**0.5 + 8))
            gaps[0] += self._last  # so sums are the same however they are cut
            times = gaps.cumsum()
            self._times = np.append(self._times, times) if len(self._times) else times
            self._last = float(times[-1])
        num_due = int(self._times.searchsorted(horizon, "right"))
        due, self._times = self._times[:num_due], self._times[num_due:].copy()  # a view would keep all
        return due


class VaryingPoisson:
    """A Poisson clock whose rate changes with time: a clock of rate 1 whose time is the integral of the rate.

    So it has the ticks of one stream whatever its rate does: what the rate is later moves no earlier tick.

    Args:
        generator: its own random stream.
        intensity: its rate, not always 0.
    """

    def __init__(self, generator: np.random.Generator, intensity: Intensity) -> None:
        self._unit, self._intensity = Poisson(generator, 1.0), intensity
        self._times = np.empty(0)

    def until(self, horizon: float) -> NDArray[np.float64]:
        """As `Poisson.until`."""
        # A little more than is expected by then, as it is rounded; what lies beyond is kept for the next call.
        amounts = self._unit.until(self._intensity.expected(horizon) * (1 + 1e-9) + 1e-9)
        times = np.append(self._times, self._intensity.reached(amounts))
        num_due = int(times.searchsorted(horizon, "right"))
        due, self._times = times[:num_due], times[num_due:].copy()
        return due


class Clocks:
    """The clocks of one run on one communication graph.

    Args:
        graph: undirected, edge attribute `rate` = lambda_ij in ticks per gradient time; of one that varies
            (`topologies.parts`), the edges of each part tick while it is there.
        seed: of the run.
        horizon: time of the last possible tick, in gradient times; infinite where a run has no end of its own.
        lengths: of the workers' own clocks, likewise, by rank; None: the horizon.
        ahead: how far ahead ticks are drawn, in gradient times; None: all at once, up to a horizon that is finite. The
            ticks are the same.
        has_unit: whether it is known what a gradient time is: without one no clock ticks.
    """

    def __init__(
        self,
        graph: nx.Graph[int],
        seed: int,
        horizon: float,
        *,
        lengths: Sequence[float] | None = None,
        ahead: float | None = None,
        has_unit: bool = True,
    ) -> None:
        self.graph = graph
        self.seed = seed
        self.horizon = horizon
        self._lengths = lengths
        self.has_unit = has_unit
        self._ahead = horizon if ahead is None else min(ahead, horizon)
        # Looked up once: networkx makes views of views for every edge that it is asked for.
        rates = graph.edges(data="rate", default=0.0)
        self._rates = {(min(i, j), max(i, j)): rate for i, j, rate in rates}
        self._cycle = of_union(graph) if is_varying(graph) else None
        self._edges: dict[tuple[int, int], Poisson | VaryingPoisson] = {}
        self._drawn: dict[tuple[int, int, int], NDArray[np.float64]] = {}

    def edge(self, i: int, j: int, window: int = 0) -> NDArray[np.float64]:
        """Ticks of the undirected edge (i, j) in a window of time, the same at both ends. Kept until the second call.

        The windows of an edge must be asked for in their order, by either end.
        """
        edge = (i, j) if i < j else (j, i)  # both ends must draw from one stream
        times = self._drawn.pop((*edge, window), None)
        if times is None:
            clock, end = self._edges.pop(edge) if window else self._clock(*edge), self._end(window)
            times = self._drawn[(*edge, window)] = clock.until(end)
            if end < self.horizon:  # after the last window nobody asks again
                self._edges[edge] = clock
        return times

    def edges(self, rank: int) -> Iterator[Tick]:
        """Ticks of all edges of a worker in the one global order: by time, then by edge.

        Executing them in this order at both ends cannot deadlock: the globally earliest unfinished exchange always
        has both ends ready (gossip.md, 4.4).
        """
        peers = sorted(self.graph.adj[rank], key=lambda peer: (min(rank, peer), max(rank, peer)))
        if not any(self._rates[min(rank, peer), max(rank, peer)] for peer in peers):
            return iter(())  # without a horizon it would be looked for ever for a tick that never comes
        num_before = np.zeros(len(peers), dtype=np.int64)
        return chain.from_iterable(self._merged(rank, peers, window, num_before) for window in self._windows())

    def _merged(self, rank: int, peers: list[int], window: int, num_before: NDArray[np.int64]) -> Iterator[Tick]:
        """The ticks of one window in their order; `num_before` counts those of earlier windows by peer."""
        ticks = [self.edge(rank, peer, window) for peer in peers]
        lengths = [len(times) for times in ticks]
        if not any(lengths):  # a worker may have no neighbours, and nothing cannot be concatenated
            return iter(())
        times = np.concatenate(ticks)
        order = np.argsort(times, kind="stable")  # stable: of equal times the lower edge first, at both ends
        whom = np.array(peers).repeat(lengths)[order]
        # Each edge's own numbers: from those of earlier windows on, one behind the other.
        first = num_before - np.cumsum([0, *lengths[:-1]])
        index = (np.arange(len(times)) + first.repeat(lengths))[order]
        num_before += lengths  # in place: the next window counts on from here
        # Lists, since programs and the trace want Python's numbers, and numpy is slow to hand out one at a time.
        return zip(times[order].tolist(), whom.tolist(), index.tolist(), strict=True)

    def gradient(self, rank: int) -> Iterator[Tick]:
        """Ticks of a worker's own gradient clock: Poisson of rate 1."""
        clock = Poisson(stream(self.seed, StreamKey.GRADIENT_CLOCK, rank), 1.0)
        length = self.horizon if self._lengths is None else self._lengths[rank]
        times = chain.from_iterable(clock.until(min(self._end(window), length)).tolist() for window in self._windows())
        return ((time, -1, index) for index, time in enumerate(times))

    def events(self, rank: int) -> Iterator[Tick]:
        """Both kinds of ticks of a worker by time; of equal times its gradient's first."""
        return heapq.merge(self.gradient(rank), self.edges(rank), key=itemgetter(0))

    def _clock(self, i: int, j: int) -> Poisson | VaryingPoisson:
        generator, rate = stream(self.seed, StreamKey.EDGE, i, j), self._rates[i, j]
        # A cycle of one graph is that graph, to the last digit.
        if self._cycle is None or len(self._cycle.graphs) == 1 or not rate:
            return Poisson(generator, rate)
        return VaryingPoisson(generator, self._cycle.intensity(i, j))

    def _end(self, window: int) -> float:
        return min((window + 1) * self._ahead, self.horizon)

    def _windows(self) -> Iterable[int]:
        if math.isinf(self.horizon):
            return count()
        return range(math.ceil(self.horizon / self._ahead) if self._ahead > 0 else 1)


def edge_ticks(graph: nx.Graph[int], seed: int, gradient_ns: float, until_ns: int) -> NDArray[np.int64]:
    """The ticks of all edges of a run up to a time, in nanoseconds as programs sleep to them, edge by edge.

    Drawn anew: how many of them a run's workers came to does not matter.

    Returns:
        int64 [num_ticks].
    """
    clocks = Clocks(graph, seed, (until_ns + 1) / gradient_ns)
    times = np.concatenate([np.empty(0), *(clocks.edge(i, j) for i, j in graph.edges)])
    ticks = in_nanoseconds(times, gradient_ns)
    return ticks[ticks <= until_ns]


def in_nanoseconds(times: NDArray[np.float64], gradient_ns: float) -> NDArray[np.int64]:
    """Ticks in gradient times as nanoseconds, as programs sleep to them."""
    return (times * gradient_ns + 0.5).astype(np.int64)
