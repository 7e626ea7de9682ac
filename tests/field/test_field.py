"""Public problems of people who do this job, restated as small scenarios, with the right answers found by hand.

The sources are in the programs; nobody's code or wording is here.
"""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest

from executor import execute
from schedules.errors import DeadlockError, TimeoutError
from schedules.result import Result
from simulator import simulate
from topologies import GRAPHS, NETWORKS
from topologies.files import save

HERE = Path(__file__).parent


def case(program: str, workers: int, gradient: str = "10 ms", **tables: dict[str, Any]) -> dict[str, Any]:
    return {
        "schedule": {"program": str(HERE / f"{program}.py"), "gradients": 1} | tables.get("schedule", {}),
        "topology": {"graph": "complete", "workers": workers} | tables.get("topology", {}),
        "platform": {"link": {"bandwidth": "10 Gbit/s", "latency": "50 us"}, "gradient": {"mean": gradient}}
        | tables.get("platform", {}),
        "workload": {"parameters": 100_000} | tables.get("workload", {}),
        "execution": {"timeout": 10},
    }


@pytest.mark.parametrize("platform", [{}, {"order": "overtaking"}, {"transport": "gloo"}], ids=str)
def test_two_blocking_sends_that_wait_for_each_other_never_end(platform: dict[str, Any]) -> None:
    with pytest.raises(DeadlockError) as error:
        simulate(case("send_send", 2, platform=platform))
    assert "rank 0  main  #0  Send(->1" in str(error.value)
    assert "rank 1  main  #0  Send(->0" in str(error.value)
    assert str(error.value).count("<- both send first: neither receives") == 2


@pytest.mark.parametrize(("stages", "micro_batches"), [(8, 1), (4, 1), (4, 4), (4, 8), (4, 32)])
def test_1f1b_of_fewer_micro_batches_than_stages(stages: int, micro_batches: int) -> None:
    """(m + p - 1)(f + b), with f = 10 ms and b = 20 ms."""
    platform = {
        "order": "overtaking",
        "link": {"bandwidth": "1 TB/s", "latency": 0},
        "kernels": {"fwd": {"mean": "10 ms"}, "bwd": {"mean": "20 ms"}},
    }
    schedule = {"micro_batches": micro_batches}
    found = simulate(case("few_micro_batches", stages, "30 ms", schedule=schedule, platform=platform))
    assert found.summary["makespan_s"] == pytest.approx((micro_batches + stages - 1) * 0.03, rel=1e-6)


def test_a_ring_over_gpus_without_a_switch_shares_the_link_that_two_of_its_edges_need() -> None:
    """3 -> 4 goes by 0, 7 -> 0 by 3: both share 3 -> 0 of 50 GB/s. 14 rounds of 12.5 MB at 25 GB/s and 10 us."""
    platform = {"network": {"file": str(HERE / "dgx1.json")}, "collectives": {"all_reduce": "ring"}}
    found = simulate(case("plain_all_reduce", 8, "1 ms", platform=platform, workload={"parameters": 25_000_000}))
    reduced = found.kept_trace[found.kept_trace["op"] == "AllReduce"]
    took = (reduced["end_ns"] - reduced["ready_ns"]).max() / 1e9
    assert took == pytest.approx(14 * (0.5e-3 + 10e-6), rel=1e-3)


def reduced_in(network: dict[str, Any], workers: int, parameters: int) -> float:
    """Seconds of one ring all-reduce over a network from a file."""
    platform = {"network": network, "collectives": {"all_reduce": "ring"}}
    workload = {"parameters": parameters}
    found = simulate(case("plain_all_reduce", workers, "1 ms", platform=platform, workload=workload))
    return float(found.summary["makespan_s"])


ABILENE = str(HERE.parent / "data" / "Abilene.graphml")
"""Of the Topology Zoo, as stored in https://github.com/pranaybathini/DDOS-in-ONOS; reduced to what matters."""


def test_gossip_on_a_graph_of_the_topology_zoo() -> None:
    tables = {"program": "gossip", "gradients": 20}
    found = simulate({**case("send_send", 2, "100 ms"), "topology": {"file": ABILENE}, "schedule": tables})
    assert (found.scenario.topology.workers, found.scenario.graph.number_of_edges()) == (11, 14)
    assert found.summary["gradients"] == 11 * 20


def test_a_ring_over_a_network_of_the_topology_zoo_with_the_latency_of_light() -> None:
    """A fluid simulation of its own, of rounds that both ends must have entered, has 691.76 ms."""
    network = {"file": ABILENE, "bandwidth": "10 Gbit/s", "latency": "coordinates", "kind": "host"}
    assert reduced_in(network, 11, 25_000_000) == pytest.approx(0.69176, rel=1e-4)


@pytest.mark.parametrize("latency_us", [5, 20, 300, 1000])
def test_a_ring_over_two_sites_far_apart(tmp_path: Path, latency_us: int) -> None:
    """Two hosts a site: 2 * 3 rounds of (S / 4 / (50 GB/s) + 2 us + L), S = 1 GiB, whatever the long line's width.

    https://github.com/NVIDIA/nccl-tests/issues/241
    """
    sites: nx.Graph[int] = nx.Graph()
    sites.add_nodes_from(range(4), kind="host")
    sites.add_nodes_from((4, 5), kind="switch")
    sites.add_edges_from([(0, 4), (1, 4), (2, 5), (3, 5)], latency=1e-6)
    sites.add_edge(4, 5, bandwidth=400e9, latency=latency_us * 1e-6)
    save(sites, tmp_path / "sites.json")
    expected = 6 * (2**30 / 4 / 50e9 + 2e-6 + latency_us * 1e-6)
    found = reduced_in({"file": str(tmp_path / "sites.json"), "bandwidth": "50 GB/s"}, 4, 2**28)
    assert found == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("graph", sorted(GRAPHS))
def test_one_worker_of_any_graph_makes_its_gradients_and_sends_nothing(graph: str) -> None:
    """The baseline of every scaling plot (https://github.com/NVIDIA/nccl-tests/issues/249): 5 x 10 ms."""
    programs: list[dict[str, Any]] = [
        {"program": "all-reduce"},
        {"program": "d-psgd"},
        {"program": "gossip", "pairing": "edge-clock"},
        {"program": "gossip", "pairing": "first-come"},
        {"program": "a2cid2", "pairing": "edge-clock"},
        {"program": "a2cid2", "pairing": "first-come"},
    ]
    platforms: list[dict[str, Any]] = [{"transport": "gloo"}, {"transport": "nccl", "network": {"kind": "fabric"}}]
    for schedule, platform in product(programs, platforms):
        tables = {"schedule": schedule | {"gradients": 5}, "topology": {"graph": graph}, "platform": platform}
        summary = simulate(case("send_send", 1, **tables)).summary
        assert (summary["makespan_s"], summary["bytes_sent"], summary["exchanges"]) == (0.05, 0, 0)


@pytest.mark.slow
def test_one_worker_runs_in_both_worlds_with_the_same_parameters() -> None:
    tables = {"problem": "quadratic", "dtype": "float64", "options": {"dimension": 4}}
    made = case("send_send", 1, schedule={"program": "a2cid2", "gradients": 5}) | {"workload": tables}
    simulated, measured = simulate(made), execute(made)
    assert measured.summary["bytes_sent"] == 0
    assert measured.parameters == pytest.approx(simulated.parameters, abs=1e-12)


@pytest.mark.parametrize("kind", sorted(set(NETWORKS) - {"gpu_nodes"}))
def test_one_worker_runs_on_any_network(kind: str) -> None:
    """The host of its own; a node of GPUs must be full, so it is one of one GPU."""
    for network in ({"kind": kind}, {"kind": "gpu_nodes", "gpus_per_node": 1}):
        tables = {"schedule": {"program": "all-reduce", "gradients": 5}, "platform": {"network": network}}
        assert simulate(case("send_send", 1, **tables)).summary["makespan_s"] == 0.05


def test_ranks_wait_for_ever_for_one_with_fewer_batches() -> None:
    """Five gradients of 10 ms and four all-reduces; rank 2 is to blame, and its programs have ended."""
    with pytest.raises(DeadlockError, match=r"at 52\.5\d\d ms") as error:
        simulate(case("uneven_inputs", 3, schedule={"gradients": 5, "fewer": 1}))
    assert str(error.value).splitlines()[1:] == [
        "  rank 0  main  #9  AllReduce(400 kB)  waiting 0.000 ms",
        "  rank 1  main  #9  AllReduce(400 kB)  waiting 0.000 ms",
        "  rank 2: its programs have ended",
    ]


@pytest.mark.slow
def test_in_a_real_run_the_rank_with_fewer_batches_is_named() -> None:
    with pytest.raises(TimeoutError, match="nothing has happened on any rank for 2 s") as error:
        execute(case("uneven_inputs", 3, schedule={"gradients": 5, "fewer": 1}) | {"execution": {"timeout": 2}})
    board = [line.partition("  waiting")[0] for line in str(error.value).splitlines()[1:]]
    assert board[:3] == [
        "  rank 0  main  #9  AllReduce(400 kB)",
        "  rank 1  main  #9  AllReduce(400 kB)",
        "  rank 2: its programs have ended",
    ]


@pytest.mark.parametrize(("every", "seconds"), [(4, 6.4012), (16, 16 * 0.1 + 6 * (25e6 / 125e6 + 50e-6))])
def test_gradients_that_are_added_up_are_reduced_less_often(every: int, seconds: float) -> None:
    """16 x 0.1 s + k x 6 x (25 MB / 125 MB/s + 50 us), k = 16 / every."""
    platform = {
        "link": {"bandwidth": "1 Gbit/s", "latency": "50 us"},
        "collectives": {"all_reduce": "ring", "form": "closed"},
    }
    schedule = {"gradients": 16, "every": every}
    workload = {"parameters": 25_000_000}
    found = simulate(case("accumulation", 4, "100 ms", schedule=schedule, platform=platform, workload=workload))
    assert found.summary["makespan_s"] == pytest.approx(seconds, rel=1e-4)
    assert found.summary["gradients"] == 4 * 16
    assert found.summary["staleness_max"] == 0
    assert found.summary["peak_memory_by_kind"].get("gradients", 0) == 0  # they are added up in a vector


@pytest.mark.slow
def test_gradients_that_are_added_up_give_the_step_of_their_mean() -> None:
    def run(every: int) -> Result:
        quadratic = {"problem": "quadratic", "dtype": "float64", "options": {"dimension": 6, "noise": 0.0}}
        found = case("accumulation", 2, schedule={"gradients": 8, "every": every}, topology={"graph": "complete"})
        return simulate({**found, "workload": quadratic, "optimizer": {"learning_rate": 0.05}})

    scenario = run(4).scenario
    problem = scenario.problem
    assert problem is not None
    x = problem.initial(scenario.run.seed)
    for step in range(2):
        drawn = [problem.gradient(x, rank, 4 * step + number) for rank in range(2) for number in range(4)]
        x = x - 0.05 * np.mean(drawn, axis=0)
    measured = execute(scenario)
    assert np.abs(run(4).parameters - x).max() < 1e-12
    assert measured.parameters is not None
    assert np.abs(measured.parameters - x).max() < 1e-12


def test_divergent_orders_of_two_groups_are_stuck_and_all_three_ranks_named() -> None:
    with pytest.raises(DeadlockError) as error:
        simulate(case("divergent_order", 3))
    told = str(error.value)
    assert "rank 0  main  #0  AllToAll" in told
    assert "rank 1  main  #0  AllReduce" in told
    assert "rank 2  main  #0  AllReduce" in told


def test_a_group_whose_other_member_comes_late_stops_nobody() -> None:
    found = simulate(case("late_subgroup", 3, "100 ms", schedule={"gradients": 40}))
    assert found.summary["makespan_s"] == pytest.approx(4.0, rel=1e-3)
    assert found.summary["per_rank"]["compute_s"][0] == pytest.approx(4.0, rel=1e-9)


@pytest.mark.slow
def test_in_a_real_run_divergent_orders_are_told_with_all_three_ranks() -> None:
    with pytest.raises(TimeoutError, match="nothing has happened on any rank for 2 s") as error:
        execute(case("divergent_order", 3) | {"execution": {"timeout": 2}})
    told = str(error.value)
    assert "rank 0  main  #0  AllToAll" in told
    assert "rank 1  main  #0  AllReduce" in told
    assert "rank 2  main  #0  AllReduce" in told


@pytest.mark.slow
def test_in_a_real_run_a_late_member_stops_nobody() -> None:
    """The limit is shorter than the member is late."""
    made = case("late_subgroup", 3, "100 ms", schedule={"gradients": 25}) | {"execution": {"timeout": 1}}
    found = execute(made)
    assert found.summary["per_rank"]["compute_s"][0] == pytest.approx(2.5, rel=0.1)
    assert found.summary["makespan_s"] < 1.5 * 2.5  # one after the other they take twice as long
