"""Equal seeds, equal bytes, in any process; and a replay that gives the same numbers, or says where it cannot."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from schedules.driving.replay import Replay
from schedules.errors import DivergenceError, ScheduleError
from schedules.record.files import write_parquet
from schedules.result import Result, load_run
from schedules.scenario import ScenarioError, load
from schedules.setup import Setup
from simulator.run import build_world, read_out, simulate
from tests.simulator.rig import read_outs

PROGRAMS: dict[str, dict[str, Any]] = {
    "all-reduce": {"program": "all-reduce"},
    "all-reduce-overlapped": {"program": "all-reduce", "overlap": True, "bucket_size": 64},
    "d-psgd": {"program": "d-psgd"},
    "gossip": {"program": "gossip", "rate": 2.0},
    "gossip-first-come": {"program": "gossip", "rate": 2.0, "pairing": "first-come"},
    "a2cid2": {"program": "a2cid2", "rate": 2.0},
    "a2cid2-first-come": {"program": "a2cid2", "rate": 0.5, "pairing": "first-come"},
}
STALE = ("gossip", "gossip-first-come", "a2cid2", "a2cid2-first-come")


def tables(name: str, *, seed: int = 0, workers: int = 4, **schedule: Any) -> dict[str, Any]:
    return {
        "schedule": {"gradients": 12, **PROGRAMS[name], **schedule},
        "topology": {"graph": "complete", "workers": workers},
        "platform": {
            "gradient": {"mean": 0.1, "distribution": "gamma", "cv": 0.4},
            "link": {"bandwidth": 1e4, "latency": 0.002},
        },
        "workload": {"problem": "quadratic", "dtype": "float64", "options": {"dimension": 20}},
        "run": {"seed": seed},
    }


@functools.cache
def run(name: str, seed: int = 0) -> Result:
    return simulate(tables(name, seed=seed))


def trace_of(result: Result) -> pd.DataFrame:
    assert result.trace is not None
    return result.trace


# ---- two processes

SAVE = """
import sys
from simulator.run import simulate
from tests.simulator.test_determinism import tables
for name in sys.argv[2:]:
    simulate(tables(name)).save(f"{sys.argv[1]}/{name}")
"""


def save_elsewhere(directory: Path, hash_seed: str, *names: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", SAVE, str(directory), *names],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        cwd=Path(__file__).parents[2],
    )


@pytest.mark.slow
def test_two_processes_write_the_same_bytes(tmp_path: Path) -> None:
    directories = [tmp_path / "one", tmp_path / "other"]
    running = [save_elsewhere(each, seed, *PROGRAMS) for each, seed in zip(directories, ("1", "2"), strict=True)]
    assert [process.wait(timeout=90) for process in running] == [0, 0]
    for name in PROGRAMS:
        for file in ("trace.parquet", "series.parquet", "parameters.npy", "summary.json"):
            one, other = (each / name / file for each in directories)
            assert one.read_bytes() == other.read_bytes(), (name, file)


# ---- seeds


@pytest.mark.parametrize("name", PROGRAMS)
def test_equal_seeds_give_equal_runs(name: str) -> None:
    one, other = run(name), simulate(tables(name))
    assert trace_of(one).equals(trace_of(other))
    assert one.summary == other.summary
    assert np.array_equal(one.parameters, other.parameters)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", PROGRAMS)
def test_different_seeds_give_different_runs(name: str) -> None:
    one, other = run(name), run(name, seed=1)
    assert one.summary["makespan_s"] != other.summary["makespan_s"]
    assert not np.array_equal(one.parameters, other.parameters)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_platform_moves_no_draw(name: str) -> None:
    """A faster link changes when, not how long: every gradient takes what it took."""
    fast = tables(name)
    fast["platform"]["link"]["bandwidth"] = 1e9
    assert compute_ns(trace_of(simulate(fast))) == compute_ns(trace_of(run(name)))


def compute_ns(trace: pd.DataFrame) -> list[tuple[int, ...]]:
    """How long each kernel took, rank by rank."""
    rows = trace[trace["op"] == "Compute"]
    return [tuple(mine["end_ns"] - mine["ready_ns"]) for _, mine in rows.groupby("rank")]


def met(workers: int) -> set[tuple[int, int, int]]:
    """(rank, peer, start) of the first workers' exchanges: edges tick at rate 1/4, whatever their number."""
    scenario = tables("gossip", workers=workers, rate=(workers - 1) / 4)
    scenario["platform"] |= {"link": {"bandwidth": 1e18}}
    rows = trace_of(simulate(scenario))
    rows = rows[(rows["op"] == "Exchange") & (rows["rank"] < 4) & (rows["peer"] < 4)]
    return set(zip(rows["rank"], rows["peer"], rows["start_ns"], strict=True))


def test_an_added_worker_moves_no_tick_of_the_others() -> None:
    assert met(4)
    assert met(4) == met(5) == met(7)


@pytest.mark.parametrize("name", ["all-reduce", "gossip", "gossip-first-come"])
def test_an_added_worker_changes_no_duration_of_the_others(name: str) -> None:
    more = compute_ns(trace_of(simulate(tables(name, workers=5))))
    assert more[:4] == compute_ns(trace_of(run(name)))


def test_a_longer_run_begins_like_a_short_one() -> None:
    short, long = (trace_of(simulate(tables("d-psgd", gradients=gradients))) for gradients in (12, 20))
    columns = ["rank", "stream", "op", "start_ns", "ready_ns", "end_ns"]
    before = short[(short["op"] != "Barrier") & (short["stream"] != "observe")][columns]
    again = long[(long["end_ns"] <= before["end_ns"].max()) & (long["stream"] != "observe")][columns]
    assert set(before.itertuples(index=False, name=None)) <= set(again.itertuples(index=False, name=None))


# ---- replay


def replay(result: Result, trace: pd.DataFrame, **overrides: Any) -> np.ndarray[Any, Any]:
    """The parameters at the end of a replay."""
    scenario = load(result.scenario.tables(), overrides)
    world = build_world(setup := Setup(scenario, is_recorded=False), None, Replay(trace, result.scenario.gradient_s))
    world.run()
    return np.stack([read_outs(setup, worker.rank).parameters() for worker in world.workers])


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_replay_from_disk_gives_the_same_parameters(name: str, tmp_path: Path) -> None:
    result = run(name)
    directory = result.save(tmp_path / "run")
    again = simulate(tables(name), replay=directory)
    assert np.array_equal(again.parameters, result.parameters)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_replay_on_another_platform_gives_the_same_parameters(name: str) -> None:
    """The trace, not the platform, says what came when."""
    result = run(name)
    found = replay(
        result,
        trace_of(result),
        **{
            "platform.gradient": {"mean": 3.0, "distribution": "exponential"},
            "platform.link": {"bandwidth": 1e5, "latency": 0.3},
            "platform.transport": "gloo",
        },
    )
    assert np.array_equal(found, result.parameters)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", STALE)
def test_the_same_scenario_alone_would_not(name: str) -> None:
    """What a replay is for: on that other platform the same seed gives other parameters."""
    other = tables(name)
    other["platform"] |= {"link": {"bandwidth": 1e3, "latency": 0.3}}
    assert not np.array_equal(simulate(other).parameters, run(name).parameters)  # type: ignore[arg-type]


def test_a_replay_tells_the_recorded_times() -> None:
    """In the recorded gradient times: what was observed is observed at the same times."""
    result = run("a2cid2")
    assert result.series is not None
    scenario = load(result.scenario.tables(), {"platform.gradient.mean": 7.0})
    setup = Setup(scenario)
    world = build_world(setup, None, Replay(trace_of(result), result.scenario.gradient_s))
    world.run()
    read_out(setup, world)
    read = [read_outs(setup, rank).observations for rank in range(scenario.topology.workers)]
    times = [np.mean([each[number][1] for each in read]) for number in range(len(result.series))]
    assert times == pytest.approx(result.series["time"].tolist(), rel=1e-12)


# ---- a replay that cannot be followed

Edit = Callable[[pd.DataFrame], pd.DataFrame]


def first_row(trace: pd.DataFrame, rank: int, op: str) -> int:
    """Label of the third operation of that kind of a rank."""
    return int(trace.index[(trace["rank"] == rank) & (trace["op"] == op)][2])


def edited(op: str, column: str, value: object) -> Edit:
    def edit(trace: pd.DataFrame) -> pd.DataFrame:
        trace = trace.copy()
        trace.loc[first_row(trace, 1, op), column] = value
        return trace

    return edit


EDITS = {
    "another tag": (
        "gossip",
        edited("Exchange", "tag", 777),
        r"rank 1, gossip #\d+: .*Exchange\(.*Exchange\(.*tag=777",
    ),
    "another size": ("gossip", edited("Exchange", "bytes", 8), r"rank 1, gossip #\d+: .*Exchange\(.*bytes=8\)"),
    "another peer": ("a2cid2", edited("Exchange", "peer", 9), r"rank 1, gossip #\d+: .*Exchange\(<->.*peer=9"),
    "another operation": (
        "gossip",
        edited("Compute", "op", "Fly"),
        r"rank 1, compute #\d+: .*Compute\(gradient\).*Fly",
    ),
    "another collective": ("all-reduce", edited("AllReduce", "op", "AllGather"), r"AllReduce\(160 B\), .* AllGather\("),
    "another partner": ("gossip-first-come", edited("Meet", "answer", "2#55"), r"rank 1, gossip #\d+: .*Exchange"),
}


@pytest.mark.parametrize(("name", "edit", "message"), EDITS.values(), ids=EDITS)
def test_where_program_and_trace_differ_the_operation_is_named(name: str, edit: Edit, message: str) -> None:
    result = run(name)
    with pytest.raises(DivergenceError, match=message):
        replay(result, edit(trace_of(result)))


def without_the_end(trace: pd.DataFrame) -> pd.DataFrame:
    return trace.iloc[: len(trace) // 2]


def without_a_rank(trace: pd.DataFrame) -> pd.DataFrame:
    return trace[trace["rank"] != 2]


def without_a_row(trace: pd.DataFrame) -> pd.DataFrame:
    return trace.drop(index=first_row(trace, 1, "Compute"))


@pytest.mark.parametrize("damage", [without_the_end, without_a_rank, without_a_row])
@pytest.mark.parametrize("name", ["all-reduce", "gossip", "a2cid2-first-come"])
def test_a_damaged_trace_is_never_followed_quietly(name: str, damage: Edit) -> None:
    result = run(name)
    with pytest.raises(ScheduleError):
        replay(result, damage(trace_of(result)))


def test_a_program_that_has_more_to_do_than_the_trace_diverges() -> None:
    result = run("all-reduce")
    with pytest.raises(ScheduleError):
        replay(result, trace_of(result), **{"schedule.gradients": 13})


def test_a_program_that_has_less_to_do_than_the_trace_diverges() -> None:
    result = run("all-reduce")
    with pytest.raises(ScheduleError):
        replay(result, trace_of(result), **{"schedule.gradients": 11})


def test_a_trace_that_goes_on_where_the_programs_have_ended_diverges() -> None:
    result = run("gossip")
    trace = trace_of(result)
    last = trace[(trace["rank"] == 1) & (trace["stream"] == "gossip")].tail(1)
    with pytest.raises(ScheduleError):
        replay(result, pd.concat([trace, last], ignore_index=True))


# ---- a trace of something else

OTHERS: dict[str, tuple[dict[str, Any], str]] = {
    "seed": ({"run.seed": 1}, "run.seed = 0 .here 1"),
    "rate": ({"schedule.rate": 1.0}, "schedule.rate = 2.0 .here 1.0"),
    "graph": ({"topology.graph": "ring"}, "topology.graph = 'complete' .here 'ring'"),
    "dimension": ({"workload.options.dimension": 3}, "workload.options"),
    "learning rate": ({"optimizer.learning_rate": 0.2}, "optimizer.learning_rate = 0.1 .here 0.2"),
    "program": ({"schedule.program": "a2cid2"}, "schedule.program = 'gossip' .here 'a2cid2'"),
}


@pytest.mark.parametrize(("overrides", "message"), OTHERS.values(), ids=OTHERS)
def test_a_trace_of_another_scenario_is_refused(overrides: dict[str, Any], message: str, tmp_path: Path) -> None:
    directory = run("gossip").save(tmp_path / "run")
    with pytest.raises(ScenarioError, match=message):
        simulate(tables("gossip"), replay=directory, overrides=overrides)


def test_a_trace_of_another_platform_is_accepted(tmp_path: Path) -> None:
    directory = run("gossip").save(tmp_path / "run")
    again = simulate(tables("gossip"), replay=directory, overrides={"platform.link.latency": 0.5})
    assert np.array_equal(again.parameters, run("gossip").parameters)  # type: ignore[arg-type]


def test_an_edited_trace_on_disk_diverges(tmp_path: Path) -> None:
    result = run("gossip")
    directory = result.save(tmp_path / "run")
    trace = edited("Exchange", "tag", 777)(trace_of(result))
    write_parquet(trace, directory / "trace.parquet", result.info)
    with pytest.raises(DivergenceError, match="tag=777"):
        simulate(tables("gossip"), replay=directory)


def test_a_run_is_followed_as_its_directory_is(tmp_path: Path) -> None:
    result = run("gossip")
    for followed in (result, load_run(result.save(tmp_path / "run"))):
        assert np.array_equal(simulate(tables("gossip"), replay=followed).parameters, result.parameters)  # type: ignore[arg-type]
        with pytest.raises(
            ScenarioError, match=r"replay: expected a result (of this scenario|with its trace .*), found "
        ):
            simulate(tables("gossip"), replay=followed, overrides={"optimizer.learning_rate": 0.2})


def test_no_trace_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match="expected the trace of a run, found none"):
        simulate(tables("gossip"), replay=tmp_path)


def test_half_a_file_is_an_error(tmp_path: Path) -> None:
    directory = run("gossip").save(tmp_path / "run")
    path = directory / "trace.parquet"
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(ScenarioError, match="expected a whole Parquet trace"):
        simulate(tables("gossip"), replay=directory)
