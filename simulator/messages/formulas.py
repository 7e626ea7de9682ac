"""When messages are there, under a transport's protocol: in closed form on links of their own, or what a protocol asks
of messages that share links (`simulator.messages.fabric`).

Messages of one direction of a pair go one behind the other, as on the one connection that a transport keeps for it.

* `ideal`: both ends have it when the later one has asked, plus latency, plus bytes / bandwidth.
* `gloo`: data leaves only after the receiver's announcement has arrived, so with a and b asking at t_a and t_b
  done_a = max(t_b, t_a + L) + L + S/B + overhead, and symmetrically (real-hardware.md, section 1).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from schedules.operations import AllReduce, Operation
from schedules.platform.tables import PlatformTable
from schedules.record.files import LinkRow
from simulator.collectives import formulas as collectives
from simulator.messages.fabric import Fabric, Levels


class Pair:
    """The two directions between two workers.

    Attributes:
        waiting: exchanges that wait for the other end, by tag.
        free_ns: until when each direction (from the lower rank, from the higher) is taken.
        sent: bytes of messages in each direction; those of exchanges, equal in both, are in `exchanged`.
    """

    __slots__ = ("exchanged", "free_ns", "sent", "waiting")

    def __init__(self) -> None:
        self.waiting: dict[int, Any] = {}
        self.free_ns = [0, 0]
        self.sent = [0, 0]
        self.exchanged = 0


class Ideal:
    """Latency plus bytes over bandwidth, from when both ends are there.

    Attributes:
        name: as in [platform].
        ends_together: whether an exchange ends at both ends at once, or at each end when it has the other's data.
        overhead_ns: what a message costs after its last byte.
    """

    name = "ideal"
    ends_together = True
    overhead_ns = 0

    def __init__(self, platform: PlatformTable) -> None:
        self.link = platform.link
        self.bandwidth, self.latency = self.link.bandwidth, self.link.latency
        self.latency_ns = round(self.latency * 1e9)
        self._bytes_ns: dict[int, int] = {}

    def bytes_ns(self, size: int) -> int:
        """Nanoseconds that `size` bytes take at the link's bandwidth; messages come in few sizes."""
        if size not in self._bytes_ns:
            self._bytes_ns[size] = round(size * (1e9 / self.bandwidth))
        return self._bytes_ns[size]

    def leaves(self, sender: int, receiver: int, back_ns: int) -> int:
        """When a message leaves, given when each end asked for it and the latency from receiver to sender."""
        return sender if sender > receiver else receiver

    def exchange(self, pair: Pair, start_low: int, start_high: int, size: int) -> tuple[int, int]:
        """When an exchange ends at the lower and at the higher rank, given when each asked for it."""
        begin = start_low if start_low > start_high else start_high
        free = pair.free_ns
        bytes_ns = self._bytes_ns.get(size) or self.bytes_ns(size)
        if begin < free[0] or begin < free[1]:
            free[0], free[1] = (max(begin, each) + bytes_ns for each in free)
            left = max(free)
        else:
            left = free[0] = free[1] = begin + bytes_ns
        pair.exchanged += size
        end = left + self.latency_ns
        return end, end

    def message(self, pair: Pair, direction: int, sender: int, receiver: int, size: int) -> int:
        """When the last byte of a message is there, given when each end asked for it."""
        begin = max(self.leaves(sender, receiver, self.latency_ns), pair.free_ns[direction])
        left = pair.free_ns[direction] = begin + self.bytes_ns(size)
        pair.sent[direction] += size
        return left + self.latency_ns

    def links(self, pairs: Sequence[Mapping[int, Pair]], now: int) -> Iterator[LinkRow]:
        """What the links of pairs (by rank and peer) have done from tick 0 to `now`."""
        for rank, peers in enumerate(pairs):
            for peer in sorted(peers):
                carried = float(peers[peer].exchanged + peers[peer].sent[rank > peer])
                busy = carried / self.bandwidth
                share = busy / (now / 1e9) if now else 0.0
                yield str(rank), str(peer), self.bandwidth, self.latency, carried, busy, share

    def levels(self, fabric: Fabric | None, members: Sequence[int]) -> Levels:
        """What lies between the ranks of a group."""
        return Levels(self.link) if fabric is None else fabric.levels(members)

    def collective(self, kind: type[Operation], num_ranks: int, size: int, levels: Levels, algorithm: str) -> float:
        """Seconds that a collective takes on an idle network."""
        link = levels.outside
        return collectives.seconds(kind, num_ranks, size, link.bandwidth, link.latency, **_options(levels, algorithm))

    def hop(self, kind: type[Operation], algorithm: str, now: int, latency: int, bytes_ns: float) -> tuple[int, int]:
        """Of a message within a collective, both of whose ends are ready now: when it leaves, and what it costs after
        its last byte; `latency` and `bytes_ns` are those of its way when idle."""
        return now, 0


def _options(levels: Levels, algorithm: str) -> dict[str, Any]:
    return {"algorithm": algorithm, "num_nodes": levels.num_nodes, "inside": levels.inside}


class Gloo(Ideal):
    """Gloo's rendezvous: the receiver announces itself first."""

    name = "gloo"
    ends_together = False

    def __init__(self, platform: PlatformTable) -> None:
        super().__init__(platform)
        self.overhead = platform.overhead
        self.overhead_ns = round(platform.overhead * 1e9)

    def leaves(self, sender: int, receiver: int, back_ns: int) -> int:
        """Bytes leave when the announcement has arrived."""
        return max(sender, receiver + back_ns)

    def exchange(self, pair: Pair, start_low: int, start_high: int, size: int) -> tuple[int, int]:
        """Each end gets the other's data, which leaves when its announcement has arrived."""
        end_low = self.message(pair, 1, start_high, start_low, size) + self.overhead_ns
        end_high = self.message(pair, 0, start_low, start_high, size) + self.overhead_ns
        return end_low, end_high

    def collective(self, kind: type[Operation], num_ranks: int, size: int, levels: Levels, algorithm: str) -> float:
        """Seconds that a collective takes with gloo's segments."""
        link, options = levels.outside, _options(levels, algorithm)
        return collectives.gloo_seconds(kind, num_ranks, size, link.bandwidth, link.latency, self.overhead, **options)

    def hop(self, kind: type[Operation], algorithm: str, now: int, latency: int, bytes_ns: float) -> tuple[int, int]:
        """A message is announced first; of a ring all-reduce's two segments one hides the announcement of the other
        (the formula of `collectives.gloo_seconds`, hop by hop)."""
        if kind is AllReduce and algorithm == "ring":
            return now - latency + max(0, 2 * latency + self.overhead_ns - round(bytes_ns / 2)), 0
        return now + latency, self.overhead_ns


TRANSPORTS = {"ideal": Ideal, "gloo": Gloo}
