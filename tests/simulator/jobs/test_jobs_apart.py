"""What jobs do not share they do not feel: to the bit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
import pytest

from schedules.errors import DeadlockError
from schedules.result import Result
from simulator import simulate, simulate_jobs
from simulator.jobs.tables import load_jobs
from simulator.jobs.together import run_together
from tests.field.test_field import HERE

NETWORK = {"kind": "racks", "hosts": 8, "hosts_per_rack": 4, "bandwidth": "10 Gbit/s", "uplink_bandwidth": "5 Gbit/s"}
GRADIENT = {"distribution": "lognormal", "mean": "20 ms", "cv": 0.3}

KINDS: dict[str, dict[str, Any]] = {
    "all-reduce": {"schedule": {"program": "all-reduce", "gradients": 6, "overlap": True}},
    "d-psgd": {"schedule": {"program": "d-psgd", "gradients": 6}},
    "gossip": {"schedule": {"program": "gossip", "gradients": 8, "rate": 2.0}},
    "a2cid2": {"schedule": {"program": "a2cid2", "gradients": 8, "rate": 1.0, "pairing": "first-come"}},
    "numbers": {
        "schedule": {"program": "gossip", "gradients": 8, "rate": 1.0},
        "workload": {"problem": "quadratic", "dtype": "float64"},
    },
    "cut": {"schedule": {"program": "gossip", "rate": 2.0}, "run": {"until": "gradients", "total": 30}},
    "cut in time": {"schedule": {"program": "d-psgd"}, "run": {"until": "time", "duration": "130 ms"}},
    "gloo": {"schedule": {"program": "d-psgd", "gradients": 6}, "platform": {"transport": "gloo", "overhead": "20 us"}},
    "slow beside transfers": {
        "schedule": {"program": "gossip", "gradients": 8, "rate": 2.0},
        "platform": {"communication_slowdown": 1.3},
    },
    "failures": {
        "schedule": {"program": "gossip", "gradients": 10, "rate": 2.0},
        "platform": {"faults": {"mean_time_to_failure": "150 ms", "mean_time_to_repair": "20 ms"}},
    },
}


def tables(*jobs: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "topology": {"graph": "ring"},
        "platform": {"gradient": GRADIENT, "network": NETWORK},
        "workload": {"parameters": 1_000_000},
        "job": list(jobs),
    }


def job(name: str, kind: str, ranks: list[int], **more: Any) -> dict[str, Any]:
    return {"name": name, "ranks": ranks, **KINDS[kind], **more}


def assert_same(one: Result, other: Result, *, with_links: bool = True) -> None:
    assert one.summary == other.summary
    for name in ("trace", "memory", "series", *(["links"] if with_links else [])):
        first, second = getattr(one, name), getattr(other, name)
        assert (first is None) == (second is None)
        if first is not None:
            pd.testing.assert_frame_equal(first, second, check_exact=True)
    assert (one.parameters is None) or (one.parameters == other.parameters).all()


@pytest.mark.parametrize("start", ["0 s", "1.7 s"])
@pytest.mark.parametrize("kind", KINDS)
def test_one_job_on_the_shared_clock_is_the_run_by_itself(kind: str, start: str) -> None:
    jobs = load_jobs(tables(job("a", kind, [0, 1, 4, 5], start=start)))
    (together,) = run_together(jobs)
    assert_same(simulate(jobs[0].scenario), together, with_links=start == "0 s")


@pytest.mark.parametrize("kind", KINDS)
def test_jobs_in_racks_of_their_own_lose_nothing(kind: str) -> None:
    other = "gloo" if kind == "all-reduce" else "all-reduce"
    found = simulate_jobs(tables(job("a", kind, [0, 1, 2, 3]), job("b", other, [4, 5, 6, 7], start="13 ms")))
    for each in found:
        assert_same(each.alone, each.together, with_links=False)
        assert (each.loss_s, each.slowdown) == (0, 1)


def test_jobs_of_different_schedules_share_what_they_share() -> None:
    found = simulate_jobs(tables(job("a", "all-reduce", [0, 1, 4, 5]), job("b", "gossip", [2, 3, 6, 7])))
    assert [each.together.summary["gradients"] for each in found] == [24, 32]
    assert all(each.slowdown > 1 for each in found)


def durations(run: Result) -> list[tuple[int, int]]:
    """(rank, nanoseconds) of every gradient."""
    rows = run.kept_trace[run.kept_trace["op"] == "Compute"].sort_values(["rank", "ready_ns"])
    return list(zip(rows["rank"], rows["end_ns"] - rows["ready_ns"], strict=True))


def test_what_a_job_draws_depends_on_no_other() -> None:
    a = job("a", "all-reduce", [0, 4], schedule={"program": "all-reduce", "gradients": 5})
    b, c = job("b", "gossip", [1, 5], start="31 ms"), job("c", "d-psgd", [2, 6])
    alone = simulate_jobs(tables(a))["a"].alone
    for jobs in ([a, b], [b, a], [c, a, b]):
        found = simulate_jobs(tables(*jobs))
        assert durations(found["a"].together) == durations(alone)
    again = simulate_jobs(tables(c, a, b))
    for each in found:
        assert_same(each.together, again[each.job.name].together)


def test_the_place_in_the_file_changes_no_time() -> None:
    a, b = job("a", "gossip", [0, 4]), job("b", "d-psgd", [1, 5], start="7 ms")
    first, second = simulate_jobs(tables(a, b)), simulate_jobs(tables(b, a))
    for name in "ab":
        assert_same(first[name].together, second[name].together)


def test_a_job_that_cannot_move_is_named() -> None:
    stuck = {"program": str(HERE / "send_send.py"), "gradients": 1}
    told = tables(job("a", "d-psgd", [0, 4]), {"name": "b", "ranks": [1, 5], "schedule": stuck})
    with pytest.raises(DeadlockError, match=r"^job b \(alone\): DeadlockError at"):
        simulate_jobs(told)
    with pytest.raises(DeadlockError, match=r"^job b: DeadlockError at"):
        run_together(load_jobs(told))
