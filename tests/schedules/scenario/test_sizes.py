"""Sizes out of all proportion: one line, before anything is built; and what 64 bits cannot count."""

from __future__ import annotations

import re
from typing import Any

import pytest

from schedules.errors import ScenarioError, TooLargeError
from schedules.scenario import load
from schedules.scenario.sizes import SHARE_OF_MEMORY, estimate, gradients_of, machine_memory, num_edges
from schedules.setup import Setup

BASE: dict[str, Any] = {
    "schedule": {"program": "gossip", "gradients": 20},
    "topology": {"graph": "ring", "workers": 4},
    "platform": {"gradient": {"mean": "2 ms"}, "link": {"bandwidth": "1 GB/s", "latency": "50 us"}},
    "workload": {"parameters": 1000},
}

TOO_LARGE = {
    "platform.network": {"kind": "racks", "hosts": 10**8},
    "topology.workers": 10**9,
    "schedule.gradients": 10**11,
    "schedule.rate": 1e12,
    "run": {"until": "time", "duration": "1000000 years"},
}


def test_an_estimate_counts_what_the_scenario_says() -> None:
    scenario = load(BASE)
    assert gradients_of(scenario) == 20
    assert num_edges(scenario) >= 4
    assert estimate(scenario).operations == 4 * 20 * 3  # a gradient and two ends of an exchange
    assert gradients_of(load(BASE, {"schedule.gradients": [10, 20, 30, 40]})) == 25


@pytest.mark.parametrize("key", ["topology.workers", "schedule.gradients", "schedule.rate"])
def test_a_run_that_no_machine_holds_is_refused_with_an_estimate(key: str) -> None:
    told = r"^scenario: expected a run for this machine .*found one of about .* of memory and .*--force goes on$"
    with pytest.raises(ScenarioError, match=told):
        load(BASE, {key: TOO_LARGE[key]})


def test_a_dense_graph_is_known_to_be_one_before_it_is_built() -> None:
    with pytest.raises(ScenarioError, match="--force goes on"):
        load(BASE, {"topology.workers": 1_000_000, "topology.graph": "complete"})


def test_arrays_of_all_workers_count() -> None:
    workload = {"workload": {"problem": "quadratic", "options": {"dimension": 10**12}}}
    with pytest.raises(ScenarioError, match="--force goes on"):
        load({**BASE, **workload})


def test_who_forces_it_goes_on() -> None:
    large = load(BASE, {"schedule.gradients": 10**9}, is_forced=True)
    assert estimate(large).memory > SHARE_OF_MEMORY * machine_memory() or estimate(large).seconds > 3600


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("platform.link.latency", 1e8),
        ("platform.gradient.mean", 1e8),
        ("platform.overhead", 1e8),
        ("workload.parameters", 10**21),
    ],
)
@pytest.mark.parametrize("is_forced", [False, True])
def test_what_64_bits_cannot_count_is_refused_with_its_key(key: str, value: float, is_forced: bool) -> None:
    named = "platform.gradient" if key == "platform.gradient.mean" else key
    with pytest.raises(ScenarioError, match=f"^scenario: {named}: expected what 64 bits can count, found "):
        load(BASE, {"schedule.gradients": 1000, key: value}, is_forced=is_forced)


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("platform.link.latency", 1e308, "at most 1e+09 second"),
        ("platform.link.bandwidth", 1e-320, "at least 0.1 byte/second"),
        ("platform.faults.detection", "1000 years", "a quantity in second"),
        ("platform.faults.detection", 1e10, "at most 1e+09 second"),
        ("workload.activations", 1e30, "at most 1e+18 byte"),
        ("platform.communication_slowdown", 1e308, "a number of at most 1e+06"),
        ("platform.network", {"kind": "racks", "hosts": 4, "latency": 1e308}, "at most 1e+09 second"),
        ("platform.network", {"kind": "racks", "hosts": 4, "bandwidth": 1e-320}, "at least 0.1 byte/second"),
    ],
)
def test_what_no_machine_has_is_refused_with_its_key(key: str, value: object, told: str) -> None:
    with pytest.raises(ScenarioError, match=rf"^scenario: {re.escape(key)}: .*expected {re.escape(told)}"):
        Setup(load(BASE, {key: value}))


@pytest.mark.parametrize(
    ("key", "value"),
    [("bandwidth", 0.1), ("latency", 1e8), ("uplink_bandwidth", 0.1), ("uplink_latency", 1e8)],
)
def test_links_of_a_network_are_counted_by_their_keys(key: str, value: object) -> None:
    racks = {"kind": "racks", "hosts_per_rack": 2, "bandwidth": "1 GB/s", "latency": "1 us"}
    large = {"schedule.gradients": 1000, "workload.parameters": 10**6}
    load(BASE, {**large, "platform.network": racks})
    told = f"^scenario: platform.network.{key}: expected what 64 bits can count, found a (message|latency) of .*times$"
    with pytest.raises(ScenarioError, match=told):
        load(BASE, {**large, "platform.network": {**racks, key: value}})


def test_large_runs_that_fit_are_no_slip_of_the_finger() -> None:
    load(BASE, {"topology.workers": 1024, "schedule.gradients": 1000, "run.trace": False})
    load(BASE, {"run.until": "precision", "topology.workers": 64})
    load(BASE, {"workload.parameters": 10**12})


@pytest.mark.parametrize(
    "large",
    [
        {"schedule.micro_batches": 10**7},
        {"schedule.iterations": 10**7},
        {"schedule.program": "petra", "schedule.micro_batches": 10**7},
        {"schedule.program": "interleaved-1f1b", "schedule.chunks": 10**7},
        {"topology.workers": 10**7},
    ],
    ids=lambda large: " ".join(f"{key.split('.')[1]}={value}" for key, value in large.items()),
)
def test_a_pipeline_that_is_too_large_is_refused_before_its_order_is_built(
    large: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline: dict[str, object] = {
        "schedule": {"program": "1f1b", "micro_batches": 8},
        "topology": {"workers": 4},
        "platform": {"kernels": {"forward": "10 ms", "backward": "20 ms"}},
        "workload": {"boundary": "8 MB"},
    }
    load(pipeline)
    monkeypatch.setattr("schedules.programs.pipelines.tracks.order_of", lambda *_: pytest.fail("an order was built"))
    monkeypatch.setattr("schedules.programs.pipelines.pipeline.order_of", lambda *_: pytest.fail("an order was built"))
    with pytest.raises(TooLargeError, match=r"expected a run for this machine .* and an hour, found one of about"):
        load(pipeline, large)
