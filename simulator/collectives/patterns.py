"""Who sends what to whom in a collective, round by round (`simulator.collectives.rounds`), by its algorithm.

What a member does with what it receives is for its kind of collective to say (add, keep), and takes no time here.

Sources: Thakur, Rabenseifner and Gropp 2005, Optimization of collective communication operations in MPICH, IJHPCA 19(1)
(rings, trees); Patarasuk and Yuan 2009, JPDC 69(2) (ring all-reduce); Hensgen, Finkel and Manber 1988, Two algorithms
for barrier synchronization (dissemination).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence

from schedules.operations import AllGather, AllReduce, AllToAll, Barrier, Broadcast, Operation, ReduceScatter
from schedules.platform.volumes import AT_ONCE, WHOLE, default_algorithm, depth, num_segments
from simulator.collectives.halving import doubling, halving, halving_doubling
from simulator.collectives.rounds import IDLE, Moves, MovesOf, Pattern, Phase, in_turn, one_part
from simulator.messages.orders import share


def pattern(
    kind: type[Operation],
    algorithm: str | None,
    n: int,
    size: int,
    *,
    root: int = 0,
    nodes: Sequence[Hashable] | None = None,
) -> Pattern:
    """How `n` members with `size` bytes each carry out a collective.

    Args:
        algorithm: one that `schedules.platform.volumes.ALGORITHMS` has for it; None: the usual one.
        root: the member (its place in the group) whose bytes a broadcast hands out.
        nodes: the node that each member is on, for "hierarchical"; None: every member is a node of its own.
    Raises:
        ValueError: if there is no such algorithm, or the nodes have unequal numbers of members.
    """
    builders = PATTERNS[kind]
    name = algorithm or default_algorithm(kind.__name__)
    if name not in builders:
        raise ValueError(f"{kind.__name__}: expected one of {', '.join(builders)}, found {name!r}")
    if kind is Broadcast:
        return BROADCASTS[name](n, size, root)
    if name == "hierarchical":
        return hierarchical(members_by_node(range(n) if nodes is None else nodes), size)
    return builders[name](n, size)


# ---- rings


def _ring(n: int, first: int) -> MovesOf:
    """Member i sends part i + first in its first round, and then always what it has just received."""
    return lambda i, k: Moves((((i + 1) % n, one_part(i + first - k, n)),), ((i - 1) % n,))


def ring_reduce_scatter(n: int, size: int) -> Pattern:
    """A part goes once around the ring and is added to everywhere; it ends with the member that it is for."""
    return Pattern(n, n - 1, n, size, _ring(n, -1))


def ring_all_gather(n: int, size: int) -> Pattern:
    """Everybody's bytes go around the ring."""
    return Pattern(n, n - 1, n, n * size, _ring(n, 0))


def ring_all_reduce(n: int, size: int) -> Pattern:
    """Reduce-scatter, then all-gather, on one ring."""
    # One rule for both halves: after n - 1 rounds what a member has just received is complete, and it sends that on.
    return Pattern(n, 2 * (n - 1), n, size, _ring(n, -1))


def rings_abreast(kind: type[Operation], orders: Sequence[Sequence[int]], size: int) -> list[Pattern]:
    """Of rings that go through the members in some orders, each with its share of the bytes."""
    n, k = len(orders[0]), len(orders)
    if kind is AllGather:
        return [_in_order(order, n - 1, 0, n * share(size, j, k)) for j, order in enumerate(orders)]
    rounds = 2 * (n - 1) if kind is AllReduce else n - 1
    return [_in_order(order, rounds, -1, share(size, j, k)) for j, order in enumerate(orders)]


def _in_order(order: Sequence[int], rounds: int, first: int, size: int) -> Pattern:
    """A ring, part for part by places on it."""
    n, place = len(order), {member: at for at, member in enumerate(order)}

    def step(i: int, k: int) -> Moves:
        at = place[i]
        return Moves(((order[(at + 1) % n], one_part(at + first - k, n)),), (order[at - 1],))

    return Pattern(n, rounds, n, size, step)


# ---- trees and chains


def _down(n: int, root: int) -> Phase:
    """From the root of a binomial tree to all, the largest branches first."""

    def step(i: int, k: int) -> Moves:
        place, d = (i - root) % n, 1 << (depth(n) - 1 - k)
        if place % (2 * d) == d:
            return Moves(sources=((i - d) % n,))
        is_sender = place % (2 * d) == 0 and place + d < n
        return Moves((((i + d) % n, range(1)),)) if is_sender else IDLE

    return Phase(depth(n), step)


def _up(n: int) -> Phase:
    """From all to member 0, the smallest branches first."""

    def step(i: int, k: int) -> Moves:
        d = 1 << k
        if i % (2 * d) == d:
            return Moves(((i - d, range(1)),))
        return Moves(sources=(i + d,)) if i % (2 * d) == 0 and i + d < n else IDLE

    return Phase(depth(n), step)


def tree_all_reduce(n: int, size: int) -> Pattern:
    """Up a binomial tree and down again, all bytes at a time. (NCCL's trees are two, and cut the bytes up.)"""
    return in_turn(n, 1, size, _up(n), _down(n, 0))


def tree_broadcast(n: int, size: int, root: int = 0) -> Pattern:
    """Down a binomial tree."""
    return in_turn(n, 1, size, _down(n, root))


def tree_at_once(n: int, size: int, root: int = 0) -> Pattern:
    """Down a binomial tree, to all children at once; whose parent is a smaller number, not a larger one as above."""

    def step(i: int, k: int) -> Moves:
        place = (i - root) % n
        own = place.bit_length()  # the round in which it sends: its parent's and one more at least
        if own == k:
            distances = [1 << each for each in range(own, depth(n)) if place + (1 << each) < n]
            return Moves(tuple(((i + each) % n, range(1)) for each in distances))
        parent = place - (1 << (own - 1)) if place else 0
        is_next = place and parent.bit_length() == k
        return Moves(sources=((parent + root) % n,)) if is_next else IDLE

    return Pattern(n, depth(n), 1, size, step)


def chain(n: int, size: int, root: int = 0) -> Pattern:
    """Broadcast along a chain that begins at the root: segments, each handed on while the next one comes in."""
    segments = num_segments(size)

    def step(i: int, k: int) -> Moves:
        place = (i - root) % n
        has, gets = 0 <= k - place < segments and place < n - 1, 0 <= k - place + 1 < segments and place > 0
        sends = (((i + 1) % n, one_part(k - place, segments)),) if has else ()
        return Moves(sends, ((i - 1) % n,) if gets else ())

    # The last member gets the first segment after n - 1 rounds, and the others in one more round each.
    return Pattern(n, n - 2 + segments if n > 1 else 0, segments, size, step)


def direct_all_reduce(n: int, size: int) -> Pattern:
    """All-reduce in two: everybody sends each its part, adds its own up, and sends the sum to all."""

    def scatter(i: int, _: int) -> Moves:
        return Moves(tuple((j, one_part(j, n)) for j in range(n) if j != i), tuple(j for j in range(n) if j != i))

    def gather(i: int, _: int) -> Moves:
        return Moves(tuple((j, one_part(i, n)) for j in range(n) if j != i), tuple(j for j in range(n) if j != i))

    return in_turn(n, n, size, Phase(min(1, n - 1), scatter), Phase(min(1, n - 1), gather))


# ---- nodes with several members each


def members_by_node(nodes: Sequence[Hashable]) -> list[list[int]]:
    """The members that are on each node, nodes in the order in which they come first."""
    groups: dict[Hashable, list[int]] = {}
    for member, node in enumerate(nodes):
        groups.setdefault(node, []).append(member)
    return list(groups.values())


def hierarchical(groups: Sequence[Sequence[int]], size: int) -> Pattern:
    """All-reduce in three: reduce-scatter in every node, a ring all-reduce of each shard across the nodes, all-gather.

    The j-th members of all nodes are a ring (a rail) of their own. One node, or one member a node, is a plain ring.

    Args:
        groups: the members on each node; together 0..n-1.
        size: bytes that each member has.
    Raises:
        ValueError: if the nodes have unequal numbers of members.
    """
    num_nodes, width = len(groups), len(groups[0])
    if any(len(group) != width for group in groups):
        counts = ", ".join(str(len(group)) for group in groups)
        raise ValueError(f"hierarchical: expected nodes with equally many members, found {counts}")
    place = {member: (node, j) for node, group in enumerate(groups) for j, member in enumerate(group)}

    def inside(first: int) -> MovesOf:
        def step(i: int, k: int) -> Moves:
            node, j = place[i]
            shard = (j + first - k) % width
            parts = range(shard * num_nodes, (shard + 1) * num_nodes)
            # Index -1 is the last: so the ring closes.
            return Moves(((groups[node][(j + 1) % width], parts),), (groups[node][j - 1],))

        return step

    def across(i: int, k: int) -> Moves:
        node, j = place[i]
        part = j * num_nodes + (node - 1 - k) % num_nodes
        return Moves(((groups[(node + 1) % num_nodes][j], range(part, part + 1)),), (groups[node - 1][j],))

    in_node, rails = Phase(width - 1, inside(-1)), Phase(2 * (num_nodes - 1), across)
    return in_turn(len(place), len(place), size, in_node, rails, Phase(width - 1, inside(0)))


# ---- all-to-all and barrier


def _swap(n: int, i: int, distances: Sequence[int]) -> Moves:
    """Part i n + j is what member i has for member j."""
    sends = tuple(((i + d) % n, one_part(i * n + (i + d) % n, n * n)) for d in distances)
    return Moves(sends, tuple((i - d) % n for d in distances))


def pairwise(n: int, size: int) -> Pattern:
    """All-to-all: to the next member, then to the one after it, and so on."""
    return Pattern(n, n - 1, n * n, n * size, lambda i, k: _swap(n, i, (k + 1,)))


def direct(n: int, size: int) -> Pattern:
    """All-to-all: everything at once, as a group of sends and receives does in NCCL."""
    return Pattern(n, min(1, n - 1), n * n, n * size, lambda i, _: _swap(n, i, range(1, n)))


def dissemination(n: int, size: int = 0) -> Pattern:
    """Barrier: in round k everybody tells the member 2^k further on."""
    # One part without bytes: a round is latency alone.
    return Pattern(n, depth(n), 1, 0, lambda i, k: Moves((((i + (1 << k)) % n, range(1)),), ((i - (1 << k)) % n,)))


BROADCASTS: Mapping[str, Callable[[int, int, int], Pattern]] = {
    "tree": tree_broadcast,
    "chain": chain,
    AT_ONCE: tree_at_once,
}
"""Those of a root; for `PATTERNS` it is member 0."""

PATTERNS: Mapping[type[Operation], Mapping[str, Callable[[int, int], Pattern]]] = {
    AllReduce: {
        "ring": ring_all_reduce,
        "halving-doubling": halving_doubling,
        "tree": tree_all_reduce,
        "hierarchical": lambda n, size: hierarchical([[member] for member in range(n)], size),
        "direct": direct_all_reduce,
    },
    ReduceScatter: {"ring": ring_reduce_scatter, "halving": halving, WHOLE: ring_all_reduce},
    AllGather: {"ring": ring_all_gather, "doubling": doubling},
    Broadcast: {"tree": tree_broadcast, "chain": chain, AT_ONCE: tree_at_once},
    AllToAll: {"pairwise": pairwise, "direct": direct},
    Barrier: {"dissemination": dissemination},
}
"""All of them, under the names of `schedules.platform.volumes.ALGORITHMS`."""
