"""Collectives on nodes of several GPUs: by formula and message by message, with the numbers that a hand works out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from schedules.operations import AllGather
from simulator import simulate
from simulator.collectives.patterns import rings_abreast

ONE = Path(__file__).parent / "relays" / "one_collective.py"
FIELD = {"nvlink_bandwidth": "150 GB/s", "bandwidth": "12.5 GB/s", "pcie_bandwidth": "12.5 GB/s"}
KEYS = {"AllReduce": "all_reduce", "ReduceScatter": "reduce_scatter", "AllGather": "all_gather"}
KEYS |= {"Broadcast": "broadcast", "AllToAll": "all_to_all"}
LARGE = 1_600_000_000
OUTSIDE, INSIDE = 12e-6, 2e-6
"""Latencies of a way to the same rail of another node, and within a node."""


def seconds(
    kind: str,
    workers: int,
    gpus: int,
    size: int,
    *,
    algorithm: str = "auto",
    transport: str = "nccl",
    form: str = "flows",
    **network: Any,
) -> float:
    platform: dict[str, Any] = {
        "gradient": {"mean": 0.01},
        "transport": transport,
        "network": {"kind": "gpu_nodes", "gpus_per_node": gpus, "hosts": -(-workers // gpus) * gpus} | FIELD | network,
        "collectives": {"form": form, KEYS[kind]: algorithm},
    }
    if transport == "nccl":
        platform["efficiency"] = 1
    scenario = {
        "schedule": {"program": str(ONE), "gradients": 1, "kind": kind},
        "topology": {"graph": "complete", "workers": workers},
        "platform": platform,
        "workload": {"parameters": size // 4},
    }
    return float(simulate(scenario).summary["makespan_s"])


def both(*what: Any, **network: Any) -> tuple[float, float]:
    """By flows, and by the formula."""
    return seconds(*what, **network), seconds(*what, **network, form="closed")


# ---- rings by all NICs of a node whose members come one by one


@pytest.mark.parametrize("transport", ["ideal", "nccl"])
def test_rings_of_an_all_gather_ask_no_sizes_of_those_who_have_yet_to_come(transport: str) -> None:
    """1,000 numbers of 4 bytes, in four rings of 8: one ring has 1,000 bytes a member."""
    found = seconds("AllGather", 8, 4, 4_000, transport=transport)
    assert 7 * INSIDE < found < 7 * 14e-6 + 1e-5


def test_who_sends_to_whom_is_known_without_sizes() -> None:
    def size_of(part: int) -> int:
        raise KeyError(part)

    for each, pairs in zip(
        rings_abreast(AllGather, [[0, 1, 2], [2, 1, 0]], 9),
        ([(0, 1), (1, 2), (2, 0)], [(0, 2), (1, 0), (2, 1)]),
        strict=True,
    ):
        assert replace(each, size_of=size_of).pairs() == pairs


# ---- everybody to everybody at once


@pytest.mark.parametrize("transport", ["ideal", "nccl", "gloo"])
@pytest.mark.parametrize(("kind", "rounds"), [("AllReduce", 2), ("AllToAll", 1)])
@pytest.mark.parametrize(
    ("workers", "gpus", "nics", "parts"),  # parts of n that leave by a NIC
    [(8, 4, 4, 4), (8, 2, 2, 6), (4, 2, 2, 2), (16, 8, 8, 8), (7, 4, 4, 4), (8, 4, 1, 16), (8, 4, 2, 8), (8, 2, 1, 12)],
)
def test_only_what_is_for_other_nodes_leaves_by_the_nic(
    kind: str, rounds: int, workers: int, gpus: int, nics: int, parts: int, transport: str
) -> None:
    """On the smaller node of 7 on 4 each of three sends 4 of 7 parts."""
    expected = rounds * parts / workers * LARGE / 12.5e9
    what = {"algorithm": "direct", "transport": transport, "nics_per_node": nics}
    flows, closed = both(kind, workers, gpus, LARGE, **what)
    assert flows == pytest.approx(expected, rel=2e-3)
    assert closed == pytest.approx(expected, rel=2e-3)


def test_what_stays_in_the_node_is_waited_for_where_it_is_slow() -> None:
    """Seven of eight GPUs of a node at 1 GB/s; without rails nothing else goes by NVLink."""
    what: dict[str, Any] = {"rails": False, "nvlink_bandwidth": "1 GB/s"}
    flows, closed = both("AllToAll", 16, 8, LARGE, **what)
    assert flows == pytest.approx(7 / 16 * 1.6, rel=1e-3)
    assert closed == pytest.approx(flows, rel=1e-3)


@pytest.mark.parametrize("transport", ["ideal", "nccl"])
@pytest.mark.parametrize(("workers", "gpus", "nics"), [(8, 4, 1), (8, 4, 2), (16, 4, 2), (8, 2, 1), (8, 4, 4)])
def test_the_rails_of_a_hierarchy_share_the_nics_that_there_are(
    workers: int, gpus: int, nics: int, transport: str
) -> None:
    nodes = workers // gpus
    inside = 2 * (gpus - 1) / gpus * LARGE / 150e9
    outside = 2 * (nodes - 1) / nodes * LARGE / gpus * (gpus // nics) / 12.5e9
    what = {"algorithm": "hierarchical", "transport": transport, "nics_per_node": nics}
    for found in both("AllReduce", workers, gpus, LARGE, **what):
        assert found == pytest.approx(inside + outside, rel=3e-3)


@pytest.mark.parametrize(("workers", "gpus"), [(8, 4), (8, 2), (16, 4)])
def test_of_nccls_algorithms_only_what_hands_on_goes_by_all_nics(workers: int, gpus: int) -> None:
    """A broadcast down a binomial tree leaves a node by the NIC of whoever sends it, also by the formula, which takes
    every message to go between nodes."""
    closed = seconds("Broadcast", workers, gpus, LARGE, algorithm="tree", form="closed")
    assert closed == pytest.approx((workers - 1).bit_length() * (OUTSIDE + LARGE / 12.5e9), rel=1e-3)


# ---- few bytes: latencies


@pytest.mark.parametrize(
    ("workers", "gpus", "nics"), [(4, 2, 2), (8, 2, 2), (8, 4, 4), (16, 8, 8), (8, 4, 1), (8, 2, 1)]
)
def test_a_ring_of_few_bytes_lacks_the_hops_that_take_least(workers: int, gpus: int, nics: int) -> None:
    """Once around is N L + (n - N) L'. A reduce-scatter and an all-gather lack a hop of it, an all-reduce of twice that
    two in a row, of which one is between nodes where these have two GPUs."""
    nodes = workers // gpus
    once = nodes * OUTSIDE + (workers - nodes) * INSIDE
    last = OUTSIDE if gpus == 2 else INSIDE
    expected = {"AllReduce": 2 * once - INSIDE - last, "ReduceScatter": once - INSIDE, "AllGather": once - INSIDE}
    for kind, latency in expected.items():
        for found in both(kind, workers, gpus, 32, algorithm="ring", nics_per_node=nics):
            assert found == pytest.approx(latency, rel=2e-3)
    # One chain ends with the last of the last node, one of several with a member of the root's.
    for found in both("Broadcast", workers, gpus, 32, nics_per_node=nics):
        assert found == pytest.approx(once - (OUTSIDE if nics == 1 else INSIDE), rel=2e-3)


@pytest.mark.parametrize("kind", ["AllReduce", "ReduceScatter", "AllGather"])
@pytest.mark.parametrize(("workers", "gpus"), [(4, 2), (8, 4), (16, 8)])
def test_rings_of_any_size_come_within_six_percent(workers: int, gpus: int, kind: str) -> None:
    for size in (40_000, 400_000, 4_000_000, 40_000_000):
        flows, closed = both(kind, workers, gpus, size, algorithm="ring")
        assert closed == pytest.approx(flows, rel=0.06)
