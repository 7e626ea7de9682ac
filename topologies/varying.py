"""Graphs that change with time: a cycle of graphs, and the worst case of chi over them."""

from __future__ import annotations

from dataclasses import dataclass
from math import floor

import networkx as nx
import numpy as np

from topologies import spectral
from topologies.catalogue import build
from topologies.checks import communication_graph, real_number, whole_number


@dataclass(frozen=True, slots=True)
class TimeVaryingGraph:
    """The graph at time t is graphs[floor(t * scale) mod k].

    `scale` is in graphs per unit time; DADAO uses 50 graphs and scale = chi_1 of the edge-probability Laplacian L/|E|.

    Raises:
        ValueError: if there is no graph, one is disconnected or of another size, or the scale is not positive.
    Source: DADAO (arXiv:2208.00779), `AdelNabli/DADAO` `run_optimizers.py`.

    Example: `TimeVaryingGraph((build("ring", 8), build("star", 8)), scale=0.5).at(3.0)` is the star.
    """

    graphs: tuple[nx.Graph[int], ...]
    scale: float = 1.0

    def __post_init__(self) -> None:
        """Check the graphs and the scale."""
        real_number("scale", self.scale, 0, strictly=True, unit="graphs per unit time")
        if not self.graphs:
            raise ValueError("graphs: expected at least one, found none")
        for index, graph in enumerate(self.graphs):
            try:
                communication_graph(graph)
            except ValueError as error:  # which of them is wrong only this loop knows
                raise ValueError(f"graph {index}: {error}") from error
            if len(graph) != len(self.graphs[0]):
                raise ValueError(f"graph {index}: expected {len(self.graphs[0])} workers, found {len(graph)}")

    def index(self, time: float) -> int:
        """Which of the graphs is there at a time >= 0."""
        return floor(real_number("time", time, 0) * self.scale) % len(self.graphs)

    def at(self, time: float) -> nx.Graph[int]:
        """The graph at a time >= 0."""
        return self.graphs[self.index(time)]

    def next_change(self, time: float) -> float:
        """The first time after `time` >= 0 at which the next graph of the cycle takes over."""
        turn = floor(real_number("time", time, 0) * self.scale) + 1
        change = turn / self.scale
        while floor(change * self.scale) < turn:  # rounding: the very moment must already show the next graph
            change = float(np.nextafter(change, np.inf))
        return change

    def chi_1(self) -> float:
        """The largest chi_1 of the graphs."""
        return max(map(spectral.chi_1, self.graphs))

    def chi_2(self) -> float:
        """The largest chi_2 of the graphs, which need not be the graph of the largest chi_1."""
        return max(map(spectral.chi_2, self.graphs))


def build_varying(
    name: str, workers: int, *, count: int = 50, scale: float = 1.0, seed: int = 0, **options: object
) -> TimeVaryingGraph:
    """Build a cycle of `count` random graphs of one family, each from its own seed.

    Graph k has the seed that `numpy.random.SeedSequence([seed, k])` gives, so more graphs leave the first ones alone.

    Raises:
        ValueError: as `build`; a family without randomness has no option `seed`.
    Source: DADAO: `build_varying("random_geometric", n, join=True)`.
    """
    whole_number("count", count, 1)
    whole_number("seed", seed, 0)
    # Not seed + k: the cycles of neighbouring seeds would share most of their graphs.
    seeds = [int(np.random.SeedSequence([seed, k]).generate_state(1)[0]) for k in range(count)]
    return TimeVaryingGraph(tuple(build(name, workers, seed=each, **options) for each in seeds), scale)
