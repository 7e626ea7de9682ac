"""Families of communication graphs without randomness. Nodes are the workers 0..n-1, edges come sorted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from math import isqrt

import networkx as nx

from topologies.checks import whole_number


def from_neighbours(workers: int, neighbours: Callable[[int], Iterable[int]]) -> nx.Graph[int]:
    """Graph with an edge (i, j) wherever j is in i's neighbour list.

    A neighbour listed m > 1 times gives the edge the attribute `multiplicity` = m: the official weights of A²CiD²,
    W_ij = m_ij / |list of i|, count it m times. Lists must be symmetric; an entry i in i's own list is dropped.

    Example: `from_neighbours(4, lambda i: [(i + 1) % 4, (i - 1) % 4])` is the ring of four.
    Source: `AdelNabli/ACiD`, `utils/graph_utils.py`.
    """
    graph: nx.Graph[int] = nx.empty_graph(whole_number("workers", workers, 2))
    for i in range(workers):
        # Each edge is in both ends' lists, and added by the lower end: so edges come sorted, and i itself is dropped.
        for j, multiplicity in sorted(Counter(neighbours(i)).items()):
            if i < j:
                graph.add_edge(i, j, **({"multiplicity": multiplicity} if multiplicity > 1 else {}))
    return graph


def alone() -> nx.Graph[int]:
    """One worker that meets nobody: what every measurement of scaling begins with."""
    graph: nx.Graph[int] = nx.empty_graph(1)
    return graph


def canonical(graph: nx.Graph[int]) -> nx.Graph[int]:
    """Return the same graph with nodes in the order 0..n-1 and every edge (u, v), u < v, in sorted order.

    So that two equal graphs are iterated equally, whatever made them.
    """
    ordered: nx.Graph[int] = nx.Graph()
    ordered.graph.update(graph.graph)
    ordered.add_nodes_from((node, graph.nodes[node]) for node in sorted(graph))
    edges = ((min(u, v), max(u, v), data) for u, v, data in graph.edges(data=True))
    ordered.add_edges_from(sorted(edges, key=lambda edge: edge[:2]))
    return ordered


def ring(workers: int) -> nx.Graph[int]:
    """Cycle: worker i meets i - 1 and i + 1 (mod n).

    With two workers the same neighbour is listed twice: one edge of multiplicity 2.

    Raises:
        ValueError: if n < 2.
    """
    return from_neighbours(workers, lambda i: ((i - 1) % workers, (i + 1) % workers))


def complete(workers: int) -> nx.Graph[int]:
    """Every worker meets every other: n (n - 1) / 2 edges.

    Raises:
        ValueError: if n < 2.
    """
    graph: nx.Graph[int] = nx.complete_graph(whole_number("workers", workers, 2))
    return graph


def star(workers: int) -> nx.Graph[int]:
    """Worker 0 is the hub and meets all others: n - 1 edges.

    Raises:
        ValueError: if n < 2.
    """
    graph: nx.Graph[int] = nx.star_graph(whole_number("workers", workers, 2) - 1)
    return graph


def path(workers: int) -> nx.Graph[int]:
    """Line: worker i meets i + 1, and the two ends do not meet.

    Raises:
        ValueError: if n < 2.
    """
    graph: nx.Graph[int] = nx.path_graph(whole_number("workers", workers, 2))
    return graph


def exponential(workers: int) -> nx.Graph[int]:
    """Worker i meets i +- 2^k (mod n), k = 0..floor(log2 n) - 1.

    For n = 2^p the antipode i + n/2 is listed twice: its edge has multiplicity 2, which doubles its rate in the
    `neighbour` convention and leaves it alone in the `uniform` one.

    Raises:
        ValueError: if n < 2.
    Source: A²CiD² (arXiv:2306.08289), official code; `AdelNabli/ACiD`, `ExponentialGraph`.
    """
    whole_number("workers", workers, 2)
    # bit_length() - 1 is floor(log2 n) exactly, where a logarithm in floats might round.
    hops = [2**k for k in range(workers.bit_length() - 1)]
    return from_neighbours(workers, lambda i: [(i + sign * hop) % workers for sign in (1, -1) for hop in hops])


def grid(workers: int, *, rows: int | None = None, columns: int | None = None) -> nx.Graph[int]:
    """Rectangle of rows x columns; worker row * columns + column meets its 2 to 4 neighbours.

    The sides left out are filled in: the most square rectangle with both sides of 2 or more.

    Raises:
        ValueError: if rows * columns is not n, or n has no such rectangle.
    """
    rows, columns = sides(workers, rows, columns)
    graph = from_neighbours(workers, lambda i: _grid_neighbours(i, rows, columns))
    graph.graph.update(rows=rows, columns=columns)
    return graph


def torus(workers: int, *, rows: int | None = None, columns: int | None = None) -> nx.Graph[int]:
    """Grid whose sides wrap around: every worker lists four neighbours.

    Where a side is 2, up and down are the same worker, and the edge has multiplicity 2.

    Raises:
        ValueError: if rows * columns is not n, or n has no rectangle with both sides of 2 or more.
    """
    rows, columns = sides(workers, rows, columns)
    graph = from_neighbours(workers, lambda i: _torus_neighbours(i, rows, columns))
    graph.graph.update(rows=rows, columns=columns)
    return graph


def hypercube(workers: int) -> nx.Graph[int]:
    """n = 2^d workers; worker i meets those whose number differs from i in one binary digit.

    Raises:
        ValueError: if n is not a power of two of at least 2.
    """
    whole_number("workers", workers, 2)
    if workers & (workers - 1):
        raise ValueError(f"workers: expected a power of two, found {workers}")
    # Not networkx's, whose nodes are tuples of binary digits.
    return from_neighbours(workers, lambda i: [i ^ (1 << bit) for bit in range(workers.bit_length() - 1)])


def barbell(workers: int, *, bridge: int = 0) -> nx.Graph[int]:
    """Two equal cliques joined by a path of `bridge` workers (0: by one edge).

    Numbered from left to right: first clique, bridge, second clique.

    Raises:
        ValueError: if n - bridge is odd or the cliques would have fewer than two workers.
    """
    whole_number("workers", workers, 4)
    whole_number("bridge", bridge, 0)
    clique, odd = divmod(workers - bridge, 2)
    if odd or clique < 2:
        raise ValueError(
            f"workers: expected an even number of at least 4 beside a bridge of {bridge}, found {workers - bridge}"
        )
    # networkx adds the second clique before the edge that joins it to the bridge.
    graph: nx.Graph[int] = canonical(nx.barbell_graph(clique, bridge))
    graph.graph["bridge"] = bridge
    return graph


def sides(workers: int, rows: int | None, columns: int | None) -> tuple[int, int]:
    """Complete (rows, columns) of a rectangle of n workers; with neither given, the most square one.

    Raises:
        ValueError: if the sides do not multiply to n, or n is prime or below 4 and no side is given.
    """
    whole_number("workers", workers, 2)
    if columns is None:
        rows = _largest_divisor(workers) if rows is None else whole_number("rows", rows, 1)
        columns = workers // rows
    elif rows is None:
        rows = workers // whole_number("columns", columns, 1)
    # A side may have come out as 0 (more columns than workers): the product tells that better than a bound does.
    if whole_number("rows", rows, 0) * whole_number("columns", columns, 0) != workers:
        raise ValueError(f"rows, columns: expected sides that multiply to {workers}, found {rows} x {columns}")
    return rows, columns


def _largest_divisor(workers: int) -> int:
    divisors = [side for side in range(2, isqrt(workers) + 1) if workers % side == 0]
    if not divisors:
        raise ValueError(f"workers: expected a number that is a product of two sides of 2 or more, found {workers}")
    return divisors[-1]  # up to the root, so the last one is nearest to it


def _grid_neighbours(i: int, rows: int, columns: int) -> list[int]:
    row, column = divmod(i, columns)
    steps = ((row - 1, column), (row, column - 1), (row, column + 1), (row + 1, column))
    return [r * columns + c for r, c in steps if 0 <= r < rows and 0 <= c < columns]


def _torus_neighbours(i: int, rows: int, columns: int) -> list[int]:
    row, column = divmod(i, columns)
    steps = ((row - 1, column), (row, column - 1), (row, column + 1), (row + 1, column))
    return [(r % rows) * columns + c % columns for r, c in steps]
