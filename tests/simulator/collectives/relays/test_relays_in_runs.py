"""NCCL's collectives in runs: by formula and message by message, with late members, and what links have carried."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from schedules.operations import AllGather, AllReduce, Broadcast, Operation, ReduceScatter
from schedules.platform.collective_times import nccl_seconds
from simulator import simulate

HERE = Path(__file__).parent
BANDWIDTH, LATENCY, OVERHEAD, EFFICIENCY = 1.25e8, 1e-3, 1e-4, 0.9
FABRIC = {"kind": "fabric", "bandwidth": BANDWIDTH, "latency": LATENCY / 2}
FIELD = {"nvlink_bandwidth": "150 GB/s", "bandwidth": "100 Gbit/s", "pcie_bandwidth": "12.5 GB/s"}
SIZES = [4_000, 400_000, 40_000_000]


def run(kind: str, n: int, size: int, network: dict[str, Any] = FABRIC, **changes: Any) -> Any:
    platform = {
        "gradient": {"mean": 0.01},
        "transport": "nccl",
        "network": network,
        "efficiency": EFFICIENCY,
        "overhead": OVERHEAD,
    }
    scenario = {
        "schedule": {"program": str(HERE / "one_collective.py"), "gradients": 1, "kind": kind},
        "topology": {"graph": "complete", "workers": n},
        "platform": platform,
        "workload": {"parameters": size // 4},
    }
    return simulate(scenario, overrides={f"platform.{key}": value for key, value in changes.items()})


def seconds(kind: str, n: int, size: int, algorithm: str, form: str) -> float:
    asked = {"collectives": {"all_reduce": algorithm}} if kind == "AllReduce" else {}
    asked.setdefault("collectives", {})["form"] = form
    return float(run(kind, n, size, **asked).summary["makespan_s"])


@pytest.mark.parametrize("n", [1, 2, 3, 4, 8])
@pytest.mark.parametrize(
    ("kind", "algorithm"),
    [
        *(("AllReduce", each) for each in ("ring", "direct", "hierarchical", "halving-doubling")),
        *((each, "auto") for each in ("ReduceScatter", "AllGather", "Broadcast", "AllToAll", "Barrier")),
    ],
)
def test_both_forms_take_the_same(kind: str, algorithm: str, n: int) -> None:
    for size in SIZES:
        closed, flows = (seconds(kind, n, size, algorithm, form) for form in ("closed", "flows"))
        assert flows == pytest.approx(closed, rel=1e-4)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 8, 16])
def test_trees_take_up_to_a_tenth_more_message_by_message(n: int) -> None:
    for size in SIZES:
        closed, flows = (seconds("AllReduce", n, size, "tree", form) for form in ("closed", "flows"))
        assert 0.99 * closed <= flows <= 1.1 * closed


@pytest.mark.parametrize("nodes", [2, 3, 4, 8])
def test_trees_over_nodes_of_several_gpus(nodes: int) -> None:
    network = {"kind": "gpu_nodes", "gpus_per_node": 4} | FIELD
    for size in SIZES:
        closed, flows = (
            run("AllReduce", 4 * nodes, size, network, collectives={"all_reduce": "tree", "form": form}, overhead=0)
            for form in ("closed", "flows")
        )
        assert flows.summary["makespan_s"] == pytest.approx(closed.summary["makespan_s"], rel=0.12)


@pytest.mark.parametrize(("kind", "algorithm"), [("AllReduce", "ring"), ("AllReduce", "tree"), ("Broadcast", "auto")])
def test_a_window_is_what_a_connection_carries_whatever_the_efficiency(kind: str, algorithm: str) -> None:
    """20 kB in a round trip of 2 ms, each: a chain of 4 takes 3 ms and 40 MB of them."""
    asked = {"collectives": {"all_reduce": algorithm}} if kind == "AllReduce" else {"collectives": {}}
    closed, flows = (
        run(kind, 4, 40_000_000, window=20_000, collectives=asked["collectives"] | {"form": form}).summary["makespan_s"]
        for form in ("closed", "flows")
    )
    assert flows == pytest.approx(closed, rel=1e-4)
    if kind == "Broadcast":
        assert closed == pytest.approx(3 * LATENCY + 40_000_000 / (20_000 / 2e-3) + OVERHEAD, rel=1e-6)


KINDS: list[tuple[type[Operation], float, float]] = [
    (AllReduce, 14, 1 / 8),
    (ReduceScatter, 7, 1 / 8),
    (AllGather, 7, 1.0),
    (Broadcast, 1, 1.0),
]


@pytest.mark.parametrize(("kind", "rounds", "part"), KINDS)
def test_latency_is_paid_once_where_bytes_hide_it(kind: type[Operation], rounds: float, part: float) -> None:
    """8 ranks, 40 MB, so that a part takes longer than a latency; a chain has seven latencies."""
    size = 40_000_000
    latencies = 7 if kind is Broadcast else 1
    found = nccl_seconds(kind, 8, size, BANDWIDTH, LATENCY, OVERHEAD)
    assert found == pytest.approx(rounds * part * size / BANDWIDTH + latencies * LATENCY + OVERHEAD, rel=1e-12)


def test_few_bytes_wait_for_every_latency() -> None:
    assert nccl_seconds(AllReduce, 8, 0, BANDWIDTH, LATENCY, OVERHEAD) == pytest.approx(14 * LATENCY + OVERHEAD)


@pytest.mark.parametrize("transport", ["ideal", "nccl"])
@pytest.mark.parametrize("form", ["closed", "flows"])
@pytest.mark.parametrize(("gpus", "expected"), [(1, 0.224), (2, 0.112), (4, 0.056)])
def test_a_ring_is_as_many_rings_as_nics(gpus: int, expected: float, form: str, transport: str) -> None:
    """1.6 GB over 8 GPUs, https://github.com/NVIDIA/nccl/issues/569: 2 * 7/8 * 1.6 GB over all NICs of a node. NVLink
    is faster, and its bytes move meanwhile."""
    changes = {"efficiency": 1, "overhead": 0, "transport": transport}
    asked = {"collectives": {"all_reduce": "ring", "form": form}}
    network = {"kind": "gpu_nodes", "gpus_per_node": gpus} | FIELD
    found = run("AllReduce", 8, 1_600_000_000, network, **changes, **asked)
    assert expected <= found.summary["makespan_s"] <= expected * 1.005


@pytest.mark.parametrize("form", ["closed", "flows"])
def test_a_slow_link_in_the_node_is_what_rings_wait_for(form: str) -> None:
    """Two nodes of four: three of the four rings go over each NVLink, of 10 GB/s."""
    network = {"kind": "gpu_nodes", "gpus_per_node": 4} | FIELD | {"nvlink_bandwidth": "10 GB/s"}
    asked = {"collectives": {"all_reduce": "ring", "form": form}, "efficiency": 1, "overhead": 0}
    found = run("AllReduce", 8, 1_600_000_000, network, **asked)
    assert found.summary["makespan_s"] == pytest.approx(2 * 7 / 8 * 1.6 / 10 * 3 / 4, rel=0.02)


def test_links_have_carried_the_bytes_and_not_what_was_lost() -> None:
    found = run("AllReduce", 4, 40_000_000, **{"collectives.all_reduce": "ring"})
    assert found.links is not None
    assert found.links["carried_bytes"].sum() == pytest.approx(2 * 4 * 2 * 3 / 4 * 40_000_000, rel=1e-6)
    assert found.summary["bytes_sent"] == 4 * 2 * 3 / 4 * 40_000_000


def test_a_late_member_is_waited_for_by_those_that_need_it() -> None:
    """A broadcast from rank 0: rank 3 comes 50 ms late, and only it, the last of the chain, is late."""
    found = run("Broadcast", 4, 400_000, overhead=0)
    late = run("LateBroadcast", 4, 400_000, overhead=0)
    traces = (each.kept_trace[each.kept_trace["op"] == "Broadcast"] for each in (found, late))
    ends, later = (each.set_index("rank")["end_ns"] for each in traces)
    assert later[[0, 1]].tolist() == ends[[0, 1]].tolist()
    assert later[3] >= 50_000_000 + 400_000 / BANDWIDTH * 1e9


def test_the_transport_takes_rings_and_trees_only() -> None:
    """On nodes of several GPUs the rule of other transports takes a hierarchy."""
    network = {"kind": "gpu_nodes", "gpus_per_node": 4} | FIELD
    chosen = {
        transport: run("AllReduce", 8, 40_000_000, network, transport=transport).summary["collectives"][0]["algorithm"]
        for transport in ("ideal", "nccl")
    }
    assert chosen == {"ideal": "hierarchical", "nccl": "ring"}


def test_few_bytes_on_many_nodes_go_by_trees() -> None:
    found = run("AllReduce", 32, 4_000, efficiency=1)
    assert found.summary["collectives"][0]["algorithm"] == "tree"
