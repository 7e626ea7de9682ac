"""What a program is handed: one worker of the run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from schedules.clocks import Clocks, StreamKey, Tick, stream
from schedules.training.state import Model

if TYPE_CHECKING:
    import networkx as nx


class Worker:
    """One worker, as its programs see it.

    Attributes:
        rank, num_workers: which one, of how many.
        graph: the communication graph, with the rates of its edges; not to be changed.
        neighbours: ranks that it may talk to, ascending.
        settings: the schedule's own settings, e.g. `settings.rate`.
        model: its parameters (`schedules.training.state`); in a timing-only run only their size and version.
        account: its page of the ledger, for what programs keep (`schedules.record.ledger`).
        capacities: how many items its queues hold, where that is not one; see `capacity`.
    """

    __slots__ = ("_clocks", "account", "capacities", "graph", "model", "neighbours", "num_workers", "rank", "settings")

    def __init__(self, rank: int, model: Model, clocks: Clocks, *, settings: Any = None) -> None:
        self.rank = rank
        self.graph: nx.Graph[int] = clocks.graph
        self.num_workers = self.graph.number_of_nodes()
        self.neighbours = tuple(sorted(self.graph.adj[rank]))  # both worlds must ask, and draw, in one order
        self.model = model
        self.settings = settings
        self.account = model.account
        self.capacities: dict[str, int] = {}
        self._clocks = clocks

    def clock(self, name: str) -> Iterator[Tick]:
        """Ticks of a clock: `edges` (all edges of this worker, in the one global order) or `gradient` (its own)."""
        if name == "edges":
            return self._clocks.edges(self.rank)
        if name == "gradient":
            return self._clocks.gradient(self.rank)
        raise ValueError(f"expected the clock 'edges' or 'gradient', found {name!r}")

    def random(self, key: StreamKey = StreamKey.PROGRAM, j: int = 0) -> np.random.Generator:
        """A random stream of this worker, keyed by what it is for."""
        return stream(self._clocks.seed, key, self.rank, j)

    def capacity(self, name: str, capacity: int) -> None:
        """Set how many items the queue `name` holds; 1 unless this is said."""
        self.capacities[name] = capacity
