"""The communication graph that the keys of a table describe: a family or files, one graph or several in turn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import networkx as nx

from topologies.catalogue import build
from topologies.given import graph_of, varying_of
from topologies.varying import build_varying


def described(
    workers: int,
    graph: str | None,
    options: Mapping[str, object],
    file: str | Sequence[str] | None = None,
    text: str | Sequence[str] | None = None,
    count: int | None = None,
    period: float | None = None,
) -> nx.Graph[int]:
    """The graph before a rate is spread over it; of several in turn, their union (`topologies.parts`).

    Args:
        workers: how many there are to be.
        graph: the name of a family; None: see `file`.
        options: of the family.
        file: of the graph, or a list of files, whose graphs are there in turn.
        text: what stands in it, or in them.
        count: so many graphs of the family are there in turn; None: one graph throughout.
        period: for how long each of several graphs is there, in gradient times; None: as DADAO has it.
    Raises:
        ValueError: an unknown graph or option, a file that is no graph, or an impossible size.
    """
    if file is not None:
        several = not isinstance(file, str)
        found = varying_of(text or (), file, period) if several else graph_of(str(text), str(file))
        if len(found) != workers:
            first = file[0] if several else file
            raise ValueError(f"workers: expected {len(found)}, as {first} has nodes, found {workers}")
        return found
    if count is None:
        return build(str(graph), workers, **options)
    scale = None if period is None else 1 / period
    return build_varying(str(graph), workers, count=count, scale=scale, **options).union()  # type: ignore[arg-type]
