"""What a first message costs is no message's time: before the start each connection has carried one of the largest.

A first message finds a connection whose window is small, and buffers whose pages nobody has touched: it took 2 to 26
times as long as the later ones. Which operations a program will issue nobody knows before it runs, only which kinds it
names. So every edge of the graph carries a message of the model's size both ways, and the group of all ranks makes each
kind of collective with it.

On a slow network that could take longer than the run. So the messages grow, and no longer than the next one fits into a
time that is fixed; all who take part agree on how long the last one took.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

LARGEST = 1 << 28
"""Bytes of a message in a warm-up at most: two of them are held at a time."""

EDGES_S, COLLECTIVE_S = 10.0, 3.0
"""How long a warm-up of all edges may take, and that of a kind of collective."""

_SMALLEST, _GROWTH = 1 << 16, 8


def grow(largest: int, limit_s: float, take: Callable[[int], float]) -> None:
    """Take messages of growing sizes, to the largest, as long as the next one is expected to fit into the limit.

    Args:
        take: passes messages of so many bytes and returns the seconds that it took, the same on all who take part.
    """
    expected_s = 0.0
    for size in sizes(largest):
        if expected_s > limit_s:
            return
        expected_s = _GROWTH * take(size)


def sizes(largest: int) -> list[int]:
    """The largest size, or what is allowed of it, and before it eighths of the next."""
    found = [min(largest, LARGEST)]
    while found[-1] > _SMALLEST:
        found.append(found[-1] // _GROWTH)
    return found[::-1]


def rounds(edges: Iterable[tuple[int, int]]) -> list[list[tuple[int, int]]]:
    """The edges in rounds, in each of which no rank has two: all ranks work them out alike, and none waits long.

    The first round that is free at both ends (a greedy edge colouring: at most twice as many rounds as the largest
    number of neighbours).
    """
    made: list[list[tuple[int, int]]] = []
    taken: list[set[int]] = []
    for edge in sorted((min(edge), max(edge)) for edge in edges):
        free = next((number for number, ranks in enumerate(taken) if not ranks.intersection(edge)), len(made))
        if free == len(made):
            made.append([])
            taken.append(set())
        made[free].append(edge)
        taken[free].update(edge)
    return made
