"""Checks of what a caller hands over: each returns the value, or says what was expected and what was found."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable
from numbers import Integral, Real
from typing import Any, TypeAlias

import networkx as nx

AnyGraph: TypeAlias = "nx.Graph[Any]"
"""A communication graph or a physical network. In a file nodes may have any names, so nobody can say more of them."""


def whole_number(name: str, value: object, minimum: int) -> int:
    """Return `value` as an int of at least `minimum`.

    Raises:
        ValueError: if it is not a whole number (a bool or 3.0 is not one) or is too small.
    """
    # In Python true is the number 1, and `workers = true` is a mistake. `Integral` rather than int lets numpy's in.
    if isinstance(value, bool) or not isinstance(value, Integral) or int(value) < minimum:
        raise ValueError(f"{name}: expected a whole number of at least {minimum}, found {value!r}")
    return int(value)


def real_number(name: str, value: object, minimum: float, *, strictly: bool = False, unit: str = "") -> float:
    """Return `value` as a finite float, at least `minimum`, or above it if `strictly`.

    Raises:
        ValueError: if it is not a finite number or is too small; `unit` is named in the message.
    """
    if isinstance(value, Real) and not isinstance(value, bool):
        found = float(value)
        if math.isfinite(found) and (found > minimum or (found == minimum and not strictly)):
            return found
    bound = "above" if strictly else "of at least"
    raise ValueError(f"{name}: expected a finite number {bound} {minimum:g}{unit and ' ' + unit}, found {value!r}")


def probability(name: str, value: object) -> float:
    """Return `value` as a float between 0 and 1.

    Raises:
        ValueError: if it is not a number in [0, 1].
    """
    if isinstance(value, Real) and not isinstance(value, bool) and 0 <= float(value) <= 1:  # never so for NaN
        return float(value)
    raise ValueError(f"{name}: expected a number between 0 and 1, found {value!r}")


def one_of(name: str, value: object, accepted: Iterable[str]) -> str:
    """Return `value` if it is one of the accepted words.

    Raises:
        ValueError: if it is not.
    """
    words = tuple(accepted)  # looked through twice, which an iterator allows once
    if isinstance(value, str) and value in words:
        return value
    raise ValueError(f"{name}: expected one of {', '.join(map(repr, words))}, found {value!r}")


def simple_graph(graph: object) -> None:
    """Check that it is an undirected networkx graph without parallel edges or self-loops.

    Raises:
        ValueError: if it is anything else.
    """
    # The class alone does not tell: networkx's DiGraph and MultiGraph are subclasses of Graph.
    if not isinstance(graph, nx.Graph) or graph.is_directed() or graph.is_multigraph():
        raise ValueError(f"expected an undirected networkx.Graph without parallel edges, found {type(graph).__name__}")
    loop = next(iter(nx.selfloop_edges(graph)), None)
    if loop is not None:
        raise ValueError(f"expected no self-loops, found one at node {loop[0]!r}")


def communication_graph(graph: nx.Graph[int]) -> None:
    """Check that workers could gossip on it: a connected simple graph with nodes 0..n-1, n at least 1.

    Raises:
        ValueError: if the nodes are not 0..n-1, n < 1, or some worker cannot be reached from worker 0.
    """
    numbered_graph(graph)
    if not len(graph):
        raise ValueError("expected at least 1 worker, found 0")
    connected(graph)


def numbered_graph(graph: nx.Graph[int]) -> None:
    """Check that it is a simple graph whose nodes are the whole numbers 0..n-1, in any order.

    Raises:
        ValueError: if a node is missing or is something else.
    """
    simple_graph(graph)
    numbers = range(len(graph))
    stranger = next((node for node in graph if node not in numbers), None)
    if stranger is not None:
        raise ValueError(f"expected the nodes 0..{len(graph) - 1}, found node {stranger!r}")


def connected(graph: nx.Graph[int]) -> None:
    """Check that every worker can be reached from worker 0.

    Raises:
        ValueError: if not, naming a worker that cannot.
    """
    # Rather than `nx.is_connected`, which could not name a worker that is cut off.
    reached = nx.node_connected_component(graph, 0)
    if len(reached) < len(graph):
        lost = min(node for node in graph if node not in reached)  # whatever the order of the nodes
        raise ValueError(f"expected a connected graph, found no path from worker 0 to worker {lost}")


def nearest(word: str, known: Iterable[str]) -> str:
    """` (did you mean ...?)`, or nothing: the end of a message about a name that is not known."""
    close = difflib.get_close_matches(word, list(known), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""
