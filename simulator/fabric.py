"""Messages between workers over a physical network: connections, whose transfers share the links of their routes.

Each ordered pair of workers has one connection, as a transport keeps it. Its messages go one behind the other, and the
latency of the next passes while the one before it is still sending. Messages of different connections share links
(`simulator.network`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import networkx as nx
import pandas as pd

import topologies
from schedules.platform import NetworkTable
from simulator.network import Network, Route, Schedule

Done = Callable[[int], None]
"""Called with the tick at which the last byte is there."""


class Connection:
    """One direction between two workers: the route, and messages (leaves at, bytes, done) that wait their turn."""

    __slots__ = ("is_sending", "route", "waiting")

    def __init__(self, route: Route) -> None:
        self.route = route
        self.is_sending = False
        self.waiting: deque[tuple[int, int, Done]] = deque()


class Fabric:
    """The connections of all workers over one network.

    Args:
        graph: the physical network (`topologies.physical`).
        table: how to lay the workers over it and share its links.
        schedule: `schedule(tick, call)`, as `simulator.network.Network` wants it.
    Raises:
        ValueError: if a route that is given does not fit the network.
    """

    def __init__(self, graph: nx.Graph[Any], table: NetworkTable, schedule: Schedule) -> None:
        self.graph = graph
        self.table = table
        self._schedule = schedule
        self._links = topologies.link_table(graph)
        self.network = Network(self._links, schedule, sharing=table.sharing, solver=table.solver)
        self._given = {_pair(name): nodes for name, nodes in table.routes.items()}
        self._connections: dict[tuple[int, int], Connection] = {}
        self.connect(self._given)

    def connect(self, pairs: Any) -> None:
        """Find the routes of ordered pairs of workers; one call for many pairs is faster than one a message."""
        missing = [pair for pair in pairs if pair not in self._connections]
        table, given = self.table, self._given
        found = topologies.routes(self.graph, missing, placement=table.placement, given=given, ties=table.ties)
        for pair, links in found.items():
            self._connections[pair] = Connection(self.network.route(links))

    def latency_ns(self, source: int, target: int) -> int:
        """Latency of the route between two workers, in ticks."""
        return self._connection(source, target).route.latency

    def send(self, source: int, target: int, size: int, leaves: int, now: int, done: Done) -> None:
        """Send `size` bytes that leave at the tick `leaves` (now or later), behind those sent before."""
        connection = self._connection(source, target)
        if connection.is_sending:
            connection.waiting.append((leaves, size, done))
        else:
            self._begin(connection, leaves + connection.route.latency, size, now, done)

    def _begin(self, connection: Connection, begin: int, size: int, now: int, done: Done) -> None:
        connection.is_sending = True
        flow = self.network.start(connection.route, size, now, lambda: self._end(connection, flow.end, done), begin)

    def _end(self, connection: Connection, now: int, done: Done) -> None:
        connection.is_sending = False
        if connection.waiting:
            leaves, size, following = connection.waiting.popleft()
            self._begin(connection, max(now, leaves + connection.route.latency), size, now, following)
        done(now)

    def _connection(self, source: int, target: int) -> Connection:
        connection = self._connections.get((source, target))
        if connection is None:
            self.connect([(source, target)])
            connection = self._connections[source, target]
        return connection

    def links(self, now: int) -> pd.DataFrame:
        """What every link has done from tick 0 to `now`: one row a direction (see `schedules.result.Result.links`)."""
        rows = []
        for (source, target), (bandwidth, latency) in self._links.items():
            use = self.network.use((source, target), now)
            name = (str(source), str(target))
            rows.append((*name, bandwidth, latency, use.carried_bytes, use.busy_s, use.utilisation))
        return pd.DataFrame(rows, columns=list(LINK_COLUMNS))


LINK_COLUMNS = ("source", "target", "bandwidth", "latency", "carried_bytes", "busy_s", "utilisation")


def _pair(name: str) -> tuple[int, int]:
    source, _, target = name.partition("-")
    if not (source.isdecimal() and target.isdecimal()):
        raise ValueError(f'routes: expected pairs of workers such as "0-3", found {name!r}')
    return int(source), int(target)
