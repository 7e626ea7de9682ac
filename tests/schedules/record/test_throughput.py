"""What a run's throughput is, and how often its workers averaged: counted by hand, and in closed form."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from schedules import payload
from schedules.clocks import Clocks, edge_ticks
from schedules.payload import Payload
from schedules.record.ledger import Ledger
from schedules.record.rates.window import Window, window
from schedules.record.summary import Summary, summarise
from simulator import simulate
from topologies import build

SECOND = 1_000_000_000


def ledger_of(*times: Sequence[float], gradients: int = 1) -> Ledger:
    """Gradients that each rank has applied at these times, in seconds."""
    ledger = Ledger(len(times))
    made = ledger.contributions
    for rank, at in enumerate(times):
        for number, time in enumerate(at):
            what = (payload.GRADIENT[0], "x", gradients)
            given = Payload(8, None, number, number, read_ns=0, what=what)
            made.enter(made.places[rank, -1, 8], number, number, round(time * SECOND), given)
    return ledger


def window_of(*times: Sequence[float], makespan: float = 100.0, **options: Any) -> Window:
    applied = ledger_of(*times).contributions.applied()
    return window(applied, len(times), round(makespan * SECOND), **options)


def told(ledger: Ledger, makespan: float = 100.0, **options: Any) -> Summary:
    return summarise(ledger, round(makespan * SECOND), batch_size=32, **options)


# ---- the window


def test_it_ends_with_the_first_last_gradient() -> None:
    found = window_of([1, 2, 3], [2, 4, 6], [4, 8, 12])
    assert found.end_ns == 3 * SECOND
    assert found.gradients.tolist() == [3, 1, 0]
    assert found.per_s.tolist() == [1.0, 0.5, 0.0]


def test_who_applies_all_at_once_counts_after_its_end_too() -> None:
    """Two copies of a pipeline, one step: they end it a microsecond apart, and both have made it."""
    found = window_of([4, 4], [4.000001, 4.000001], [])
    assert (found.end_ns, found.gradients.tolist()) == (4 * SECOND, [2, 0, 0])
    assert found.per_s.tolist() == pytest.approx([0.5, 0.5, 0], rel=1e-6)
    assert window_of([4], [5], [6], failed=[2]).per_s.tolist() == pytest.approx([1 / 4, 1 / 5, 0])
    assert window_of([4], [5], cut_ns=4 * SECOND).per_s.tolist() == [1 / 4, 0]


def test_it_ends_with_a_cut() -> None:
    found = window_of([1, 2, 3], [2, 4, 6], cut_ns=5 * SECOND)
    assert (found.end_ns, found.gradients.tolist(), found.per_s.tolist()) == (5 * SECOND, [3, 2], [1.0, 0.5])


def test_one_that_has_failed_does_not_end_it_and_counts_to_its_end() -> None:
    found = window_of([1], [2, 4, 6], [3, 6, 9], failed=[0])
    assert (found.end_ns, found.gradients.tolist()) == (6 * SECOND, [1, 3, 2])
    assert found.per_s.tolist() == pytest.approx([1 / 6, 0.5, 1 / 3])


def test_where_all_have_failed_it_ends_with_what_was_applied_last() -> None:
    assert window_of([1], [2], failed=[0, 1]).end_ns == 2 * SECOND


def test_servers_count_as_one_and_nobody_else_does() -> None:
    found = window_of([1, 2, 3, 4], [2, 4], [0.5, 1.0], servers=[0, 1])
    assert (found.end_ns, found.gradients.tolist()) == (4 * SECOND, [4, 2, 0])
    assert found.per_s.sum() == 6 / 4


def test_a_run_without_a_gradient_has_no_throughput_and_lasts() -> None:
    summary = told(Ledger(2))
    assert (summary["gradients_per_s"], summary["samples_per_s"], summary["exchange_rate"]) == (0, 0, 0)
    assert (summary["window_s"], summary["per_rank"]["gradients_per_s"]) == (100.0, [0, 0])
    assert told(Ledger(2), 0.0)["window_s"] == 0
    assert told(ledger_of([0.0, 0.0]))["gradients_per_s"] == 0  # of no time there is no rate
    assert window_of([], [], failed=[0, 1]).end_ns == 100 * SECOND


def test_a_synchronous_run_whose_ranks_end_in_turn_has_the_throughput_of_one_whose_ranks_end_together() -> None:
    together = [float(step) for step in range(1, 11)]
    later = [[time + 1e-6 * rank for time in together] for rank in range(4)]
    assert told(ledger_of(*later))["gradients_per_s"] == pytest.approx(4.0, rel=2e-6)
    assert told(ledger_of(*[together] * 4))["gradients_per_s"] == 4.0


def test_gradients_in_a_change_count_and_samples_go_with_them() -> None:
    summary = told(ledger_of([1, 2], gradients=5))
    assert (summary["gradients_per_s"], summary["samples_per_s"]) == (5.0, 160.0)


# ---- averaging


def test_exchanges_in_the_window_are_counted_and_what_was_due_and_not_done() -> None:
    ledger = ledger_of([1, 2, 3, 4], [2, 4, 6, 8])  # the window has 4 + 2 gradients
    for number, (due, end) in enumerate([(1.0, 1.5), (2.0, 4.0), (3.0, 4.5), (4.5, 5.0)]):
        start, over = round(due * SECOND), round(end * SECOND)
        if number % 2:  # as one entry, or an end each
            ledger.exchanged(0, 1, start, start, over, over, 100, start)
        else:
            for rank in range(2):
                ledger.transferred(rank, start, start, over, is_exchange=True, due=start)
    summary = told(ledger)
    assert summary["exchange_rate"] == 2 * 2 / 6
    assert (summary["exchanges_due"], summary["backlog_exchanges"]) == (3, 1)
    assert (summary["lag_mean_s"], summary["lag_p95_s"]) == (1.25, 2.0)


def test_an_exchange_that_is_given_up_or_under_way_at_the_cut_is_not_answered() -> None:
    ledger = ledger_of([1, 2, 3])
    ledger.exchanged(0, 0, SECOND, SECOND, 4 * SECOND, 4 * SECOND, 100, SECOND)
    for _ in range(2):
        ledger.transferred(0, SECOND, 2 * SECOND, 2 * SECOND, due=SECOND // 2)
    ledger.stop(3 * SECOND)
    summary = told(ledger, 3.0, cut_ns=3 * SECOND)
    assert (summary["exchange_rate"], summary["exchanges_due"], summary["backlog_exchanges"]) == (0, 2, 2)
    assert (summary["lag_mean_s"], summary["lag_p95_s"]) == (0, 0)


def test_exchanges_without_a_tick_have_no_backlog() -> None:
    ledger = ledger_of([1, 2])
    ledger.exchanged(0, 0, SECOND, SECOND, 2 * SECOND, 2 * SECOND, 100)
    assert told(ledger)["exchange_rate"] == 1.0
    assert {"exchanges_due", "backlog_exchanges", "lag_mean_s", "lag_p95_s"}.isdisjoint(told(ledger))


def test_ticks_of_a_run_are_those_that_its_workers_sleep_to() -> None:
    graph = build("complete", 5)
    clocks = Clocks(graph, 3, 20.0)
    drawn = np.concatenate([clocks.edge(i, j) for i, j in itertools.combinations(range(5), 2)])
    expected = sorted(int(time * 1e7 + 0.5) for time in drawn if time <= 12.0)
    assert sorted(edge_ticks(graph, 3, 1e7, 120_000_000).tolist()) == expected


# ---- whole runs


def tables(program: str, workers: int, slowdown: float, **schedule: Any) -> dict[str, Any]:
    """Constant gradients of 10 ms, one rank slower, and no latency."""
    return {
        "schedule": {"program": program, "gradients": 120, **schedule},
        "topology": {"graph": "ring", "workers": workers},
        "platform": {"gradient": {"mean": "10 ms"}, "transport": "none", "speed": {"2": 1 / slowdown}},
        "workload": {"parameters": 100},
    }


@pytest.mark.parametrize(("workers", "slowdown"), [(8, 4.0), (8, 1.0), (5, 3.0), (3, 2.5)])
def test_with_edge_clocks_a_slow_rank_slows_nobody_else(workers: int, slowdown: float) -> None:
    gossip = simulate(tables("gossip", workers, slowdown)).summary
    assert gossip["gradients_per_s"] == pytest.approx(100 * (workers - 1 + 1 / slowdown), rel=1e-9)
    assert sum(gossip["per_rank"]["gradients_per_s"]) == pytest.approx(gossip["gradients_per_s"], rel=1e-12)
    together = simulate(tables("all-reduce", workers, slowdown)).summary
    assert together["gradients_per_s"] == pytest.approx(100 * workers / slowdown, rel=1e-9)


@pytest.mark.slow
def test_first_come_pairing_couples_gradients_to_exchanges() -> None:
    """About 650 where edge clocks make 725; precision mode measures the same quantity."""
    scenario = tables("gossip", 8, 4.0, pairing="first-come", gradients=2000)
    steady = {"run.until": "precision", "run.precision": 0.01, "run.trace": False}
    known, found = (
        simulate(scenario, overrides=steady).summary,
        simulate(scenario, overrides={"run.trace": False}).summary,
    )
    assert 640 < known["throughput_low"] < known["throughput_high"] < 660
    width = known["throughput_high"] - known["throughput_low"]
    assert found["gradients_per_s"] == pytest.approx(known["throughput_mean"], abs=2 * width)
    assert known["throughput_low"] <= known["gradients_per_s"] <= known["throughput_high"]


def test_edge_clocks_tick_until_the_slowest_is_done() -> None:
    equal, slow = (simulate(tables("gossip", 8, slowdown)) for slowdown in (1.0, 4.0))
    ticks = [run.trace[run.trace["op"] == "Until"].groupby("rank")["end_ns"].max() for run in (equal, slow)]
    assert (ticks[0] <= 120 * 10_000_000).all()
    assert (ticks[1] > 0.95 * 480 * 10_000_000).all()  # until 480 gradient times
    longer = simulate(tables("gossip", 8, 1.0, gradients=480))
    columns = ["rank", "peer", "tag", "due_ns"]
    rows = [run.trace[run.trace["op"] == "Exchange"][columns].to_numpy().tolist() for run in (slow, longer)]
    assert sorted(rows[0]) == sorted(rows[1])


def test_a_cut_run_counts_ticks_that_its_workers_have_not_come_to() -> None:
    """Asked for eight times what the network can do."""
    scenario = tables("gossip", 6, 1.0, rate=8.0)
    scenario["platform"] |= {"transport": "ideal", "link": {"bandwidth": "1 MB/s"}}
    scenario["workload"] = {"parameters": 2500}  # 10 kB: as long as a gradient
    scenario["run"] = {"until": "precision", "precision": 0.2, "trace": False}
    summary = simulate(scenario).summary
    expected = 6 * 8.0 / 2 * summary["window_s"] / 0.01
    assert summary["exchanges_due"] == pytest.approx(expected, abs=4 * expected**0.5)
    assert summary["backlog_exchanges"] == summary["exchanges_due"] - summary["exchanges"]
    assert summary["exchange_rate"] < 1
