"""Who talks to whom, and over which wires: communication graphs, their rates and spectra, and physical networks.

A communication graph is an undirected networkx.Graph with nodes 0..n-1 and the edge attribute `rate`; a physical
network is one with hosts, switches and links. Files are in `topologies.files`.

    >>> graph = build("ring", 16)
    >>> round(chi_1(graph), 6), round(chi_2(graph), 6)
    (13.137071, 0.9375)
    >>> network = build_network("fat_tree", 16, bandwidth=1.25e9)
    >>> [len(route) for route in routes(network, [(0, 1), (0, 2), (0, 4)]).values()]
    [2, 4, 6]
"""

from topologies.catalogue import GRAPHS, NETWORKS, build, build_network
from topologies.conventions import with_counted_rates, with_rates
from topologies.event_lists import dadao_events
from topologies.layouts import layout
from topologies.physical import link_table
from topologies.rates import optimal_rates, sufficient_rate, sufficient_rates
from topologies.routing import routes
from topologies.spectral import a2cid2_parameters, chi_1, chi_2, laplacian
from topologies.varying import TimeVaryingGraph, build_varying

__all__ = [
    "GRAPHS",
    "NETWORKS",
    "TimeVaryingGraph",
    "a2cid2_parameters",
    "build",
    "build_network",
    "build_varying",
    "chi_1",
    "chi_2",
    "dadao_events",
    "laplacian",
    "layout",
    "link_table",
    "optimal_rates",
    "routes",
    "sufficient_rate",
    "sufficient_rates",
    "with_counted_rates",
    "with_rates",
]
