"""When messages are there, under a transport's protocol: in closed form on links of their own, or what a protocol asks
of messages that share links (`simulator.fabric`).

Messages of one direction of a pair go one behind the other, as on the one connection that a transport keeps for it.

* `ideal`: both ends have it when the later one has asked, plus latency, plus bytes / bandwidth.
* `gloo`: data leaves only after the receiver's announcement has arrived, so with a and b asking at t_a and t_b
  done_a = max(t_b, t_a + L) + L + S/B + overhead, and symmetrically (real-hardware.md, section 1).
"""

from __future__ import annotations

from typing import Any

from schedules.operations import Operation
from schedules.platform import PlatformTable
from simulator import collectives


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
        ends_together: whether an exchange ends at both ends at once, or at each end when it has the other's data.
        overhead_ns: what a message costs after its last byte.
    """

    ends_together = True
    overhead_ns = 0

    def __init__(self, platform: PlatformTable) -> None:
        self.bandwidth, self.latency = platform.link.bandwidth, platform.link.latency
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

    def collective(self, kind: type[Operation], num_ranks: int, size: int) -> float:
        """Seconds that a collective takes on an idle network."""
        return collectives.seconds(kind, num_ranks, size, self.bandwidth, self.latency)


class Gloo(Ideal):
    """Gloo's rendezvous: the receiver announces itself first."""

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

    def collective(self, kind: type[Operation], num_ranks: int, size: int) -> float:
        """Seconds that a collective takes with gloo's segments."""
        return collectives.gloo_seconds(kind, num_ranks, size, self.bandwidth, self.latency, self.overhead)


TRANSPORTS = {"ideal": Ideal, "gloo": Gloo}
