"""`schedule.events`: programs go through exactly the events of a list, simulated and executed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from analysis import export
from executor.launching.launch import Ranks, execute
from schedules.result import Result, load_run
from schedules.scenario import load
from simulator import simulate
from tests.event_procedure import play
from tests.worlds.conftest import BASE, World
from topologies import dadao_events
from topologies.event_lists import Event, event_text

ROOT = 1 / 3**0.5

# shared/reference/gossip.json, trace_T1: [derived] event procedure, checked by integrating the network's equation.
T1 = [(0.5, 0, 1), (0.75, 1, 2), (1.25, 2, 3), (2.0, 3, 0), (3.0, 0, 1)]
"""Exchanges on a ring of four with rate 1; x0 = (1, 0, 0, 0), read at 4."""
T1_X = {
    "a2cid2": [0.271521209325, 0.277608803328, 0.132586591288, 0.31828339606],
    "gossip": [0.28125, 0.28125, 0.125, 0.3125],
}
CONSTANTS = {"a2cid2": {"eta": ROOT, "alpha_tilde": ROOT}, "gossip": {"eta": 0.0, "alpha_tilde": 0.5}}
"""Of a ring of four with rate 1."""

INSTANT = {"gradient": {"mean": 0}, "gradient_time": "1 s", "transport": "none"}
LIST = dadao_events(4, [(0, 1), (1, 2), (2, 3), (0, 3)], 4.0, 12.0, 1)


def scenario(file: Path, program: str, **more: Any) -> dict[str, Any]:
    tables: dict[str, Any] = {**BASE, "schedule": {"program": program, "events": str(file)}, **more}
    return {**tables, "workload": {**tables["workload"], "options": {"start": "spread", "hessians": "own"}}}


@pytest.fixture
def events(tmp_path: Path) -> Path:
    """A list of gradients and exchanges."""
    (tmp_path / "events.csv").write_text(event_text(LIST))
    return tmp_path / "events.csv"


def starts(tables: dict[str, Any]) -> NDArray[np.float64]:
    problem = load(tables).problem
    assert problem is not None
    return np.stack([problem.initial(0, rank) for rank in range(4)])


def expected(tables: dict[str, Any], program: str, listed: list[Event], until: float) -> NDArray[np.float64]:
    problem = load(tables).problem
    assert problem is not None
    return play(
        starts(tables),
        listed,
        until,
        update=lambda x, rank, number: -0.01 * problem.gradient(x, rank, number),
        **CONSTANTS[program],
    )


def run(world: str, tables: dict[str, Any], ranks: Ranks) -> Result:
    return simulate(tables) if world == "simulated" else execute(tables, ranks=ranks)


@pytest.mark.parametrize("program", T1_X)
def test_trace_t1(program: str, tmp_path: Path) -> None:
    """Exchanges are linear in x0, alike for every coordinate: where x0 = (1, 0, 0, 0) comes to, the reference says."""
    file = tmp_path / "t1.csv"
    file.write_text(event_text(Event(time, "exchange", i, j) for time, i, j in T1))
    tables = scenario(file, program, platform=INSTANT, run={"until": "time", "duration": 4})
    result = simulate(tables)
    assert result.parameters == pytest.approx(
        play(starts(tables), [Event(t, "exchange", i, j) for t, i, j in T1], 4.0, **CONSTANTS[program]), abs=1e-12
    )
    # x0 on the four workers spans all starts: the map of the run is the one matrix that takes these to where they are.
    moved = np.linalg.lstsq(starts(tables).T, result.parameters.T, rcond=None)[0].T
    assert moved[:, 0] == pytest.approx(T1_X[program], rel=0, abs=1e-10)
    assert result.summary["makespan_s"] == 4.0
    assert result.summary["exchanges"] == 5


@pytest.mark.parametrize("program", T1_X)
@pytest.mark.parametrize("world", ["simulated", "measured"])
def test_a_run_is_what_its_list_says(program: str, world: str, events: Path, ranks: Ranks) -> None:
    """One after the other, to 1e-10, whatever a gradient and a message take, and how late they are."""
    tables = scenario(events, program)
    result = run(world, tables, ranks)
    assert result.parameters == pytest.approx(expected(tables, program, LIST, LIST[-1].time), rel=0, abs=1e-10)
    assert result.summary["exchanges"] == sum(each.kind == "exchange" for each in LIST)
    assert result.summary["per_rank"]["gradients"] == [
        sum(each.kind == "gradient" and each.i == rank for each in LIST) for rank in range(4)
    ]
    for rank, rows in result.kept_trace.groupby("rank"):
        done = rows[rows["op"].isin(["Compute", "Exchange"])]
        told = [each for each in LIST if rank in (each.i, each.j)]
        assert done["op"].tolist() == [{"gradient": "Compute", "exchange": "Exchange"}[each.kind] for each in told]


def test_instantaneous_events_are_at_their_times(events: Path) -> None:
    tables = scenario(events, "a2cid2", platform=INSTANT)
    result = simulate(tables)
    assert result.parameters == pytest.approx(expected(tables, "a2cid2", LIST, LIST[-1].time), rel=0, abs=1e-12)
    trace = result.kept_trace
    done = trace[trace["op"].isin(["Compute", "Exchange"])]
    assert sorted(set(done["end_ns"])) == sorted({int(each.time * 1e9 + 0.5) for each in LIST})
    assert result.summary["lag_mean_s"] == 0
    assert (result.summary["exchanges_due"], result.summary["backlog_exchanges"]) == (47, 0)  # within the window


def test_a_run_that_ends_earlier_has_the_events_before(events: Path) -> None:
    tables = scenario(events, "a2cid2", run={"until": "time", "duration": 5})
    result = simulate(tables)
    early = [each for each in LIST if each.time < 5]
    assert result.parameters == pytest.approx(expected(tables, "a2cid2", early, 5.0), rel=0, abs=1e-12)
    assert sum(result.summary["per_rank"]["gradients"]) == sum(each.kind == "gradient" for each in early)


@pytest.mark.parametrize(("clock", "factors"), [("own", [0.5, 1, 1, 4]), ("common", [1, 1, 1, 1])])
def test_a_worker_mixes_by_its_own_time_or_by_all_workers(clock: str, factors: list[float], events: Path) -> None:
    """papers/gossip.md, pitfall 10: in the official code eta counts in own gradient durations."""
    tables = scenario(events, "a2cid2", platform={**INSTANT, "speed": [0.5, 1, 1, 4]})
    tables["schedule"]["mixing_clock"] = clock
    problem = load(tables).problem
    assert problem is not None
    told = play(
        starts(tables), LIST, LIST[-1].time, eta=ROOT * np.array(factors), alpha_tilde=ROOT,
        update=lambda x, rank, number: -0.01 * problem.gradient(x, rank, number),
    )  # fmt: skip
    assert simulate(tables).parameters == pytest.approx(told, rel=0, abs=1e-12)


def test_with_momentum_x_tilde_gets_what_x_got(events: Path) -> None:
    """papers/gossip.md, pitfall 18: the very update of x, of the worker's own momentum."""
    tables = scenario(events, "a2cid2", platform=INSTANT, optimizer={"learning_rate": 0.01, "momentum": 0.9})
    problem = load(tables).problem
    assert problem is not None
    buffers = np.zeros_like(starts(tables))

    def update(x: NDArray[np.float64], rank: int, number: int) -> NDArray[np.float64]:
        buffers[rank] = 0.9 * buffers[rank] + problem.gradient(x, rank, number)
        change: NDArray[np.float64] = -0.01 * buffers[rank]
        return change

    told = play(starts(tables), LIST, LIST[-1].time, update=update, **CONSTANTS["a2cid2"])
    assert simulate(tables).parameters == pytest.approx(told, rel=0, abs=1e-12)


def test_a_replay_ends_with_the_same_parameters(events: Path, ranks: Ranks, tmp_path: Path) -> None:
    tables = scenario(events, "a2cid2")
    original = simulate(tables)
    original.save(tmp_path / "run")
    for followed in (
        simulate(tables, replay=tmp_path / "run"),
        execute(tables, replay=tmp_path / "run", ranks=ranks),
    ):
        assert followed.parameters == pytest.approx(original.parameters, rel=0, abs=1e-12)


# ---- the list of a run


@pytest.mark.parametrize("program", T1_X)
def test_the_list_of_an_instantaneous_run_makes_it_again(program: str, tmp_path: Path) -> None:
    tables = scenario(tmp_path, program, platform=INSTANT)
    clocks = {"program": program, "gradients": 8, "gradient_clock": "poisson"}
    original = simulate({**tables, "schedule": clocks})
    original.save(tmp_path / "run")
    export(tmp_path / "run", "events", tmp_path / "again.csv")
    again = simulate(scenario(tmp_path / "again.csv", program, platform=INSTANT))
    assert again.parameters == pytest.approx(original.parameters, rel=0, abs=1e-12)
    assert again.summary["exchanges"] == original.summary["exchanges"]


@pytest.mark.parametrize("program", T1_X)
def test_the_list_of_a_run_by_a_list_is_that_list(program: str, events: Path, ranks: Ranks, tmp_path: Path) -> None:
    execute(scenario(events, program), ranks=ranks).save(tmp_path / "run")
    export(tmp_path / "run", "events", tmp_path / "again.csv")
    assert (tmp_path / "again.csv").read_text() == events.read_text()


@pytest.mark.parametrize("pairing", ["edge-clock", "first-come"])
def test_the_list_of_a_measured_run_has_each_worker_s_order(pairing: str, measured: World, tmp_path: Path) -> None:
    measured({"schedule.pairing": pairing}).save(tmp_path / "run")
    export(tmp_path / "run", "events", tmp_path / "again.csv")
    again = simulate({**BASE, "schedule": {"program": "gossip", "events": str(tmp_path / "again.csv")}})
    kept = [load_run(tmp_path / "run").kept_trace, again.kept_trace]
    for rank in range(4):
        first, second = (
            [
                (row.op, row.peer)
                for row in trace[(trace["rank"] == rank) & trace["op"].isin(["Compute", "Exchange"])].itertuples()
            ]
            for trace in kept
        )
        assert first == second
