"""Which messages follow on which, where bytes are handed on while they come.

A course says of every member what it sends of its own, of every message what its receiver sends on as soon as the first
bytes of it have come, and how many messages each member has a part in.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple, Protocol

from schedules.platform.protocols.trees import NONE, Parents, two_trees
from simulator.messages.orders import Order, share


class Handed(NamedTuple):
    """A message.

    Attributes:
        lane: of which ring, or tree.
        number: which of its sender in this lane.
        source, target: members.
    """

    lane: int
    number: int
    source: int
    target: int


class Handover(Protocol):
    """All messages of a collective."""

    def first(self, member: int) -> Iterable[Handed]:
        """What a member sends without having received anything."""

    def after(self, message: Handed) -> Iterable[Handed]:
        """What its receiver sends on of it."""

    def needs(self, message: Handed) -> int:
        """On how many messages it follows."""

    def count(self, member: int) -> int:
        """How many a member sends and receives."""

    def size(self, message: Handed) -> int:
        """Its bytes; asked when it is sent."""

    def pairs(self) -> Iterable[tuple[int, int]]:
        """Who sends to whom at any time."""


class Rings:
    """Everybody sends its own part first, and then always what has just come, for a number of rounds.

    Args:
        orders: the members in the order of each ring.
        rounds: how many messages each member sends.
        part: (ring, member, round) -> bytes.
    """

    def __init__(self, orders: Sequence[Order], rounds: int, part: Callable[[int, int, int], int]) -> None:
        self._rounds, self._part = rounds, part
        self._next = [
            {member: order[(place + 1) % len(order)] for place, member in enumerate(order)} for order in orders
        ]

    def first(self, member: int) -> Iterable[Handed]:
        """Its own part in every ring."""
        if self._rounds:
            yield from (Handed(j, 0, member, following[member]) for j, following in enumerate(self._next))

    def after(self, message: Handed) -> Iterable[Handed]:
        """The same in the next round."""
        j, number, _, member = message
        if number + 1 < self._rounds:
            yield Handed(j, number + 1, member, self._next[j][member])

    def needs(self, message: Handed) -> int:
        """One, but for a member's own part."""
        return min(message.number, 1)

    def count(self, member: int) -> int:
        """Both ways."""
        return 2 * self._rounds * len(self._next)

    def size(self, message: Handed) -> int:
        """Of the part."""
        return self._part(message.lane, message.source, message.number)

    def pairs(self) -> Iterable[tuple[int, int]]:
        """Neighbours on the rings."""
        return (pair for following in self._next for pair in following.items() if self._rounds)


def reduced_ring(orders: Sequence[Order], rounds: int, size: int) -> Rings:
    """Of an all-reduce or a reduce-scatter: a ring has its share of the bytes, in as many parts as members."""
    n, k = len(orders[0]), len(orders)
    place = [{member: at for at, member in enumerate(order)} for order in orders]

    def part(j: int, member: int, number: int) -> int:
        return share(share(size, j, k), (place[j][member] - number - 1) % n, n)

    return Rings(orders, rounds, part)


def gathered_ring(orders: Sequence[Order], size_of: Callable[[int], int]) -> Rings:
    """Of an all-gather, in which members may bring unequal bytes: `size_of(member)`."""
    n, k = len(orders[0]), len(orders)
    place = [{member: at for at, member in enumerate(order)} for order in orders]

    def part(j: int, member: int, number: int) -> int:
        return share(size_of(orders[j][(place[j][member] - number) % n]), j, k)

    return Rings(orders, n - 1, part)


class Chains:
    """From the root of a broadcast along every ring to the last before it, each with its share of the bytes."""

    def __init__(self, orders: Sequence[Order], root: int, size: int) -> None:
        self._size = size
        self._orders = [[*order[(at := order.index(root)) :], *order[:at]] for order in map(list, orders)]
        self._places = [{member: at for at, member in enumerate(order)} for order in self._orders]

    def first(self, member: int) -> Iterable[Handed]:
        """All bytes, from the root."""
        if self._places[0][member] == 0:
            for j in range(len(self._orders)):
                yield from self._from(j, member)

    def after(self, message: Handed) -> Iterable[Handed]:
        """The same to the next."""
        return self._from(message.lane, message.target)

    def _from(self, j: int, member: int) -> Iterable[Handed]:
        at, order = self._places[j][member], self._orders[j]
        if at + 1 < len(order):
            yield Handed(j, at, member, order[at + 1])

    def needs(self, message: Handed) -> int:
        """One, but for the root's."""
        return min(message.number, 1)

    def count(self, member: int) -> int:
        """Two a ring, but for both ends."""
        n = len(self._places[0])
        return sum((places[member] > 0) + (places[member] + 1 < n) for places in self._places)

    def size(self, message: Handed) -> int:
        """The ring's share."""
        return share(self._size, message.lane, len(self._orders))

    def pairs(self) -> Iterable[tuple[int, int]]:
        """Neighbours on the chains."""
        return (pair for order in self._orders for pair in pairwise(order))


UP, DOWN = 0, 1
"""Numbers of a member's messages in a tree; down, one a child and more."""


class Trees:
    """An all-reduce up and down trees, each with its share of the bytes.

    Args:
        parents: of every tree, the parent of each member (`NONE`: the root).
        size: bytes of a member.
    """

    def __init__(self, parents: Sequence[Parents], size: int) -> None:
        self._parents, self._size = parents, size
        self._children: list[dict[int, list[int]]] = [{} for _ in parents]
        for children, tree in zip(self._children, parents, strict=True):
            for member, parent in enumerate(tree):
                if parent != NONE:
                    children.setdefault(parent, []).append(member)

    def first(self, member: int) -> Iterable[Handed]:
        """What leaves send up."""
        for j, tree in enumerate(self._parents):
            if member not in self._children[j] and tree[member] != NONE:
                yield Handed(j, UP, member, tree[member])

    def after(self, message: Handed) -> Iterable[Handed]:
        """Up, as soon as something of all children is there; from the root on, down."""
        j, number, _, member = message
        parent = self._parents[j][member]
        if number == UP and parent != NONE:
            yield Handed(j, UP, member, parent)
        else:
            yield from (Handed(j, DOWN, member, child) for child in self._children[j].get(member, ()))

    def needs(self, message: Handed) -> int:
        """As many as the sender has children on the way up, and where it is the root; else its parent's."""
        j, number, member, _ = message
        is_from_below = number == UP or self._parents[j][member] == NONE
        return len(self._children[j].get(member, ())) if is_from_below else 1

    def count(self, member: int) -> int:
        """Two for each edge."""
        return self._counts[member]

    @cached_property
    def _counts(self) -> Counter[int]:
        edges = [(each, up) for tree in self._parents for each, up in enumerate(tree) if up != NONE]
        return Counter(end for edge in edges for end in edge for _ in (UP, DOWN))

    def size(self, message: Handed) -> int:
        """The tree's share."""
        return share(self._size, message.lane, len(self._parents))

    def pairs(self) -> Iterable[tuple[int, int]]:
        """Parents and children, both ways."""
        for tree in self._parents:
            for each, up in enumerate(tree):
                if up != NONE:
                    yield from ((each, up), (up, each))


def trees_over_nodes(groups: Sequence[Sequence[int]], k: int) -> list[Parents]:
    """Of each of k NICs both trees over the nodes, between those members that stand first for it; behind each of them
    the others of its node are a chain."""
    n = sum(map(len, groups))
    found: list[Parents] = []
    for j in range(k):
        heads = [group[j * len(group) // k] for group in groups]
        for tree in two_trees(len(groups)):
            parents = [NONE] * n
            for number, group in enumerate(groups):
                if tree[number] != NONE:
                    parents[heads[number]] = heads[tree[number]]
                at = group.index(heads[number])
                chain = [*group[at:], *group[:at]]
                for before, member in pairwise(chain):
                    parents[member] = before
            found.append(parents)
    return found
