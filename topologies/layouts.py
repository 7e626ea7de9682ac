"""Where to draw the nodes of a graph: positions that suit its family and are the same every time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from math import cos, pi, radians, sin
from typing import Any, TypeAlias

import networkx as nx

from topologies import coordinates
from topologies.physical import N, Node

Point: TypeAlias = tuple[float, float]
Positions: TypeAlias = dict[Node, Point]


def layout(graph: nx.Graph[N]) -> Positions:
    """Position (x, y) of every node, y upwards, within a few units of the origin.

    Positions that the nodes carry (`x`, `y`) come first, then a map where all have a latitude and a longitude; then the
    family that built the graph decides: a line, a hub
    with a circle around it, a lattice, two circles for a barbell, circles of groups, or layers from the hosts up.
    Everything else is a circle.

    Raises:
        ValueError: if the graph claims a family (`graph["family"]`) but lacks the attributes that its builder sets.
    Source: the conventional pictures; no randomness and no iteration to a limit.
    """
    # `all` of nothing is true.
    if len(graph) and all("x" in data and "y" in data for _, data in graph.nodes(data=True)):
        return {node: (float(data["x"]), float(data["y"])) for node, data in graph.nodes(data=True)}
    located = {node: coordinates.place(data) for node, data in graph.nodes(data=True)}
    if len(graph) and None not in located.values():
        return _map({node: each for node, each in located.items() if each is not None})
    # Dedicated links look like the graph that they were laid for (`fabrics.dedicated`). A file may say anything here.
    family = str(graph.graph.get("layout") or graph.graph.get("family"))
    unknown = layered if any(data.get("kind") == "switch" for _, data in graph.nodes(data=True)) else circle
    try:
        return _FAMILIES.get(family, unknown)(graph)
    except KeyError as error:
        raise ValueError(f"layout: expected a {family} graph to have the attribute {error}, found none") from error


def _map(places: dict[N, coordinates.Place]) -> Positions:
    """Longitude to the right, as long as it is at the middle latitude, and latitude upwards, over two units."""
    south, north = min(lat for lat, _ in places.values()), max(lat for lat, _ in places.values())
    west, east = min(lon for _, lon in places.values()), max(lon for _, lon in places.values())
    shrink = cos(radians((south + north) / 2))
    unit = max(north - south, (east - west) * shrink) / 2 or 1.0
    return {
        node: ((longitude - (west + east) / 2) * shrink / unit, (latitude - (south + north) / 2) / unit)
        for node, (latitude, longitude) in places.items()
    }


def circle(graph: nx.Graph[N]) -> Positions:
    """All nodes on the unit circle, clockwise from the top."""
    return _on_circle(list(graph))


def line(graph: nx.Graph[N]) -> Positions:
    """All nodes from left to right, one unit apart."""
    return {node: (float(i), 0.0) for i, node in enumerate(graph)}


def hub(graph: nx.Graph[N]) -> Positions:
    """The first node in the middle, the others around it."""
    middle, *others = graph
    return {middle: (0.0, 0.0), **_on_circle(others)}


def gray_circle(graph: nx.Graph[N]) -> Positions:
    """The unit circle in the order of the Gray code, in which neighbours differ in one binary digit."""
    return _on_circle([i ^ (i >> 1) for i in range(len(graph))])


def lattice(graph: nx.Graph[N]) -> Positions:
    """Rows from the top, columns from the left; layers of a third dimension shifted aside."""
    rows, columns = int(graph.graph["rows"]), int(graph.graph["columns"])
    positions: Positions = {}
    for place, node in enumerate(graph):
        layer, row, column = place // (rows * columns), place // columns % rows, place % columns
        positions[node] = (column + 0.35 * layer, -row - 0.25 * layer)
    return positions


def bent_lattice(graph: nx.Graph[N]) -> Positions:
    """A lattice whose rows and columns bulge, so that the edges that wrap around are seen beside the others."""
    rows, columns = int(graph.graph["rows"]), int(graph.graph["columns"])
    across = [_bulge(column, columns) for column in range(columns)]
    down = [_bulge(row, rows) for row in range(rows)]
    return {
        node: (x + down[place // columns % rows], y + across[place % columns])
        for place, (node, (x, y)) in enumerate(lattice(graph).items())
    }


def two_circles(graph: nx.Graph[N]) -> Positions:
    """The cliques of a barbell on two circles, the bridge on a line between them."""
    nodes, bridge = list(graph), int(graph.graph["bridge"])
    clique = (len(nodes) - bridge) // 2
    between = nodes[clique : clique + bridge]
    gap = 1.0 + bridge / 2
    return {
        # The bridge begins at the last node of the first clique, so that one must face right, and ends at the first of
        # the second, which faces left: at angle 0 and at pi.
        **_on_circle(nodes[:clique], (-gap - 1, 0.0), start=-2 * pi / clique),
        **{node: (i - (bridge - 1) / 2, 0.0) for i, node in enumerate(between)},
        **_on_circle(nodes[clique + bridge :], (gap + 1, 0.0), start=pi),
    }


def grouped(graph: nx.Graph[N]) -> Positions:
    """A circle of groups: routers on an inner circle of their group, hosts on an outer one."""
    groups: dict[int, list[N]] = defaultdict(list)
    for node, data in graph.nodes(data=True):
        groups[data["group"]].append(node)
    centres = _on_circle(list(groups), radius=0.0 if len(groups) == 1 else 1.0)
    # Neighbouring centres are 2 sin(pi / k) apart on the unit circle, so circles of 0.8 times half of that never touch.
    radius = 0.8 * sin(pi / max(len(groups), 4))
    positions: Positions = {}
    for group, members in groups.items():
        for is_switch, size in ((True, radius / 2), (False, radius)):
            ring = [node for node in members if (graph.nodes[node]["kind"] == "switch") == is_switch]
            positions |= _on_circle(ring, centres[group], size)
    return {node: positions[node] for node in graph}


def layered(graph: nx.Graph[N]) -> Positions:
    """One row a level, the lowest at the bottom, each spread evenly over the same width."""
    levels: dict[int, list[N]] = defaultdict(list)
    for node, data in graph.nodes(data=True):
        levels[int(data.get("level", _LEVELS[data["kind"]]))].append(node)
    width = max(len(row) for row in levels.values())
    positions = {
        # Levels of a wide network are farther apart, or all its links would lie almost flat.
        node: ((i + 0.5) * width / len(row), float(level) * max(1.0, width / 6))
        for level, row in levels.items()
        for i, node in enumerate(row)
    }
    return {node: positions[node] for node in graph}


_LEVELS = {"host": 0, "gpu": 0, "nic": 1, "switch": 2}

_FAMILIES: dict[str, Callable[[nx.Graph[Any]], Positions]] = {
    "path": line,
    "star": hub,
    "grid": lattice,
    "torus": bent_lattice,
    "hypercube": gray_circle,
    "barbell": two_circles,
    "fabric": layered,
    "racks": layered,
    "fat_tree": layered,
    "dragonfly": grouped,
    "gpu_nodes": layered,
}


def _bulge(place: int, side: int) -> float:
    """A parabola over 0..side - 1: nothing at the ends, 0.4 in the middle."""
    return 1.6 * place * (side - 1 - place) / max(side - 1, 1) ** 2


def _on_circle(
    nodes: Iterable[Node], centre: Point = (0.0, 0.0), radius: float = 1.0, *, start: float = pi / 2
) -> Positions:
    """Clockwise from the angle `start`, which is the top unless said."""
    ordered: Sequence[Node] = list(nodes)
    angles = (start - 2 * pi * i / len(ordered) for i in range(len(ordered)))
    return {n: (centre[0] + radius * cos(a), centre[1] + radius * sin(a)) for n, a in zip(ordered, angles, strict=True)}
