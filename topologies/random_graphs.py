"""Families of random communication graphs: equal seeds give equal graphs, and every graph handed out is connected.

A draw that is not connected is thrown away and the next one of the same seed is taken, so the law is the family's,
given that the graph is connected.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from math import log
from random import Random

import networkx as nx
import numpy as np

from topologies.checks import probability, real_number, whole_number
from topologies.graphs import canonical

TRIES = 100


def random_regular(workers: int, *, degree: int = 4, seed: int = 0) -> nx.Graph[int]:
    """Uniformly random graph in which every worker has the same degree.

    Raises:
        ValueError: if n * degree is odd, degree >= n, or a hundred draws are all disconnected.
    Source: Steger & Wormald 1999, `networkx.random_regular_graph`.
    """
    whole_number("workers", workers, 2)
    whole_number("degree", degree, 1)
    if degree >= workers or workers * degree % 2:
        raise ValueError(f"degree: expected one below {workers} with {workers} * degree even, found {degree}")
    rng = _generator(seed)
    return _first_connected(lambda: nx.random_regular_graph(degree, workers, seed=rng), f"degree={degree}, seed={seed}")


def erdos_renyi(workers: int, *, p: float | None = None, seed: int = 0) -> nx.Graph[int]:
    """Each of the n (n - 1) / 2 edges is there with probability p, independently.

    Left out, p is 2 ln(n) / n (at most 1): twice the threshold of connectedness.

    Raises:
        ValueError: if p is not in [0, 1], or a hundred draws are all disconnected.
    Source: Gilbert 1959; Erdos & Renyi 1960; `networkx.gnp_random_graph`.
    """
    whole_number("workers", workers, 2)
    chance = min(1.0, 2 * log(workers) / workers) if p is None else probability("p", p)
    rng = _generator(seed)
    return _first_connected(lambda: nx.gnp_random_graph(workers, chance, seed=rng), f"p={chance:.6g}, seed={seed}")


def watts_strogatz(workers: int, *, k: int = 4, p: float = 0.1, seed: int = 0) -> nx.Graph[int]:
    """Small world: a ring with the k nearest neighbours, each edge rewired with probability p.

    Raises:
        ValueError: if k is odd or k >= n, p is not in [0, 1], or a hundred draws are all disconnected.
    Source: Watts & Strogatz 1998, `networkx.watts_strogatz_graph`.
    """
    whole_number("workers", workers, 2)
    if whole_number("k", k, 2) % 2 or k >= workers:
        raise ValueError(f"k: expected an even number below {workers}, found {k}")
    probability("p", p)
    rng = _generator(seed)
    return _first_connected(lambda: nx.watts_strogatz_graph(workers, k, p, seed=rng), f"k={k}, p={p}, seed={seed}")


def random_geometric(workers: int, *, radius: float = 0.4, seed: int = 0, join: bool = False) -> nx.Graph[int]:
    """Workers at random points of the unit square meet where they are at most `radius` apart.

    Node attributes `x` and `y` are the points. With `join`, a disconnected draw is kept and its components are
    joined in a row by random edges, as DADAO does.

    Raises:
        ValueError: if the radius is not positive, or (without `join`) a hundred draws are all disconnected.
    Source: DADAO (arXiv:2208.00779), `AdelNabli/DADAO` `data.py` (radius 0.4).
    """
    whole_number("workers", workers, 2)
    real_number("radius", radius, 0, strictly=True)
    if not isinstance(join, bool):  # a text such as "no" would count as true
        raise ValueError(f"join: expected true or false, found {join!r}")
    rng = np.random.default_rng(whole_number("seed", seed, 0))
    if join:
        return canonical(_joined(_points_within(workers, radius, rng), rng))
    return _first_connected(lambda: _points_within(workers, radius, rng), f"radius={radius}, seed={seed}")


def _generator(seed: object) -> Random:
    # A generator rather than the seed: every try would draw the same graph again from a number.
    return Random(whole_number("seed", seed, 0))


def _first_connected(draw: Callable[[], nx.Graph[int]], options: str) -> nx.Graph[int]:
    for _ in range(TRIES):
        graph = draw()
        if nx.is_connected(graph):
            return canonical(graph)
    raise ValueError(f"expected a connected graph, found none in {TRIES} draws with {options}")


def _points_within(workers: int, radius: float, rng: np.random.Generator) -> nx.Graph[int]:
    points = rng.random((workers, 2))
    squared = ((points[:, None, :] - points[None, :, :]) ** 2).sum(axis=2)
    graph: nx.Graph[int] = nx.Graph()
    graph.add_nodes_from((i, {"x": float(x), "y": float(y)}) for i, (x, y) in enumerate(points))
    # int: numpy's numbers would become the keys of the neighbours, and JSON cannot hold them. k = 1: each pair once.
    graph.add_edges_from((int(i), int(j)) for i, j in np.argwhere(np.triu(squared <= radius**2, k=1)))
    return graph


def _joined(graph: nx.Graph[int], rng: np.random.Generator) -> nx.Graph[int]:
    components = [sorted(component) for component in nx.connected_components(graph)]  # a set has no order to draw from
    for here, there in pairwise(components):
        graph.add_edge(int(rng.choice(here)), int(rng.choice(there)))
    return graph
