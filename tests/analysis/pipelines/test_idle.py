"""Why ranks were idle: parts that sum to it, beside the closed forms of 1F1B and an order timed by hand."""

import numpy as np
import pytest

from analysis.pipelines.executed import executed_order
from analysis.pipelines.idle import IDLE_PARTS, idle_of, idle_parts
from analysis.pipelines.steps import steps_of_run
from schedules.orders import build
from simulator import simulate
from tests.analysis.fake_runs import trace_of
from tests.analysis.pipelines.test_steps import ORDERS, step
from tests.analysis.pipelines.traces import trace_of_order
from tests.worlds.pipelines import cases as pipelines


def parts_of(trace, latency):
    steps = steps_of_run(trace)
    return idle_parts(steps, executed_order(steps), latency)


@pytest.mark.parametrize("latency", [0, 300, 2500])
@pytest.mark.parametrize(("program", "workers", "micro_batches", "keys"), ORDERS)
def test_parts_sum_to_the_idle_time_and_nothing_contends_in_latency_mode(
    program, workers, micro_batches, keys, latency
):
    trace = trace_of_order(build(program, workers, micro_batches, **keys), latency=latency)
    found = parts_of(trace, latency)
    assert (found[[f"{part}_ns" for part in IDLE_PARTS]].sum(axis=1) == found["idle_ns"]).all()
    assert (found["contention_ns"] == 0).all()
    assert (found["idle_ns"] + found["compute_ns"] == trace["end_ns"].max()).all()
    assert (found["latency_ns"] == 0).all() == (latency == 0)


TWO_ENGINES = [
    ("petra", {}, [5, 3, 1, 0]),
    ("petra", {"replicas": 2}, [5, 3, 1, 0] * 2),
    ("delayed-gradients", {}, [9, 6, 3, 0]),
    ("delayed-gradients", {"overlap_last": True}, [2, 1, 0, 0]),
]


@pytest.mark.parametrize("latency", [0.0, 0.3, 2.5])
@pytest.mark.parametrize(("program", "keys", "between"), TWO_ENGINES)
def test_ranks_with_two_engines(program, keys, between, latency):
    """F 1 s, backward 2 s, made again 1 s; one computes while either engine does. Their lock is part of the order."""
    kernels = {"forward": 1.0, "backward": 2.0, "reconstruct": 1.0}
    workers = 4 * keys.get("replicas", 1)
    run = pipelines.run(program, workers, 12, latency, kernels, {"engines": 2, **keys})
    found = idle_of(run).parts
    assert (found[[f"{part}_ns" for part in IDLE_PARTS]].sum(axis=1) == found["idle_ns"]).all()
    assert (found["idle_ns"] + found["compute_ns"] == run.trace["end_ns"].max()).all() or "replicas" in keys
    assert found["before_ns"].tolist() == [0, 10**9, 2 * 10**9, 3 * 10**9] * (workers // 4)
    assert (found["between_ns"] / 1e9).tolist() == pytest.approx(between)
    assert (found["latency_ns"] == 0).all() == (latency == 0)
    if "replicas" not in keys or latency == 0:  # an update's all-reduce is in no order
        assert (found["contention_ns"] == 0).all()


RACKS = {
    "kind": "racks", "hosts_per_rack": 3, "bandwidth": "1 GB/s", "latency": "1 ms", "uplink_bandwidth": "1 GB/s",
    "uplink_latency": "5 ms",
}  # fmt: skip


@pytest.mark.parametrize("program", ["1f1b", "zb-v", "dualpipe", "petra"])
def test_on_a_network_each_message_has_the_latency_of_its_route(program):
    keys = {"engines": 2} if program == "petra" else {}
    kernels = {"forward": 0.01, "backward-input": 0.01, "backward-weight": 0.01, "reconstruct": 0.01}
    tables = {"platform": {"network": RACKS}, "workload": {"boundary": "4 MB"}}
    apart = idle_of(pipelines.run(program, 4, 8, 0.0, kernels, keys, **tables)).parts
    assert (apart["contention_ns"] == 0).all()
    assert (apart["latency_ns"] > 0).all()
    tables["platform"]["transport"] = "ideal"
    shared = idle_of(pipelines.run(program, 4, 8, 0.0, kernels, keys, **tables)).parts
    assert (shared["contention_ns"] > 0).all()
    order = ["latency_ns", "before_ns", "after_ns", "between_ns"]
    assert (shared[order] == apart[order]).all(axis=None)


def test_closed_forms_of_1f1b():
    """p = 4, m = 8, F 1, D 2: (m+p-1) 3 + 2 (m+p-3-floor((m-2)/p)) c; without latency rank i begins at i."""
    found = parts_of(trace_of_order(build("1f1b", 4, 8), latency=500), 500)
    assert found["compute_ns"].tolist() == [24_000] * 4
    assert found["latency_ns"].tolist() == [16 * 500] * 4
    assert found["before_ns"].tolist() == [0, 1000, 2000, 3000]
    assert found["after_ns"].tolist() == [0, 2000, 4000, 6000]
    assert found["between_ns"].tolist() == [9000, 6000, 3000, 0]


def test_what_is_slower_than_latency_mode_is_contention():
    """Two ranks, a micro-batch: a message that should take 1 took 4, the other 2; the platform's latency is 1."""
    trace = trace_of(
        step(0, "forward", 0, 10), step(1, "forward", 14, 24), step(1, "backward", 24, 44), step(0, "backward", 46, 66)
    )
    found = parts_of(trace, 1)
    assert found["idle_ns"].tolist() == [36, 36]
    assert found["contention_ns"].tolist() == [4, 4]
    assert found["latency_ns"].tolist() == [2, 2]
    assert found[["before_ns", "between_ns", "after_ns"]].to_numpy().tolist() == [[0, 30, 0], [10, 0, 20]]
    assert parts_of(trace, 10)["contention_ns"].tolist() == [-14, -14]  # the platform's messages are slower


def test_a_rank_without_steps_is_idle_from_first_to_last():
    trace = trace_of(
        step(0, "forward", 0, 10), step(2, "forward", 10, 20, stage=1), step(2, "backward", 20, 40, stage=1),
        step(0, "backward", 40, 60),
    )  # fmt: skip
    found = parts_of(trace, 0)
    assert found.loc[1, [f"{part}_ns" for part in IDLE_PARTS]].tolist() == [0, 0, 60, 0, 0]
    assert np.array_equal(found["idle_ns"], [30, 60, 30])


@pytest.mark.parametrize("program", ["dualpipe", "dualpipe-v"])
@pytest.mark.parametrize("keys", [{}, {"checkpoint": True}])
def test_pairs_that_are_computed_one_after_the_other_wait_for_both(program, keys):
    """As where the platform has no kernel for a pair: in latency mode nothing contends."""
    kernels = dict.fromkeys(("forward", "backward-input", "backward-weight", "reconstruct"), "10 ms")
    run = simulate(
        {
            "schedule": {"program": program, "micro_batches": 8, **keys},
            "topology": {"workers": 4},
            "platform": {
                "transport": "latency",
                "link": {"latency": "3 ms", "bandwidth": "1 GB/s"},
                "kernels": kernels,
            },
            "workload": {},
        }
    )
    parts = idle_of(run).parts
    assert (parts["contention_ns"] == 0).all()
    assert (parts["latency_ns"] > 0).all()


@pytest.mark.parametrize("program", ["gpipe", "1f1b", "zb-h1", "zb-h2", "zb-v", "petra"])
def test_nothing_contends_in_a_simulation_in_latency_mode(program):
    """Two iterations, with an optimizer's step behind each."""
    kernels = dict.fromkeys(("forward", "backward-input", "backward-weight"), "10 ms")
    scenario = {
        "schedule": {"program": program, "micro_batches": 8, "iterations": 2},
        "topology": {"workers": 4},
        "platform": {"link": {"latency": "3 ms", "bandwidth": "1 GB/s"}, "kernels": {**kernels, "optimizer": "2 ms"}},
        "workload": {"boundary": "1 MB"},
    }
    parts = idle_of(simulate(scenario, overrides={"platform.transport": "latency"})).parts
    assert (parts["contention_ns"] == 0).all()
    assert (idle_of(simulate(scenario)).parts["contention_ns"] > 0).all()
