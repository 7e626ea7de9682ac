"""A network or communication graph as a picture, and how busy its links were."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from itertools import pairwise
from math import hypot, inf
from operator import itemgetter
from typing import TYPE_CHECKING, Final

import numpy as np

from analysis.figures.style import FAINT, new_figure, styled, utilisation_map
from analysis.figures.turns import HEIGHT, draw_turns, has_turns
from topologies.checks import AnyGraph

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable
    from matplotlib.figure import Figure

Point = tuple[float, float]

NODE_COLOURS: Final = {"switch": "#7f6a55", "nic": "#e69f00"}
WORKER_COLOUR: Final = "#0072b2"
_LABELLED: Final = (None, "host", "gpu")
_WIDTH: Final = 6.4
"""Inches; drawings are as high as they need, up to this."""
_MARGIN: Final = 0.6
_READABLE: Final = 9.0
"""Points of a node's diameter from which its number fits in; of smaller ones, some get it beside them."""
_SOME: Final = 16
_SHADES: Final = 96
_BOTH_WAYS_UP_TO: Final = 64
"""Links that are drawn as two lines, one a direction; of more, only the busier direction is shown."""
_WIDTHS: Final = ((24, 3.2), (64, 2.4), (200, 1.8), (600, 1.1), (inf, 0.6))
"""Points that a line is wide, by the number of links."""
_ROUND: Final = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)


def graph_figure(graph: AnyGraph, links: pd.DataFrame | None = None) -> Figure:
    """Draw a graph where `topologies.layout` puts its nodes, its links coloured by utilisation.

    Traffic keeps to the right: of two lines between two nodes, the one to the right of a driver is his. Where there are
    too many links for that, a link shows its busier direction. Of a graph that changes with time all edges are drawn,
    and below them the first of its graphs.

    Args:
        graph: communication graph or physical network.
        links: as `schedules.result.Result.links`; without it, the graph alone.
    """
    import topologies

    positions = topologies.layout(graph)
    height, unit = _extent(positions)
    size = _node_size(positions, unit)
    bars, turns = [] if links is None else [0.1], [HEIGHT] if has_turns(graph) else []
    with styled():
        ratios = {"height_ratios": [height, *bars, *turns]}
        rows, high = 1 + len(bars) + len(turns), height + 6 * sum(bars) + sum(turns)
        figure, (axes, *below) = new_figure(_WIDTH, high, nrows=rows, gridspec_kw=ratios)
        axes.set_aspect("equal")
        axes.set_axis_off()
        _draw_edges(axes, graph, positions)
        if links is not None:
            _draw_links((axes, below[0]), utilisations(graph, links), positions, unit)
        if turns:
            draw_turns(below[-1], graph, positions)
        _draw_nodes(axes, graph, positions, size)
        margin = (size / 2 + 3 if size >= _READABLE else 16) / unit
        axes.set_xlim(min(x for x, _ in positions.values()) - margin, max(x for x, _ in positions.values()) + margin)
        axes.set_ylim(min(y for _, y in positions.values()) - margin, max(y for _, y in positions.values()) + margin)
    return figure


def utilisations(graph: AnyGraph, links: pd.DataFrame) -> dict[tuple[Hashable, Hashable], float]:
    """By (source, target), nodes of the graph. Links between what are no nodes are left out."""
    nodes = {str(node): node for node in graph}
    rows = zip(links["source"], links["target"], links["utilisation"], strict=True)
    return {(nodes[u], nodes[v]): float(share) for u, v, share in rows if u in nodes and v in nodes}


def _extent(positions: Mapping[Hashable, Point]) -> tuple[float, float]:
    """Height of the drawing in inches, and points a unit of the layout; few nodes make a low one."""
    xs, ys = zip(*positions.values(), strict=True)
    wide, high = max(xs) - min(xs), max(ys) - min(ys)
    highest = min(_WIDTH, 2.8 + 0.09 * len(positions))
    inches = min((_WIDTH - _MARGIN) / max(wide, 1e-9), (highest - _MARGIN) / max(high, 1e-9), 2.0)
    return high * inches + _MARGIN, 72 * inches


def _node_size(positions: Mapping[Hashable, Point], unit: float) -> float:
    """Diameter in points: about half of the smallest distance between two nodes, less where no text fits in."""
    points = np.array(list(positions.values())) * unit
    nearest = inf
    for number in range(len(points) - 1):  # node by node: all distances at once would be n^2 numbers
        nearest = min(nearest, float(np.hypot(*(points[number + 1 :] - points[number]).T).min()))
    size = min(22.0, 0.55 * nearest)
    return size if size >= _READABLE else max(3.0, 0.4 * nearest)


def _draw_edges(axes: Axes, graph: AnyGraph, positions: Mapping[Hashable, Point]) -> None:
    from matplotlib.collections import LineCollection

    lines = [(positions[u], positions[v]) for u, v in graph.edges]
    axes.add_collection(LineCollection(lines, colors=FAINT, linewidths=0.7, zorder=1))


def _draw_nodes(axes: Axes, graph: AnyGraph, positions: Mapping[Hashable, Point], size: float) -> None:
    colours = [NODE_COLOURS.get(str(data.get("kind")), WORKER_COLOUR) for _, data in graph.nodes(data=True)]
    places = [positions[node] for node in graph]
    # scatter's s is an area.
    axes.scatter([x for x, _ in places], [y for _, y in places], s=size**2, c=colours, linewidths=0, zorder=4)
    workers = [node for node, data in graph.nodes(data=True) if data.get("kind") in _LABELLED]
    if size < _READABLE:
        _label_some(axes, workers[:: max(1, len(workers) // _SOME)], positions)
        return
    for node in workers:
        font = min(8.0, 1.25 * size / max(2, len(str(node))))
        axes.text(*positions[node], str(node), ha="center", va="center", color="white", fontsize=font, zorder=5)


def _label_some(axes: Axes, nodes: Sequence[Hashable], positions: Mapping[Hashable, Point]) -> None:
    """Beside the nodes, away from the middle of the drawing; below those of its lowest row."""
    places = np.array(list(positions.values()))
    middle, lowest = places.mean(axis=0), places[:, 1].min()
    for node in nodes:
        away = np.array((0.0, -1.0)) if positions[node][1] == lowest else np.array(positions[node]) - middle
        x, y = 8 * away / (hypot(*away) or 1.0)  # a node in the very middle has no direction
        axes.annotate(
            str(node),
            positions[node],
            (float(x), float(y)),
            textcoords="offset points",
            ha="center",
            va="center",
            fontsize=7,
            annotation_clip=False,
            zorder=5,
        )


def _draw_links(
    panels: tuple[Axes, Axes],
    shares: Mapping[tuple[Hashable, Hashable], float],
    positions: Mapping[Hashable, Point],
    unit: float,
) -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.collections import LineCollection
    from matplotlib.colors import Normalize

    axes, below = panels
    pairs = {frozenset(pair) for pair in shares}  # both directions of a link are one
    is_both_ways = len(pairs) <= _BOTH_WAYS_UP_TO
    if not is_both_ways:
        # -1: what has one direction only is the busier one, even at rest.
        shares = {pair: share for pair, share in shares.items() if share >= shares.get(pair[::-1], -1.0)}
    thick = next(width for number, width in _WIDTHS if len(pairs) <= number)
    shift = (0.5 * thick + 0.4) / unit if is_both_ways else 0.0
    # By the share alone: names of switches and numbers of hosts cannot be compared.
    drawn = sorted(((share, pair) for pair, share in shares.items() if share > 0), key=itemgetter(0))
    lines = [_beside(positions[u], positions[v], shift if (v, u) in shares else 0.0) for _, (u, v) in drawn]
    top = next((each for each in _ROUND if max(shares.values(), default=0) <= each), max(shares.values(), default=1))
    colours = ScalarMappable(Normalize(0, 100 * top), utilisation_map())
    values = np.array([100 * share for share, _ in drawn])
    axes.add_collection(LineCollection(lines, colors=colours.to_rgba(values), linewidths=thick, zorder=2))
    _draw_bar(below, colours, 100 * top)
    below.set_xlabel("utilisation of the links (%)" + ("" if is_both_ways else ", busier direction"))


def _draw_bar(axes: Axes, colours: ScalarMappable, top: float) -> None:
    """A colour bar of rectangles: matplotlib's own would be a picture of pixels within the drawing."""
    from matplotlib.collections import PolyCollection

    edges = np.linspace(0, top, _SHADES + 1)
    boxes = [[(left, 0), (right, 0), (right, 1), (left, 1)] for left, right in pairwise(edges.tolist())]
    shades = colours.to_rgba((edges[:-1] + edges[1:]) / 2)
    axes.add_collection(PolyCollection(boxes, facecolors=shades, edgecolors=shades, linewidths=0.4))
    axes.set_xlim(0, top)
    axes.set_ylim(0, 1)
    axes.set_yticks([])
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _beside(begin: Point, end: Point, shift: float) -> tuple[Point, Point]:
    """A line from begin to end, moved to its right."""
    across, up = end[0] - begin[0], end[1] - begin[1]
    length = hypot(across, up) or 1.0
    x, y = shift * up / length, -shift * across / length
    return (begin[0] + x, begin[1] + y), (end[0] + x, end[1] + y)
