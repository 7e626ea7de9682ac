"""What there is: the registered communication graphs and physical networks, by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import networkx as nx

from topologies import fabrics, gpu_nodes, graphs, random_graphs
from topologies.conventions import with_rates
from topologies.graphs import alone
from topologies.registry import Entry, build_entry

GRAPHS: Final[Mapping[str, Entry]] = {
    "ring": Entry(graphs.ring, "A2CiD2 arXiv:2306.08289 (official code: cycle)", ("cycle",)),
    "complete": Entry(graphs.complete, "A2CiD2 arXiv:2306.08289 (official code: complete)"),
    "star": Entry(graphs.star, "DADAO arXiv:2208.00779 (official code: star)"),
    "path": Entry(graphs.path, "DADAO arXiv:2208.00779 (official code: path)", ("line",)),
    "exponential": Entry(graphs.exponential, "A2CiD2 arXiv:2306.08289 (official code: exponential)"),
    "grid": Entry(graphs.grid, "DADAO arXiv:2208.00779 (official code: 2D_grid)", ("2d_grid",)),
    "torus": Entry(graphs.torus, "networkx.grid_2d_graph(periodic=True)", ("2d_torus",)),
    "hypercube": Entry(graphs.hypercube, "networkx.hypercube_graph"),
    "random_regular": Entry(random_graphs.random_regular, "Steger & Wormald 1999 (networkx)"),
    "erdos_renyi": Entry(random_graphs.erdos_renyi, "Gilbert 1959; Erdos & Renyi 1960 (networkx)", ("gnp",)),
    "watts_strogatz": Entry(random_graphs.watts_strogatz, "Watts & Strogatz 1998 (networkx)", ("small_world",)),
    "barbell": Entry(graphs.barbell, "DADAO arXiv:2208.00779 (official code: barbell)"),
    "random_geometric": Entry(
        random_graphs.random_geometric, "DADAO arXiv:2208.00779 (official code: random_geom)", ("random_geom",)
    ),
}

NETWORKS: Final[Mapping[str, Entry]] = {
    "dedicated": Entry(fabrics.dedicated, "one link per edge of the communication graph"),
    "fabric": Entry(fabrics.fabric, "NIC-limited, full bisection (one ideal switch)", ("full_bisection", "switch")),
    "racks": Entry(fabrics.racks, "star of top-of-rack switches"),
    "fat_tree": Entry(fabrics.fat_tree, "Al-Fares, Loukissas & Vahdat, SIGCOMM 2008"),
    "dragonfly": Entry(fabrics.dragonfly, "Kim, Dally, Scott & Abts, ISCA 2008"),
    "torus": Entry(fabrics.torus, "Dally & Seitz 1986: k-ary n-cube with direct links"),
    "gpu_nodes": Entry(gpu_nodes.gpu_nodes, "rail-optimised GPU clusters (NVIDIA DGX SuperPOD reference design)"),
}


def build(name: str, workers: int, **options: object) -> nx.Graph[int]:
    """Build a communication graph by name, every edge with the uniform `rate` of one exchange per worker.

    Args:
        name: a key of `GRAPHS` or one of its aliases; case and hyphens do not matter.
        workers: n; the nodes are 0..n-1. One worker alone is a graph of every family, whatever its options.
        options: those of the family, see `GRAPHS[name].options`.
    Returns:
        a connected graph with the edge attribute `rate` = n / (2 |E|); `with_rates` changes it.
    Raises:
        ValueError: for an unknown name (with the nearest one), an unknown option, an impossible size or value.

    Example: `build("watts-strogatz", 32, k=4, p=0.2, seed=7)`.
    """
    return with_rates(build_entry(GRAPHS, "graph", name, workers, options, alone=alone))


def build_network(name: str, workers: int, **options: object) -> nx.Graph[int]:
    """Build a physical network by name, with as many end points (hosts, or GPUs) as there are workers.

    Args:
        name: a key of `NETWORKS` or one of its aliases; case and hyphens do not matter.
        workers: the number of end points; they are the nodes 0..n-1, switches and NICs follow.
        options: those of the family, see `NETWORKS[name].options`; bandwidths in bytes/s, latencies in seconds a link.
    Returns:
        a network as `topologies.physical` describes it.
    Raises:
        ValueError: for an unknown name (with the nearest one), an unknown option, an impossible size or value.

    Example: `build_network("fat_tree", 16, bandwidth=1.25e9, latency=1e-6)`.
    """
    return build_entry(NETWORKS, "network", name, workers, options)
