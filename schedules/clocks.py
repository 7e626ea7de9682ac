"""Seeded clocks and random streams: everything random in a run comes from here.

Every stream is `numpy.random.default_rng([seed, STREAM, i, j])`, keyed by what it is for, so adding an edge or a worker
moves no other stream. Poisson clocks tick in gradient times (one gradient time = the mean duration of one gradient).
"""

from __future__ import annotations

import enum
from collections.abc import Iterator

import networkx as nx
import numpy as np
from numpy.typing import NDArray


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


Tick = tuple[float, int, int]
"""One tick of a clock: its time in gradient times, the peer at the other end (-1: none), its number on its clock."""


def stream(seed: int, key: StreamKey, i: int = 0, j: int = 0) -> np.random.Generator:
    """The random stream for `(key, i, j)` of a run."""
    return np.random.default_rng([seed, int(key), i, j])


def poisson_times(generator: np.random.Generator, rate: float, horizon: float) -> NDArray[np.float64]:
    """Ticks of a Poisson clock of the given rate in (0, horizon], ascending, in gradient times: float64 [num_ticks]."""
    if rate <= 0:
        return np.empty(0)
    times = np.empty(0)
    last = 0.0
    while last <= horizon:
        expected = rate * (horizon - last)
        gaps = generator.exponential(1 / rate, size=int(expected + 4 * expected**0.5 + 8))
        times = np.append(times, last + np.cumsum(gaps))
        last = float(times[-1])
    return times[: int(np.searchsorted(times, horizon, side="right"))]


class Clocks:
    """The clocks of one run on one communication graph.

    Args:
        graph: undirected, edge attribute `rate` = lambda_ij in ticks per gradient time.
        seed: of the run.
        horizon: time of the last possible tick, in gradient times.
    """

    def __init__(self, graph: nx.Graph[int], seed: int, horizon: float) -> None:
        self.graph = graph
        self.seed = seed
        self.horizon = horizon
        self._edges: dict[tuple[int, int], NDArray[np.float64]] = {}

    def edge(self, i: int, j: int) -> NDArray[np.float64]:
        """Ticks of the undirected edge (i, j), the same at both ends. Kept until the second call."""
        edge = (i, j) if i < j else (j, i)
        times = self._edges.pop(edge, None)
        if times is None:
            generator = stream(self.seed, StreamKey.EDGE, *edge)
            rate = self.graph.edges[edge]["rate"]
            times = self._edges[edge] = poisson_times(generator, rate, self.horizon)
        return times

    def edges(self, rank: int) -> Iterator[Tick]:
        """Ticks of all edges of a worker in the one global order: by time, then by edge.

        Executing them in this order at both ends cannot deadlock: the globally earliest unfinished exchange always
        has both ends ready (gossip.md, 4.4).
        """
        peers = sorted(self.graph.adj[rank], key=lambda peer: (min(rank, peer), max(rank, peer)))
        ticks = [self.edge(rank, peer) for peer in peers]
        lengths = [len(times) for times in ticks]
        if not any(lengths):
            return iter(())
        times = np.concatenate(ticks)
        order = np.argsort(times, kind="stable")
        whom = np.repeat(np.array(peers), lengths)[order]
        index = np.concatenate([np.arange(length) for length in lengths])[order]
        return zip(times[order].tolist(), whom.tolist(), index.tolist(), strict=True)

    def gradient(self, rank: int) -> Iterator[Tick]:
        """Ticks of a worker's own gradient clock: Poisson of rate 1."""
        generator = stream(self.seed, StreamKey.GRADIENT_CLOCK, rank)
        times = poisson_times(generator, 1.0, self.horizon)
        return ((time, -1, index) for index, time in enumerate(times.tolist()))
