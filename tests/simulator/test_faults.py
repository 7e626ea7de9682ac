"""Ranks that fail and come back in a run: exact timelines, who goes on, and what is kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from schedules.errors import DeadRankError
from schedules.result import Result
from simulator import simulate

GIGA = 10**9


def run(
    program: str = "gossip", faults: Any = None, workers: int = 4, replay: Path | None = None, **more: Any
) -> Result:
    """Gradients of 1 s; exchanges of 8 MB over links of 80 MB/s and 1 ms take 101 ms."""
    has_rate = program in ("gossip", "a2cid2")
    tables: dict[str, Any] = {
        "schedule": {"program": program, "gradients": 8, **({"rate": 1.0} if has_rate else {})},
        "topology": {"graph": "ring", "workers": workers},
        "platform": {"gradient": {"mean": 1.0}, "link": {"bandwidth": 80e6, "latency": 1e-3}},
        "workload": {"parameters": 2_000_000},
    }
    if faults is not None:
        tables["platform"]["faults"] = faults
    return simulate(tables, overrides=more, replay=replay)


def away(rank: int, at: float, back: float | None = None, **more: float) -> dict[str, Any]:
    return {"outages": [{"rank": rank, "at": at} | ({} if back is None else {"back": back})], **more}


def rows(result: Result, op: str, rank: int) -> pd.DataFrame:
    assert result.trace is not None
    return result.trace[(result.trace["op"] == op) & (result.trace["rank"] == rank)]


def test_a_kernel_begins_anew_when_its_rank_is_back() -> None:
    """Away from 2.5 to 4 s: the third gradient is computed from 4 to 5 s, and all after it are 2 s later."""
    result = run(faults=away(1, 2.5, 4.0), **{"schedule.rate": 1e-9})
    computed = rows(result, "Compute", 1)
    assert computed["end_ns"].tolist() == [each * GIGA for each in (1, 2, 5, 6, 7, 8, 9, 10)]
    assert computed["start_ns"].tolist()[2] == 2 * GIGA
    assert computed["ready_ns"].tolist()[2] == 4 * GIGA
    assert rows(result, "Compute", 0)["end_ns"].tolist() == [each * GIGA for each in range(1, 9)]
    assert result.summary["outages"] == 1
    assert result.summary["away_s"] == pytest.approx(1.5)
    assert result.summary["per_rank"]["compute_s"][1] == pytest.approx(8.5)  # half a kernel was lost


def test_a_rank_that_joins_late_begins_then() -> None:
    result = run(faults=away(2, 0.0, 3.0), **{"schedule.rate": 1e-9})
    assert rows(result, "Compute", 2)["end_ns"].tolist()[0] == 4 * GIGA
    assert result.summary["makespan_s"] == pytest.approx(11.0, abs=0.1)


@pytest.mark.parametrize("program", ["gossip", "a2cid2"])
@pytest.mark.parametrize("pairing", ["edge-clock", "first-come"])
def test_gossip_goes_on_without_a_rank(program: str, pairing: str) -> None:
    whole = run(program, **{"schedule.pairing": pairing})
    result = run(program, faults=away(1, 3.5), **{"schedule.pairing": pairing})
    assert result.summary["per_rank"]["gradients"] == [8, 3, 8, 8]
    assert result.summary["makespan_s"] == pytest.approx(whole.summary["makespan_s"], rel=0.5)
    assert result.trace is not None
    assert result.trace[result.trace["rank"] == 1]["end_ns"].max() <= 3.5 * GIGA
    barriers = result.trace[result.trace["op"] == "Barrier"]
    assert sorted(barriers["rank"]) == [0, 2, 3]


def test_both_ends_give_up_the_same_exchanges() -> None:
    """Edge clocks: whatever a rank misses, its peers are told of, and later it is told as well."""
    result = run(faults=away(1, 2.5, 5.5, detection=0.25), workers=5)
    assert result.trace is not None
    exchanges = result.trace[result.trace["op"] == "Exchange"]
    lost = exchanges[exchanges["answer"] == "lost"]
    ends = {(row.rank, row.peer, row.tag) for row in lost.itertuples()}
    assert len(ends) == 2 * result.summary["exchanges_lost"] > 0
    assert ends == {(peer, rank, tag) for rank, peer, tag in ends}
    assert {1} == {rank if rank == 1 else peer for rank, peer, _ in ends}
    noticed = lost[lost["peer"] == 1]["end_ns"]
    assert noticed.min() >= 2.75 * GIGA
    assert exchanges[exchanges["answer"] != "lost"]["applied"].eq("average").all()
    assert lost["applied"].eq("").all()


@pytest.mark.parametrize("transport", ["ideal", "gloo"])
def test_averaging_keeps_the_mean_through_failures(transport: str) -> None:
    """Pair sums are kept, however often an exchange is cut off. With steps as small as these a gradient hardly depends
    on where it was computed, so the mean is that of a run without failures; one-sided averages would move it by 1e-7.
    """
    faults = {"mean_time_to_failure": 1.5, "mean_time_to_repair": 0.5}
    overrides = {
        "workload.parameters": None, "workload.problem": "quadratic", "workload.dtype": "float64",
        "optimizer.learning_rate": 1e-7, "platform.link.bandwidth": 1e3, "schedule.rate": 4.0,
        "schedule.gradients": 30, "platform.transport": transport, "platform.link.latency": 0.3,
    }  # fmt: skip
    tables: dict[str, Any] = {key: value for key, value in overrides.items() if value is not None}
    scenario = {
        "schedule": {"program": "gossip", "gradients": 8},
        "topology": {"graph": "ring", "workers": 6},
        "platform": {"gradient": {"mean": 1.0}, "link": {"bandwidth": 80e6, "latency": 1e-3}, "faults": faults},
        "workload": {"problem": "quadratic"},
    }
    result = simulate(scenario, overrides=tables)
    assert result.parameters is not None
    assert result.summary["outages"] > 20
    assert result.summary["exchanges_lost"] > 5
    whole = simulate(scenario, overrides={**tables, "platform.faults": {"outages": []}})
    assert whole.parameters is not None
    np.testing.assert_allclose(result.parameters.mean(axis=0), whole.parameters.mean(axis=0), rtol=0, atol=1e-10)


@pytest.mark.parametrize("overlap", [False, True])
def test_a_synchronous_schedule_waits(overlap: bool) -> None:
    """All-reduce: everybody is 2 s later, whichever rank it was (away 1.9 s in a kernel of which 0.1 s is lost)."""
    whole = run("all-reduce", **{"schedule.overlap": overlap})
    begun = 2 * whole.summary["makespan_s"] / 8 + 0.1
    result = run("all-reduce", faults=away(3, begun, begun + 1.9), **{"schedule.overlap": overlap})
    late = result.summary["makespan_s"] - whole.summary["makespan_s"]
    assert late == pytest.approx(2.0, abs=1e-2)
    assert result.summary["gradients"] == 32


def test_an_exchange_in_the_air_is_sent_anew_where_everybody_waits() -> None:
    """D-PSGD on a path of 2: gradients and exchanges (101 ms) begin together, at 0, 1, 2, ... s. A failure 50 ms into
    the third exchange, until 2.5 s: it is sent anew from 2.5 to 2.601 s, the kernel runs from 2.5 to 3.5 s."""
    faults = away(1, 2.05, 2.5)
    result = run("d-psgd", faults, workers=2, **{"topology.graph": "path"})
    third = rows(result, "Exchange", 0).iloc[2]
    assert third["start_ns"] == 2 * GIGA
    assert third["end_ns"] == pytest.approx(2.601 * GIGA, abs=2)
    assert rows(result, "Compute", 1)["end_ns"].tolist()[2] == 3.5 * GIGA
    assert result.summary["makespan_s"] == pytest.approx(8.5, abs=2e-3)


def test_a_schedule_that_needs_everybody_stops_with_the_name() -> None:
    with pytest.raises(DeadRankError, match=r"rank 3 fails at 2\.5 s and does not come back"):
        run("all-reduce", faults=away(3, 2.5))


@pytest.mark.parametrize("program", ["gossip", "d-psgd", "all-reduce"])
@pytest.mark.parametrize("graph", ["ring", "star"])
def test_a_failure_after_the_end_changes_nothing(program: str, graph: str) -> None:
    """Links of their own stay so: a barrier of a star does not go by its centre."""
    shape = {"topology.graph": graph}
    whole, result = run(program, **shape), run(program, faults=away(1, 1000.0), **shape)
    assert whole.trace is not None
    assert result.trace is not None
    assert result.trace.equals(whole.trace)
    assert result.summary["outages"] == 0
    assert {key: result.summary[key] for key in whole.summary} == whole.summary
    assert whole.links is not None
    assert result.links is not None
    used, own = (each.query("carried_bytes > 0").iloc[:, :5].values.tolist() for each in (result.links, whole.links))
    assert sorted(used) == sorted(own)


def test_equal_seeds_fail_equally() -> None:
    faults = {"mean_time_to_failure": 3.0, "mean_time_to_repair": 1.0}
    one, other = run(faults=faults), run(faults=faults)
    assert one.trace is not None
    assert other.trace is not None
    assert one.trace.equals(other.trace)
    assert one.summary["outages"] > 2


@pytest.mark.parametrize("pairing", ["edge-clock", "first-come"])
def test_a_replay_gives_up_what_was_given_up(pairing: str, tmp_path: Path) -> None:
    """The trace says which exchanges were lost: followed on a platform that never fails, it ends with the same
    parameters."""
    overrides = {"schedule.pairing": pairing, "schedule.rate": 3.0, "platform.link.bandwidth": 200.0}
    scenario: dict[str, Any] = {
        "schedule": {"program": "a2cid2", "gradients": 20},
        "topology": {"graph": "ring", "workers": 4},
        "platform": {
            "gradient": {"mean": 1.0, "distribution": "exponential"},
            "link": {"bandwidth": 80e6, "latency": 1e-3},
            "faults": {"mean_time_to_failure": 4.0, "mean_time_to_repair": 1.0},
        },
        "workload": {"problem": "quadratic", "dtype": "float64"},
    }
    failed = simulate(scenario, overrides=overrides)
    assert failed.summary["exchanges_lost"] > 0
    failed.save(tmp_path / "failed")
    del scenario["platform"]["faults"]
    followed = simulate(scenario, overrides=overrides, replay=tmp_path / "failed")
    assert failed.parameters is not None
    assert followed.parameters is not None
    np.testing.assert_allclose(followed.parameters, failed.parameters, atol=1e-12)


def test_a_run_that_lost_a_rank_for_good_is_followed_to_its_rows(tmp_path: Path) -> None:
    original = run(faults=away(1, 3.5))
    original.save(tmp_path / "lost")
    followed = run(replay=tmp_path / "lost")
    assert followed.summary["per_rank"]["gradients"] == original.summary["per_rank"]["gradients"]


def test_numbers_of_a_run_that_lost_a_rank_are_those_of_the_others() -> None:
    scenario: dict[str, Any] = {
        "schedule": {"program": "gossip", "gradients": 20},
        "topology": {"graph": "ring", "workers": 4},
        "platform": {"gradient": {"mean": 1.0}, "faults": away(2, 5.5)},
        "workload": {"problem": "quadratic"},
    }
    result = simulate(scenario)
    assert result.series is not None
    assert result.series["time"].max() == pytest.approx(20.0, rel=0.01)
    assert result.summary["per_rank"]["gradients"][2] == 5


@pytest.mark.parametrize("graph", ["star", "ring", "complete"])
@pytest.mark.parametrize("lost", [(0, 5.5, None), (1, 2.5, None), (1, 2.5, 30.0), (0, 9.5, 40.0), (2, 12.0, 13.0)])
def test_who_goes_on_averaging_for_others_waits_for_none_that_is_lost(
    graph: str, lost: tuple[int, float, float | None]
) -> None:
    """Rank 3 is slow: the others have left, and go on for its sake, and for one that comes back late."""
    rank, at, back = lost
    outage = {"rank": rank, "at": at} | ({} if back is None else {"back": back})
    result = simulate(
        {
            "schedule": {"program": "gossip", "gradients": 12, "pairing": "first-come"},
            "topology": {"graph": graph, "workers": 5},
            "platform": {
                "gradient": {"mean": 1.0, "distribution": "exponential"},
                "link": {"bandwidth": 1e6, "latency": 1e-3},
                "speed": {"3": 0.3},
                "faults": {"outages": [outage]},
            },
            "workload": {"parameters": 1000},
        }
    )
    made = result.summary["per_rank"]["gradients"]
    assert [number for each, number in enumerate(made) if each != rank] == [12] * 4
    assert (made[rank] == 12) == (back is not None)
    assert result.trace is not None
    left = result.trace[result.trace["op"] == "Leave"].groupby("rank")["end_ns"].max()
    told = result.trace[result.trace["answer"] == "nobody"]
    told_at_the_end = told[told["end_ns"] >= told["rank"].map(left)]
    assert set(told_at_the_end["rank"]) >= set(range(5)) - {rank}


def test_ticks_that_a_lost_rank_did_not_answer_are_due() -> None:
    """Rank 1 is never there: of the ticks in 200 ms none is answered, whether the run is cut then or ends."""
    platform = {"gradient": {"mean": "10 ms"}, "transport": "none", "faults": {"outages": [{"rank": 1, "at": "0 s"}]}}
    tables: dict[str, Any] = {
        "schedule": {"program": "gossip", "gradients": 20},
        "topology": {"graph": "complete", "workers": 2},
        "platform": platform,
        "workload": {"parameters": 10},
    }
    ended = simulate(tables).summary
    cut = simulate({**tables, "run": {"until": "time", "duration": "200 ms"}}).summary
    assert ended["exchanges_due"] == ended["backlog_exchanges"] == cut["exchanges_due"] == 22


def test_ticks_of_lost_exchanges_are_due_once() -> None:
    faults = {"outages": [{"rank": 1, "at": "50 ms", "back": "90 ms"}]}
    tables: dict[str, Any] = {
        "schedule": {"program": "gossip", "gradients": 20, "rate": 1.5},
        "topology": {"graph": "ring", "workers": 6},
        "platform": {
            "gradient": {"mean": "10 ms"},
            "link": {"bandwidth": "1 GB/s", "latency": "1 ms"},
            "faults": faults,
        },
        "workload": {"parameters": 10},
    }
    result = simulate(tables)
    rows = result.kept_trace.query("op == 'Exchange' and due_ns <= @result.summary['window_s'] * 1e9")
    assert result.summary["exchanges_due"] == rows["due_ns"].nunique()
