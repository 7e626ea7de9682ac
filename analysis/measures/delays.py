"""What a message's or collective's time is made of, as far as the run's files say it: latency, bytes, sharing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from schedules.platform.transports import transport_of

if TYPE_CHECKING:
    import networkx as nx

Pair = tuple[int, int]


@dataclass(frozen=True)
class Delays:
    """Times in nanoseconds that messages and collectives take beside moving bytes.

    Attributes:
        message_ns: latency of a message, where `routes_ns` does not have its two ranks.
        routes_ns: latency of the route from one rank to another.
        routes_bandwidth: bytes/s of the narrowest link of the route, where links are shared.
        overhead_ns: what a message costs after its last byte.
        is_announced: whether data leaves only when the receiver's announcement has arrived.
        ends_together: whether an exchange is over at both ends at once, or at each when it has the other's data.
        leaves_at_once: whether a message leaves when its sender asks, and waits for its receiver where it arrives.
        collectives_ns: by kind, number of ranks and bytes.
    """

    message_ns: int = 0
    routes_ns: Mapping[Pair, int] = field(default_factory=dict)
    routes_bandwidth: Mapping[Pair, float] = field(default_factory=dict)
    overhead_ns: int = 0
    is_announced: bool = False
    ends_together: bool = True
    leaves_at_once: bool = False
    collectives_ns: Mapping[tuple[str, int, int], int] = field(default_factory=dict)

    def message(self, source: int, target: int) -> int:
        """Latency from one rank to another, in nanoseconds."""
        return self.routes_ns.get((source, target), self.message_ns)

    def announcement(self, source: int, target: int) -> int:
        """How long before a message can leave its receiver must have asked for it, in nanoseconds; below 0: after."""
        if self.is_announced:
            return self.message(target, source)
        return -self.message(source, target) if self.leaves_at_once else 0

    def bytes_ns(self, source: int, target: int, size: int) -> int | None:
        """What bytes take on a route that nobody else uses, in nanoseconds; None if that is not known."""
        bandwidth = self.routes_bandwidth.get((source, target))
        return None if bandwidth is None else round(size * 1e9 / bandwidth)

    def collective(self, kind: str, num_ranks: int, size: int) -> int:
        """Latency of a collective in nanoseconds; all of it where there are no bytes, none where nobody told it."""
        unknown = 0 if size else 2**62  # longer than any run: all of its time
        return self.collectives_ns.get((kind, num_ranks, size), unknown)


def delays(
    scenario: Mapping[str, Any],
    summary: Mapping[str, Any],
    network: nx.Graph[Any] | None = None,
    pairs: Iterable[Pair] = (),
) -> Delays:
    """What the scenario assumes. (A measured run is read with the transport and the latencies of its scenario, too.)

    Args:
        scenario: the tables of the resolved scenario.
        summary: may have `collectives`: `kind`, `ranks`, `bytes` and `latency_s` of each.
        network: the physical network of the run, if it had one.
        pairs: ordered pairs of ranks whose routes are wanted.
    Raises:
        ValueError: if the scenario names a transport that there is not.
    """
    platform = scenario.get("platform") or {}
    link = platform.get("link") or {}
    transport = transport_of(platform)
    routes = _routes(platform.get("network") or {}, network, pairs)  # None, where the scenario has no such table
    bandwidths = {pair: min(each["bandwidth"] for each in links) for pair, links in routes.items() if links}
    latencies = {pair: _ns(sum(each["latency"] for each in links)) for pair, links in routes.items()}
    return Delays(
        message_ns=_ns(link.get("latency", 0)) if transport.has_latency else 0,
        routes_ns=latencies if transport.has_latency else {},
        routes_bandwidth=bandwidths if transport.takes_bytes else {},
        overhead_ns=_ns(platform.get("overhead", 0)) if transport.has_overhead else 0,
        is_announced=transport.is_announced,
        ends_together=transport.ends_together,
        leaves_at_once=transport.leaves_at_once,
        collectives_ns={
            (each["kind"], num_members(each["ranks"]), int(each["bytes"])): _ns(each["latency_s"])
            for each in summary.get("collectives") or ()
            if each.get("latency_s") is not None
        },
    )


def num_members(ranks: int | Sequence[int]) -> int:
    """How many ranks a summary speaks of when it gives their number or lists them."""
    return ranks if isinstance(ranks, int) else len(ranks)


def _ns(seconds: float) -> int:
    return round(float(seconds) * 1e9)


def _routes(
    table: Mapping[str, Any], network: nx.Graph[Any] | None, pairs: Iterable[Pair]
) -> dict[Pair, list[Mapping[str, Any]]]:
    """The links of every route, each with its bandwidth and latency; none where every pair has a link of its own."""
    if not table or network is None or not any("kind" in data for _, data in network.nodes(data=True)):
        return {}
    import topologies  # networkx takes half a second to import, and most runs have no network

    given = {_pair(name): nodes for name, nodes in (table.get("routes") or {}).items()}
    found = topologies.routes(
        network, pairs, placement=table.get("placement"), given=given, ties=table.get("ties", "smallest")
    )
    return {pair: [network.edges[link] for link in links] for pair, links in found.items()}


def _pair(name: str) -> Pair:
    source, _, target = name.partition("-")
    return int(source), int(target)
