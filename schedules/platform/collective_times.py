"""How long a collective takes on an idle, uniform network.

n ranks, S bytes a rank holds, links of bandwidth B and latency L in each direction. A collective takes

    latencies * (L + c) + bytes in sequence / B,

with both from the table in `schedules.platform.volumes`, and c the software cost of a message: a ring all-reduce
2 (n-1) (L + c + S / (n B)), a broadcast down a tree ceil(log2 n) (L + c + S / B), and so on. The patterns of
`simulator.collectives.patterns`, run message by message on an idle network, take the same, but for parts that are whole
bytes.

The hierarchical all-reduce of N nodes with m members each, with B' and L' inside a node and q members to a NIC, takes
2 (m-1) (L' + c + S / (m B')) + 2 (N-1) (L + c + q S / (n B)).

What goes to everybody at once ("direct") goes by NVLink within a node of m members, and only n - m of its n parts leave
by the NIC, which others may share: a round takes L + c + max(q (n-m) / (n B), (m-1) / (n B')) S, of the node where that
is longest. All other algorithms here know no nodes: each of their messages is taken to go between two.

Where connections have a window, B is at most window / round-trip time.
"""

from __future__ import annotations

from functools import partial

from schedules.operations import Operation
from schedules.platform.protocols.hops import Hop, Leaving
from schedules.platform.protocols.nccl import NCCL, RELAYS, relay_seconds
from schedules.platform.protocols.windows import OPEN, Windows
from schedules.platform.volumes import cost, default_algorithm


def seconds(
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
    """What a collective of `n` ranks with `size` bytes each takes.

    Args:
        bandwidth, latency: of a link between two ranks, in bytes/s and seconds.
        overhead: software cost of a message, in seconds.
        algorithm: one that `schedules.platform.volumes.ALGORITHMS` has for it; None: the first.
        num_nodes: for "hierarchical": how many nodes have equally many of the ranks each; None: every rank is one.
        inside: for "hierarchical" and "direct": the way between two ranks of one node; None: as between nodes.
        leaving: for these, how the ranks leave nodes that have several; None: each by a NIC of its own, and of "direct"
            all parts.
        windows: of every connection.
    Raises:
        ValueError: if there is no such algorithm, or the nodes do not divide the ranks.
    """
    algorithm = algorithm or default_algorithm(kind.__name__)
    if algorithm == "direct" and leaving is not None and inside is not None:
        rounds = cost(kind.__name__, algorithm, n, size).latencies
        part = size / n
        # A connection carries one part, and its window is its own.
        leaves = max(leaving.crossing * part / bandwidth, part / windows.rate(bandwidth, 2 * latency))
        stays = (leaving.largest - 1) * part / inside.bandwidth
        return rounds * (latency + overhead + max(leaves, stays))
    bandwidth = windows.rate(bandwidth, 2 * latency)
    if algorithm == "hierarchical" and inside is not None and num_nodes is not None:
        width = n // num_nodes
        shard = cost("AllReduce", "ring", num_nodes, size)
        in_node = cost("AllReduce", "ring", width, size)
        in_nodes = in_node.latencies * (inside.latency + overhead) + in_node.in_sequence / windows.rate(
            inside.bandwidth, 2 * inside.latency
        )
        # A member has 1 / m of its node's bytes.
        by_nic = 1 if leaving is None else leaving.by_nic
        return in_nodes + shard.latencies * (latency + overhead) + by_nic * shard.in_sequence / width / bandwidth
    latencies, in_sequence, _ = cost(kind.__name__, algorithm, n, size, num_nodes=num_nodes or n)
    return latencies * (latency + overhead) + in_sequence / bandwidth


def nccl_seconds(
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
    """`seconds` of NCCL (`schedules.platform.protocols.nccl`), which pays the overhead once.

    Args:
        bandwidth: of rings, chains and trees that of all together that a node carries out at once.
        algorithm: None: NCCL's own, of an all-reduce a ring.
    """
    name = kind.__name__
    algorithm = algorithm or NCCL.get(name) or default_algorithm(name)
    if n == 1:
        return 0.0
    if algorithm in RELAYS.get(name, ()):
        took = partial(
            relay_seconds, kind, algorithm, n, latency=latency, num_nodes=num_nodes, inside=inside, leaving=leaving
        )
        rate = windows.rate(bandwidth, 2 * latency)
        if algorithm != "tree":
            return overhead + took(size, rate)
        # Several connections fill a link together, each with one half of the bytes, and alone may be too slow for that.
        return overhead + max(took(size, bandwidth), took(0, bandwidth) + size / 2 / rate)
    return overhead + seconds(
        kind,
        n,
        size,
        bandwidth,
        latency,
        algorithm=algorithm,
        num_nodes=num_nodes,
        inside=inside,
        leaving=leaving,
        windows=windows,
    )
