"""Communication graphs and physical networks as files: GraphML and JSON (node-link), told apart by the suffix."""

from __future__ import annotations

import json
import re
from os import PathLike
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import ParseError

import networkx as nx

from topologies.checks import communication_graph, real_number, simple_graph
from topologies.graphs import canonical
from topologies.physical import N, check_network

SUFFIXES = (".graphml", ".json")


def save(graph: nx.Graph[N], path: str | PathLike[str]) -> None:
    """Write a graph with all its attributes; equal graphs give equal bytes.

    Args:
        graph: node, edge and graph attributes that are text, numbers or booleans. Of one that varies, the union is
            written, whose edges say in which graphs they are.
        path: ends in .graphml (for yEd, Gephi, Cytoscape) or .json (node-link, as networkx and D3 read it).
    Raises:
        ValueError: for another suffix, or an attribute that the format cannot hold.
        OSError: if the file cannot be written.
    """
    target = Path(path)
    write = _write_json if _suffix(target) == ".json" else _write_graphml
    try:
        content = write(_without_parts(graph))  # before the file is touched: what cannot be written leaves the old one
    except (TypeError, ValueError, nx.NetworkXError) as error:
        raise ValueError(f"{target}: expected attributes that are text, numbers or booleans, found: {error}") from error
    target.write_text(content, encoding="utf-8")


def _without_parts(graph: nx.Graph[N]) -> nx.Graph[N]:
    if "parts" not in graph.graph:
        return graph
    written = graph.copy()
    del written.graph["parts"]
    return written


def load(path: str | PathLike[str]) -> nx.Graph[Any]:
    """Read a communication graph, or a physical network (its nodes have a `kind`), and check it.

    Nodes whose names are all whole numbers become ints. A communication graph must be connected with nodes 0..n-1, and
    its rates, where there are any, at least 0 (where there are none, `with_rates` gives them). A network must be as
    `topologies.physical` describes it; its nodes keep the order of the file, which is the order of the workers.

    Returns:
        the graph that was saved, attributes included.
    Raises:
        ValueError: if the file cannot be read, is cut short or is no such graph; the file is named.
    """
    graph = parse(text_of(path), path)
    try:
        return _checked(graph)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def text_of(path: str | PathLike[str]) -> str:
    """The text of a graph's file; a byte order mark is no part of it.

    Raises:
        ValueError: if the suffix is not one of `SUFFIXES`, or the file cannot be read.
    """
    _suffix(Path(path))  # first: a file of another kind may be large, and no text
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "bytes that are not UTF-8 text"
        raise ValueError(f"{path}: expected a readable file, found: {reason}") from error


def parse(text: str, path: str | PathLike[str]) -> nx.Graph[Any]:
    """The graph in the text of a file, as it stands there: nobody has looked whether it is one for us.

    Args:
        path: of the file, whose suffix says what the text is.
    Raises:
        ValueError: if the text is broken; the file is named.
    """
    suffix = _suffix(Path(path))
    try:
        return _with_whole_numbers(_read_json(text) if suffix == ".json" else _read_graphml(text))
    except _BROKEN as error:
        reason = str(error) if type(error) is ValueError else f"{type(error).__name__}: {error}"  # ours says all
        raise ValueError(f"{path}: expected a {suffix[1:]} graph, found {reason}") from error


# What a file of another shape makes json and networkx raise. XML's ParseError is a SyntaxError, and no ValueError.
_BROKEN = (ValueError, TypeError, AttributeError, LookupError, ParseError, RecursionError, nx.NetworkXException)


def _suffix(path: Path) -> str:
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise ValueError(f"{path}: expected a file name ending in {' or '.join(SUFFIXES)}, found {path.suffix!r}")
    return suffix


def _write_json(graph: nx.Graph[N]) -> str:
    # `allow_nan`: JSON has no NaN, though Python would write one. `edges`: networkx has changed its default name.
    return json.dumps(nx.node_link_data(graph, edges="edges"), indent=1, allow_nan=False, ensure_ascii=False) + "\n"


def _write_graphml(graph: nx.Graph[N]) -> str:
    return "\n".join(nx.generate_graphml(graph)) + "\n"


def _read_json(content: str) -> nx.Graph[Any]:
    data = json.loads(content)
    if not isinstance(data, dict) or not isinstance(data.get("nodes"), list):
        raise ValueError('nothing like {"nodes": [{"id": 0}, ...], "edges": [{"source": 0, "target": 1}, ...]}')
    edges = "edges" if "edges" in data else "links"  # networkx before 3.4, and D3, say links
    # networkx would make nodes of unknown ends, and merge what is listed twice, without a word: hence both checks.
    names = {node["id"] for node in data["nodes"]}
    for edge in data[edges]:
        if not {edge["source"], edge["target"]} <= names:
            raise ValueError(f"an edge between {edge['source']!r} and {edge['target']!r}, which are not both nodes")
    graph: nx.Graph[Any] = nx.node_link_graph(data, multigraph=False, edges=edges)
    if graph.number_of_edges() < len(data[edges]) or len(graph) < len(data["nodes"]):
        raise ValueError("a node or an edge that is listed twice")
    return graph


def _read_graphml(content: str) -> nx.Graph[Any]:
    graph: nx.Graph[Any] = nx.parse_graphml(content)
    # networkx adds both when it reads, so the graph would not be the one that was saved.
    for key in ("node_default", "edge_default"):
        graph.graph.pop(key, None)
    return graph


def _with_whole_numbers(graph: nx.Graph[Any]) -> nx.Graph[Any]:
    """GraphML has only text for node names: read 0, 1, 2, ... back as numbers, if they all are."""
    names = [str(node) for node in graph]
    # Each number in one spelling only, so that `7` and `07` stay two nodes; in JSON there may be both 1 and "1", which
    # must not become one.
    if all(re.fullmatch("0|[1-9][0-9]*", name) for name in names) and len(set(names)) == len(graph):
        return nx.relabel_nodes(graph, int)
    return graph


def _checked(graph: nx.Graph[Any]) -> nx.Graph[Any]:
    simple_graph(graph)
    if any("kind" in data for _, data in graph.nodes(data=True)):
        check_network(graph)  # its order is kept, as it says where workers go
        return graph
    communication_graph(graph)
    for u, v, data in graph.edges(data=True):
        if "rate" in data:
            real_number(f"rate of edge ({u}, {v})", data["rate"], 0, unit="exchanges per unit time")
    return canonical(graph)
