"""The first graphs of a graph that changes with time, side by side below a drawing of all their edges."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING, Final

from analysis.figures.style import FAINT
from topologies.checks import AnyGraph

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SHOWN: Final = 5
"""Graphs that are drawn; of more, the first."""
HEIGHT: Final = 1.55
"""Inches of the row."""
_DOT: Final = "#0072b2"

Point = tuple[float, float]


def has_turns(graph: AnyGraph) -> bool:
    """Whether its edges say in which of several graphs they are (`topologies.parts.union`)."""
    return "count" in graph.graph and all("graphs" in data for *_, data in graph.edges(data=True))


def draw_turns(axes: Axes, graph: AnyGraph, positions: Mapping[Hashable, Point]) -> None:
    """Each of the first graphs, with its number, at the places that the nodes have in the drawing above."""
    from matplotlib.collections import LineCollection

    count = int(graph.graph["count"])
    xs, ys = zip(*positions.values(), strict=True)
    wide, low = 1.25 * (max(xs) - min(xs) or 1.0), min(ys) - 0.2 * (max(ys) - min(ys) or 1.0)
    for number in range(min(count, SHOWN)):
        moved = {node: (x + number * wide, y) for node, (x, y) in positions.items()}
        edges = [(u, v) for u, v, data in graph.edges(data=True) if str(number) in data["graphs"].split()]
        lines = [(moved[u], moved[v]) for u, v in edges]
        axes.add_collection(LineCollection(lines, colors=FAINT, linewidths=0.6, zorder=1))
        places = list(moved.values())
        axes.scatter([x for x, _ in places], [y for _, y in places], s=7, c=_DOT, linewidths=0, zorder=2)
        middle = (min(xs) + max(xs)) / 2 + number * wide
        told = f"graph {number} of {count}" if number == 0 else str(number)
        axes.text(middle, low, told, ha="center", va="center", fontsize=7)
    axes.set_aspect("equal")
    axes.set_axis_off()
