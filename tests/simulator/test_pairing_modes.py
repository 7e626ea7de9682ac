"""How often workers meet: Poisson clocks of the edges in the theory, quotas of exchanges in the official code.

Reference values are copied from the project's reference/gossip.json, whose key each one names.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from schedules.clocks import StreamKey, stream
from schedules.driving.coordinator import Coordinator
from schedules.payload import Payload
from schedules.training.kernels import prepared
from schedules.training.model import Model
from schedules.training.state import State
from schedules.worker import Worker
from simulator.run import simulate

GOSSIP = ("gossip", "a2cid2")


@functools.cache
def run(
    program: str = "gossip",
    graph: str = "complete",
    workers: int = 4,
    *,
    rate: float = 1.0,
    pairing: str = "first-come",
    gradients: int = 30,
    seed: int = 0,
    clock: str = "free",
) -> Any:
    tables = {
        "schedule": {
            "program": program,
            "gradients": gradients,
            "rate": rate,
            "pairing": pairing,
            "gradient_clock": clock,
        },
        "topology": {"graph": graph, "workers": workers},
        "platform": {"gradient": {"mean": 1.0, "distribution": "exponential"}, "link": {"bandwidth": 1e9}},
        "workload": {"parameters": 1000},
        "run": {"seed": seed},
    }
    return simulate(tables)


# ---- edge clocks


@pytest.mark.parametrize(("graph", "workers"), [("ring", 6), ("complete", 5), ("star", 4)])
@pytest.mark.parametrize("rate", [0.5, 1.0, 3.0])
def test_number_of_exchanges_is_poisson_with_mean_n_r_t_over_2(graph: str, workers: int, rate: float) -> None:
    found = run("gossip", graph, workers, rate=rate, pairing="edge-clock", gradients=200).summary["exchanges"]
    expected = workers * rate * 200 / 2
    assert found == pytest.approx(expected, abs=3 * math.sqrt(expected), rel=0)


def test_both_programs_meet_by_the_same_clocks() -> None:
    plain, accelerated = (run(program, "ring", 6, pairing="edge-clock").trace for program in GOSSIP)
    columns = ["rank", "peer", "tag", "start_ns", "end_ns"]
    plain, accelerated = (trace[trace["op"] == "Exchange"][columns] for trace in (plain, accelerated))
    assert plain.to_numpy().tolist() == accelerated.to_numpy().tolist()


def test_averaging_does_not_hold_up_gradients() -> None:
    result = run("gossip", "ring", 6, rate=3.0, pairing="edge-clock", gradients=50)
    computing = result.trace[result.trace["op"] == "Compute"]
    for _, mine in computing.groupby("rank"):
        assert mine["start_ns"].tolist() == [0, *mine["end_ns"][:-1]]


# ---- quotas: at least one exchange a gradient

Log = list[tuple[str, int]]
"""What a worker's stream went through: exchanges and hand-overs, each with its end in nanoseconds."""


def log(result: Any, rank: int, name: str) -> Log:
    """Of one stream, while the worker needs meetings, and before nobody is there to meet."""
    trace = result.trace[(result.trace["rank"] == rank) & (result.trace["stream"] == name)]
    rows = zip(trace["op"], trace["end_ns"], trace["answer"], strict=True)
    met = itertools.takewhile(lambda row: row[0] != "Leave" and row[2] != "nobody", rows)
    return [(op, end) for op, end, _ in met]


def counts(log: Log, counted: str, at: str) -> list[int]:
    """How many operations `counted` there have been at each operation `at`."""
    ops = [op for op, _ in log]
    totals = np.cumsum([op == counted for op in ops])
    return [int(total) for total, op in zip(totals, ops, strict=True) if op == at]


def quota_recursion(drawn: Sequence[int], length: int) -> list[int]:
    """c_m = max(c_{m-1} + 1, 1 + K_1 + ... + K_{m-1})."""
    found: list[int] = []
    for number in range(length):
        due = 1 + int(sum(drawn[:number]))
        found.append(max(found[-1] + 1, due) if found else due)
    return found


def exchanges_at_gradients(result: Any, rank: int) -> list[int]:
    """c_m: exchanges of a worker when its m-th gradient is handed over."""
    return counts(log(result, rank, "gossip"), "Exchange", "Take")


QUOTA_EXAMPLES = [  # gossip.json, quota_recursion
    ([0, 0, 3, 1, 0, 2], [1, 2, 3, 4, 5, 6]),
    ([1, 1, 1, 1], [1, 2, 3, 4]),
    ([2, 0, 0, 0, 5], [1, 3, 4, 5, 6]),
]


class Given:
    """A random generator whose Poisson draws are given."""

    def __init__(self, drawn: Sequence[int]) -> None:
        self._drawn: Iterator[int] = iter(drawn)

    def poisson(self, mean: float) -> int:
        return next(self._drawn)


@pytest.mark.parametrize(("drawn", "expected"), QUOTA_EXAMPLES)
def test_quota_recursion_of_the_test_itself(drawn: list[int], expected: list[int]) -> None:
    assert quota_recursion(drawn, len(drawn)) == expected


@pytest.mark.parametrize(("drawn", "expected"), QUOTA_EXAMPLES)
def test_given_quotas_give_the_official_counts(
    drawn: list[int], expected: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Worker, "random", lambda *_: Given(drawn))
    result = run.__wrapped__(workers=2, gradients=len(drawn))
    assert [exchanges_at_gradients(result, rank) for rank in range(2)] == [expected] * 2


@pytest.mark.parametrize("program", GOSSIP)
@pytest.mark.parametrize("rate", [1.0, 1.5, 4.0])
def test_quotas_are_those_of_the_keyed_stream(program: str, rate: float) -> None:
    result = run(program, rate=rate, workers=6, gradients=40)
    for rank in range(6):
        found = exchanges_at_gradients(result, rank)
        drawn = stream(0, StreamKey.QUOTA, rank, 0).poisson(rate, len(found))
        assert len(found) >= 30  # towards the end there may be nobody left to meet
        assert found == quota_recursion(drawn, len(found))


def test_a_gradient_starts_only_when_its_quota_is_done() -> None:
    """A gradient is released by the exchange that fills the quota; the next one is computed from then on."""
    result = run(rate=2.0, workers=6, gradients=40)
    for rank in range(6):
        released = [end for op, end in log(result, rank, "gossip") if op == "Take"]
        trace = result.trace[(result.trace["rank"] == rank) & (result.trace["op"] == "Compute")]
        assert trace["start_ns"].tolist()[1 : len(released) + 1] == released[: len(trace) - 1]


MEAN_EXCHANGES = {1.0: 1.0722475, 1.5: 1.5056775, 2.0: 1.9947525, 4.0: 3.9661625}
"""gossip.json, quota_recursion: mean exchanges per gradient after 100 gradients, from 4000 runs."""


@pytest.mark.slow
@pytest.mark.parametrize("rate", MEAN_EXCHANGES)
def test_mean_number_of_exchanges_a_gradient(rate: float) -> None:
    runs = [run(rate=rate, workers=16, gradients=130, seed=seed) for seed in range(2)]
    found = [exchanges_at_gradients(result, rank)[:100] for result in runs for rank in range(16)]
    means = [each[-1] / 100 for each in found if len(each) == 100]
    assert len(means) > 25
    error = np.std(means, ddof=1) * math.sqrt(1 / len(means) + 1 / 4000)
    assert np.mean(means) == pytest.approx(MEAN_EXCHANGES[rate], abs=3 * error, rel=0)


# ---- quotas: at least one gradient an exchange


@pytest.mark.parametrize("program", GOSSIP)
@pytest.mark.parametrize("rate", [0.2, 0.5, 0.9])
def test_below_one_there_is_a_gradient_between_any_two_exchanges(program: str, rate: float) -> None:
    result = run(program, rate=rate, workers=6, gradients=60)
    for rank in range(6):
        ops = [op for op, _ in log(result, rank, "gossip")]
        assert len(ops) > 20
        assert ops == list(itertools.islice(itertools.cycle(("Meet", "Exchange", "Take", "Put")), len(ops)))


@pytest.mark.parametrize("rate", [0.2, 0.5])
def test_below_one_gradients_follow_the_same_recursion(rate: float) -> None:
    """Symmetric: K ~ Poisson(1/rate) gradients an exchange (gossip.md, 4.2). The last one is always handed over."""
    result = run(rate=rate, workers=6, gradients=60)
    for rank in range(6):
        *found, last = counts(log(result, rank, "compute"), "Compute", "Put")
        drawn = stream(0, StreamKey.QUOTA, rank, 1).poisson(1 / rate, len(found))
        assert found == quota_recursion(drawn, len(found))
        assert last == 60


@pytest.mark.slow
def test_below_one_the_mean_is_the_rate() -> None:
    """The excess over the asked-for count vanishes: half the gradients see an exchange, nearly. (At the end those that
    are done average for the others' sake, and have more: so it is counted in the window.)"""
    assert run(rate=0.5, workers=6, gradients=400).summary["exchange_rate"] == pytest.approx(0.5, rel=0.05)


def test_who_has_withdrawn_while_parked_is_paired_no_more() -> None:
    """As after `Start(Meet)`, a deadline, `Cancel`, and the program's end: the other would wait for its exchange for
    ever."""
    coordinator = Coordinator(2, seed=0)
    assert coordinator.arrive(0, (1,)) == []
    coordinator.withdraw(0)
    assert coordinator.end(0) == []
    assert coordinator.arrive(1, (0,)) == [(1, None)]


def test_on_a_star_who_is_done_goes_on_averaging_with_those_that_are_not() -> None:
    """The hub is done long before the leaves have an exchange for each of their gradients."""
    result = run("gossip", "star", 16, gradients=30)
    trace, summary = result.trace, result.summary
    assert min(summary["per_rank"]["exchanges"]) >= 30
    gradients = trace[(trace["op"] == "Compute") & (trace["rank"] > 0)]
    last = trace[trace["op"] == "Exchange"].groupby("rank")["end_ns"].max()
    # But for its last one, every gradient begins before an exchange of its worker is over.
    assert (gradients["start_ns"].to_numpy() > last.loc[gradients["rank"]].to_numpy()).sum() == 0
    left = trace[trace["op"] == "Leave"].set_index("rank")["end_ns"]
    answers = trace[trace["answer"] == "nobody"].set_index("rank")["end_ns"]
    assert sorted(answers.index) == list(range(16))  # each once
    assert answers[0] == left.max()  # the hub is of use until the last leaf has left


# ---- both modes


@pytest.mark.parametrize("pairing", ["edge-clock", "first-come"])
@pytest.mark.parametrize("graph", ["ring", "star", "complete"])
def test_only_neighbours_meet_and_both_see_the_meeting(graph: str, pairing: str) -> None:
    result = run("gossip", graph, 5, pairing=pairing)
    met = result.trace[result.trace["op"] == "Exchange"]
    seen = sorted(zip(met["rank"], met["peer"], met["tag"], met["ready_ns"], met["end_ns"], strict=True))
    assert seen == sorted((peer, rank, *others) for rank, peer, *others in seen)
    edges = {
        "ring": {(i, (i + step) % 5) for i in range(5) for step in (1, 4)},
        "star": {edge for i in range(1, 5) for edge in ((0, i), (i, 0))},
        "complete": set(itertools.permutations(range(5), 2)),
    }[graph]
    assert {(rank, peer) for rank, peer, *_ in seen} <= edges


SMALL = [("ring", 3), ("ring", 5), ("star", 2), ("star", 5), ("complete", 2), ("complete", 5), ("path", 3), ("path", 5)]


@pytest.mark.parametrize("rate", [0.3, 1.0, 2.5])
@pytest.mark.parametrize(("graph", "workers"), SMALL)
def test_first_come_comes_to_an_end_with_every_gradient_made(graph: str, workers: int, rate: float) -> None:
    summary = run("gossip", graph, workers, rate=rate, gradients=15).summary
    assert summary["per_rank"]["gradients"] == [15] * workers


def test_poisson_gradients_come_to_an_end_too() -> None:
    summary = run(workers=5, clock="poisson", gradients=12).summary
    drawn = [len(list(_ticks(rank))) for rank in range(5)]
    assert summary["per_rank"]["gradients"] == drawn


def _ticks(rank: int) -> Iterator[float]:
    """The worker's own Poisson clock of rate 1, up to 12, drawn here gap by gap."""
    generator = stream(0, StreamKey.GRADIENT_CLOCK, rank)
    times = np.cumsum(generator.exponential(1.0, 200))
    return iter(times[times <= 12].tolist())


@pytest.mark.parametrize("pairing", ["edge-clock", "first-come"])
def test_a_gradient_at_a_tick_is_read_from_parameters_mixed_up_to_then(
    pairing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The gradient event of gossip.md, 2.3. Without the mixing they lag by what has passed since the last event."""
    lags: list[float] = []

    def read(kernel: Any, operation: Any, model: Model, state: State, answer: Payload) -> Callable[[], None]:
        lags.append(model.account.ledger.now / 10_000_000 - state.time)
        return prepared(kernel, operation, model, state, answer)

    monkeypatch.setattr("simulator.computing.computing.prepared", read)
    result = simulate(
        {
            "schedule": {"program": "a2cid2", "gradients": 30, "pairing": pairing, "gradient_clock": "poisson"},
            "topology": {"graph": "ring", "workers": 6},
            "platform": {"gradient": {"mean": 0.01}, "link": {"bandwidth": 1e9, "latency": 1e-3}},
            "workload": {"problem": "quadratic"},
            "optimizer": {"learning_rate": 0.01},
        }
    )
    assert len(lags) == result.summary["gradients"] > 100
    assert max(map(abs, lags)) < 1e-6
