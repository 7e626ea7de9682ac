"""Kernels that take longer than they would: exact timelines, and an oracle that works them out again from traces.

Gradients of 1 s, links of 1 MB/s and 1 ms, unless said otherwise.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import pandas as pd
import pytest

from schedules.operations import (
    AllReduce,
    Await,
    Cancel,
    Compute,
    Exchange,
    Payload,
    Program,
    Receive,
    Send,
    Start,
    Until,
)
from schedules.platform.durations import durations
from schedules.platform.stragglers import Pace, pace
from schedules.record.trace import Recorder
from schedules.scenario import Scenario, cuts, load
from schedules.worker import Worker
from simulator import simulate
from simulator.world import World
from tests.simulator.rig import build, run
from tests.simulator.trace_ledger import COMMUNICATION

KB_100 = Payload(100_000)  # 100 ms on the wire, and 1 ms of latency
S = 10**9


def gradients(log: list[Any], number: int = 1) -> Program:
    for _ in range(number):
        _, time = yield Compute("gradient")
        log.append(round(time * S))


def computed(world: World) -> list[int]:
    """Nanoseconds that each rank has computed for, as the ledger has them."""
    return world.ledger.totals().compute_ns.tolist()


# ---- permanent stragglers


def test_a_rank_of_half_the_speed_takes_twice_as_long() -> None:
    logs: list[list[int]] = [[], []]
    world = run(lambda worker: {"compute": gradients(logs[worker.rank], 2)}, platform__speed={1: 0.3})
    assert logs == [[S, 2 * S], [3_333_333_333, 6_666_666_666]]
    assert computed(world) == [2 * S, 6_666_666_666]
    assert world.computing.retiming is None


# ---- transient stragglers, in forced states


def paced(changes: list[int], programs: Any, slowdown: float = 4.0, communication: float = 1.0) -> World:
    """Run with rank 0 in forced states."""
    world = build(programs)
    world.retime([Pace(slowdown, changes), Pace()], communication)
    world.run()
    return world


def test_a_kernel_in_a_slow_spell_ends_when_its_work_is_done() -> None:
    """Slow from 0.5 to 1.5 s: work of 0.5, 0.25 and 0.25 s; then from 3 s on."""
    logs: list[list[int]] = [[], []]
    world = paced([S // 2, 3 * S // 2, 3 * S], lambda worker: {"compute": gradients(logs[worker.rank], 3)})
    assert logs == [[1_750_000_000, 2_750_000_000, 6 * S], [S, 2 * S, 3 * S]]
    assert computed(world) == [6 * S, 3 * S]


def test_what_waits_for_the_engine_begins_when_the_slow_kernel_ends() -> None:
    log: list[Any] = []

    def program() -> Program:
        handles = []
        for _ in range(3):
            handles.append((yield Start(Compute("gradient")))[0])
        for handle in handles:
            log.append((yield Await((handle,)))[1])

    world = paced([S // 2, 3 * S // 2], lambda worker: {"compute": program()} if worker.rank == 0 else {})
    assert log == [1.75, 2.75, 3.75]
    assert computed(world) == [3_750_000_000, 0]


# ---- slow-down while communicating, by hand


@pytest.mark.parametrize(
    ("slowdown", "end"),
    [(1.0, S), (2.0, 1_050_500_000), (4.0, 1_075_750_000), (1.25, 1_020_200_000)],
)
def test_an_exchange_in_the_middle_of_a_kernel(slowdown: float, end: int) -> None:
    """From 0.4 to 0.501 s. In these 101 ms work of 101 / slowdown ms is done."""
    log: list[int] = []
    ends: list[int] = []

    def exchange(worker: Worker) -> Program:
        yield Until(0.4 - 0.1 * worker.rank)
        _, time = yield Exchange(1 - worker.rank, KB_100, 0)
        ends.append(round(time * S))

    world = run(
        lambda worker: {"compute": gradients(log), "gossip": exchange(worker)},
        platform__communication_slowdown=slowdown,
    )
    assert log == [end, end]
    assert ends == [501_000_000, 501_000_000]
    assert computed(world) == [end, end]
    assert world.ledger.totals().transfer_ns.tolist() == [101_000_000, 101_000_000]
    assert world.ledger.totals().waiting_ns.tolist() == [0, 100_000_000]


def test_only_kernels_of_the_ranks_that_transfer_are_slowed() -> None:
    logs: list[list[int]] = [[], [], []]

    def exchange(worker: Worker) -> Program:
        yield Exchange(1 - worker.rank, KB_100, 0)

    def programs(worker: Worker) -> Mapping[str, Program]:
        talk = {"gossip": exchange(worker)} if worker.rank < 2 else {}
        return {"compute": gradients(logs[worker.rank]), **talk}

    run(programs, workers=3, platform__communication_slowdown=2.0)
    assert logs == [[1_050_500_000], [1_050_500_000], [S]]


def test_waiting_for_the_peer_slows_nothing_down() -> None:
    """Rank 0 asks at 0, rank 1 only at 2 s, after two of the gradients of rank 0."""
    log: list[int] = []

    def exchange(worker: Worker) -> Program:
        yield Until(2.0 * worker.rank)
        yield Exchange(1 - worker.rank, KB_100, 0)

    def programs(worker: Worker) -> Mapping[str, Program]:
        return {"gossip": exchange(worker), **({"compute": gradients(log, 3)} if worker.rank == 0 else {})}

    run(programs, platform__communication_slowdown=2.0)
    assert log == [S, 2 * S, 3_050_500_000]


def test_transfers_at_once_slow_a_kernel_once() -> None:
    """Messages to two peers from 0.2 to 0.301 and from 0.25 to 0.351 s: for 151 ms a transfer is under way."""
    log: list[int] = []

    def sender(at: float, peer: int) -> Program:
        yield Until(at)
        yield Send(peer, KB_100, 0)

    def receiver() -> Program:
        yield Receive(0, KB_100.size, 0)

    def programs(worker: Worker) -> Mapping[str, Program]:
        if worker.rank:
            return {"main": receiver()}
        return {"compute": gradients(log), "one": sender(0.2, 1), "two": sender(0.25, 2)}

    run(programs, workers=3, platform__communication_slowdown=2.0)
    assert log == [1_075_500_000]


def test_a_kernel_within_a_transfer_and_one_that_sees_its_end() -> None:
    """A transfer from 0 to 5.001 s, computing three times slower: work of 1 s ends at 3 s, and of the next 0.667 s are
    done at 5.001 s."""
    log: list[int] = []

    def exchange(worker: Worker) -> Program:
        yield Exchange(1 - worker.rank, Payload(5_000_000), 0)

    run(
        lambda worker: {
            "gossip": exchange(worker),
            **({"compute": gradients(log, 2)} if worker.rank == 0 else {}),
        },
        platform__communication_slowdown=3.0,
    )
    assert log == [3 * S, 5_334_000_000]


@pytest.mark.parametrize("transport", ["ideal", "gloo"])
@pytest.mark.parametrize("network", [None, {"kind": "fabric", "bandwidth": 1e6, "latency": "0.5 ms"}])
def test_every_kind_of_transfer_slows_down(transport: str, network: Any) -> None:
    """What the trace says of transfers tells when kernels end, over closed forms and flows."""

    def talk(worker: Worker) -> Program:
        peer = 1 - worker.rank
        yield Until(0.1 + 0.03 * worker.rank)
        yield Exchange(peer, KB_100, 0)
        yield Until(0.6)
        yield AllReduce(Payload(300_000), "mean")
        yield Until(1.9)
        yield (Send(peer, KB_100, 1) if worker.rank else Receive(peer, KB_100.size, 1))

    world = run(
        lambda worker: {"compute": gradients([], 3), "talk": talk(worker)},
        recorder=Recorder(),
        platform__communication_slowdown=1.5,
        platform__transport=transport,
        platform__overhead="2 ms" if transport == "gloo" else 0.0,
        **({} if network is None else {"platform__network": network}),
    )
    assert world.recorder is not None
    trace = world.recorder.table("", "")
    slowed = {rank: {"gradient": [S] * 3} for rank in range(2)}
    assert check_work(trace, slowed, 1.5) == 6
    assert (trace[trace["op"] == "Compute"]["end_ns"].max()) > 3 * S + 10**8


def test_spells_and_transfers_multiply() -> None:
    """Slow (4) from 0.5 s on; transferring (2) from 0.25 to 0.751 s. Work: 0.25, 0.125, 0.251 / 8, the rest at a
    quarter: 1 - 0.406375 s takes 2.3745 s."""
    log: list[int] = []

    def exchange(worker: Worker) -> Program:
        yield Until(0.25)
        yield Exchange(1 - worker.rank, Payload(500_000), 0)

    def programs(worker: Worker) -> Mapping[str, Program]:
        return {"gossip": exchange(worker), **({"compute": gradients(log)} if worker.rank == 0 else {})}

    world = paced([S // 2], programs, communication=2.0)
    assert log == [751_000_000 + 2_374_500_000]
    assert computed(world) == [3_125_500_000, 0]


def test_a_cancelled_kernel_frees_its_engine_and_counts_as_far_as_it_came() -> None:
    log: list[Any] = []

    def program() -> Program:
        first, _ = yield Start(Compute("gradient"))
        second, _ = yield Start(Compute("gradient"))
        third, _ = yield Start(Compute("gradient"))
        yield Until(0.25)
        yield Cancel(first)
        yield Cancel(second)
        log.append((yield Await((third,)))[1])
        yield Exchange(1, KB_100, 0)

    def other() -> Program:
        yield Exchange(0, KB_100, 0)

    world = run(
        lambda worker: {"main": program() if worker.rank == 0 else other()}, platform__communication_slowdown=2.0
    )
    assert log == [1.25]
    assert computed(world) == [1_250_000_000, 0]


def test_two_engines_are_slowed_alike() -> None:
    log: list[Any] = []

    def program() -> Program:
        handles = []
        for engine in ("one", "two"):
            handles.append((yield Start(Compute("gradient", engine=engine)))[0])
        yield Exchange(1, KB_100, 0)
        for handle in handles:
            log.append((yield Await((handle,)))[1])

    def other() -> Program:
        yield Exchange(0, KB_100, 0)

    run(lambda worker: {"main": program() if worker.rank == 0 else other()}, platform__communication_slowdown=2.0)
    assert log == [1.0505, 1.0505]


# ---- an oracle: work out of the trace


def check_work(trace: pd.DataFrame, work: Mapping[int, Mapping[str, Any]], slowdown: float, paces: Any = None) -> int:
    """Every kernel's work, from the trace's transfers and the rank's pace, is what was drawn for it, to 1 ns. Returns
    the number of kernels."""
    number = 0
    for rank, rows in trace.groupby("rank"):
        transfers = _union(rows[rows["op"].isin(COMMUNICATION)])
        process = Pace() if paces is None else paces[rank]
        kernels = rows[rows["op"] == "Compute"].sort_values("ready_ns")
        for kernel, each in kernels.groupby("kernel"):
            drawn = iter(work[int(str(rank))][str(kernel)])
            for begin, end in zip(each["ready_ns"].tolist(), each["end_ns"].tolist(), strict=True):
                cuts = sorted({begin, end, *(cut for cut in itertools.chain(*transfers) if begin < cut < end)})
                done = 0.0
                for one, other in itertools.pairwise(cuts):
                    is_slow = any(since <= one < until for since, until in transfers)
                    done += process.work(one, other) / (slowdown if is_slow else 1.0)
                assert done == pytest.approx(next(drawn), abs=1.0)
                number += 1
    return number


def _union(rows: pd.DataFrame) -> list[tuple[int, int]]:
    """When at least one transfer is under way."""
    merged: list[tuple[int, int]] = []
    for begin, end in sorted(zip(rows["ready_ns"].tolist(), rows["end_ns"].tolist(), strict=True)):
        if merged and begin <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        elif end > begin:
            merged.append((begin, end))
    return merged


class Drawn(dict[str, Any]):
    """What a scenario's streams say that each kernel of a rank takes."""

    def __init__(self, scenario: Scenario, rank: int) -> None:
        super().__init__()
        self.scenario, self.rank = scenario, rank

    def __getitem__(self, kernel: str) -> Any:
        scenario, seed = self.scenario, self.scenario.run.seed
        return durations(scenario.platform, seed, self.rank, kernel, cuts=cuts(scenario, self.rank))


RUNS: dict[str, dict[str, Any]] = {
    "gossip": {"program": "gossip", "rate": 2.0},
    "first-come": {"program": "gossip", "rate": 2.0, "pairing": "first-come"},
    "d-psgd": {"program": "d-psgd"},
    "all-reduce": {"program": "all-reduce", "overlap": True, "bucket_size": 10_000},
}
SLOWED = {
    "communication_slowdown": 1.4,
    "stragglers": {"slowdown": 3.0, "mean_normal": "0.5 s", "mean_slow": "0.2 s", "ranks": [0, 2, 5]},
    "speed": {"1": 0.7, "2": 1.3},
}


def tables(schedule: Mapping[str, Any], **platform: Any) -> dict[str, Any]:
    return {
        "schedule": {"gradients": 15, **schedule},
        "topology": {"graph": "complete", "workers": 6},
        "platform": {
            "gradient": {"distribution": "lognormal", "mean": 0.1, "cv": 0.3},
            "link": {"bandwidth": 1e6, "latency": 1e-3},
            **platform,
        },
        "workload": {"parameters": 5000},
    }


@pytest.mark.parametrize(
    "platform",
    [
        {},
        {"transport": "gloo", "overhead": "1 ms"},
        {"network": {"kind": "fabric", "bandwidth": 2e6}, "collectives": {"form": "closed"}},
    ],
    ids=["ideal", "gloo", "fabric"],
)
@pytest.mark.parametrize("name", RUNS)
def test_the_work_of_every_kernel_is_what_was_drawn(name: str, platform: dict[str, Any]) -> None:
    scenario = load(tables(RUNS[name], **platform, **SLOWED))
    result = simulate(scenario)
    assert result.trace is not None
    work = {rank: Drawn(scenario, rank) for rank in range(6)}
    paces = [pace(scenario.platform.stragglers, scenario.run.seed, rank) for rank in range(6)]
    computations = result.trace[result.trace["op"] == "Compute"]
    assert check_work(result.trace, work, 1.4, paces) == len(computations) >= 90
    assert simulate(scenario).summary == result.summary
    taken = (computations["end_ns"] - computations["ready_ns"]).sum() / 1e9
    assert sum(result.summary["per_rank"]["compute_s"]) == pytest.approx(taken, rel=1e-12)


@pytest.mark.parametrize("name", RUNS)
def test_spells_of_nobody_change_nothing(name: str) -> None:
    """The way that re-times kernels, with nothing to re-time, gives the rows of the way that does not."""
    nobody = {"slowdown": 3.0, "mean_normal": 1.0, "mean_slow": 1.0, "ranks": []}
    plain, retimed = simulate(tables(RUNS[name])), simulate(tables(RUNS[name], stragglers=nobody))
    assert plain.trace is not None
    assert retimed.trace is not None
    key = ["rank", "stream", "index", "op"]
    rows = [each.trace.sort_values(key, ignore_index=True).drop(columns="run") for each in (plain, retimed)]
    pd.testing.assert_frame_equal(*rows)
    assert plain.summary == retimed.summary


def test_a_kernel_is_not_moved_in_the_tick_in_which_it_ends() -> None:
    """A transfer begins at 1 s, when one kernel ends and the next begins, and ends at 3 s with the second."""
    log: list[int] = []

    def exchange(worker: Worker) -> Program:
        yield Until(1.0)
        yield Exchange(1 - worker.rank, Payload(1_999_000), 0)

    def programs(worker: Worker) -> Mapping[str, Program]:
        return {"gossip": exchange(worker), **({"compute": gradients(log, 3)} if worker.rank == 0 else {})}

    run(programs, platform__communication_slowdown=2.0)
    assert log == [S, 3 * S, 4 * S]


def test_without_slow_downs_kernels_are_not_retimed() -> None:
    """The hot path: a kernel is its own event."""
    world = build(lambda worker: {})
    assert world.computing.retiming is None
    assert world.traffic.slowed is None


def test_durations_are_drawn_in_the_order_of_the_program() -> None:
    """The second waits for its engine and the third does not; what is cancelled in the queue has had its draw."""
    log: list[int] = []

    def program() -> Program:
        handles = []
        for engine in ("a", "a", "b", "a", "a"):
            handle, _ = yield Start(Compute("gradient", engine=engine))
            handles.append(handle)
        yield Cancel(handles.pop(3))
        for handle in handles:
            _, time = yield Await((handle,))
            log.append(round(time * S))

    world = build(lambda worker: {"compute": program()} if worker.rank == 0 else {})
    world.computing.durations[0]["gradient"] = itertools.count(S, S).__next__
    world.run()
    assert log == [S, 3 * S, 3 * S, 8 * S]
    assert computed(world)[0] == 8 * S  # the second engine's are within
