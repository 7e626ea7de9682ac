"""Messages between workers over a physical network: connections, whose transfers share the links of their routes.

Each ordered pair of workers has one connection, as a transport keeps it. Its messages go one behind the other, and the
latency of the next passes while the one before it is still sending. Messages of different connections share links
(`simulator.network.network`). Where a transport says that bytes take no time they cross it all at once.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import networkx as nx

import topologies
from schedules.platform.protocols.windows import OPEN, Windows, check_window
from schedules.platform.tables import Link, NetworkTable
from schedules.platform.transports import DEFAULT, TRANSPORTS, Transport
from schedules.record.files import LinkRow
from simulator.messages.connections import Connection, Done, Message
from simulator.messages.levels import Levels
from simulator.network.calls import CallAt
from simulator.network.flows import Route
from simulator.network.links import checked_link
from simulator.network.network import Network
from topologies.physical import places
from topologies.routing import Router

MACHINE: tuple[Hashable, Hashable] = ("machine", "machine")
"""The link that all messages of a machine share, whatever else they cross: its cores, which copy them."""

# Not infinite: a `Link` takes finite numbers only.
UNLIMITED = 1e300
"""Bandwidth of a copy within a host, in bytes/s."""


class Wires(NamedTuple):
    """A network that the fabrics of several runs share.

    Attributes:
        network: whose time is that of all runs.
        links: its links, as `Fabric` has them.
        lost: bytes that links have not carried, but that took as long as if they had, by link.
        since: the tick of the network at which the run begins, from which its own time is counted.
    """

    network: Network
    links: dict[Any, tuple[float, float]]
    lost: Counter[Any]
    since: int = 0


class Fabric:
    """The connections of all workers over one network.

    Args:
        graph: the physical network (`topologies.physical`).
        table: how to lay the workers over it and share its links.
        call_at: `call_at(tick, call)` has something called.
        own: there is no network: the link that every pair of workers has to itself, each way.
        transport: whose bytes may take no time, or its messages no latency.
        wires: the network, where it is shared with other runs; None: it is made.
        windows: of every connection, beside those of links.
        shared: bytes/s of all messages together, where there is no network but one machine; None: they share nothing.
    Raises:
        ValueError: if a route that is given does not fit the network.
    """

    def __init__(
        self,
        graph: nx.Graph[Any],
        table: NetworkTable,
        call_at: CallAt,
        *,
        own: Link | None = None,
        transport: Transport = TRANSPORTS[DEFAULT],
        wires: Wires | None = None,
        windows: Windows = OPEN,
        shared: float | None = None,
    ) -> None:
        self._windows = windows.within(table.window, None if own is None else own.window)
        self._link_windows = {} if own is not None else _windows_of(graph)
        self.graph = graph
        self.table = table
        self._transport = transport
        self._own = own if own is None or transport.has_latency else Link(bandwidth=own.bandwidth)
        made = wires or lay(graph if own is None else None, table, call_at, transport)
        self.network, self._links, self._lost, self._since = made
        self._shared = shared if own is not None and transport.takes_bytes else None
        if self._shared is not None:
            self.network.add_link(MACHINE, checked_link(MACHINE, (self._shared, 0.0)))
        given = {_pair(name): nodes for name, nodes in table.routes.items()}
        self._find = self._lay
        if own is None:
            self._find = Router(graph, placement=table.placement, given=given, ties=table.ties).find
        self._connections: dict[tuple[int, int], Connection] = {}
        self._lanes: dict[tuple[tuple[int, int], int], Connection] = {}
        self._back: dict[int, int] = {}  # of workers that have been away: when they are back
        self.connect(given)  # at once: a given route that does not fit is told before the run

    def connect(self, pairs: Any) -> None:
        """Find the routes of ordered pairs of workers; one call for many pairs is faster than one a message."""
        missing = [pair for pair in pairs if pair not in self._connections]
        for pair, links in self._find(missing).items():
            connection = self._connections[pair] = self._connect(pair, links)
            # It may be made while an end of it is away.
            connection.not_before = max(self._back.get(each, 0) for each in pair)

    def _connect(self, pair: tuple[int, int], links: Sequence[tuple[Hashable, Hashable]]) -> Connection:
        """A connection over some links, and as fast as its windows let it be."""
        overlaps = not self._transport.takes_bytes
        windows = self._windows.within(*(self._link_windows.get(link) for link in links))
        if windows == OPEN or overlaps:
            return Connection(self.network, self.network.route(links), overlaps=overlaps, since=self._since)
        route = self.network.route(links)
        back = links if self._own is not None else self._find([pair[::-1]])[pair[::-1]]
        round_trip = (route.latency + self.network.route(back).latency) / 1e9
        rate = windows.rate(1e9 / route.ticks_per_byte, round_trip) if links else math.inf
        route = self.network.route(links, rate if rate < 1e9 / (route.ticks_per_byte or 1.0) else math.inf)
        return Connection(self.network, route, windows=windows, round_trip=round_trip, since=self._since)

    def _lay(self, pairs: Iterable[tuple[int, int]]) -> dict[tuple[int, int], list[tuple[Hashable, Hashable]]]:
        """A link for each of these pairs, where every pair has one to itself."""
        assert self._own is not None
        for pair in dict.fromkeys(pairs):
            self._links[pair] = self._own.bandwidth, self._own.latency
            self.network.add_link(pair, checked_link(pair, self._links[pair]))
        return {pair: [pair] if self._shared is None else [pair, MACHINE] for pair in pairs}

    def route(self, source: int, target: int) -> Route:
        """The route between two workers."""
        return self._connection(source, target).route

    def levels(self, members: Sequence[int]) -> Levels:
        """What lies between the members of a group, of whom neighbours talk: in a node, and between nodes."""
        if self._own is not None:
            # All members move bytes at once.
            most = self._own.bandwidth if self._shared is None else self._shared / max(len(members), 1)
            return Levels(self._own.model_copy(update={"bandwidth": min(self._own.bandwidth, most)}))
        placement = self.table.placement or places(self.graph)
        nodes = [_node(self.graph, placement[rank]) for rank in members]
        by_node: dict[Hashable, list[int]] = {}
        for rank, node in zip(members, nodes, strict=True):
            by_node.setdefault(node, []).append(rank)
        groups = list(by_node.values())
        inside = [pair for group in groups for pair in pairwise(group)]
        # Not strict: where a node has more members than the next, who is over has no counterpart there.
        outside = [pair for one, other in pairwise(groups) for pair in zip(one, other, strict=False)]
        self.connect([*inside, *outside])
        if not outside:
            return Levels(self._slowest(inside), None, nodes)
        within = self._slowest(inside) if inside else None
        nics = [_nic(self.graph, placement[rank]) for rank in members]
        return Levels(self._slowest(outside), within, nodes, nics)

    def machines(self, num_workers: int) -> list[Hashable]:
        """The machine of every worker; without a network all are on one."""
        if self._own is not None:
            return [MACHINE] * num_workers
        return [_node(self.graph, place) for place in (self.table.placement or places(self.graph))[:num_workers]]

    def _slowest(self, pairs: Sequence[tuple[int, int]]) -> Link:
        routes = [self.route(*pair) for pair in pairs]
        # Of the links: what a window leaves of them is for whoever asks to work out.
        ticks = max((route.wire_ticks_per_byte for route in routes), default=0.0)
        latency = max((route.latency for route in routes), default=0) / 1e9
        window = min((self._connection(*pair).windows.largest for pair in pairs), default=math.inf)
        # Unchecked: it is made of links that were checked, and their sum may exceed what anybody may ask for.
        return Link.model_construct(
            bandwidth=1e9 / ticks if ticks else UNLIMITED,
            latency=latency,
            window=None if window == math.inf else window,
        )

    def send(self, source: int, target: int, size: int, leaves: int, now: int, done: Done) -> Message:
        """Send `size` bytes that leave at the tick `leaves` (now or later), behind those sent before. Where bytes take
        no time they are none, behind nobody, and may have left before now."""
        connection = self._connection(source, target)
        message = Message(connection, size if self._transport.takes_bytes else 0, leaves, done)
        connection.send(message, now)
        return message

    def hand(
        self,
        pair: tuple[int, int],
        size: int,
        now: int,
        done: Done,
        *,
        takes: float,
        lane: int | None = None,
        comes: Done | None = None,
    ) -> None:
        """Send `size` bytes of a collective.

        Args:
            takes: how many times as long as the bytes alone it takes.
            lane: the pair has a connection of its own for each; None: by that of all other messages.
            comes: told, ahead of it, the tick at which the first of them is there.
        """
        connection = self._connection(*pair) if lane is None else self._lane(pair, lane)
        route = connection.route
        # Of a connection whose window is its limit, that is what takes long.
        lost = max(0, round(size * takes * route.wire_ticks_per_byte / route.ticks_per_byte) - size) if size else 0

        def counted(end: int) -> None:
            self._lost.update(dict.fromkeys(route.ids, lost))
            done(end)

        connection.send(Message(connection, size + lost, now, counted if lost else done, comes), now)

    def _lane(self, pair: tuple[int, int], lane: int) -> Connection:
        found = self._lanes.get((pair, lane))
        if found is None:
            found = self._lanes[pair, lane] = self._connection(*pair).another()
        return found

    def hold(self, rank: int, now: int, until: int) -> None:
        """A worker is away until then: see `Connection.hold`."""
        self._back[rank] = until
        lanes = ((pair, connection) for (pair, _), connection in self._lanes.items())
        for pair, connection in (*self._connections.items(), *lanes):
            if rank in pair:
                # The other end may be away for longer.
                connection.hold(now, max(until, connection.not_before))

    def _connection(self, source: int, target: int) -> Connection:
        connection = self._connections.get((source, target))
        if connection is None:
            self.connect([(source, target)])
            connection = self._connections[source, target]
        return connection

    @property
    def num_messages(self) -> int:
        """How many are on their way or wait for their turn."""
        return sum(len(each.messages) for each in (*self._connections.values(), *self._lanes.values()))

    def drop_all(self, now: int) -> None:
        """None of these is sent any further."""
        for connection in (*self._connections.values(), *self._lanes.values()):
            for message in reversed(list(connection.messages)):  # what waits first, or it would begin
                connection.drop(message, now)

    def links(self, now: int) -> Iterator[LinkRow]:
        """What every link has done from the network's tick 0 to `now`."""
        for (source, target), (bandwidth, latency) in self._links.items():
            use = self.network.use((source, target), now + self._since)
            # Never below nothing, by the rounding of a message that is under way.
            carried = max(0.0, use.carried_bytes - self._lost[source, target])
            part = use.utilisation if carried == use.carried_bytes else use.utilisation * carried / use.carried_bytes
            yield str(source), str(target), bandwidth, latency, carried, use.busy_s, part


def lay(graph: nx.Graph[Any] | None, table: NetworkTable, call_at: CallAt, transport: Transport) -> Wires:
    """The network of a graph's links; of no graph, one without links.

    Args:
        table: how its links are shared.
        call_at: `call_at(tick, call)` has something called.
        transport: whose bytes may take no time, or its messages no latency.
    """
    links = {} if graph is None else topologies.link_table(graph)
    if not transport.has_latency:
        links = {link: (bandwidth, 0.0) for link, (bandwidth, _) in links.items()}
    # Where bytes take no time nothing is shared, and nothing needs a weight, which routes without latency have not.
    sharing = table.sharing if transport.takes_bytes else "max-min"
    return Wires(Network(links, call_at, sharing=sharing, solver=table.solver), links, Counter())


def _node(graph: nx.Graph[Any], place: Any) -> Hashable:
    """The machine that a GPU is in; anything else is its own."""
    data = graph.nodes[place]
    return ("node", data["group"]) if data.get("kind") == "gpu" and "group" in data else place


def _nic(graph: nx.Graph[Any], place: Any) -> Hashable:
    """The NIC that a GPU is attached to; of anything else, its node."""
    return next((each for each in graph[place] if graph.nodes[each].get("kind") == "nic"), _node(graph, place))


def _windows_of(graph: nx.Graph[Any]) -> dict[tuple[Hashable, Hashable], float]:
    """The windows of those links of a network that have one, in each direction."""
    found: dict[tuple[Hashable, Hashable], float] = {}
    for u, v, data in graph.edges(data=True):
        if "window" in data:
            try:
                found[u, v] = found[v, u] = check_window(float(data["window"]))
            except (TypeError, ValueError) as error:
                raise ValueError(f"window of link {u}-{v}: {error}") from None
    return found


def _pair(name: str) -> tuple[int, int]:
    source, _, target = name.partition("-")
    # Not `isdigit`, which takes "²" for a digit; `int` does not.
    if not (source.isdecimal() and target.isdecimal()):
        raise ValueError(f'routes: expected pairs of workers such as "0-3", found {name!r}')
    return int(source), int(target)
