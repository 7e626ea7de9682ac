"""The protocols on top of links: what each adds to latency and bytes, one row a transport.

Everything that depends on the transport is read from its row, by the simulator, by fits to what was measured and by
the explanation of a run; nobody asks for a name. A new transport is a row of `TRANSPORTS`, and where its collectives
have formulas of their own, functions beside it.

* `ideal`: a message is there when both ends have asked for it, plus latency, plus bytes / bandwidth.
* `gloo`: data leaves only after the receiver's announcement has arrived, so with a and b asking at t_a and t_b
  done_a = max(t_b, t_a + L) + L + S/B + c, and symmetrically, with a software cost c (real-hardware.md, section 1).
* `latency`: a message is there at max(receive asked, send asked + L), however many are under way: bytes take no time.
  An exchange is over at both ends at max over both, L after the later of them. A collective takes its algorithm's depth
  times L: 2 (n-1) L for an all-reduce by a ring, 2 ceil(log2 n) L by a tree; unless the scenario says, the shallowest.
* `nccl`: messages as under `ideal`, and a cost c, but in order per pair and channel. Collectives by rings and trees, as
  many as NICs, hand bytes on while they come, with an efficiency by size and number of nodes, and pay c once
  (`schedules.platform.protocols.nccl` and `.efficiency`).
* `none`: every message, exchange and collective is over when the last of its members has asked for it.

Gloo's collectives, from its source:

* All-reduce: a ring of segments of at most 1 MiB, two in flight, each announced (`schedules.platform.protocols`).
* Reduce-scatter: torch's is an all-reduce of which each keeps its part.
* Broadcast: whoever has the bytes sends them to all its children in a binomial tree at once, and these share what
  leaves its interface: L + d (L + c) + S/B (k_1 + ... + k_d) down to a leaf at depth d below parents of k_i children:
  S/B d (d+1) / 2 where n is a power of two. All have announced themselves from the beginning.
* Reduce, of which no operation here makes use: the ring of segments, and then all send their chunks to the root.
* Its other messages are announced too, and not in segments: 2L + c take the place of L.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import NamedTuple, Protocol

from schedules.operations import AllReduce, Broadcast, Operation, ReduceScatter
from schedules.platform.collective_times import nccl_seconds, seconds
from schedules.platform.protocols.hops import Hop, Leaving
from schedules.platform.protocols.nccl import CANDIDATES, NCCL, RELAYS
from schedules.platform.protocols.segments import RingWay, all_reduce_ring, reduce_ring, ring_seconds
from schedules.platform.protocols.windows import OPEN, Windows
from schedules.platform.volumes import ALGORITHMS, AT_ONCE, WHOLE, children_on_the_way, default_algorithm


class CollectiveSeconds(Protocol):
    """The formula of a transport's collectives; see `schedules.platform.collective_times.seconds`."""

    def __call__(
        self,
        kind: type[Operation],
        n: int,
        size: int,
        bandwidth: float,
        latency: float,
        overhead: float = 0.0,
        *,
        algorithm: str | None = None,
        num_nodes: int | None = None,
        inside: Hop | None = None,
        leaving: Leaving | None = None,
        windows: Windows = OPEN,
    ) -> float:
        """Seconds that a collective of `n` ranks with `size` bytes each takes."""


HopNs = Callable[[type[Operation], str, int, int, float], tuple[int, int]]
"""(kind, algorithm, latency, overhead, time of its bytes) of a message within a collective, in nanoseconds -> how long
after both ends are ready it leaves, and what it costs after its last byte."""


@dataclass(frozen=True, slots=True)
class Transport:
    """What tells a transport from the others.

    Attributes:
        words: for people.
        backend: of torch.distributed, whose protocol it is; empty: nobody's.
        is_announced: whether data leaves only when the receiver's announcement has arrived.
        ends_together: whether an exchange is over at both ends at once, or at each end when it has the other's data.
        has_overhead: whether a message costs `platform.overhead` after its last byte.
        is_in_order: whether sends and receives of a channel are posted one after the other, unless the scenario says.
        takes_bytes: whether bytes take time; where they do not, no message is in another's way.
        has_latency: whether a message costs latency.
        leaves_at_once: whether a message leaves when its sender asks, and waits for its receiver where it arrives.
        algorithms: which one a collective takes, by its kind, unless the scenario says; a kind that is missing takes
            the fastest by the formula.
        rings: which algorithms, by kind, go by segments that are announced one by one, and not by rounds.
        relays: which algorithms, by kind, hand bytes on while they come, and not round by round.
        candidates: which algorithms, by kind, the rule chooses from, where they are not the usual ones.
        abreast: algorithms that are as many at once as a node has NICs, each leaving by another.
        has_efficiency: whether collectives have only a part of the bandwidth (`platform.efficiency`).
        pays_once: whether a collective costs the overhead once, and not each of its messages.
        collective_seconds: how long a collective takes on an idle network; where bytes take no time it is asked for 0.
        hop_ns: the same of one message within a collective that goes message by message.
    """

    words: str
    is_announced: bool
    ends_together: bool
    has_overhead: bool
    is_in_order: bool
    collective_seconds: CollectiveSeconds
    hop_ns: HopNs
    backend: str = ""
    takes_bytes: bool = True
    has_latency: bool = True
    leaves_at_once: bool = False
    algorithms: Mapping[str, str] = field(default_factory=dict)
    rings: Mapping[str, str] = field(default_factory=dict)
    relays: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    candidates: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    abreast: tuple[str, ...] = ("ring",)
    has_efficiency: bool = False
    pays_once: bool = False

    def is_abreast(self, kind: type[Operation], algorithm: str) -> bool:
        """Whether this collective is as many at once as a node has NICs: rings, and what is handed on as it comes."""
        is_one = algorithm == "ring" or algorithm in self.relays.get(kind.__name__, ())
        return is_one and algorithm in self.abreast

    @property
    def takes_time(self) -> bool:
        """Whether anything but waiting for others does."""
        return self.takes_bytes or self.has_latency


# ---- ideal


def plain_hop(
    kind: type[Operation], algorithm: str, latency_ns: int, overhead_ns: int, bytes_ns: float
) -> tuple[int, int]:
    """A message leaves at once."""
    return 0, overhead_ns


def free_hop(
    kind: type[Operation], algorithm: str, latency_ns: int, overhead_ns: int, bytes_ns: float
) -> tuple[int, int]:
    """A message leaves at once and costs nothing more: the collective does."""
    return 0, 0


# ---- gloo

RINGS: Mapping[str, str] = {AllReduce.__name__: "ring", ReduceScatter.__name__: WHOLE}
"""The algorithms, by kind, that gloo carries out as a ring of segments."""

GLOO: Mapping[str, str] = {
    **{kind: default_algorithm(kind) for kind in ALGORITHMS},
    **RINGS,
    Broadcast.__name__: AT_ONCE,
}
"""What gloo's collectives are, at every size; for all-gather, all-to-all and barrier an assumption that fits
(real-hardware.md, section 9)."""


class _Announced(NamedTuple):
    """A way on which a message waits for its announcement, which has the same way back."""

    bandwidth: float
    latency: float


def gloo_seconds(
    kind: type[Operation],
    n: int,
    size: int,
    bandwidth: float,
    latency: float,
    overhead: float = 0.0,
    *,
    algorithm: str | None = None,
    num_nodes: int | None = None,
    inside: Hop | None = None,
    leaving: Leaving | None = None,
    windows: Windows = OPEN,
) -> float:
    """`schedules.platform.collective_times.seconds` with gloo's protocol; `algorithm` None: gloo's own."""
    algorithm = algorithm or GLOO[kind.__name__]
    if n > 1 and algorithm == RINGS.get(kind.__name__):
        return ring_seconds(all_reduce_ring(n, size), RingWay(bandwidth, latency, overhead, windows))
    if n > 1 and algorithm == AT_ONCE:
        children = children_on_the_way(n)
        lost = windows.opening(size, bandwidth, 2 * latency)
        # Alone, a connection may be too slow for a link that several fill.
        rate = windows.rate(bandwidth, 2 * latency)
        wire = sum(max(each * size / bandwidth, size / rate) for each in children)
        return latency + len(children) * (latency + overhead + lost) + wire
    within = None if inside is None else _Announced(inside.bandwidth, 2 * inside.latency)
    # Windows go by the round trip, which announcements make no longer.
    bandwidth = windows.rate(bandwidth, 2 * latency)
    formula = partial(seconds, kind, n, size, bandwidth, 2 * latency, overhead)
    return formula(algorithm=algorithm, num_nodes=num_nodes, inside=within, leaving=leaving)


def gloo_reduce_seconds(
    n: int,
    size: int,
    bandwidth: float,
    latency: float,
    overhead: float = 0.0,
    *,
    into: float | None = None,
    windows: Windows = OPEN,
) -> float:
    """A reduce of `n` ranks with `size` bytes each to one of them, for which there is no operation.

    Args:
        into: bytes/s that the root can take in from all others together, which may be more than what leaves a rank
            where only that is shaped; None: as many.
    """
    if n == 1:
        return 0.0
    ring = ring_seconds(reduce_ring(n, size), RingWay(bandwidth, latency, overhead, windows))
    chunk = size / n
    rate = windows.rate(bandwidth, 2 * latency)
    gather = max(chunk / rate, (n - 1) * chunk / (into or bandwidth))
    return ring + 2 * latency + overhead + gather + windows.opening(chunk, bandwidth, 2 * latency)


def gloo_hop(
    kind: type[Operation], algorithm: str, latency_ns: int, overhead_ns: int, bytes_ns: float
) -> tuple[int, int]:
    """`gloo_seconds`, message by message, but for rings of segments."""
    return latency_ns, overhead_ns


# ---- the table

DEFAULT = "ideal"

IDEAL = Transport(
    words="messages cost latency and bytes only",
    is_announced=False,
    ends_together=True,
    has_overhead=False,
    is_in_order=False,
    collective_seconds=seconds,
    hop_ns=plain_hop,
)

TRANSPORTS: dict[str, Transport] = {
    DEFAULT: IDEAL,
    "gloo": Transport(
        words="data leaves only when the receiver's announcement has arrived",
        backend="gloo",
        is_announced=True,
        ends_together=False,
        has_overhead=True,
        is_in_order=False,
        collective_seconds=gloo_seconds,
        hop_ns=gloo_hop,
        algorithms=GLOO,
        rings=RINGS,
        abreast=(),
    ),
    "nccl": Transport(
        words="in order; collectives by as many rings or trees as NICs, which hand bytes on while they come",
        backend="nccl",
        is_announced=False,
        ends_together=True,
        has_overhead=True,
        is_in_order=True,
        collective_seconds=nccl_seconds,
        hop_ns=free_hop,
        algorithms=NCCL,
        relays=RELAYS,
        candidates=CANDIDATES,
        abreast=("ring", "tree", "chain"),
        has_efficiency=True,
        pays_once=True,
    ),
    "latency": replace(
        IDEAL,
        words="messages cost latency only, however many are under way",
        takes_bytes=False,
        leaves_at_once=True,
    ),
    "none": replace(
        IDEAL,
        words="messages and collectives are over when the last of their members is there",
        takes_bytes=False,
        has_latency=False,
    ),
}


def transport_of(platform: Mapping[str, object]) -> Transport:
    """The row of a table [platform], of a scenario or of a run's files; a table that names none has the default.

    Raises:
        ValueError: if there is no such transport.
    """
    name = platform.get("transport", DEFAULT)
    if not isinstance(name, str) or name not in TRANSPORTS:
        raise ValueError(f"platform.transport: expected {choices()}, found {name!r}")
    return TRANSPORTS[name]


def unlike_execution(platform: Mapping[str, object], execution: Mapping[str, object], used: Sequence[str] = ()) -> str:
    """A warning where a scenario simulates the protocol of one backend and executes by another; else nothing.

    Args:
        used: the backends of a run that has been executed.
    """
    device, backend = execution.get("device"), execution.get("backend")
    row = transport_of(platform)
    executed: Sequence[object] = used or ["gloo" if device == "cpu" else backend]
    if not row.backend or all(each in (None, "auto", row.backend) for each in executed):
        return ""
    told = f"platform.transport = {platform.get('transport')!r} is not what the executor"
    if used:
        return f"{told} has used: {', '.join(used)}"
    why = f"execution.device = {device!r}" if device == "cpu" else f"execution.backend = {backend!r}"
    return f"{told} would use with {why}"


def choices() -> str:
    """The names of the table, as an error says them."""
    *others, last = [repr(name) for name in TRANSPORTS]
    return f"{', '.join(others)} or {last}" if others else last
