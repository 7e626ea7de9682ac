"""What simulated ranks hold over time: exact curves of every schedule, and the peaks of long runs without a trace.

Gradients of 1 s, links of 1 MB/s and 1 ms, 8 kB of parameters: a message takes 9 ms.
"""

from collections import defaultdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from schedules.clocks import Clocks
from schedules.operations import Await, Cancel, Compute, Exchange, Payload, Program, Receive, Send, Start, Until
from schedules.record.memory import in_flight
from schedules.record.summary import summarise
from schedules.result import Result
from schedules.scenario import communication_graph, load
from schedules.setup import Setup
from schedules.worker import Worker
from simulator import simulate
from simulator.run import build_world
from tests.simulator.rig import run

SIZE, ACTIVATIONS = 8000, 500
MS = 10**6
BASE: dict[str, Any] = {
    "schedule": {"program": "gossip", "gradients": 3},
    "topology": {"graph": "complete", "workers": 2},
    "platform": {"gradient": {"mean": 1.0}, "link": {"bandwidth": 1e6, "latency": 1e-3}},
    "workload": {"parameters": 2000, "activations": ACTIVATIONS},
}
PROGRAMS = ["all-reduce", "d-psgd", "gossip", "a2cid2"]
ROUGH = {
    "topology.graph": "ring",
    "topology.workers": 5,
    "platform.gradient": {"distribution": "lognormal", "mean": 0.02, "cv": 0.5},
    "schedule.gradients": 15,
}
"""Transfers about as long as gradients, so that buffers overlap in every way."""


def memory_of(result: Result) -> pd.DataFrame:
    assert result.memory is not None
    return result.memory


def curves(result: Result, rank: int = 0) -> dict[str, list[tuple[int, int]]]:
    """By kind: (time in ns, bytes from then on)."""
    found: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for owner, time, kind, size in memory_of(result).itertuples(index=False, name=None):
        if owner == rank:
            found[kind].append((time, size))
    return found


def steps(*changes: tuple[float, int]) -> list[tuple[int, int]]:
    """Changes as (time in ms, bytes)."""
    return [(round(at * MS), size) for at, size in changes]


# ---- exact curves


def test_all_reduce() -> None:
    """A step is 1 s of gradient and 2 (1 ms + 4 kB / 1 MB/s) = 10 ms of reduction, in place."""
    result = simulate(BASE, overrides={"schedule.program": "all-reduce"})
    for rank in range(2):
        assert curves(result, rank) == {
            "activations": steps((0, 500), (1000, 0), (1010, 500), (2010, 0), (2020, 500), (3020, 0)),
            "gradients": steps((0, SIZE), (3030, 0)),
            "parameters": steps((0, SIZE)),
        }
    assert result.summary["peak_memory_bytes"] == 2 * SIZE + 500
    assert result.summary["peak_memory_by_kind"] == {"activations": 500, "gradients": SIZE, "parameters": SIZE}
    assert result.summary["per_rank"]["peak_memory_bytes"] == [2 * SIZE + 500] * 2


def test_all_reduce_with_overlap() -> None:
    """Forward 400 ms, two buckets of 200 ms and 4 kB; the second's reduction, 6 ms, is not hidden."""
    kernels = {"forward": {"mean": 0.4}, "backward": {"mean": 0.2}}
    overrides = {"schedule.program": "all-reduce", "schedule.overlap": True, "schedule.bucket_size": 4000}
    result = simulate(BASE, overrides={**overrides, "platform.kernels": kernels, "schedule.gradients": 2})
    assert curves(result) == {
        "activations": steps((0, 500), (800, 0), (806, 500), (1606, 0)),
        "gradients": steps((0, SIZE), (1612, 0)),
        "parameters": steps((0, SIZE)),
    }


def test_d_psgd() -> None:
    """In a ring of four: two exchanges of 9 ms at once, and what they received waits for the gradient."""
    overrides = {"schedule.program": "d-psgd", "topology.graph": "ring", "topology.workers": 4}
    result = simulate(BASE, overrides={**overrides, "schedule.gradients": 2, "optimizer.momentum": 0.9})
    for rank in range(4):
        assert curves(result, rank) == {
            "activations": steps((0, 500), (2000, 0)),
            "gradients": steps((0, SIZE), (2000, 0)),
            "in-flight": steps((0, 4 * SIZE), (9, 0), (1000, 4 * SIZE), (1009, 0)),
            "optimizer": steps((0, SIZE)),
            "parameters": steps((0, SIZE)),
            "received": steps((0, 0), (9, 2 * SIZE), (1000, 0), (1009, 2 * SIZE), (2000, 0)),
        }
    assert result.summary["peak_memory_bytes"] == 7 * SIZE + 500


@pytest.mark.parametrize("program", ["gossip", "a2cid2"])
def test_gossip_and_a2cid2(program: str) -> None:
    """An exchange of 9 ms at every tick of the one edge, which are further apart than that."""
    scenario = load(BASE, {"schedule.program": program})
    ticks = [time for time, _, _ in Clocks(communication_graph(scenario), scenario.run.seed, 3.0).edges(0)]
    begins = [int(time * 10**9 + 0.5) for time in ticks]
    assert all(later - sooner > 9 * MS for sooner, later in pairwise(begins))
    assert begins
    result = simulate(scenario)
    expected = {
        "activations": steps((0, 500), (3000, 0)),
        "gradients": steps((0, SIZE), (3000, 0)),
        "in-flight": [(0, 0), *(step for at in begins for step in ((at, 2 * SIZE), (at + 9 * MS, 0)))],
        "parameters": steps((0, SIZE)),
    }
    if program == "a2cid2":
        expected["vectors"] = steps((0, SIZE))
    assert curves(result, 0) == curves(result, 1) == expected
    assert result.summary["peak_memory_bytes"] == (5 if program == "a2cid2" else 4) * SIZE + 500


def test_a_numeric_run_has_the_sizes_of_its_arrays() -> None:
    """float64; a timing-only run of the same problem holds the same."""
    problem = {"problem": "quadratic", "dtype": "float64", "options": {"dimension": 7}}
    table = {**BASE, "workload": problem, "optimizer": {"momentum": 0.9}}
    size = load(table).parameter_bytes
    assert size == 8 * 7
    numeric = simulate(table, overrides={"schedule.program": "a2cid2"})
    assert {kind: rows[0][1] for kind, rows in curves(numeric).items()} == {
        "gradients": size, "in-flight": 0, "optimizer": size, "parameters": size, "vectors": size,
    }  # fmt: skip
    timed = simulate(table, overrides={"schedule.program": "a2cid2", "run.numerics": False})
    pd.testing.assert_frame_equal(memory_of(numeric), memory_of(timed))


@pytest.mark.parametrize(
    ("workload", "optimizer", "held"),
    [
        ({}, {}, 0),
        ({}, {"name": "adamw"}, 8),
        ({"dtype": "bfloat16"}, {"name": "adamw"}, 4),
        ({"dtype": "bfloat16", "master": "float32"}, {"name": "adamw"}, 12),
        ({"dtype": "float16", "master": "float32"}, {"momentum": 0.9}, 8),
        ({"dtype": "float16", "master": "float32"}, {}, 4),
        ({}, {"weight_decay": 0.1, "no_decay": ["*.bias"]}, 1),
    ],
    ids=str,
)
def test_what_the_optimizer_holds(workload: dict[str, object], optimizer: dict[str, object], held: int) -> None:
    result = simulate({**BASE, "workload": {"parameters": 1000, **workload}, "optimizer": optimizer})
    found = curves(result).get("optimizer", [(0, 0)])
    assert found == steps((0, 1000 * held))


# ---- single operations


def test_a_message_is_held_from_its_issue_on() -> None:
    """The receiver is there 1 s early, and its stream goes on; what it has received is awaited at 3 s."""

    def programs(worker: Worker) -> dict[str, Program]:
        def receiving() -> Program:
            handle, _ = yield Start(Receive(0, 100))
            yield Until(3.0)
            yield Await((handle,))
            yield Until(4.0)
            yield Await((handle,))

        def sending() -> Program:
            yield Until(1.0)
            yield Send(1, Payload(100))

        return {"main": sending() if worker.rank == 0 else receiving()}

    world = run(programs, run__trace=False)
    end = 1_001_100_000
    world.ledger.memory.keeps_curve = True
    rows = world.ledger.memory_table()
    rows = rows[~rows["kind"].isin(["parameters"])]
    assert list(rows.itertuples(index=False, name=None)) == [
        (0, 0, "in-flight", 0), (0, 10**9, "in-flight", 100), (0, end, "in-flight", 0),
        (1, 0, "in-flight", 100), (1, end, "in-flight", 0),
        (1, 0, "received", 0), (1, end, "received", 100), (1, 3 * 10**9, "received", 0),
    ]  # fmt: skip


def test_a_cancelled_gradient_lets_its_activations_go() -> None:
    def programs(worker: Worker) -> dict[str, Program]:
        def main() -> Program:
            handle, _ = yield Start(Compute("gradient"))
            yield Until(0.25)
            yield Cancel(handle)
            yield Compute("gradient")

        return {"main": main()} if worker.rank == 0 else {}

    world = run(programs, workload__activations=500)
    world.ledger.memory.keeps_curve = True
    rows = world.ledger.memory_table()
    rows = rows[rows["kind"] == "activations"]
    assert rows["time_ns"].tolist() == [0, 1_250_000_000]


def test_a_gradient_that_waits_for_its_engine_has_no_activations_yet() -> None:
    def programs(worker: Worker) -> dict[str, Program]:
        def main() -> Program:
            handles = []
            for _ in range(3):
                handle, _ = yield Start(Compute("gradient"))
                handles.append(handle)
            yield Await(tuple(handles))

        return {"main": main()} if worker.rank == 0 else {}

    world = run(programs, workload__activations=500)
    assert world.ledger.peak_memory().sum(axis=1).tolist() == [SIZE + 500, SIZE]


def test_a_program_says_what_it_keeps() -> None:
    def programs(worker: Worker) -> dict[str, Program]:
        def main() -> Program:
            result, _ = yield Compute("gradient")
            yield Until(2.5)
            worker.account.held("stashes", 64, result.read_ns)

        return {"main": main()} if worker.rank == 1 else {}

    world = run(programs)
    assert world.ledger.peak_memory().sum(axis=1).tolist() == [SIZE, SIZE + 64]


# ---- the peaks of long runs


def intervals_of(result: Result) -> list[tuple[int, int, int, str, int]]:
    """What the trace tells of buffers that come and go: rank, start, end, kind, bytes."""
    assert result.trace is not None
    trace, workload = result.trace, result.scenario.workload
    size, members = result.scenario.parameter_bytes or 0, result.scenario.topology.workers
    awaits = trace[trace["op"] == "Await"]
    found = []
    for row in trace.itertuples(index=False):
        if row.applied == "gradient":
            found.append((row.rank, row.read_ns, row.end_ns, "gradients", size))
        if row.op == "Compute" and row.kernel == "gradient":
            found.append((row.rank, row.ready_ns, row.end_ns, "activations", round(workload.activations)))
        found.append((row.rank, row.start_ns, row.end_ns, "in-flight", in_flight(row.op, members, row.bytes)))
        if row.op == "Exchange" and "+" in row.stream:
            later = awaits[(awaits["rank"] == row.rank) & (awaits["end_ns"] >= row.end_ns)]
            found.append((row.rank, row.end_ns, int(later["end_ns"].min()), "received", row.bytes))
    return [each for each in found if each[1] < each[2] and each[4]]


def counted(result: Result, rank: int) -> tuple[int, dict[str, int]]:
    """The peak of a rank from its trace, at every time that anything begins; and its kinds, the last time."""
    intervals = [each for each in intervals_of(result) if each[0] == rank]
    begins = sorted({0, *(each[1] for each in intervals), *(each[2] for each in intervals)})
    best, kinds = -1, {}
    for at in begins:
        now: dict[str, int] = defaultdict(int)
        for _, start, end, kind, size in intervals:
            if start <= at < end:
                now[kind] += size
        if sum(now.values()) >= best:
            best, kinds = sum(now.values()), now
    always = {kind: rows[0][1] for kind, rows in curves(result, rank).items() if len(rows) == 1}
    return best + sum(always.values()), {**kinds, **always}


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("seed", range(3))
def test_peaks_are_those_of_the_trace_however_often_it_is_folded(program: str, seed: int) -> None:
    overrides = {**ROUGH, "schedule.program": program, "run.seed": seed, "optimizer.momentum": 0.5 * (seed % 2)}
    traced = simulate(BASE, overrides=overrides)
    peaks = [counted(traced, rank) for rank in range(5)]
    assert traced.summary["per_rank"]["peak_memory_bytes"] == [peak for peak, _ in peaks]
    assert traced.summary["peak_memory_by_kind"] == max(peaks, key=lambda each: each[0])[1]
    setup = Setup(load(BASE, {**overrides, "run.trace": False}), is_recorded=False)
    world = build_world(setup)
    num_kept = []
    for number in range(1, 200):
        world.alarm(number * (0.1 + 0.02 * seed), lambda _: fold(world.ledger, num_kept))
    world.run()
    summary = summarise(
        world.ledger, round(traced.summary["makespan_s"] * 1e9), batch_size=setup.scenario.workload.batch_size
    )
    assert summary == {key: traced.summary[key] for key in summary}
    assert len(num_kept) == 199
    assert max(num_kept) <= 5 * 4 * 10  # five ranks, four kinds, few levels


def fold(ledger: Any, num_kept: list[int]) -> None:
    ledger.fold()
    (kept,) = ledger.memory._entered
    num_kept.append(len(kept.rank))


@pytest.mark.parametrize("program", PROGRAMS)
def test_nothing_is_negative_and_all_is_let_go(program: str) -> None:
    result = simulate(BASE, overrides={**ROUGH, "schedule.program": program, "optimizer.momentum": 0.9})
    memory = memory_of(result)
    assert (memory["bytes"] >= 0).all()
    last = memory.groupby(["rank", "kind"], sort=False)["bytes"].last()
    owned = {"parameters", "optimizer"} | ({"vectors"} if program == "a2cid2" else set())
    assert {kind for _, kind in last[last > 0].index} == owned
    assert set(last[last > 0]) == {SIZE}
    at_most = result.summary["makespan_s"] * 1e9
    assert memory["time_ns"].max() <= at_most + 1


def test_equal_seeds_give_equal_files(tmp_path: Path) -> None:
    contents = set()
    for name in ("one", "other"):
        simulate(BASE, overrides=ROUGH).save(tmp_path / name)
        contents.add((tmp_path / name / "memory.parquet").read_bytes())
    assert len(contents) == 1
    stored = pd.read_parquet(tmp_path / "one" / "memory.parquet")
    assert all(stored[name].dtype == "int64" for name in ("rank", "time_ns", "bytes"))
    pd.testing.assert_frame_equal(stored, memory_of(simulate(BASE, overrides=ROUGH)))


def test_without_a_trace_there_is_a_peak_and_no_curve(tmp_path: Path) -> None:
    with_trace, without = (simulate(BASE, overrides={**ROUGH, "run.trace": kept}) for kept in (True, False))
    assert without.memory is None
    assert without.summary == with_trace.summary
    assert not (without.save(tmp_path / "run") / "memory.parquet").exists()


def test_activations_change_no_replay(tmp_path: Path) -> None:
    """They decide nothing, so a trace can be followed with others."""
    directory = simulate(BASE).save(tmp_path / "run")
    followed = simulate(BASE, overrides={"workload.activations": "2 kB"}, replay=directory)
    assert followed.summary["peak_memory_bytes"] == 4 * SIZE + 2000


def test_an_exchange_over_a_shared_network_holds_the_same() -> None:
    """Both ways at once over a fabric: what is held does not depend on who models the links."""

    def programs(worker: Worker) -> dict[str, Program]:
        def main() -> Program:
            yield Until(0.5 * worker.rank)
            yield Exchange(1 - worker.rank, worker.model.outgoing())

        return {"main": main()}

    world = run(programs)
    assert world.ledger.peak_memory().sum(axis=1).tolist() == [3 * SIZE] * 2
    network = {"kind": "fabric", "bandwidth": 1e6, "latency": 0.0}
    result = simulate(BASE, overrides={"platform.network": network})
    assert result.summary["peak_memory_bytes"] == simulate(BASE).summary["peak_memory_bytes"]
