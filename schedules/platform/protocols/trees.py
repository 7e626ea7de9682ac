"""Two binary trees for one collective, so that whoever hands on in one is a leaf of the other.

In a binary tree over 0..n-1 a number's parent is found by its lowest bit: that is taken out and the next one set; or
only taken out, where there is no such number. Odd numbers are leaves. The second tree is the first with the numbers
counted from the other end where n is even, and one further on where n is odd: there the odd ones hand on. An all-reduce
sends one half of the bytes up and down either tree. So nobody sends or receives more than 2 S, as on a ring, and it is
2 ceil(log2 n) hops deep.

Sources: Sanders, Speck and Träff 2009, Two-tree algorithms for full bandwidth broadcast, reduction and scan, Parallel
Computing 35(12); NCCL, `graph/trees.cc`, which numbers them so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

NONE = -1
"""The parent of a root."""

Parents = Sequence[int]
"""Of every number, its parent."""


@lru_cache(maxsize=64)
def two_trees(n: int) -> tuple[Parents, Parents]:
    """The parents in both trees over 0..n-1."""
    first = [_parent(n, each) for each in range(n)]

    def other(each: int) -> int:
        return n - 1 - each if n % 2 == 0 else (each + 1) % n

    second = [NONE] * n
    for each, parent in enumerate(first):
        second[other(each)] = NONE if parent == NONE else other(parent)
    return tuple(first), tuple(second)


def _parent(n: int, each: int) -> int:
    if each == 0:
        return NONE
    bit = each & -each
    up = (each ^ bit) | (bit << 1)
    return up if up < n else each ^ bit


def depth_of(parents: Parents) -> int:
    """Most hops from a leaf to the root."""

    def above(each: int) -> int:
        return 0 if parents[each] == NONE else 1 + above(parents[each])

    return max(map(above, range(len(parents))))


@lru_cache(maxsize=64)
def most_sent(n: int) -> float:
    """Of an all-reduce by both trees: what whoever sends most sends, over the bytes of each. As much comes to it."""
    edges: Counter[int] = Counter()
    for parents in two_trees(n):
        for each, parent in enumerate(parents):
            if parent != NONE:
                edges.update((each, parent))  # up, and down
    return max(edges.values(), default=0) / 2
