"""What lies between the ranks of a group: the ways between nodes and inside them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple

from schedules.platform.protocols.hops import Leaving
from schedules.platform.tables import Link
from simulator.messages.orders import num_rings


class Levels(NamedTuple):
    """What lies between the ranks of a group.

    Attributes:
        outside: the slowest way between neighbours on different nodes (between any, where there is one node only).
        inside: the same within a node; None: no node has two.
        nodes: the node of each member; None: each is one of its own.
        nics: by which each leaves its node; None: by a link of its own.
    """

    outside: Link
    inside: Link | None = None
    nodes: Sequence[Hashable] | None = None
    nics: Sequence[Hashable] | None = None

    @property
    def num_nodes(self) -> int | None:
        """How many nodes the ranks are on; None: each is one of its own."""
        return None if self.nodes is None else len(set(self.nodes))

    @property
    def abreast(self) -> float:
        """How many times the bandwidth of one way between nodes as many rings have as there are NICs, together.

        Inside a node all rings share the way between two neighbours, but for the ring that leaves the node there.
        """
        k = num_rings(self.nodes, self.nics)
        if k == 1 or self.inside is None:
            return float(k)
        beside = k - 1 if k * len(set(self.nodes or ())) == len(self.nodes or ()) else k
        return min(float(k), self.inside.bandwidth / self.outside.bandwidth * k / beside)

    @property
    def leaving(self) -> Leaving | None:
        """How the ranks leave their nodes; None: no node has two of them, or there is one node only."""
        if self.nodes is None or self.nics is None or self.inside is None:
            return None
        n, on_node, by_nic = len(self.nodes), Counter(self.nodes), Counter(zip(self.nodes, self.nics, strict=True))
        crossing = max(number * (n - on_node[node]) for (node, _), number in by_nic.items())
        rings = num_rings(self.nodes, self.nics)
        return Leaving(rings, max(by_nic.values()), max(on_node.values()), crossing)

    def at_most(self, part: float) -> Levels:
        """The same with a part of the bandwidths."""
        if part == 1.0:
            return self
        return self._changed(lambda link: {"bandwidth": link.bandwidth * part})

    def without_latency(self) -> Levels:
        """The same, with bytes alone."""
        return self._changed(lambda link: {"latency": 0.0})

    def _changed(self, change: Callable[[Link], dict[str, float]]) -> Levels:
        inside = None if self.inside is None else self.inside.model_copy(update=change(self.inside))
        return self._replace(outside=self.outside.model_copy(update=change(self.outside)), inside=inside)
