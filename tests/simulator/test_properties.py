"""What holds in every run, whatever the scenario; and whole timelines, worked out once more by other means."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import networkx as nx
import numpy as np
import pandas as pd
import pytest
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

from schedules.clocks import Clocks
from schedules.driving.coordinator import Coordinator
from schedules.driving.replay import Replay
from schedules.operations import AllReduce, Compute, Program, Until
from schedules.platform.collective_times import seconds
from schedules.platform.tables import PlatformTable
from schedules.record.ledger import Account, Ledger
from schedules.record.summary import summarise
from schedules.record.trace import COLUMNS, Recorder
from schedules.result import Result
from schedules.scenario import Duration, load
from schedules.setup import Setup
from schedules.training.kernels import Kernel
from schedules.training.model import Model
from schedules.worker import Worker
from simulator.messages.formulas import Formulas
from simulator.run import build_world, read_out, simulate
from simulator.world import World
from tests.schedules.models import begin_at, mix, state
from tests.simulator.rig import read_outs
from tests.simulator.trace_ledger import from_trace

Tables = dict[str, Any]
GOSSIP = ("gossip", "a2cid2")
PROGRAMS = ("all-reduce", "d-psgd", *GOSSIP)
few = settings(max_examples=20)

# ---- scenarios


@st.composite
def schedules(draw: st.DrawFn, programs: tuple[str, ...]) -> Tables:
    program = draw(st.sampled_from(programs))
    table: Tables = {"program": program, "gradients": draw(st.integers(1, 8))}
    if program in GOSSIP:
        table["rate"] = draw(st.sampled_from([0.3, 1.0, 2.5]))
        table["pairing"] = draw(st.sampled_from(["edge-clock", "first-come"]))
        table["gradient_clock"] = draw(st.sampled_from(["free", "poisson"]))
    if program == "all-reduce" and draw(st.booleans()):
        table |= {"overlap": True, "bucket_size": draw(st.integers(8, 1000))}
    return table


@st.composite
def topologies(draw: st.DrawFn) -> Tables:
    graph = draw(st.sampled_from(["ring", "complete", "star", "path"]))
    return {"graph": graph, "workers": draw(st.integers(3 if graph == "ring" else 2, 6))}


@st.composite
def platforms(draw: st.DrawFn, transports: tuple[str, ...] = ("ideal", "gloo")) -> Tables:
    gradient = draw(
        st.sampled_from(
            [
                {"mean": 0.0},
                {"mean": 1.0},
                {"mean": 0.25, "distribution": "exponential"},
                {"mean": 1.0, "distribution": "lognormal", "cv": 0.5},
                {"mean": 1.0, "distribution": "gamma", "cv": 0.2},
            ]
        )
    )
    link = {"bandwidth": draw(st.sampled_from([1e3, 1e5, 1e12])), "latency": draw(st.sampled_from([0.0, 0.01, 0.4]))}
    overhead = draw(st.sampled_from([0.0, 0.003]))
    return {"gradient": gradient, "link": link, "transport": draw(st.sampled_from(transports)), "overhead": overhead}


@st.composite
def timings(draw: st.DrawFn, programs: tuple[str, ...] = PROGRAMS, **options: Any) -> Tables:
    return {
        "schedule": draw(schedules(programs)),
        "topology": draw(topologies()),
        "platform": draw(platforms(**options)),
        "workload": {"parameters": draw(st.integers(1, 500))},
        "run": {"seed": draw(st.integers(0, 2**40))},
    }


@st.composite
def trainings(draw: st.DrawFn, programs: tuple[str, ...] = PROGRAMS, **options: Any) -> Tables:
    workload = {"problem": "quadratic", "dtype": "float64", "options": {"dimension": 4}}
    return draw(timings(programs, **options)) | {"workload": workload}


def changed(tables: Tables, table: str, **values: Any) -> Tables:
    return {**tables, table: {**tables.get(table, {}), **values}}


def trace_of(tables: Tables) -> pd.DataFrame:
    trace = simulate(tables).trace
    assert trace is not None
    return trace


# ---- every row


@few
@given(timings())
def test_every_row_starts_is_ready_and_ends_in_whole_nanoseconds(tables: Tables) -> None:
    trace = trace_of(tables)
    assert tuple(trace.columns) == COLUMNS
    assert {str(trace[column].dtype) for column in ("start_ns", "ready_ns", "end_ns", "bytes")} == {"int64"}
    assert ((trace["start_ns"] >= 0) & (trace["start_ns"] <= trace["ready_ns"])).all()
    assert (trace["ready_ns"] <= trace["end_ns"]).all()


@few
@given(timings())
def test_a_stream_issues_each_operation_when_the_one_before_is_over(tables: Tables) -> None:
    trace = trace_of(tables)
    trace = trace[trace["op"] != "Apply"]
    for (_, name), lane in trace.groupby(["rank", "stream"]):
        assert lane["index"].tolist() == list(range(len(lane)))
        idle = lane["start_ns"].to_numpy()[1:] - lane["end_ns"].to_numpy()[:-1]
        assert (idle >= 0).all() if "+" in name else not idle.any()


@few
@given(timings())
def test_kernels_of_one_engine_never_overlap(tables: Tables) -> None:
    trace = trace_of(tables)
    for _, mine in trace[trace["op"] == "Compute"].groupby("rank"):
        ordered = mine.sort_values(["ready_ns", "end_ns"])
        assert (ordered["ready_ns"].to_numpy()[1:] >= ordered["end_ns"].to_numpy()[:-1]).all()


def job(issue: int, kernel: str) -> Program:
    yield Until(float(issue))
    yield Compute(kernel)


def run_jobs(jobs: list[tuple[int, int]]) -> pd.DataFrame:
    """One stream a job, all on one engine: when each is issued and how long it takes, in seconds. Its computations."""
    ledger, recorder = Ledger(1), Recorder()
    platform = PlatformTable(gradient=Duration(mean=1.0))
    world = World(
        ledger=ledger, gradient_ns=1e9, transport=Formulas(platform), coordinator=Coordinator(1, 0), recorder=recorder
    )
    worker = Worker(0, Model(8, Account(0, ledger, is_recorded=True)), Clocks(nx.empty_graph(1), 0, 1.0))
    durations = {f"k{number}": partial(int, spent * 10**9) for number, (_, spent) in enumerate(jobs)}
    world.add(worker, durations, {f"s{number}": job(issue, f"k{number}") for number, (issue, _) in enumerate(jobs)})
    world.run()
    trace = recorder.table("", "")
    return trace[trace["op"] == "Compute"].sort_values(["start_ns", "ready_ns"])


@settings(max_examples=50, phases=[Phase.explicit, Phase.generate])
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 2)), min_size=1, max_size=6))
@example([(1, 1), (0, 1), (0, 1)])
def test_an_engine_runs_one_kernel_at_a_time_first_in_first_out(jobs: list[tuple[int, int]]) -> None:
    rows = run_jobs(jobs)
    free = 0
    for issued, begun, ended in zip(rows["start_ns"], rows["ready_ns"], rows["end_ns"], strict=True):
        assert begun == max(issued, free)
        free = ended
    assert rows["end_ns"].sub(rows["ready_ns"]).sum() == sum(spent for _, spent in jobs) * 10**9


@few
@given(timings())
def test_versions_count_what_is_applied(tables: Tables) -> None:
    """Of every worker: 1, 2, 3, ... in the order of recording, each read before it was written."""
    trace = trace_of(tables)
    for _, applied in trace[trace["applied"] != ""].groupby("rank"):
        written = applied["version_written"].drop_duplicates().tolist()
        assert written == list(range(1, len(written) + 1))
        assert (applied["version_read"] < applied["version_written"]).all()
        assert (applied["read_ns"] <= applied["end_ns"]).all()


# ---- messages


def is_mirrored(rows: pd.DataFrame) -> bool:
    """Every row has its other end: the same meeting, bytes and beginning of the transfer."""
    seen = sorted(zip(rows["rank"], rows["peer"], rows["tag"], rows["bytes"], rows["ready_ns"], strict=True))
    return seen == sorted((peer, rank, *others) for rank, peer, *others in seen)


@few
@given(timings(("d-psgd", *GOSSIP)))
def test_every_exchange_has_two_ends(tables: Tables) -> None:
    trace = trace_of(tables)
    exchanges = trace[trace["op"] == "Exchange"]
    assert is_mirrored(exchanges)
    assert set(exchanges["bytes"]) <= {4 * tables["workload"]["parameters"]}


@few
@given(timings())
def test_everybody_takes_part_in_every_collective(tables: Tables) -> None:
    trace = trace_of(tables)
    workers = tables["topology"]["workers"]
    together = trace[trace["op"].isin(["AllReduce", "Barrier"])].groupby(["op", "tag", "ready_ns"])
    for _, rows in together:
        assert sorted(rows["rank"]) == list(range(workers)) * (len(rows) // workers)
        assert rows["end_ns"].nunique() == 1


@few
@given(timings())
def test_bytes_and_exchanges_add_up(tables: Tables) -> None:
    summary = simulate(tables).summary
    for key in ("gradients", "bytes_sent"):
        assert sum(summary["per_rank"][key]) == summary[key]
    assert sum(summary["per_rank"]["exchanges"]) == 2 * summary["exchanges"]


# ---- time


@few
@given(timings())
def test_busy_is_between_its_parts_and_the_makespan(tables: Tables) -> None:
    result = simulate(tables)
    makespan, of_rank = result.summary["makespan_s"], result.summary["per_rank"]
    for compute, transfer, idle in zip(*(of_rank[key] for key in ("compute_s", "transfer_s", "idle_s")), strict=True):
        busy = makespan - idle
        assert max(compute, transfer) <= busy + 1e-9
        assert busy <= min(makespan, compute + transfer) + 1e-9


@few
@given(timings())
def test_compute_time_is_the_sum_of_the_kernels(tables: Tables) -> None:
    result = simulate(tables)
    rows = result.trace[result.trace["op"] == "Compute"]  # type: ignore[index]
    spent = (rows["end_ns"] - rows["ready_ns"]).groupby(rows["rank"]).sum() / 1e9
    of_rank = result.summary["per_rank"]["compute_s"]
    assert of_rank == pytest.approx([spent.get(rank, 0.0) for rank in range(len(of_rank))], abs=1e-12)


@few
@given(timings())
def test_the_makespan_is_the_last_end(tables: Tables) -> None:
    result = simulate(tables)
    assert result.trace is not None
    assert result.summary["makespan_s"] == result.trace["end_ns"].max() / 1e9


@few
@given(timings())
def test_a_summary_does_not_need_the_trace(tables: Tables) -> None:
    kept, dropped = (simulate(changed(tables, "run", trace=trace)) for trace in (True, False))
    assert dropped.trace is None
    assert kept.summary == dropped.summary


def summary_from_trace(result: Result) -> Mapping[str, Any]:
    assert result.trace is not None
    workers = result.scenario.topology.workers
    ledger, end_ns = from_trace(result.trace, workers), int(result.trace["end_ns"].max())
    return summarise(ledger, end_ns, batch_size=result.scenario.workload.batch_size)


@few
@given(timings())
def test_a_summary_can_be_made_from_the_trace(tables: Tables) -> None:
    result = simulate(tables)
    found, expected = without_bytes(summary_from_trace(result)), without_bytes(result.summary)
    for nested in ("per_rank", "staleness_by_target"):
        assert found.pop(nested) == expected.pop(nested)
    assert found == pytest.approx(expected, rel=1e-12)


def without_bytes(summary: Mapping[str, Any]) -> dict[str, Any]:
    """Next two tests: they hold for exchanges, and not yet for collectives. What is held has tests of its own."""
    of_rank = {key: value for key, value in summary["per_rank"].items() if "bytes" not in key}
    rest = {key: value for key, value in summary.items() if "memory" not in key and key != "collectives"}
    return {**rest, "bytes_sent": 0, "per_rank": of_rank}


def bytes_both_ways(tables: Tables) -> tuple[list[int], list[int]]:
    """Bytes that each rank sent: as summed up from the trace, and in the summary."""
    result = simulate(tables)
    found, expected = summary_from_trace(result), result.summary
    return found["per_rank"]["bytes_sent"], expected["per_rank"]["bytes_sent"]


@few
@given(timings(("d-psgd", *GOSSIP)))
def test_bytes_of_exchanges_can_be_summed_up_from_the_trace(tables: Tables) -> None:
    found, expected = bytes_both_ways(tables)
    assert found == expected


def test_bytes_of_collectives_can_be_summed_up_from_the_trace() -> None:
    """Three workers all-reduce 300 floats: each sends 2 * 1200 * 2/3 bytes."""
    tables = {
        "schedule": {"program": "all-reduce", "gradients": 1},
        "topology": {"graph": "complete", "workers": 3},
        "platform": {"gradient": {"mean": 1.0}},
        "workload": {"parameters": 300},
    }
    found, expected = bytes_both_ways(tables)
    assert expected == [1600] * 3
    assert found == expected


# ---- numbers


def train(tables: Tables, start: np.ndarray[Any, Any]) -> World:
    """From x = x~ = start[rank], with zero gradients; at the end all are mixed up to one time, where they mix."""
    world = build_world(Setup(load(changed(tables, "run", observations=0)), is_recorded=False))
    for worker, x in zip(world.workers, start, strict=False):
        begin_at(worker.model, x)
        world.computing.kernels[worker.rank] = {"gradient": Kernel("gradient", nothing, kind="gradient")}
    world.run()
    for worker in world.workers:
        mix(worker.model, 1000.0)
    return world


def nothing(at: Any, data: Any, inputs: Any) -> np.ndarray[Any, Any]:
    """A gradient of zero."""
    return np.zeros(4)


def stacked(world: World, name: str) -> np.ndarray[Any, Any]:
    return np.stack([getattr(state(worker.model), name) for worker in world.workers])


START = np.random.default_rng(0).standard_normal((6, 4))


@few
@given(trainings(("d-psgd", *GOSSIP), transports=("ideal",)))
def test_gossip_keeps_the_mean(tables: Tables) -> None:
    expected = START[: tables["topology"]["workers"]].mean(axis=0)
    assert np.allclose(stacked(train(tables, START), "x").mean(axis=0), expected, rtol=0, atol=1e-12)


@few
@given(trainings(("a2cid2",), transports=("ideal",)))
def test_the_accelerated_copy_keeps_the_mean_too(tables: Tables) -> None:
    expected = START[: tables["topology"]["workers"]].mean(axis=0)
    assert np.allclose(stacked(train(tables, START), "x_tilde").mean(axis=0), expected, rtol=0, atol=1e-12)


@few
@given(trainings(("d-psgd", "gossip"), transports=("gloo",)))
def test_gossip_keeps_the_mean_where_the_two_ends_are_not_over_at_once(tables: Tables) -> None:
    expected = START[: tables["topology"]["workers"]].mean(axis=0)
    assert np.allclose(stacked(train(tables, START), "x").mean(axis=0), expected, rtol=0, atol=1e-12)


@few
@given(trainings(("gossip", "d-psgd"), transports=("ideal",)))
def test_averaging_alone_stays_within_the_first_values(tables: Tables) -> None:
    start = START[: tables["topology"]["workers"]]
    schedule = changed(tables, "platform", link={"bandwidth": 1e12, "latency": 0.0})
    x = stacked(train(schedule, START), "x")
    assert (x >= start.min(axis=0) - 1e-12).all()
    assert (x <= start.max(axis=0) + 1e-12).all()


@few
@given(trainings(("all-reduce",)))
def test_synchronous_workers_stay_equal(tables: Tables) -> None:
    parameters = simulate(tables).parameters
    assert parameters is not None
    assert (parameters == parameters[0]).all()


@pytest.mark.slow
@few
@given(trainings())
def test_numbers_do_not_change_times(tables: Tables) -> None:
    timed, computed = (trace_of(changed(tables, "run", numerics=numerics)) for numerics in (False, True))
    computed = computed[computed["stream"] != "observe"].reset_index(drop=True)
    assert timed.drop(columns="run").equals(computed.drop(columns="run"))


@pytest.mark.slow
@few
@given(trainings())
def test_a_replay_gives_the_parameters_and_the_operations_again(tables: Tables) -> None:
    result = simulate(tables)
    assert result.trace is not None
    setup = Setup(result.scenario)
    world = build_world(setup, Recorder(), Replay(result.trace, result.scenario.gradient_s))
    world.run()
    read_out(setup, world)
    assert result.parameters is not None
    again = np.stack([read_outs(setup, worker.rank).parameters() for worker in world.workers])
    assert np.array_equal(again, result.parameters)
    replayed = world.recorder.table("", "")  # type: ignore[union-attr]
    of_programs = ~result.trace["stream"].str.contains("+", regex=False)
    columns = ["rank", "stream", "index", "op", "kernel", "peer", "group", "tag", "bytes", "applied", "answer"]
    columns += ["version_read", "version_written", "steps_behind"]
    for rank in range(result.scenario.topology.workers):
        expected = result.trace[of_programs & (result.trace["rank"] == rank)]
        found = replayed[(replayed["rank"] == rank) & ~replayed["stream"].str.contains("+", regex=False)]
        assert found[columns].to_numpy().tolist() == expected[columns].to_numpy().tolist()


@few
@given(timings())
def test_equal_seeds_give_equal_traces(tables: Tables) -> None:
    assert trace_of(tables).equals(trace_of(tables))


# ---- whole timelines, worked out once more

SLOW = {"bandwidth": 1e3, "latency": 0.01}


def ns(seconds: float) -> int:
    return round(seconds * 1e9)


def durations(trace: pd.DataFrame) -> list[list[int]]:
    """Nanoseconds of every gradient, rank by rank."""
    rows = trace[trace["op"] == "Compute"]
    return [list(mine["end_ns"] - mine["ready_ns"]) for _, mine in rows.groupby("rank")]


@few
@given(timings(("all-reduce",), transports=("ideal",)))
def test_timeline_of_synchronous_steps(tables: Tables) -> None:
    """Every step takes its slowest gradient and an all-reduce."""
    tables = changed(tables, "schedule", overlap=False)
    tables = changed(tables, "platform", collectives={"all_reduce": "ring"})
    result = simulate(tables)
    assert result.trace is not None
    workers, size = tables["topology"]["workers"], 4 * tables["workload"]["parameters"]
    link = result.scenario.platform.link
    reduction = ns(2 * (workers - 1) * (link.latency + size / workers / link.bandwidth))
    slowest = np.max(durations(result.trace), axis=0)
    reduced = result.trace[(result.trace["op"] == "AllReduce") & (result.trace["rank"] == 0)]
    assert reduced["end_ns"].tolist() == np.cumsum(slowest + reduction).tolist()


@few
@given(timings(("d-psgd",), transports=("ideal",)))
def test_timeline_of_d_psgd(tables: Tables) -> None:
    """A step is over when the own gradient is and an exchange with every neighbour, each from the later end on."""
    result = simulate(tables)
    assert result.trace is not None
    link, graph = result.scenario.platform.link, Setup(result.scenario).graph
    transfer = ns(link.latency) + ns(4 * tables["workload"]["parameters"] / link.bandwidth)
    now = [0] * len(graph)
    expected: list[list[int]] = []
    for spent in zip(*durations(result.trace), strict=True):
        met = [[max(now[rank], now[peer]) + transfer for peer in graph.adj[rank]] for rank in graph]
        now = [max(now[rank] + spent[rank], *met[rank]) for rank in range(len(graph))]
        expected.append(now)
    awaited = result.trace[result.trace["op"] == "Await"]
    found = [list(mine["end_ns"]) for _, mine in awaited.groupby("rank")]
    assert found == [list(each) for each in zip(*expected, strict=True)]


@few
@given(timings(GOSSIP, transports=("ideal",)))
def test_timeline_of_edge_clocks(tables: Tables) -> None:
    """Ticks in the one global order; a worker makes one exchange at a time; each begins when both ends are free."""
    tables = changed(tables, "schedule", pairing="edge-clock")
    result = simulate(tables)
    assert result.trace is not None
    scenario = result.scenario
    setup, link = Setup(scenario), scenario.platform.link
    transfer = ns(link.latency) + ns(4 * tables["workload"]["parameters"] / link.bandwidth)
    free = [0] * len(setup.graph)
    expected = []
    for time, edge in all_ticks(setup.graph, scenario.run.seed, setup.clocks.horizon):
        tick = int(time * scenario.gradient_s * 1e9 + 0.5)
        end = max(tick, *(free[rank] for rank in edge)) + transfer
        for rank in edge:
            free[rank] = end
        expected.append((*edge, end))
    rows = result.trace[(result.trace["op"] == "Exchange") & (result.trace["rank"] < result.trace["peer"])]
    assert sorted(zip(rows["rank"], rows["peer"], rows["end_ns"], strict=True)) == sorted(expected)


def all_ticks(graph: nx.Graph[int], seed: int, horizon: float) -> list[tuple[float, tuple[int, int]]]:
    clocks = Clocks(graph, seed, horizon)
    return sorted((float(time), (i, j)) for i, j in graph.edges for time in clocks.edge(i, j))


def test_the_all_reduce_of_these_timelines_is_the_one_of_the_table() -> None:
    """The oracle above writes the formula out; here it meets `schedules.platform.collective_times`."""
    assert seconds(AllReduce, 4, 400, 1e3, 0.01) == pytest.approx(2 * 3 * (0.01 + 0.1), rel=1e-15)
