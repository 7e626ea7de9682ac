"""Drawing a graph or network."""

from __future__ import annotations

from pathlib import Path

from analysis.figures.graph import graph_figure
from analysis.figures.style import styled
from schedules.record.whole import whole_file
from topologies.checks import AnyGraph


def draw(graph: AnyGraph, file: Path) -> Path:
    """Draw a graph where `topologies.layout` puts its nodes, as SVG or PNG by the suffix; all or nothing."""
    # matplotlib writes the time into an SVG and its version into a PNG: without them equal graphs give equal bytes.
    metadata = {"Date": None} if file.suffix == ".svg" else {"Software": None}
    with styled(), whole_file(file) as made:
        graph_figure(graph).savefig(made, metadata=metadata)
    return file
