"""A run in the formats of other tools: Perfetto, GraphML, CSV, TensorBoard, torch's pipelines; its events for a run."""

from __future__ import annotations

from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from analysis.exports import perfetto, tensorboard
from analysis.exports.event_list import event_list
from analysis.exports.torch_orders import torch_csv
from analysis.measures.metrics import num_ranks, partner_matrix, span_ns
from schedules.record.whole import whole_file
from schedules.result import Result, load_run
from topologies.event_lists import event_text

if TYPE_CHECKING:
    import networkx as nx
    import pandas as pd


def export(run_dir: str | PathLike[str], format: str, path: str | PathLike[str]) -> Path:
    """Write a run in another format, all or nothing.

    * `perfetto`: JSON for ui.perfetto.dev and chrome://tracing, see `analysis.exports.perfetto`;
    * `graphml`: who exchanged with whom, see `communication_graph`;
    * `csv`: the trace, one row an operation, times in nanoseconds;
    * `events`: gradients and exchanges, for `schedule.events` of another run, see `analysis.exports.event_list`;
    * `torch-csv`: the order of a pipeline with a flush, see `analysis.exports.torch_orders`;
    * `tensorboard`: event files in a directory, see `analysis.exports.tensorboard`.

    Args:
        run_dir: a run directory of either world; for `torch-csv` a scenario's file, too.
        format: one of `FORMATS`, of `ORDERS`, or of `DIRECTORIES`.
        path: the file or directory to write; what it lies in is made if it is not there.
    Returns:
        the path.
    Raises:
        ValueError: for another format, a run that cannot be read, or operations of a lane that overlap (perfetto).
        OSError: if the file cannot be written.
    """
    known, target = [*FORMATS, *ORDERS, *DIRECTORIES], Path(path)
    if format not in known:
        raise ValueError(f"format: expected one of {', '.join(known)}, found {format!r}")
    if format in ORDERS:
        text = ORDERS[format](Path(run_dir))
        with whole_file(target) as temporary:
            temporary.write_text(text, encoding="utf-8", newline="\n")
        return target
    run = load_run(run_dir)
    if format in DIRECTORIES:
        DIRECTORIES[format](run, target)
        return target
    try:
        with whole_file(target) as temporary:
            FORMATS[format](run, temporary)
    except ValueError as error:  # what is wrong with a trace does not say whose it is
        raise ValueError(f"{run.directory}: {error}") from error
    return target


def communication_graph(trace: pd.DataFrame, gradient_s: float) -> nx.Graph[int]:
    """Who exchanged with whom, point to point.

    Args:
        trace: table with `schedules.record.trace.COLUMNS`.
        gradient_s: one gradient time in seconds.
    Returns:
        a graph with nodes 0..n-1 and the edge attributes `exchanges`: exchanges of the pair, and sends in both
        directions; `bytes`: sent in both directions together; `rate`: exchanges per gradient time, which makes the
        graph a topology that a scenario can use.
    """
    import networkx as nx

    counts, sizes = partner_matrix(trace), partner_matrix(trace, weight="bytes")
    sends = partner_matrix(trace[trace["op"] == "Send"]) if (trace["op"] == "Send").any() else np.zeros_like(counts)
    sends = np.pad(sends, (0, len(counts) - len(sends)))  # sends alone may know of fewer ranks
    begin, end = span_ns(trace)
    gradient_times = (end - begin) / 1e9 / gradient_s
    graph: nx.Graph[int] = nx.Graph(name="communication")
    graph.add_nodes_from(range(num_ranks(trace)))
    for i, j in np.argwhere(np.triu(counts + counts.T, 1)).tolist():  # each pair once
        both, sent = int(counts[i, j] + counts[j, i]), int(sends[i, j] + sends[j, i])
        exchanges = sent + (both - sent + 1) // 2  # an exchange whose other end was lost in a crash counts
        rate = exchanges / gradient_times
        graph.add_edge(i, j, exchanges=exchanges, bytes=int(sizes[i, j] + sizes[j, i]), rate=rate)
    return graph


def _write_perfetto(run: Result, path: Path) -> None:
    with path.open("w", encoding="utf-8") as file:
        perfetto.write(run.kept_trace, run.world, file)


def _write_graphml(run: Result, path: Path) -> None:
    import networkx as nx

    nx.write_graphml(communication_graph(run.kept_trace, run.gradient_s), path, encoding="utf-8")


def _write_csv(run: Result, path: Path) -> None:
    run.kept_trace.to_csv(path, index=False, lineterminator="\n")  # the same bytes on every system


def _write_events(run: Result, path: Path) -> None:
    path.write_text(event_text(event_list(run)), encoding="utf-8", newline="\n")


FORMATS: Final[dict[str, Callable[[Result, Path], None]]] = {
    "perfetto": _write_perfetto,
    "graphml": _write_graphml,
    "csv": _write_csv,
    "events": _write_events,
}
"""The formats that are one file, by name."""

ORDERS: Final[dict[str, Callable[[Path], str]]] = {"torch-csv": torch_csv}
"""Those that need no run: (scenario's file or run directory) -> text."""

DIRECTORIES: Final[dict[str, Callable[[Result, Path], None]]] = {"tensorboard": tensorboard.write}
"""Those that are a directory of files."""
