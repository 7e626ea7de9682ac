"""When messages are there: in closed form on links of their own, or what the transport asks of messages that share
links (`simulator.messages.fabric`).

Messages of one direction of a pair go one behind the other, as on the one connection that a transport keeps for it.
What is the transport's own is read from its row (`schedules.platform.transports`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from schedules.driving.driver import Running
from schedules.operations import AllGather, Operation
from schedules.platform.protocols.efficiency import default_efficiency
from schedules.platform.protocols.windows import OPEN, REST, Windows
from schedules.platform.tables import EfficiencyTable, Link, PlatformTable
from schedules.platform.transports import TRANSPORTS
from schedules.record.files import LinkRow
from simulator.messages.fabric import Fabric
from simulator.messages.levels import Levels


class Lanes:
    """The two directions between two workers.

    Attributes:
        waiting: exchanges that wait for the other end, by tag.
        free_ns: until when each direction (from the lower rank, from the higher) is taken.
        carried: bytes in each direction since its connection rested, where connections open slowly.
        sent: bytes of messages in each direction; those of exchanges, equal in both, are in `exchanged`.
    """

    __slots__ = ("carried", "exchanged", "free_ns", "sent", "waiting")

    def __init__(self) -> None:
        self.waiting: dict[int, Running] = {}
        self.free_ns = [0, 0]
        self.carried = [0, 0]
        self.sent = [0, 0]
        self.exchanged = 0


def windows_of(platform: PlatformTable) -> Windows:
    """Those of every connection of a platform's transport."""
    windows = OPEN.within(platform.window)
    return windows if platform.initial_window is None else windows._replace(first=platform.initial_window)


class Formulas:
    """A platform's link under its transport.

    Attributes:
        row: what the transport is like.
        ends_together: whether an exchange ends at both ends at once, or at each end when it has the other's data.
        overhead: software cost of a message in seconds, 0 where the transport has none; `overhead_ns` in nanoseconds.
        collective_overhead: the same of a message within a collective.
    """

    def __init__(self, platform: PlatformTable) -> None:
        self.row = TRANSPORTS[platform.transport]
        self.link = platform.link
        self.bandwidth, self.latency = self.link.bandwidth, self.link.latency if self.row.has_latency else 0.0
        self._own = Link(bandwidth=self.bandwidth, latency=self.latency, window=self.link.window)
        self._windows = windows_of(platform)
        windows = self._windows.within(self.link.window)
        self._rate = windows.rate(self.bandwidth, 2 * self.latency)
        self._opens_slowly = windows.first != OPEN.first and self.row.takes_bytes
        self.latency_ns = round(self.latency * 1e9)
        self.overhead = platform.overhead if self.row.has_overhead else 0.0
        self.overhead_ns = round(self.overhead * 1e9)
        given = platform.collectives.overhead
        self.collective_overhead = self.overhead if given is None or not self.row.has_overhead else given
        self._collective_overhead_ns = round(self.collective_overhead * 1e9)
        self.ends_together = self.row.ends_together
        # Read for every message: attributes of this object are found faster than those of its row.
        self._is_announced = self.row.is_announced
        self._after_begin_ns = self.latency_ns if self._is_announced else 0
        self._after_bytes_ns = self.latency_ns + self.overhead_ns
        # In the order of operations of `Route`: size / bandwidth * 1e9 may end in another nanosecond, and both are one
        # model.
        self._ns_per_byte = 1e9 / self._rate if self.row.takes_bytes else 0.0
        self._bytes_ns: dict[int, int] = {}
        self._efficiency = platform.efficiency

    def bytes_ns(self, size: int) -> int:
        """Nanoseconds that `size` bytes take at the link's bandwidth; messages come in few sizes."""
        if size not in self._bytes_ns:
            self._bytes_ns[size] = round(size * self._ns_per_byte)
        return self._bytes_ns[size]

    def leaves(self, sender: int, receiver: int, back_ns: int) -> int:
        """When a message leaves, given when each end asked for it and the latency from receiver to sender."""
        if self._is_announced:
            receiver += back_ns
        elif self.row.leaves_at_once:
            return sender
        # `max` takes four times as long, for every message.
        return sender if sender > receiver else receiver

    def exchange(self, pair: Lanes, start_low: int, start_high: int, size: int) -> tuple[int, int]:
        """When an exchange ends at the lower and at the higher rank, given when each asked for it."""
        if not self.ends_together:
            end_low = self._in_turn(pair, 1, start_high, start_low, size) + self.overhead_ns
            end_high = self._in_turn(pair, 0, start_low, start_high, size) + self.overhead_ns
            return end_low, end_high
        begin = (start_low if start_low > start_high else start_high) + self._after_begin_ns
        free = pair.free_ns
        # `get` first, and a call only for a size that is new (or 0).
        bytes_ns = self._bytes_ns.get(size) or self.bytes_ns(size)
        if self._opens_slowly:
            begin += max(self._opening_ns(pair, way, begin, size) for way in (0, 1))
        if begin < free[0] or begin < free[1]:
            free[0], free[1] = (max(begin, each) + bytes_ns for each in free)
            left = max(free)
        else:
            left = free[0] = free[1] = begin + bytes_ns
        pair.exchanged += size
        end = left + self._after_bytes_ns
        return end, end

    def message(self, pair: Lanes, direction: int, sender: int, receiver: int, size: int) -> int:
        """When the last byte of a message is there, given when each end asked for it; the overhead comes after it."""
        if self.row.takes_bytes:
            return self._in_turn(pair, direction, sender, receiver, size)
        # No message is in another's way; and not asked in `_in_turn`, where every exchange under gloo passes twice.
        there = self.leaves(sender, receiver, self.latency_ns) + self.latency_ns
        return there if there > receiver else receiver

    def _in_turn(self, pair: Lanes, direction: int, sender: int, receiver: int, size: int) -> int:
        begin = self.leaves(sender, receiver, self.latency_ns)
        free_ns = pair.free_ns[direction]
        if self._opens_slowly:
            begin += self._opening_ns(pair, direction, begin, size)
        if begin < free_ns:
            begin = free_ns
        # Free when its last byte has left, and not when it is there: the latency keeps nobody waiting.
        left = pair.free_ns[direction] = begin + (self._bytes_ns.get(size) or self.bytes_ns(size))
        pair.sent[direction] += size
        return left + self.latency_ns

    def _opening_ns(self, pair: Lanes, direction: int, begin: int, size: int) -> int:
        """What a message loses while its connection opens, which it does anew after a rest."""
        round_trip = 2 * self.latency
        if begin - pair.free_ns[direction] > (REST + round_trip) * 1e9:
            pair.carried[direction] = 0
        lost = self._windows.opening(size, self._rate, round_trip, pair.carried[direction])
        pair.carried[direction] += size
        return round(lost * 1e9)

    def links(self, pairs: Sequence[Mapping[int, Lanes]], now: int) -> Iterator[LinkRow]:
        """What the links of pairs (by rank and peer) have done from tick 0 to `now`."""
        for rank, peers in enumerate(pairs):
            for peer in sorted(peers):
                # True is 1: the direction from the higher rank.
                carried = float(peers[peer].exchanged + peers[peer].sent[rank > peer])
                carried *= self.row.takes_bytes  # where bytes take no time, links have none to carry
                busy = carried / self.bandwidth
                share = busy / (now / 1e9) if now else 0.0
                yield str(rank), str(peer), self.bandwidth, self.latency, carried, busy, share

    def levels(self, fabric: Fabric | None, members: Sequence[int]) -> Levels:
        """What lies between the ranks of a group."""
        return Levels(self._own) if fabric is None else fabric.levels(members)

    def collective(self, kind: type[Operation], num_ranks: int, size: int, levels: Levels, algorithm: str) -> float:
        """Seconds that a collective takes on an idle network."""
        levels = levels.at_most(self.efficiency(kind, num_ranks, size, levels))
        link, abreast = levels.outside, levels.abreast if self.row.is_abreast(kind, algorithm) else 1.0
        return self.row.collective_seconds(
            kind,
            num_ranks,
            size * self.row.takes_bytes,
            link.bandwidth * abreast,
            link.latency,
            self.collective_overhead,
            algorithm=algorithm,
            num_nodes=levels.num_nodes,
            inside=levels.inside,
            leaving=levels.leaving,
            windows=self.windows(levels, abreast),
        )

    def efficiency(self, kind: type[Operation], num_ranks: int, size: int, levels: Levels) -> float:
        """What part of the bandwidth a collective has; 1 where the transport has no such thing."""
        if not self.row.has_efficiency:
            return 1.0
        if isinstance(self._efficiency, float):
            return self._efficiency
        whole = num_ranks * size if kind is AllGather else size  # as nccl-tests count
        nodes = levels.num_nodes or num_ranks
        if isinstance(self._efficiency, EfficiencyTable):
            return self._efficiency.grid.at(whole, nodes)
        return default_efficiency(whole, nodes, levels.outside.bandwidth * levels.abreast)

    def windows(self, levels: Levels, abreast: float = 1.0) -> Windows:
        """Of the connections between the ranks of a group; of several abreast, together."""
        if not self.row.takes_bytes:
            return OPEN
        found = self._windows.within(levels.outside.window)
        return found if abreast == 1.0 else found._replace(largest=found.largest * abreast)

    def hop(self, kind: type[Operation], algorithm: str, now: int, latency: int, bytes_ns: float) -> tuple[int, int]:
        """Of a message within a collective, both of whose ends are ready now: when it leaves, and what it costs after
        its last byte; `latency` and `bytes_ns` are those of its way when idle."""
        after, cost = self.row.hop_ns(kind, algorithm, latency, self._collective_overhead_ns, bytes_ns)
        return now + after, cost
