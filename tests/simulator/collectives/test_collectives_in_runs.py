"""Collectives under real schedules: by formula and by flows, in turn, with late members and other traffic."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest

from schedules.errors import ProgramError
from schedules.operations import (
    AllReduce,
    Await,
    Barrier,
    Broadcast,
    Payload,
    Program,
    Receive,
    Send,
    Start,
    Until,
)
from schedules.scenario import ScenarioError
from schedules.worker import Worker
from simulator import simulate
from simulator.world import World
from tests.simulator import rig
from topologies import files

MB = 10**6
FABRIC = {"kind": "fabric", "bandwidth": 1e8, "latency": 0.5e-3}
LATENCY = 1e-3  # of a route: two links
BANDWIDTH = 1e8


def all_reduce(workers: int, *, network: Any = None, **overrides: Any) -> dict[str, Any]:
    platform: dict[str, Any] = {"gradient": {"mean": 0.1}, "link": {"bandwidth": BANDWIDTH, "latency": LATENCY}}
    if network is not None:
        platform["network"] = network
    scenario = {
        "schedule": {"program": "all-reduce", "gradients": 4},
        "topology": {"graph": "complete", "workers": workers},
        "platform": platform,
        "workload": {"parameters": 1_000_000},
    }
    return simulate(scenario, overrides=overrides).summary


@pytest.mark.parametrize(
    ("algorithm", "transport", "overhead"),
    [
        *((algorithm, "ideal", 0.0) for algorithm in ("ring", "halving-doubling", "tree")),
        *((algorithm, "gloo", 2e-4) for algorithm in ("halving-doubling", "tree")),
        # Late threads let members end a ring one by one, and begin the next so: their ring alone is tested elsewhere.
        ("ring", "gloo", 0.0),
    ],
)
@pytest.mark.parametrize("workers", [2, 3, 8])
def test_flows_take_what_the_formula_says_on_an_idle_network(
    workers: int, transport: str, overhead: float, algorithm: str
) -> None:
    overrides = {
        "platform.transport": transport,
        "platform.overhead": overhead,
        "platform.collectives.all_reduce": algorithm,
    }
    (closed,) = all_reduce(workers, **overrides)["collectives"]
    (flows,) = all_reduce(workers, network=FABRIC, **overrides)["collectives"]
    assert (closed["form"], flows["form"]) == ("closed", "flows")
    assert flows["algorithm"] == closed["algorithm"] == algorithm
    assert flows["mean_s"] == pytest.approx(closed["mean_s"], rel=1e-3)
    assert flows["busbw"] == pytest.approx(closed["busbw"], rel=1e-3)


ONLY, BOTH = {"window": 20_000}, {"window": 50_000, "initial_window": 2_000}


@pytest.mark.parametrize(
    ("transport", "algorithm", "windows"),
    [
        ("gloo", "ring", ONLY),
        ("gloo", "ring", {"initial_window": 3_000}),
        ("gloo", "ring", BOTH),
        # That connections open is known to gloo's formulas alone.
        ("ideal", "ring", ONLY),
        ("ideal", "tree", ONLY),
    ],
)
def test_windows_weigh_as_much_by_flows_as_by_the_formula(
    transport: str, algorithm: str, windows: dict[str, int]
) -> None:
    """Each collective after a rest, so that connections open anew."""
    overrides = {
        "platform.transport": transport,
        "platform.collectives.all_reduce": algorithm,
        "platform.gradient.mean": 10.0,
        **{f"platform.{key}": value for key, value in windows.items()},
    }
    (closed,) = all_reduce(4, **overrides)["collectives"]
    (flows,) = all_reduce(4, network=FABRIC, **overrides)["collectives"]
    (free,) = all_reduce(4, **overrides | dict.fromkeys((f"platform.{key}" for key in windows), 10**9))["collectives"]
    assert flows["mean_s"] == pytest.approx(closed["mean_s"], rel=1e-3)
    assert closed["mean_s"] > 1.02 * free["mean_s"]


def test_the_summary_tells_bandwidths_as_nccl_tests_do() -> None:
    """Ring of 4, 4 MB: 6 (1 ms + 10 ms) = 66 ms; algbw 4 MB / 66 ms, busbw 2 * 3/4 of it."""
    (row,) = all_reduce(4, **{"platform.collectives.all_reduce": "ring"})["collectives"]
    assert row["count"] == 4
    assert row["mean_s"] == pytest.approx(0.066)
    assert row["latency_s"] == pytest.approx(0.006)
    assert row["algbw"] == pytest.approx(4e6 / 0.066)
    assert row["busbw"] == pytest.approx(1.5 * 4e6 / 0.066)


def test_several_gpus_a_node_reduce_in_levels() -> None:
    """4 nodes of 4 GPUs: 2 (m-1) (l + S/(m b)) inside, 2 (N-1) (L + S/(m N B)) outside, each GPU on its own rail."""
    network = {
        "kind": "gpu_nodes", "gpus_per_node": 4, "nvlink_bandwidth": 1e9, "nvlink_latency": 1e-6,
        "pcie_bandwidth": 1e9, "pcie_latency": 0.0, "bandwidth": 1e8, "latency": 1e-5,
    }  # fmt: skip
    (row,) = all_reduce(16, network=network)["collectives"]
    inside, outside = 6 * (2e-6 + 1e6 / 1e9), 6 * (2e-5 + 0.25e6 / 1e8)
    assert row["algorithm"] == "hierarchical"
    assert row["mean_s"] == pytest.approx(inside + outside, rel=1e-3)
    assert row["latency_s"] == pytest.approx(6 * 2e-6 + 6 * 2e-5)
    (ring,) = all_reduce(16, network=network, **{"platform.collectives.all_reduce": "ring"})["collectives"]
    # Four rings, each by a NIC of every node.
    assert ring["mean_s"] == pytest.approx(30 * (2e-5 + 4e6 / 16 / 4 / 1e8), rel=1e-3)


@pytest.mark.parametrize("overlap", [False, True])
def test_both_forms_give_the_same_parameters(overlap: bool) -> None:
    """How long it takes decides no numbers."""
    scenario: dict[str, Any] = {
        "schedule": {"program": "all-reduce", "gradients": 5, "overlap": overlap, "bucket_size": 64},
        "topology": {"graph": "complete", "workers": 4},
        "platform": {"gradient": {"mean": 0.1, "distribution": "exponential"}, "network": FABRIC},
        "workload": {"problem": "quadratic", "dtype": "float64"},
    }
    flows = simulate(scenario)
    closed = simulate(scenario, overrides={"platform.collectives.form": "closed"})
    assert flows.parameters is not None
    assert closed.parameters is not None
    assert np.array_equal(flows.parameters, closed.parameters)


def ends(world: World) -> list[float]:
    return [stream.end_ns / 1e9 for stream in world.streams]


def ring_time(n: int, size: float, bandwidth: float = BANDWIDTH) -> float:
    return 2 * (n - 1) * (LATENCY + size / n / bandwidth)


def reducing(late: Mapping[int, float], size: int = 4 * MB) -> Any:
    def programs(worker: Worker) -> Mapping[str, Program]:
        def program() -> Program:
            yield Until(late.get(worker.rank, 0.0))
            yield AllReduce(Payload(size))

        return {"reduce": program()}

    return programs


RING = {"platform__network": FABRIC, "platform__collectives.all_reduce": "ring"}


def test_a_late_member_holds_up_the_ring() -> None:
    """All but the late one have gone as far as they can without it: what is left once it comes is a whole ring, less
    nothing, since its own part must go all the way round."""
    late = 0.25
    world = rig.run(reducing({2: late}), 4, **RING)
    assert max(ends(world)) == pytest.approx(late + ring_time(4, 4 * MB), rel=1e-3)
    assert min(ends(world)) > late
    ready = world.ledger.totals().waiting_ns / 1e9
    assert ready.tolist() == pytest.approx([late, late, 0, late], abs=1e-9)


def test_a_slow_link_sets_the_pace_of_a_ring(tmp_path: Path) -> None:
    """One link of a quarter of the bandwidth in a ring of hosts: its bytes, 2 (n-1) parts, take as long as they can;
    the rounds before the first of them and after the last are fast."""
    graph = nx.cycle_graph(4)
    nx.set_node_attributes(graph, "host", "kind")
    for u, v in graph.edges:
        graph.edges[u, v].update(bandwidth=BANDWIDTH / (4 if (u, v) == (1, 2) else 1), latency=LATENCY)
    files.save(graph, tmp_path / "ring.json")
    options = {"platform__network": {"file": str(tmp_path / "ring.json")}, "platform__collectives.all_reduce": "ring"}
    world = rig.run(reducing({}), 4, **options)
    assert max(ends(world)) == pytest.approx(ring_time(4, 4 * MB, BANDWIDTH / 4), rel=1e-3)


def test_a_competing_message_halves_the_share_of_the_nic() -> None:
    """Rank 0 sends 100 MB to rank 4 all the while: its part of every round has half its NIC."""

    def programs(worker: Worker) -> Mapping[str, Program]:
        def alone() -> Program:
            if worker.rank == 0:
                yield Send(4, Payload(100 * MB))
            else:
                yield Receive(0, 100 * MB)

        def reduce() -> Program:
            yield AllReduce(Payload(4 * MB), group=(0, 1, 2, 3))

        others = {"other": alone()} if worker.rank in (0, 4) else {}
        return others | ({"reduce": reduce()} if worker.rank < 4 else {})

    world = rig.run(programs, 5, **RING)
    reduced = [stream.end_ns / 1e9 for stream in world.streams if stream.name == "reduce"]
    assert max(reduced) == pytest.approx(6 * (LATENCY + 1 * MB / (BANDWIDTH / 2)), rel=0.06)
    other = next(stream.end_ns / 1e9 for stream in world.streams if stream.name == "other")
    assert other == pytest.approx(LATENCY + 1.0 + 6 * MB / BANDWIDTH, rel=1e-3)  # it gave way to 6 MB


def test_collectives_of_one_group_go_one_behind_the_other() -> None:
    """Two started at once take twice the time of one; of two groups, side by side, each takes that of one."""

    def programs(worker: Worker) -> Mapping[str, Program]:
        def program() -> Program:
            handles = []
            for tag in range(2):
                handle, _ = yield Start(AllReduce(Payload(4 * MB), tag=tag))
                handles.append(handle)
            _, time = yield Await(tuple(handles))
            assert time == pytest.approx(2 * ring_time(4, 4 * MB), rel=1e-3)
            yield Barrier()

        return {"program": program()}

    world = rig.run(programs, 4, **RING)
    assert ends(world) == pytest.approx([2 * ring_time(4, 4 * MB) + 2 * LATENCY] * 4, rel=1e-3)


def test_a_tree_hands_on_before_all_have_come() -> None:
    """A leaf of a broadcast comes late: only the one that hands it the bytes waits for it."""

    def programs(worker: Worker) -> Mapping[str, Program]:
        def program() -> Program:
            yield Until(5.0 if worker.rank == 3 else 0.0)
            payload, time = yield Broadcast(Payload(1 * MB, version=worker.rank), root=0)
            assert payload.version == 0
            assert time >= 0

        return {"program": program()}

    network = {"platform__network": FABRIC, "platform__collectives.broadcast": "tree"}
    times = ends(rig.run(programs, 4, **network))
    one = LATENCY + 1 * MB / BANDWIDTH
    assert times[3] == pytest.approx(5 + one, rel=1e-6)
    assert sum(time < 5 * one for time in times) == 2


def test_members_must_agree_by_flows_too() -> None:
    def programs(worker: Worker) -> Mapping[str, Program]:
        def program() -> Program:
            yield AllReduce(Payload(1000 + 8 * worker.rank))

        return {"program": program()}

    with pytest.raises(ProgramError, match="expected the same collective with equal sizes and numbers, found two"):
        rig.run(programs, 2, **RING)


def test_channels_need_not_agree_whose_collective_is_first() -> None:
    """Rank 0 comes to one of two collectives first, rank 2 to the other: each channel is a communicator of its own.
    From 0.2 s on both are under way, and the bytes of one hide the latencies of the other."""

    def programs(worker: Worker) -> Mapping[str, Program]:
        def reduce(channel: str, at: float) -> Program:
            yield Until(at)
            yield AllReduce(Payload(4 * MB), channel=channel)

        return {"one": reduce("one", 0.1 * worker.rank), "other": reduce("other", 0.2 - 0.1 * worker.rank)}

    moving = 2 * 4 * (4 * MB / 3) / BANDWIDTH
    assert max(ends(rig.run(programs, 3, **RING))) == pytest.approx(0.2 + LATENCY + moving, rel=1e-6)


def test_what_a_message_of_a_collective_costs_after_its_last_byte_keeps_no_link() -> None:
    """gloo, 0.2 s a message, links of 1 MB/s. A chain 0 -> 1 -> 2 of 0.5 MB: rank 1 has it at 0.5 s and sends it on at
    0.7 s. Before that it sends 0.2 MB to rank 3 from 0.4 s on, and 0.1 MB to rank 4 from 0.55 s on: these two share its
    NIC until 0.65 s, and the second is there at 0.7 s."""

    def programs(worker: Worker) -> Mapping[str, Program]:
        def chain() -> Program:
            yield Broadcast(Payload(MB // 2), root=0, group=(0, 1, 2))

        def send(peer: int, size: int, at: float) -> Program:
            yield Until(at)
            yield Send(peer, Payload(size))

        def receive(size: int) -> Program:
            yield Receive(1, size)

        sends = {"three": send(3, MB // 5, 0.4), "four": send(4, MB // 10, 0.55)}
        if worker.rank < 3:
            return {"chain": chain()} | (sends if worker.rank == 1 else {})
        return {"chain": receive(MB // 5 if worker.rank == 3 else MB // 10)}

    network = {"kind": "fabric", "bandwidth": MB, "latency": 0.0}
    gloo = {"transport": "gloo", "overhead": 0.2, "network": network, "collectives.broadcast": "chain"}
    world = rig.run(programs, 5, **{f"platform__{key}": value for key, value in gloo.items()})
    ended = [stream.end_ns / 1e9 for stream in world.streams if stream.name == "chain"]
    assert ended == pytest.approx([0.7, 1.4, 1.4, 0.85, 0.9], rel=1e-9)


def test_a_hierarchy_of_unequal_nodes_is_a_mistake_of_the_scenario() -> None:
    network = {"kind": "gpu_nodes", "gpus_per_node": 4, "hosts": 8}
    with pytest.raises(ScenarioError, match=r"expected equally many members of a group on every node, found 4, 2"):
        all_reduce(6, network=network, **{"platform.collectives.all_reduce": "hierarchical"})
