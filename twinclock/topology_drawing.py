"""Drawing a graph or network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import networkx as nx
    from matplotlib.axes import Axes

COLOURS = {"switch": "#7f6a55", "nic": "#e69f00"}
WORKER = "#0072b2"


def draw(graph: nx.Graph[Any], file: Path) -> Path:
    """Draw a graph where `topologies.layout` puts its nodes, as SVG or PNG by the suffix; all or nothing."""
    import topologies
    from analysis.style import new_figure, styled
    from analysis.whole import whole_file

    with styled():
        figure, (axes,) = new_figure(5.2, 5.2)
        _draw_graph(axes, graph, topologies.layout(graph))
        metadata: dict[str, Any] = {"Date": None} if file.suffix == ".svg" else {"Software": None}
        with whole_file(file) as made:
            figure.savefig(made, metadata=metadata)
    return file


def _draw_graph(axes: Axes, graph: nx.Graph[Any], positions: dict[Any, tuple[float, float]]) -> None:
    for u, v in graph.edges:
        (x, y), (to_x, to_y) = positions[u], positions[v]
        axes.plot([x, to_x], [y, to_y], color="#8a939c", linewidth=0.8, zorder=1)
    colours = [COLOURS.get(str(data.get("kind")), WORKER) for _, data in graph.nodes(data=True)]
    places = [positions[node] for node in graph]
    size = max(12.0, min(260.0, 6000 / len(graph)))
    axes.scatter([x for x, _ in places], [y for _, y in places], s=size, c=colours, zorder=2)
    if size >= 100:
        for node, data in graph.nodes(data=True):
            text = str(node) if data.get("kind") in (None, "host", "gpu") else ""
            axes.text(*positions[node], text, ha="center", va="center", color="white", fontsize=7, zorder=3)
    axes.set_aspect("equal")
    axes.set_axis_off()
