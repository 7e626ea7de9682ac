"""How long NCCL's collectives take: bytes are handed on while they come, so latency is paid once and not a hop.

n ranks with S bytes each, on N nodes; B is the bandwidth of all rings of a node together, times the efficiency, L the
latency of a hop, on average. A ring of K rounds of w = S / (n B) seconds takes

    (K - 1) max(L, w) + L + w + c

with K = 2 (n-1) for an all-reduce, n-1 for a reduce-scatter, and for an all-gather with w = S / B: what a rank sends on
has begun to come L ago, and its own link has been free since w. Where nodes have several ranks, with L' within them, a
ring takes max(K w + L, P + w) + c, with the longest way P of K hops: once around is N L + (n-N) L', and P all of that
but for the hop, or of an all-reduce all of twice that but for the two hops in a row, that take the least. A broadcast
along a chain takes (n-1) L + S / B + c; of its ring it lacks the hop to the root, which with one NIC a node is one
between nodes, for a root that is the first of its node, and with several is one within for some of the chains. An
all-reduce by two trees (`schedules.platform.protocols.trees`), with a chain of the m ranks in every node, takes

    max(S b / B, 2 (m-1)/m S / B') + L + c      or      S / B + 2 (depth L + (m-1) L') + c

whichever is longer: b S is the most that a node sends, 2 S from four nodes on (`tree_load`); and what leaves send up in
the beginning, one half of S in each tree, has the whole way up and down before it. Message by message, where links are
shared otherwise than evenly now and then, it takes up to a tenth more. c is paid once a collective. Other algorithms go
round by round, as `schedules.platform.collective_times` has them.

Sources: NCCL's rings and trees; real-hardware.md, section 9 (2 (n-1)/n S/B and an efficiency fit what was measured at
128 MiB and above, at 1 to 10 ms; latency is pipelined away).
"""

from __future__ import annotations

from collections.abc import Mapping

from schedules.operations import AllGather, AllReduce, AllToAll, Broadcast, Operation, ReduceScatter
from schedules.platform.protocols.hops import Hop, Leaving
from schedules.platform.protocols.trees import depth_of, most_sent, two_trees

NCCL: Mapping[str, str] = {Broadcast.__name__: "chain", AllToAll.__name__: "direct"}
"""What it takes at every size. An all-to-all is a group of sends and receives; of an all-reduce the faster is taken."""

CANDIDATES: Mapping[str, tuple[str, ...]] = {AllReduce.__name__: ("ring", "tree")}
"""What the rule chooses from. It has no hierarchy of rings."""

RELAYS: Mapping[str, tuple[str, ...]] = {
    AllReduce.__name__: ("ring", "tree"),
    ReduceScatter.__name__: ("ring",),
    AllGather.__name__: ("ring",),
    Broadcast.__name__: ("chain",),
}
"""The algorithms, by kind, in which bytes are handed on while they come."""


def relay_seconds(
    kind: type[Operation],
    algorithm: str,
    n: int,
    size: int,
    rate: float,
    latency: float,
    *,
    num_nodes: int | None = None,
    inside: Hop | None = None,
    leaving: Leaving | None = None,
) -> float:
    """What a collective of `n` > 1 ranks takes whose bytes are handed on while they come, without c.

    Args:
        rate: of all rings or trees of a node together, in bytes/s.
        latency: of a way between nodes, in seconds.
        num_nodes: how many nodes the ranks are on; None: each is one of its own.
        inside: None: no node has two.
        leaving: None: nodes are as equal as can be, with one NIC each.
    """
    nodes = num_nodes or n
    width = -(-n // nodes) if leaving is None else leaving.largest
    if algorithm == "tree":
        return _trees(n, nodes, width, size, rate, latency, inside)
    rounds = 2 * (n - 1) if kind is AllReduce else n - 1
    part = size if kind is AllGather else size / n
    if nodes == 1 or width == 1 or inside is None:
        if algorithm == "chain":
            return (n - 1) * latency + size / rate
        return (rounds - 1) * max(latency, part / rate) + latency + part / rate
    once, within = nodes * latency + (n - nodes) * inside.latency, min(latency, inside.latency)
    if algorithm == "chain":
        return once - (latency if leaving is None or leaving.rings == 1 else within) + size / rate
    # Of two hops in a row, one is between nodes where no node has three ranks.
    longest = 2 * once - within - (latency if width == 2 else within) if kind is AllReduce else once - within
    return max(rounds * part / rate + latency, longest + part / rate)


def _trees(n: int, nodes: int, width: int, size: int, rate: float, latency: float, inside: Hop | None) -> float:
    if nodes == 1:  # a chain up and down
        return max(min(2, n - 1) * size / rate + latency, size / rate + 2 * (n - 1) * latency)
    first, busiest = min(2, nodes - 1) / 2 * size / rate, tree_load(n, nodes) * size / rate
    hops = 2 * max(map(depth_of, two_trees(nodes))) * latency
    if width > 1 and inside is not None:
        hops += 2 * (width - 1) * inside.latency
        # A NIC a rank: of as many chains as ranks, each is at the head of one and at the end of one.
        busiest = max(busiest, 2 * (width - 1) / width * size / inside.bandwidth)
    return max(busiest + latency, first + hops)


def tree_load(n: int, nodes: int) -> float:
    """Of whichever node sends most by both trees, over the bytes of each: never less than rings send, as what others
    measured on two nodes has no more bus bandwidth than they."""
    return max(most_sent(nodes), 2 * (n - 1) / n)
