"""Drawing a graph or network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import networkx as nx


def draw(graph: nx.Graph[Any], file: Path) -> Path:
    """Draw a graph where `topologies.layout` puts its nodes, as SVG or PNG by the suffix; all or nothing."""
    from analysis.figures.graph import graph_figure
    from analysis.figures.style import styled
    from schedules.record.whole import whole_file

    metadata: dict[str, Any] = {"Date": None} if file.suffix == ".svg" else {"Software": None}
    with styled(), whole_file(file) as made:
        graph_figure(graph).savefig(made, metadata=metadata)
    return file
