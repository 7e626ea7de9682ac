"""How old what workers know is: by the theory, by the earliest arrival of every gradient, of all kinds of programs."""

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

from schedules.record.knowledge import ages as module
from schedules.record.knowledge.ages import Ages, ages, sample
from schedules.result import Result
from simulator import simulate

FREE = {"platform.link.bandwidth": 1e18, "platform.link.latency": 0.0}
CONSTANT = {"platform.gradient.distribution": "constant", "platform.gradient.cv": 0.0, **FREE}
INSTANT = {**CONSTANT, "platform.gradient.mean": 0.0}
"""Nothing takes time: a gradient time is a second then."""


def run(overrides: dict[str, Any] | None = None, **schedule: Any) -> Result:
    """Eight workers, whose gradients take about 10 ms and messages 1 ms."""
    tables = {
        "schedule": {"program": "gossip", "gradients": 30, **schedule},
        "topology": {"graph": "ring", "workers": 8},
        "platform": {
            "gradient": {"mean": "10 ms", "distribution": "lognormal", "cv": 0.3},
            "link": {"bandwidth": "1 GB/s", "latency": "1 ms"},
        },
        "workload": {"parameters": 1000},
        "run": {"ages": True},
    }
    return simulate(tables, overrides=overrides)


def found(result: Result) -> Ages:
    assert result.trace is not None
    told = ages(result.trace, 8)
    assert told is not None
    return told


# ---- the theory


def theory(n: int, edge_rate: float) -> float:
    """In gradient times (docs/vocabulary.md derives it; also in the specification of gossip, section 12)."""
    first = sum(1 / (edge_rate * k * (n - k)) for m in range(1, n) for k in range(1, m + 1))
    return 1 + first / (n - 1)


def test_the_formula_is_the_sheets() -> None:
    assert round(theory(8, 1 / 7), 4) == 3.5929


@pytest.mark.slow
def test_on_the_complete_graph_without_durations_the_mean_age_is_the_theorys() -> None:
    means = []
    for seed in range(16):
        overrides = {"topology.graph": "complete", "run.seed": seed, **INSTANT}
        result = run(overrides, gradients=200, gradient_clock="poisson")
        told = found(result)
        since = told.at_ns >= 20e9  # a gradient time is a second here; before, nobody knew of anybody
        means.append(told.age_ns[since].mean() / 1e9)
    error = np.std(means, ddof=1) / math.sqrt(len(means))
    assert error < 0.05  # else three of them would say nothing
    assert abs(np.mean(means) - theory(8, 1 / 7)) < 3 * error


@pytest.mark.parametrize("rate", [0.5, 2.0])
def test_exchanges_while_computing_are_the_rate_times_the_duration(rate: float) -> None:
    result = run(CONSTANT, gradients=400, rate=rate)
    summary = result.summary
    # Gradients run back to back, so every exchange falls into one at each of its ends.
    assert summary["staleness_exchanges_mean"] == 2 * summary["exchanges"] / (8 * 400)
    # Both ends of an exchange count: twice the variance of a Poisson number.
    assert abs(summary["staleness_exchanges_mean"] - rate) < 3 * math.sqrt(2 * rate / (8 * 400))


# ---- another way to the same


def by_arrival(trace: pd.DataFrame, num_workers: int) -> dict[tuple[int, int, int], tuple[int, int]]:
    """Every gradient is followed on its own, from the end of its computation: who has it sends it on with whatever is
    sent from then on, and who receives that has it when that is over. Until nothing is earlier any more."""
    crossed = trace[trace["op"] == "Exchange"]
    ends = {(row.rank, row.peer, row.tag): row for row in crossed.itertuples()}
    computed = trace[trace["op"] == "Compute"]
    made = {rank: computed.loc[computed["rank"] == rank, "end_ns"].tolist() for rank in range(num_workers)}
    arrival: dict[tuple[int, int], list[float]] = {}
    for source, times in made.items():
        for number, time in enumerate(times):
            has = [math.inf] * num_workers
            has[source] = time
            is_new = True
            while is_new:
                is_new = False
                for (rank, peer, tag), row in ends.items():
                    if has[rank] <= row.start_ns and ends[peer, rank, tag].end_ns < has[peer]:
                        has[peer], is_new = ends[peer, rank, tag].end_ns, True
            arrival[source, number] = has
    told = {}
    for row in computed.itertuples():
        for peer in set(range(num_workers)) - {row.rank}:
            known = [k for k in range(len(made[peer])) if arrival[peer, k][row.rank] <= row.start_ns]
            if known:
                newest = sum(each <= row.start_ns for each in made[peer]) - 1
                told[row.rank, row.start_ns, peer] = newest - max(known), row.start_ns - made[peer][max(known)]
    return told


@pytest.mark.parametrize("program", ["gossip", "a2cid2", "d-psgd"])
def test_ages_are_those_of_the_earliest_arrivals(program: str) -> None:
    result = run(program=program, gradients=8)
    assert result.trace is not None
    told = found(result)
    keys = zip(told.rank.tolist(), told.at_ns.tolist(), told.peer.tolist(), strict=True)
    values = zip(told.versions.tolist(), told.age_ns.tolist(), strict=True)
    assert dict(zip(keys, values, strict=True)) == by_arrival(result.trace, 8)


# ---- programs that are not pairwise


def test_in_d_psgd_a_neighbour_at_distance_d_is_known_d_steps_late() -> None:
    """Also where all of it falls on the same nanoseconds."""
    result = run(CONSTANT, program="d-psgd")
    told = found(result)
    apart = (told.peer - told.rank) % 8
    assert (told.versions == np.minimum(apart, 8 - apart)).all()
    assert (told.age_ns == 10_000_000 * told.versions).all()


def test_after_an_all_reduce_everybody_has_everything() -> None:
    result = run(CONSTANT, program="all-reduce")
    assert result.summary["age_max"] == result.summary["age_max_s"] == 0
    assert result.summary["age_unknown_fraction"] == 1 / 30  # the first gradient knows of none


RELAY = '''
from schedules import Compute, CountOfRank, Receive, Send, Table, descend


SOURCE = "a test"


class Settings(Table):
    """The keys."""

    gradients: CountOfRank


def streams(worker):
    return {"compute": rounds(worker)}


def rounds(worker):
    """Everybody computes; then rank 0 tells 1, which tells 2 what it knows, and so on."""
    for _ in range(worker.settings.gradients):
        gradient, _ = yield Compute("gradient")
        worker.model.apply(descend, gradient)
        if worker.rank > 0:
            yield Receive(worker.rank - 1, worker.model.size)
        if worker.rank + 1 < worker.num_workers:
            yield Send(worker.rank + 1, worker.model.outgoing())
'''


def test_a_message_tells_its_receiver_and_not_its_sender(tmp_path: Any) -> None:
    path = tmp_path / "relay.py"
    path.write_text(RELAY)
    result = run({"topology.graph": "path", **FREE}, program=str(path), gradients=5)
    told = found(result)
    assert (told.peer < told.rank).all()
    assert {(int(i), int(j)) for i, j in zip(told.rank, told.peer, strict=True)} == {
        (i, j) for i in range(8) for j in range(i)
    }
    assert result.summary["age_unknown_fraction"] == 1 - 4 / 5 * (7 * 8 / 2) / (7 * 8)


def test_who_meets_nobody_knows_of_nobody() -> None:
    result = run(rate=1e-9)
    assert not [key for key in result.summary if key.startswith("age")]


# ---- runs that end early, and large ones


@pytest.mark.parametrize(
    "overrides",
    [
        {"run.until": "time", "run.duration": "200 ms"},
        {"run.until": "gradients", "run.total": 77},
        {"platform.faults": {"outages": [{"rank": 3, "at": "50 ms"}]}},
    ],
)
def test_a_run_that_is_cut_or_loses_a_rank_has_ages_of_what_was_done(overrides: dict[str, Any]) -> None:
    result = run(overrides)
    assert result.summary["age_mean"] > 0
    assert 0 < result.summary["age_unknown_fraction"] < 1


def test_of_many_workers_a_sample_is_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert np.array_equal(sample(1024), np.arange(1024))
    drawn = sample(1025)
    assert len(np.unique(drawn)) == 1024
    assert (np.diff(drawn) > 0).all()
    result = run()
    whole = found(result)
    monkeypatch.setattr(module, "MOST_WORKERS", 3)
    part = found(result)
    is_in = np.isin(whole.peer, sample(8))
    assert len(np.unique(part.peer)) == 3
    assert [np.array_equal(a[is_in], b) for a, b in zip(whole[:-1], part[:-1], strict=True)] == [True] * 5


def test_of_many_ages_those_at_every_kth_gradient_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    result = run()
    whole = found(result)
    monkeypatch.setattr(module, "MOST_AGES", 8 * 30 * 8 // 3)
    part = found(result)
    keys = [set(zip(*(column.tolist() for column in each[:-1]), strict=True)) for each in (whole, part)]
    assert keys[1] < keys[0]
    assert {len(np.unique(part.at_ns[part.rank == rank])) for rank in range(8)} <= {8, 9, 10}
    assert whole.num_unknown > part.num_unknown > 0


def test_of_more_ages_than_gradients_those_at_another_one_of_every_worker_are_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The first of each would say that nobody knows of anybody."""
    result = run()
    monkeypatch.setattr(module, "MOST_AGES", 8 * 8)  # one in thirty
    part = found(result)
    assert len(np.unique(part.rank)) == 7  # the first gradient of rank 0 contains nothing
    assert part.versions.max() > 0
