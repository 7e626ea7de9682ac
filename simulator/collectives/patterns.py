"""Who sends what to whom in a collective, round by round.

A pattern cuts the bytes of a collective into parts, as equal as whole bytes can be, and says of every round of every
member which parts it sends to whom, and from whom it receives. It is in round k+1 when all its messages of round k are
over; a message belongs to the same round on both sides. Members are counted 0..n-1 in the order of the group.

What a member does with what it receives is for its kind of collective to say (add, keep), and takes no time here.

Sources: Thakur, Rabenseifner and Gropp 2005, Optimization of collective communication operations in MPICH, IJHPCA 19(1)
(rings, halving, doubling, Bruck's all-gather, trees, numbers of ranks that are no power of two); Patarasuk and Yuan
2009, JPDC 69(2) (ring all-reduce); Hensgen, Finkel and Manber 1988, Two algorithms for barrier synchronization
(dissemination).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from schedules.operations import AllGather, AllReduce, AllToAll, Barrier, Broadcast, Operation, ReduceScatter
from schedules.platform.volumes import default_algorithm, depth, folded, num_segments


class Step(NamedTuple):
    """What a member does in a round: (to whom, which parts) of every message it sends, and from whom it receives."""

    sends: tuple[tuple[int, range], ...] = ()
    sources: tuple[int, ...] = ()


StepOf = Callable[[int, int], Step]
"""(member, round) -> what it does."""
IDLE = Step()


@dataclass(frozen=True, slots=True)
class Pattern:
    """The rounds of all members.

    Attributes:
        num_parts: of all bytes that matter in the collective. Parts are given as ranges, to be read modulo this.
        num_bytes: of all parts together.
        step: what a member does in a round; a pure function, since all rounds of a large ring would fill the memory.
    """

    num_members: int
    num_rounds: int
    num_parts: int
    num_bytes: int
    step: StepOf

    def size(self, parts: range) -> int:
        """Bytes of some parts; those of all parts add up to `num_bytes`."""
        return parts.stop * self.num_bytes // self.num_parts - parts.start * self.num_bytes // self.num_parts

    def messages(self, member: int) -> Iterator[tuple[int, int, int]]:
        """(round, to whom, bytes) of all that a member sends."""
        for number in range(self.num_rounds):
            for target, parts in self.step(member, number).sends:
                yield number, target, self.size(parts)

    def sent(self, member: int) -> int:
        """Bytes that a member sends in all."""
        return sum(size for _, _, size in self.messages(member))

    def pairs(self) -> list[tuple[int, int]]:
        """Who sends to whom at any time, each pair once."""
        return sorted({(each, target) for each in range(self.num_members) for _, target, _ in self.messages(each)})


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
        return tree_broadcast(n, size, root) if name == "tree" else chain(n, size, root)
    if name == "hierarchical":
        return hierarchical(members_by_node(range(n) if nodes is None else nodes), size)
    return builders[name](n, size)


# ---- rings


def _one(part: int, num_parts: int) -> range:
    part %= num_parts
    return range(part, part + 1)


def _ring(n: int, first: int) -> StepOf:
    """Member i sends part i + first in its first round, and then always what it has just received."""
    return lambda i, k: Step((((i + 1) % n, _one(i + first - k, n)),), ((i - 1) % n,))


def ring_reduce_scatter(n: int, size: int) -> Pattern:
    """A part goes once around the ring and is added to everywhere; it ends with the member that it is for."""
    return Pattern(n, n - 1, n, size, _ring(n, -1))


def ring_all_gather(n: int, size: int) -> Pattern:
    """Everybody's bytes go around the ring."""
    return Pattern(n, n - 1, n, n * size, _ring(n, 0))


def ring_all_reduce(n: int, size: int) -> Pattern:
    """Reduce-scatter, then all-gather, on one ring."""
    return Pattern(n, 2 * (n - 1), n, size, _ring(n, -1))


# ---- several phases, one after the other


class Phase(NamedTuple):
    """Some rounds of a pattern."""

    num_rounds: int
    step: StepOf


def _in_turn(num_members: int, num_parts: int, num_bytes: int, *phases: Phase) -> Pattern:
    of_round = [(phase.step, number) for phase in phases for number in range(phase.num_rounds)]

    def step(member: int, number: int) -> Step:
        phase, inner = of_round[number]
        return phase(member, inner)

    return Pattern(num_members, len(of_round), num_parts, num_bytes, step)


# ---- recursive halving and doubling


class Seats:
    """Who takes part in halving and doubling: p members, a power of two.

    Of the first 2r members the even ones stand back: each hands its bytes to its neighbour before, and gets the result
    after.
    """

    def __init__(self, n: int) -> None:
        self.p, self.r = folded(n)

    def seat(self, member: int) -> int:
        """Number among those who take part, or -1."""
        if member >= 2 * self.r:
            return member - self.r
        return member // 2 if member % 2 else -1

    def member(self, seat: int) -> int:
        """Who has that number."""
        return 2 * seat + 1 if seat < self.r else seat + self.r

    def before(self, num_parts: int) -> Phase:
        """Who stands back hands over all parts."""
        return Phase(min(1, self.r), self._between_neighbours(lambda _: range(num_parts), is_back=False))

    def after(self, parts: Callable[[int], range]) -> Phase:
        """Who stood back gets the parts that are due to it."""
        return Phase(min(1, self.r), self._between_neighbours(parts, is_back=True))

    def _between_neighbours(self, parts: Callable[[int], range], *, is_back: bool) -> StepOf:
        def step(i: int, _: int) -> Step:
            if i >= 2 * self.r:
                return IDLE
            other, is_sender = i ^ 1, bool(i % 2) == is_back
            return Step(((other, parts(other)),)) if is_sender else Step(sources=(other,))

        return step

    def halving(self, parts: Callable[[int, int], range]) -> Phase:
        """Everybody is left with the sum of its own parts; `parts(a, b)` are those of the seats from a to before b."""
        return Phase(depth(self.p), self._swaps(parts, lambda k: self.p >> (k + 1), is_halving=True))

    def doubling(self, parts: Callable[[int, int], range]) -> Phase:
        """Everybody comes to have everybody's parts."""
        return Phase(depth(self.p), self._swaps(parts, lambda k: 1 << k, is_halving=False))

    def _swaps(self, parts: Callable[[int, int], range], distance: Callable[[int], int], *, is_halving: bool) -> StepOf:
        """Seats at a distance d swap: the parts of the other's d seats if halving, of one's own d if doubling."""

        def step(i: int, k: int) -> Step:
            seat, d = self.seat(i), distance(k)
            if seat < 0:
                return IDLE
            other = seat ^ d
            first = (other if is_halving else seat) // d * d
            return Step(((self.member(other), parts(first, first + d)),), (self.member(other),))

        return step


def halving_doubling(n: int, size: int) -> Pattern:
    """All-reduce: recursive halving, then recursive doubling (Rabenseifner's algorithm)."""
    seats = Seats(n)
    p = seats.p
    halves, doubles = seats.halving(range), seats.doubling(range)
    return _in_turn(n, p, size, seats.before(p), halves, doubles, seats.after(lambda _: range(p)))


def halving(n: int, size: int) -> Pattern:
    """Reduce-scatter by recursive halving; who stays for a neighbour has the neighbour's part too until the end."""
    seats = Seats(n)

    def parts(first: int, end: int) -> range:
        return range(first + min(first, seats.r), end + min(end, seats.r))

    return _in_turn(n, n, size, seats.before(n), seats.halving(parts), seats.after(lambda member: _one(member, n)))


def doubling(n: int, size: int) -> Pattern:
    """All-gather by recursive doubling; Bruck's shifts, which are as good, where n is no power of two."""
    seats = Seats(n)
    if seats.r == 0:
        return _in_turn(n, n, n * size, seats.doubling(range))

    def shift(i: int, k: int) -> Step:
        d = 1 << k
        return Step((((i - d) % n, range(i, i + min(d, n - d))),), ((i + d) % n,))

    return Pattern(n, depth(n), n, n * size, shift)


# ---- trees and chains


def _down(n: int, root: int) -> Phase:
    """From the root of a binomial tree to all, the largest branches first."""

    def step(i: int, k: int) -> Step:
        place, d = (i - root) % n, 1 << (depth(n) - 1 - k)
        if place % (2 * d) == d:
            return Step(sources=((i - d) % n,))
        is_sender = place % (2 * d) == 0 and place + d < n
        return Step((((i + d) % n, range(1)),)) if is_sender else IDLE

    return Phase(depth(n), step)


def _up(n: int) -> Phase:
    """From all to member 0, the smallest branches first."""

    def step(i: int, k: int) -> Step:
        d = 1 << k
        if i % (2 * d) == d:
            return Step(((i - d, range(1)),))
        return Step(sources=(i + d,)) if i % (2 * d) == 0 and i + d < n else IDLE

    return Phase(depth(n), step)


def tree_all_reduce(n: int, size: int) -> Pattern:
    """Up a binomial tree and down again, all bytes at a time. (NCCL's trees are two, and cut the bytes up.)"""
    return _in_turn(n, 1, size, _up(n), _down(n, 0))


def tree_broadcast(n: int, size: int, root: int = 0) -> Pattern:
    """Down a binomial tree."""
    return _in_turn(n, 1, size, _down(n, root))


def chain(n: int, size: int, root: int = 0) -> Pattern:
    """Broadcast along a chain that begins at the root: segments, each handed on while the next one comes in."""
    segments = num_segments(size)

    def step(i: int, k: int) -> Step:
        place = (i - root) % n
        has, gets = 0 <= k - place < segments and place < n - 1, 0 <= k - place + 1 < segments and place > 0
        sends = (((i + 1) % n, _one(k - place, segments)),) if has else ()
        return Step(sends, ((i - 1) % n,) if gets else ())

    return Pattern(n, n - 2 + segments if n > 1 else 0, segments, size, step)


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

    def inside(first: int) -> StepOf:
        def step(i: int, k: int) -> Step:
            node, j = place[i]
            shard = (j + first - k) % width
            parts = range(shard * num_nodes, (shard + 1) * num_nodes)
            return Step(((groups[node][(j + 1) % width], parts),), (groups[node][j - 1],))

        return step

    def across(i: int, k: int) -> Step:
        node, j = place[i]
        part = j * num_nodes + (node - 1 - k) % num_nodes
        return Step(((groups[(node + 1) % num_nodes][j], range(part, part + 1)),), (groups[node - 1][j],))

    in_node, rails = Phase(width - 1, inside(-1)), Phase(2 * (num_nodes - 1), across)
    return _in_turn(len(place), len(place), size, in_node, rails, Phase(width - 1, inside(0)))


# ---- all-to-all and barrier


def _swap(n: int, i: int, distances: Sequence[int]) -> Step:
    """Part i n + j is what member i has for member j."""
    sends = tuple(((i + d) % n, _one(i * n + (i + d) % n, n * n)) for d in distances)
    return Step(sends, tuple((i - d) % n for d in distances))


def pairwise(n: int, size: int) -> Pattern:
    """All-to-all: to the next member, then to the one after it, and so on."""
    return Pattern(n, n - 1, n * n, n * size, lambda i, k: _swap(n, i, (k + 1,)))


def direct(n: int, size: int) -> Pattern:
    """All-to-all: everything at once, as a group of sends and receives does in NCCL."""
    return Pattern(n, min(1, n - 1), n * n, n * size, lambda i, _: _swap(n, i, range(1, n)))


def dissemination(n: int, size: int = 0) -> Pattern:
    """Barrier: in round k everybody tells the member 2^k further on."""
    return Pattern(n, depth(n), 1, 0, lambda i, k: Step((((i + (1 << k)) % n, range(1)),), ((i - (1 << k)) % n,)))


PATTERNS: Mapping[type[Operation], Mapping[str, Callable[[int, int], Pattern]]] = {
    AllReduce: {
        "ring": ring_all_reduce,
        "halving-doubling": halving_doubling,
        "tree": tree_all_reduce,
        "hierarchical": lambda n, size: hierarchical([[member] for member in range(n)], size),
    },
    ReduceScatter: {"ring": ring_reduce_scatter, "halving": halving},
    AllGather: {"ring": ring_all_gather, "doubling": doubling},
    Broadcast: {"tree": tree_broadcast, "chain": chain},
    AllToAll: {"pairwise": pairwise, "direct": direct},
    Barrier: {"dissemination": dissemination},
}
"""All of them, under the names of `schedules.platform.volumes.ALGORITHMS`."""
