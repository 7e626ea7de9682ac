"""One direction between two workers, and the messages on it: on their way, or waiting for their turn."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from schedules.platform.protocols.windows import OPEN, REST, Windows
from simulator.network.flows import Flow, Route
from simulator.network.network import Network

Done = Callable[[int], None]
"""Called with the tick at which the last byte is there."""


class Message:
    """Bytes on a connection, on their way or waiting for their turn."""

    __slots__ = ("comes", "connection", "done", "flow", "leaves", "size")

    def __init__(self, connection: Connection, size: int, leaves: int, done: Done, comes: Done | None = None) -> None:
        self.connection = connection
        self.size = size
        self.leaves = leaves
        self.done = done
        self.comes = comes
        self.flow: Flow | None = None

    @property
    def is_over(self) -> bool:
        """Whether it is there, or has been dropped."""
        return self not in self.connection.messages

    def arrive(self) -> None:
        """The last byte is there."""
        flow, self.flow = (
            self.flow,
            None,
        )  # they know each other: only so both are gone at once, and not with a collection
        assert flow is not None
        end = flow.end - self.connection.since
        self.connection.go_on(self, end)
        self.done(end)


class Connection:
    """One direction between two workers: the route, and the messages on it in their order, the first on its way (all
    of them, where they overlap). The run's time begins at the network's tick `since`."""

    __slots__ = (
        *("carried", "messages", "network", "not_before", "overlaps", "quiet_since", "round_trip", "route", "since"),
        "windows",
    )

    def __init__(
        self,
        network: Network,
        route: Route,
        *,
        overlaps: bool = False,
        windows: Windows = OPEN,
        round_trip: float = 0.0,
        since: int = 0,
    ) -> None:
        self.network = network
        self.route = route
        self.overlaps = overlaps
        self.since = since
        self.windows, self.round_trip = windows, round_trip
        self.carried = 0  # bytes since it rested
        self.quiet_since = 0  # tick at which it last had nothing under way
        self.messages: deque[Message] = deque()
        self.not_before = 0  # while an end is away: when it is back

    def another(self) -> Connection:
        """One more between the same two workers, which has carried nothing yet."""
        made = Connection(
            self.network,
            self.route,
            overlaps=self.overlaps,
            windows=self.windows,
            round_trip=self.round_trip,
            since=self.since,
        )
        made.not_before = self.not_before
        return made

    def send(self, message: Message, now: int) -> None:
        """A message joins the queue."""
        self.messages.append(message)
        if self.overlaps or len(self.messages) == 1:
            self._begin(message, now)

    def go_on(self, message: Message, now: int) -> None:
        """A message is through: the next has had its latency meanwhile."""
        self.messages.remove(message)
        self.quiet_since = now
        if self.messages and self.messages[0].flow is None:
            self._begin(self.messages[0], now)

    def drop(self, message: Message, now: int) -> None:
        """Take a message out, whether it is on its way or not."""
        if message.flow is not None:
            self.network.cancel(message.flow, now + self.since)
            self.go_on(message, now)
        else:
            self.messages.remove(message)

    def hold(self, now: int, until: int) -> None:
        """Whatever is on its way is lost, and sent anew at `until`; what waits, waits."""
        self.not_before = until
        for message in [each for each in self.messages if each.flow is not None]:
            assert message.flow is not None
            # What has crossed so far was carried, and is carried again.
            self.network.cancel(message.flow, now + self.since)
            message.leaves = max(message.leaves, until)
            self._begin(message, now)

    def _begin(self, message: Message, now: int) -> None:
        begin, since = max(now, max(message.leaves, self.not_before) + self.route.latency), self.since
        if self.windows.first != OPEN.first:
            begin += self._opening_ns(message.size, now)
        if message.comes is not None:
            message.comes(begin)
            message.comes = None  # sent anew it comes anew, but whoever waited for its first bytes had them
        message.flow = self.network.start(self.route, message.size, now + since, message.arrive, begin + since)

    def _opening_ns(self, size: int, now: int) -> int:
        """What a message loses while the connection opens."""
        if now - self.quiet_since > (REST + self.round_trip) * 1e9:
            self.carried = 0
        lost = self.windows.opening(size, 1e9 / self.route.ticks_per_byte, self.round_trip, self.carried)
        self.carried += size
        return round(lost * 1e9)
