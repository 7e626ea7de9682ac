"""Cyclic data parallelism in simulated time: who is where, what it waits for, and how long a step takes.

Periods with latency c, in stage times: v1 max(2N, N + N c / 2), v2 max(2N, max over 1 <= j < N of 2N - 2j + (j+1) c).
"""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import pytest

from schedules.result import Result
from simulator import simulate
from tests.schedules.programs.cyclic.cases import FRESH_4, LATENCIES, PERIODS_OF_4, SLACK_4, tables

CLOSED = {
    "v1": lambda n, c: max(2 * n, n + n * c / 2),
    "v2": lambda n, c: max([2 * n, *(2 * n - 2 * j + (j + 1) * c for j in range(1, n))]),
}


def kernels(run: Result) -> pd.DataFrame:
    assert run.trace is not None
    return run.trace[run.trace["op"] == "Compute"]


def begins(run: Result, kernel: str) -> dict[tuple[int, int], float]:
    """When a kernel began, in seconds, by micro-batch and stage."""
    rows = kernels(run)
    rows = rows[rows["kernel"] == kernel]
    return {
        (k, j): ready / 1e9 for k, j, ready in zip(rows["micro_batch"], rows["stage"], rows["ready_ns"], strict=True)
    }


@pytest.mark.parametrize(("rule", "way"), PERIODS_OF_4)
def test_the_periods_of_four_workers(rule: str, way: str) -> None:
    found = [simulate(tables(rule, 4, latency=c, parameters=way)).summary["period_s"] for c in LATENCIES]
    assert found == list(PERIODS_OF_4[rule, way])


@pytest.mark.parametrize(("rule", "n"), [*product(CLOSED, (2, 3, 6, 8))])
def test_the_closed_forms_of_other_numbers(rule: str, n: int) -> None:
    for c in (0.5, 1, 2, 3):
        steps = 8 if c < 2 else 20  # a longer period is only found when all have waited once
        assert simulate(tables(rule, n, latency=c, steps=steps)).summary["period_s"] == CLOSED[rule](n, c)


@pytest.mark.parametrize("rule", CLOSED)
def test_every_worker_is_where_the_timetable_says(rule: str) -> None:
    """At time tau worker i is at position (tau - 2 i) mod 2N: F of it, or B of 2N - 1 less it."""
    n = 4
    run = simulate(tables(rule, n))
    forward, backward = begins(run, "forward"), begins(run, "backward")
    for i, t, j in product(range(n), range(16), range(n)):
        start = 2 * i + 2 * n * t
        assert forward[t * n + i, j] == start + j
        assert backward[t * n + i, j] == start + 2 * n - 1 - j
    assert run.summary["makespan_s"] == 2 * n * 16 + 2 * (n - 1)  # the skew of the start


@pytest.mark.parametrize("rule", CLOSED)
def test_each_stage_is_with_one_worker_at_a_time(rule: str) -> None:
    rows = kernels(simulate(tables(rule, 4))).sort_values(["stage", "ready_ns"])
    inside = rows[(rows["ready_ns"] >= 16e9) & (rows["ready_ns"] < 80e9)]
    for _, each in inside.groupby("stage"):
        assert (np.diff(each["ready_ns"]) == 1e9).all()


@pytest.mark.parametrize("rule", CLOSED)
def test_freshness_is_seen_in_the_versions(rule: str) -> None:
    run = simulate(tables(rule, 4))
    assert run.trace is not None
    rows = run.trace[(run.trace["op"] == "Apply") & (run.trace["version_written"] == 6)]  # of the sixth step
    found = rows.set_index(["rank", "stage"])["version_read"].unstack().to_numpy()
    fresh = np.array(FRESH_4) if rule == "v2" else np.zeros((4, 4))
    np.testing.assert_array_equal(found, 4 + fresh)


@pytest.mark.parametrize("rule", CLOSED)
def test_slack_between_an_update_and_its_first_use(rule: str) -> None:
    run, n, t = simulate(tables(rule, 4)), 4, 6
    back, forth = begins(run, "backward"), begins(run, "forward")
    delay = 1 if rule == "v1" else 0
    for i, j in product(range(n), range(n)):
        slack = forth[(t + 1 + delay) * n + i, j] - (back[t * n + n - 1, j] + 1)
        expected = SLACK_4[rule][i][j]
        assert expected is None or slack == expected


def test_unequal_stages_run_at_the_pace_of_the_slowest_pass() -> None:
    """Without latency a worker never waits where updates come in time: a step takes F and B of all its stages."""
    case = tables("v1", 3, steps=12)
    case["platform"]["kernels"] = {
        "forward": [{"mean": 1.0}, {"mean": 2.0}, {"mean": 0.5}],
        "backward": [{"mean": 2.5}, {"mean": 3.0}, {"mean": 1.0}],
    }
    run = simulate(case)
    assert run.summary["period_s"] == 10.0
    assert [begins(run, "forward")[i, 0] for i in range(3)] == [0, 5, 10]  # the longest F and B of a stage apart


def test_one_value_is_shared_by_the_stages() -> None:
    case = tables("v2", 4)
    case["platform"]["kernels"] = {"forward": {"mean": 4.0}, "backward": {"mean": 4.0}}
    assert simulate(case).summary["period_s"] == 8


@pytest.mark.parametrize("transport", ["ideal", "nccl"])
@pytest.mark.parametrize("rule", CLOSED)
def test_two_receives_ahead_make_ideal_links_as_fast_as_pure_latency(rule: str, transport: str) -> None:
    found = []
    for c in (0.5, 1, 2):
        case = tables(rule, 4, latency=c)
        case["platform"] |= {"transport": transport, "link": {"latency": c, "bandwidth": 1e15}}
        found.append(round(simulate(case).summary["period_s"], 6))
    assert found == [CLOSED[rule](4, c) for c in (0.5, 1, 2)]


@pytest.mark.parametrize(("rule", "n"), [*product(CLOSED, (3, 4, 5))])
def test_the_model_parallel_form(rule: str, n: int) -> None:
    """N (N + 1) / 2 devices in the place of N^2, with the same period; each computes 2 / (N + 1) of the time."""
    told = simulate(tables(rule, n, placement="stages")).summary
    assert told["devices"] == n * (n + 1) // 2
    assert told["period_s"] == 2 * n
    assert told["period_utilization"] == pytest.approx(2 / (n + 1), rel=1e-12)


@pytest.mark.parametrize("way", ["direct", "ring"])
def test_a_single_worker_goes_on_by_itself(way: str) -> None:
    told: dict[str, Any] = simulate(tables("v2", 1, parameters=way)).summary
    assert (told["period_s"], told["bytes_sent"], told["gradients"]) == (2, 0, 16)


def test_all_gradients_count_once_and_no_collective_is_there() -> None:
    run = simulate(tables("v2", 4))
    assert run.trace is not None
    assert run.summary["gradients"] == 64
    assert run.summary["gradients_dropped"] == 0
    assert set(run.trace["op"]) == {"Compute", "Send", "Receive", "Await", "Put", "Take", "Start", "Until", "Apply"}
    # Of P bytes: a worker's sums, N - 1 of N on average, and as much of the updates from the last one.
    assert run.summary["bytes_sent"] == 16 * 2 * 3 * 1600
