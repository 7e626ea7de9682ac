"""What a program is handed: one worker of the run."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from schedules.clocks import Clocks, StreamKey, Tick, stream
from schedules.training.state import Model


class Queue:
    """A bounded queue between streams of one worker."""

    __slots__ = ("capacity", "items", "putters", "takers")

    def __init__(self, capacity: int = 1) -> None:
        self.capacity = capacity
        self.items: deque[Any] = deque()
        self.putters: deque[Any] = deque()
        self.takers: deque[Any] = deque()


class Worker:
    """One worker, as its programs see it.

    Attributes:
        rank, num_workers: which one, of how many.
        neighbours: ranks that it may talk to, ascending.
        settings: the schedule's own settings, e.g. `settings.rate`.
        model: its parameters (`schedules.training.state`); in a timing-only run only their size and version.
        account: running totals (`schedules.record.ledger`).
    """

    __slots__ = (
        "account", "clocks", "engines", "kernels", "model", "neighbours", "num_started", "num_workers",
        "queues", "rank", "seed", "settings", "streams",
    )  # fmt: skip

    def __init__(
        self, rank: int, model: Model, clocks: Clocks, *, settings: Any = None, kernels: Mapping[str, Any] | None = None
    ) -> None:
        self.rank = rank
        self.num_workers = clocks.graph.number_of_nodes()
        self.neighbours = tuple(sorted(clocks.graph.adj[rank]))
        self.clocks = clocks
        self.seed = clocks.seed
        self.model = model
        self.settings = settings
        self.kernels = kernels
        self.account = model.account
        self.queues: dict[str, Queue] = {}
        self.engines: dict[str, Any] = {}
        self.streams: list[Any] = []
        self.num_started = 0

    def clock(self, name: str) -> Iterator[Tick]:
        """Ticks of a clock: `edges` (all edges of this worker, in the one global order) or `gradient` (its own)."""
        if name == "edges":
            return self.clocks.edges(self.rank)
        if name == "gradient":
            return self.clocks.gradient(self.rank)
        raise ValueError(f"expected the clock 'edges' or 'gradient', found {name!r}")

    def random(self, key: StreamKey = StreamKey.PROGRAM, j: int = 0) -> np.random.Generator:
        """A random stream of this worker, keyed by what it is for."""
        return stream(self.seed, key, self.rank, j)

    def queue(self, name: str) -> Queue:
        """The queue of that name; made at its first use, of capacity 1."""
        found = self.queues.get(name)
        if found is None:
            found = self.queues[name] = Queue()
        return found

    def capacity(self, name: str, capacity: int) -> None:
        """Set how many items the queue `name` holds."""
        self.queue(name).capacity = capacity
