"""Random scenarios with everything that a platform may have: run twice, and checked against what holds in every run."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from schedules.errors import DeadlockError
from schedules.result import Result
from simulator import simulate
from tests.simulator import invariants

Tables = dict[str, Any]
NUM_BATCHES, BATCH = 20, 10


def draw_network(rng: random.Random, workers: int) -> Tables:
    kind = rng.choice(["dedicated", "fabric", "racks", "fat_tree", "dragonfly", "torus", "gpu_nodes"])
    bandwidth, latency = rng.choice([1.1e6, 1.1e8]), rng.choice([0.0, 1.3e-4, 0.017])
    table: Tables = {"kind": kind, "bandwidth": bandwidth, "latency": latency}
    if kind == "torus":
        table["hosts"] = rng.choice([8, 9])
    if kind == "racks":
        table |= {"hosts_per_rack": rng.choice([1, 2, 3]), "uplink_bandwidth": bandwidth * rng.choice([0.5, 2])}
    if kind == "gpu_nodes":
        table |= {"gpus_per_node": rng.choice([each for each in (1, 2, 4) if workers % each == 0])}
        table |= {"nvlink_bandwidth": 1e9, "rails": rng.random() < 0.5}
    if rng.random() < 0.3:
        table["duplex"] = "half"
    if rng.random() < 0.3:
        table["ties"] = "ecmp"
    if rng.random() < 0.2 and latency:
        table["sharing"] = "rtt"
    return table


def draw_faults(rng: random.Random, workers: int, *, survives: bool) -> Tables:
    table: Tables = {"detection": rng.choice([0.0, 0.01, 0.2]), "outages": []}
    if rng.random() < 0.5:
        table |= {"mean_time_to_failure": rng.choice([0.5, 2.0]), "mean_time_to_repair": rng.choice([0.05, 0.3])}
    for _ in range(rng.randint(0, 3)):
        at = rng.choice([0.0, 0.1, rng.random()])
        back = {} if survives and rng.random() < 0.3 else {"back": at + rng.choice([0.05, 0.4])}
        table["outages"].append({"rank": rng.randrange(workers), "at": at, **back})
    return table


def draw_schedule(rng: random.Random) -> Tables:
    schedule: Tables = {"program": rng.choice(["all-reduce", "d-psgd", "gossip", "a2cid2"])}
    schedule["gradients"] = rng.randint(1, 6)
    if schedule["program"] in ("gossip", "a2cid2"):
        schedule["rate"] = rng.choice([0.3, 1.0, 2.5])
        schedule["pairing"] = rng.choice(["edge-clock", "first-come"])
        schedule["gradient_clock"] = rng.choice(["free", "poisson"])
    elif schedule["program"] == "all-reduce" and rng.random() < 0.5:
        schedule |= {"overlap": True, "bucket_size": rng.randint(8, 2000)}
    return schedule


def draw_platform(rng: random.Random, workers: int) -> Tables:
    spread = [{}, {"distribution": "exponential"}, {"distribution": "lognormal", "cv": 0.5}]
    platform: Tables = {
        "gradient": {"mean": 0.1, **rng.choice(spread)},
        "link": {"bandwidth": rng.choice([1.1e4, 1.1e6]), "latency": rng.choice([0.0, 0.0013, 0.041])},
        "transport": rng.choice(["ideal", "gloo", "nccl", "latency", "none"]),
        "overhead": rng.choice([0.0, 0.003]),
        "order": rng.choice(["auto", "in-order", "overtaking"]),
        "collectives": {"all_reduce": rng.choice(["auto", "ring", "tree", "halving-doubling"])},
        "communication_slowdown": rng.choice([1.0, 1.0, 1.2, 2.0]),
    }
    if rng.random() < 0.4:
        platform["speed"] = {str(rng.randrange(workers)): rng.choice([0.5, 2.0])}
    if rng.random() < 0.4:
        platform["stragglers"] = {"slowdown": rng.choice([1.5, 4]), "mean_normal": 0.3, "mean_slow": 0.1}
    if rng.random() < 0.6:
        platform["network"] = draw_network(rng, workers)
        platform["collectives"]["form"] = rng.choice(["auto", "closed"])
    return platform


def draw_scenario(seed: int) -> Tables:
    rng = random.Random(seed)
    graph = rng.choice(["ring", "complete", "path", "star"])
    workers = rng.randint(3 if graph == "ring" else 2, 8)
    scenario: Tables = {
        "schedule": draw_schedule(rng),
        "topology": {"graph": graph, "workers": workers},
        "platform": draw_platform(rng, workers),
        "workload": {"parameters": rng.choice([1, 501, 5003])},
        "run": {"seed": seed},
    }
    if rng.random() < 0.3:
        scenario["workload"] = {"problem": "quadratic", "dtype": "float64", "options": {"dimension": 8}}
    if rng.random() < 0.5:
        survives = scenario["schedule"]["program"] in ("gossip", "a2cid2")
        scenario["platform"]["faults"] = draw_faults(rng, workers, survives=survives)
    return scenario


def run_to_its_end(scenario: Tables) -> Result | None:
    """None where a message takes longer than any time between two failures."""
    try:
        return simulate(scenario)
    except DeadlockError as error:
        if "fail faster than they can work" not in str(error):
            raise
        return None


@pytest.mark.parametrize("batch", range(NUM_BATCHES))
def test_what_holds_in_every_run(batch: int) -> None:
    for seed in range(batch * BATCH, (batch + 1) * BATCH):
        scenario = draw_scenario(seed)
        result = run_to_its_end(scenario)
        if result is None:
            continue
        try:
            invariants.same(result, simulate(scenario))
            invariants.check(result)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {scenario}") from error


def without_ties(seed: int) -> Tables:
    """Without a network and failures; durations differ, so that no two things are over in one nanosecond. A star's
    barrier takes two links of a network that has a link an edge, so there is none."""
    scenario = draw_scenario(seed)
    scenario["platform"].pop("network", None)
    scenario["platform"].pop("faults", None)
    scenario["platform"]["gradient"] = {"mean": 0.1, "distribution": "lognormal", "cv": 0.5}
    scenario["platform"]["collectives"]["form"] = "closed"
    scenario["topology"]["graph"] = scenario["topology"]["graph"].replace("star", "path")
    scenario["workload"] = {"parameters": 501}
    return scenario


def changed(scenario: Tables, **platform: Any) -> Tables:
    return {**scenario, "platform": {**scenario["platform"], **platform}}


@pytest.mark.parametrize("batch", range(5))
def test_links_of_their_own_are_the_closed_form_under_everything(batch: int) -> None:
    """Stragglers, slow-downs, orders, protocols and algorithms make no difference between formulas and flows; neither
    do failures that never come."""
    for seed in range(batch * 6, (batch + 1) * 6):
        scenario = without_ties(seed)
        closed = simulate(scenario)
        network = {"kind": "dedicated", **scenario["platform"]["link"]}
        rare = {"mean_time_to_failure": 1e9, "mean_time_to_repair": 1.0}
        for other in ({"network": network}, {"faults": rare}, {"network": network, "faults": rare}):
            result = simulate(changed(scenario, **other))
            assert closed.trace is not None
            assert closed.trace.equals(result.trace), (seed, other)
            assert {key: result.summary[key] for key in closed.summary} == closed.summary, (seed, other)


@pytest.mark.parametrize("batch", range(5))
def test_sharing_links_makes_no_run_faster(batch: int) -> None:
    """Routes of the same bandwidth and latency as links of their own. (Who comes first may meet another, so first-come
    pairing is left out: its exchanges are others.)"""
    for seed in range(batch * 6, (batch + 1) * 6):
        scenario = without_ties(seed)
        if scenario["schedule"].get("pairing") == "first-come":
            continue
        closed = simulate(scenario).summary
        link = scenario["platform"]["link"]
        nics = {"bandwidth": link["bandwidth"], "latency": link["latency"] / 2}
        racks = {"hosts_per_rack": 2, "uplink_bandwidth": link["bandwidth"], "uplink_latency": 0.0}
        for network in ({"kind": "fabric"}, {"kind": "fabric", "duplex": "half"}, {"kind": "racks", **racks}):
            shared = simulate(changed(scenario, network=network | nics)).summary
            rounding = 2e-9 * (closed["exchanges"] + closed["gradients"])
            assert shared["makespan_s"] >= closed["makespan_s"] - rounding, (seed, network)


@pytest.mark.parametrize("overlap", [False, True])
def test_all_algorithms_give_the_same_parameters(overlap: bool) -> None:
    scenario: Tables = {
        "schedule": {"program": "all-reduce", "gradients": 4, "overlap": overlap, "bucket_size": 24},
        "topology": {"graph": "complete", "workers": 8},
        "platform": {"gradient": {"mean": 0.1}, "network": {"kind": "gpu_nodes", "gpus_per_node": 4}},
        "workload": {"problem": "quadratic", "dtype": "float64", "options": {"dimension": 8}},
    }
    found = [
        simulate(scenario, overrides={"platform.collectives.all_reduce": algorithm}).parameters
        for algorithm in ("ring", "tree", "halving-doubling", "hierarchical")
    ]
    assert found[0] is not None
    assert np.ptp(found[0], axis=0).max() == 0
    for each in found[1:]:
        np.testing.assert_array_equal(each, found[0])
