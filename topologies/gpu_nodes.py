"""Nodes with several GPUs each: NVLink inside a node, NICs outside, rail-optimised or on one fabric."""

from __future__ import annotations

import networkx as nx

from topologies.checks import whole_number
from topologies.physical import add_node, connect, end_points, wire


def gpu_nodes(
    workers: int,
    *,
    gpus_per_node: int = 8,
    nics_per_node: int | None = None,
    rails: bool = True,
    nvlink_bandwidth: float = 300e9,
    nvlink_latency: float = 1e-6,
    pcie_bandwidth: float = 32e9,
    pcie_latency: float = 1e-6,
    bandwidth: float = 12.5e9,
    latency: float = 5e-6,
    duplex: str = "full",
) -> nx.Graph[int]:
    """Nodes of several GPUs: NVSwitch inside, NICs outside, one worker a GPU.

    GPU g of a node hangs on the node's NVSwitch (NVLink) and on its NIC g * nics // gpus (PCIe); left out, there is a
    NIC a GPU. With `rails`, NIC r of every node is on rail switch r, and rails are joined only through the NVSwitches:
    a message to another rail changes GPU inside a node (NCCL's PXN). Without, all NICs are on one ideal switch.
    Nodes are filled in order: worker w is GPU w mod gpus_per_node of node w // gpus_per_node.

    Routes inside a node have 2 links; to the same rail of another node 4; to another rail 6.

    Args:
        workers: GPUs in all, a multiple of gpus_per_node.
        nvlink_bandwidth, pcie_bandwidth, bandwidth: of one GPU's NVLinks, a NIC's PCIe slot as one GPU sees it, and a
            NIC's port, in bytes/s in each direction; the latencies, in seconds, are of one link each.
    Raises:
        ValueError: if the nodes are not full, the NICs do not divide the GPUs, or a link is impossible.
    Source: NVIDIA DGX SuperPOD reference architecture (rail-optimised). Defaults: NVLink of an
        A100 (600 GB/s both ways together), a NIC of 100 Gbit/s, PCIe 4.0 x16; latencies are an illustration.
    """
    nodes, nics = _counts(workers, gpus_per_node, nics_per_node)
    # NVLink and PCIe have lanes of their own in each direction; `duplex` is that of the ports.
    nvlink = wire(nvlink_bandwidth, nvlink_latency, prefix="nvlink_")
    pcie = wire(pcie_bandwidth, pcie_latency, prefix="pcie_")
    port = wire(bandwidth, latency, duplex)
    # In a drawing the NVSwitches lie below their GPUs (level 0), since NICs and rails lie above.
    network = end_points(workers, "gpu", level=1)
    outside = [add_node(network, "switch", f"rail {r}" if rails else "switch", 3) for r in range(nics if rails else 1)]
    for node in range(nodes):
        inside = add_node(network, "switch", f"node {node} NVSwitch", 0)
        cards = [add_node(network, "nic", f"node {node} NIC {r}", 2) for r in range(nics)]
        for r, card in enumerate(cards):
            connect(network, card, outside[r if rails else 0], port)
        for g in range(gpus_per_node):
            gpu = node * gpus_per_node + g
            network.nodes[gpu].update(label=f"node {node} GPU {g}", group=node)
            connect(network, gpu, inside, nvlink)
            connect(network, gpu, cards[g * nics // gpus_per_node], pcie)
    return network


def _counts(workers: int, gpus_per_node: int, nics_per_node: int | None) -> tuple[int, int]:
    """Number of nodes, and of NICs in each."""
    whole_number("gpus_per_node", gpus_per_node, 1)
    if whole_number("workers", workers, 1) % gpus_per_node:
        raise ValueError(f"workers: expected a multiple of gpus_per_node = {gpus_per_node}, found {workers}")
    nics = gpus_per_node if nics_per_node is None else whole_number("nics_per_node", nics_per_node, 1)
    if gpus_per_node % nics:
        raise ValueError(f"nics_per_node: expected a divisor of gpus_per_node = {gpus_per_node}, found {nics}")
    return workers // gpus_per_node, nics
