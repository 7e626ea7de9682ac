"""Graphs that change with time: a cycle of graphs, the worst case of chi over them, and how often an edge ticks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import floor

import networkx as nx
import numpy as np

from topologies import spectral
from topologies.catalogue import GRAPHS, build
from topologies.checks import communication_graph, real_number, whole_number
from topologies.conventions import with_rates
from topologies.parts import of_part, parts, union
from topologies.registry import canonical_name
from topologies.spectral import Array


@dataclass(frozen=True, slots=True)
class TimeVaryingGraph:
    """The graph at time t is graphs[floor(t * scale) mod k].

    `scale` is in graphs per unit time; DADAO uses 50 graphs and scale = chi_1 of the edge-probability Laplacian L/|E|:
    see `fastest_cycle`.

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
        for number, graph in enumerate(self.graphs):
            of_part(communication_graph, graph, number)
            if len(graph) != len(self.graphs[0]):
                raise ValueError(f"graph {number}: expected {len(self.graphs[0])} workers, found {len(graph)}")

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

    def union(self) -> nx.Graph[int]:
        """All as one graph, which carries them: see `topologies.parts`. `of_union` is the way back."""
        return union(self.graphs, 1 / self.scale)

    def intensity(self, i: int, j: int) -> Intensity:
        """The rate of an edge over time: 0 while a graph without it is there."""
        rates = [graph.edges[i, j]["rate"] if graph.has_edge(i, j) else 0.0 for graph in self.graphs]
        return Intensity(rates, self.scale)


def of_union(graph: nx.Graph[int]) -> TimeVaryingGraph:
    """The cycle that a union carries; a graph that does not vary is one of itself alone."""
    return TimeVaryingGraph(parts(graph), 1 / graph.graph.get("period", 1.0))


class Intensity:
    """A rate that is constant while one graph of a cycle is there: lambda(t) = rates[floor(t * scale) mod k].

    Args:
        rates: of an edge in every graph of the cycle, at least one of them above 0, per unit time.
        scale: graphs per unit time.
    """

    def __init__(self, rates: Sequence[float], scale: float) -> None:
        self._rates, self._scale = np.asarray(rates, dtype=np.float64), scale
        self._before = np.concatenate([[0.0], np.cumsum(self._rates / scale)])

    def expected(self, time: float) -> float:
        """Lambda(t), the integral of lambda from 0 to a time: how many ticks are expected by then."""
        turn = floor(time * self._scale)
        cycle, number = divmod(turn, len(self._rates))
        within = self._rates[number] * (time - turn / self._scale)
        return float(cycle * self._before[-1] + self._before[number] + within)

    def reached(self, amounts: Array) -> Array:
        """When Lambda comes to each of some amounts: the inverse of `expected`.

        Each time lies in a turn whose rate is above 0, whatever rounding does, and a larger amount has no earlier time.
        So ticks of a Poisson clock of rate 1 become those of a clock of rate lambda(t), exactly.

        Args:
            amounts: float64 [num_ticks], ascending, from 0 on.
        Returns:
            float64 [num_ticks], ascending.
        """
        whole, num_graphs = self._before[-1], len(self._rates)
        cycles = np.floor(amounts / whole)
        rest = amounts - cycles * whole
        is_over = rest >= whole  # by rounding: the next cycle begins
        cycles, rest = cycles + is_over, np.where(is_over, 0.0, np.maximum(rest, 0.0))
        # From the right: what is just reached when a turn of rate 0 begins is reached in the next that ticks.
        number = self._before.searchsorted(rest, "right") - 1
        turns = cycles * num_graphs + number
        times = turns / self._scale + (rest - self._before[number]) / self._rates[number]
        return self._within(times, turns)

    def _within(self, times: Array, turns: Array) -> Array:
        """The times, each moved by as many roundings as it takes to lie in its turn."""
        while (is_early := np.floor(times * self._scale) < turns).any():
            times = np.where(is_early, np.nextafter(times, np.inf), times)
        while (is_late := np.floor(times * self._scale) > turns).any():
            times = np.where(is_late, np.nextafter(times, 0.0), times)
        return times


def fastest_cycle(graphs: Sequence[nx.Graph[int]]) -> float:
    """For how long DADAO has each graph: 1 / chi_1, with the largest chi_1 of L/|E| over the graphs.

    Returns:
        in units of time: gradient times, as the paper's unit is the mean time between two gradients of a worker. One
        such for a single worker, whose graphs have no edge and a chi_1 of 0.
    Raises:
        ValueError: if a graph is disconnected; its number is told.
    Source: DADAO (arXiv:2208.00779), `AdelNabli/DADAO` `run_optimizers.py`: `int(t * chi_1) % len(list_G)`.

    Example: 1 / (n - 1) for stars of n.
    """
    chi_1 = max(of_part(_chi_1_of_probabilities, graph, number) for number, graph in enumerate(graphs))
    return 1 / chi_1 if chi_1 > 0 else 1.0


def _chi_1_of_probabilities(graph: nx.Graph[int]) -> float:
    rated = with_rates(graph)
    return spectral.chi_1(rated) * len(rated) / 2  # rates of one exchange a worker sum to n / 2


def build_varying(
    name: str, workers: int, *, count: int = 50, scale: float | None = 1.0, seed: int = 0, **options: object
) -> TimeVaryingGraph:
    """Build a cycle of `count` random graphs of one family, each from its own seed.

    Graph k has the seed that `numpy.random.SeedSequence([seed, k])` gives, so more graphs leave the first ones alone.
    Random geometric graphs are joined where they are not connected (`join`), unless it is said otherwise: so DADAO's.

    Args:
        scale: graphs per unit time; None: DADAO's, see `fastest_cycle`.
    Raises:
        ValueError: as `build`; also for a family without randomness, whose graphs would all be one.
    Source: DADAO: `build_varying("random_geometric", n, scale=None)`.
    """
    whole_number("count", count, 1)
    whole_number("seed", seed, 0)
    family = canonical_name(GRAPHS, "graph", name)
    accepted = GRAPHS[family].options
    if "seed" not in accepted:
        drawn = ", ".join(each for each, entry in GRAPHS.items() if "seed" in entry.options)
        raise ValueError(f"graph {family!r}: expected a family of random graphs ({drawn}) for a cycle of them")
    if "join" in accepted:
        options.setdefault("join", True)
    # Not seed + k: the cycles of neighbouring seeds would share most of their graphs.
    seeds = [int(np.random.SeedSequence([seed, k]).generate_state(1)[0]) for k in range(count)]
    graphs = tuple(build(name, workers, seed=each, **options) for each in seeds)
    return TimeVaryingGraph(graphs, 1 / fastest_cycle(graphs) if scale is None else scale)
