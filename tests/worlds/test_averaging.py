"""Who is done goes on averaging, and exchanges say which tick they answer, in both worlds."""

from __future__ import annotations

from pathlib import Path

import pytest

from schedules.clocks import Clocks
from tests.worlds.conftest import World

STAR = {"topology.graph": "star", "topology.workers": 5, "schedule.pairing": "first-come"}
SLOW = {"platform.speed": {"1": 0.25}, "execution.compute": "paced"}


@pytest.mark.parametrize("program", ["gossip", "a2cid2"])
def test_on_a_star_nobody_is_stranded(program: str, world: World) -> None:
    result = world({**STAR, "schedule.program": program})
    assert min(result.summary["per_rank"]["exchanges"]) >= 20
    trace = result.kept_trace
    told = trace[trace["answer"] == "nobody"]
    assert sorted(told["rank"]) == list(range(5))  # each once, at its end
    assert (trace[trace["op"] == "Exchange"]["due_ns"] == -1).all()


def test_a_slow_rank_averages_until_its_own_end(world: World) -> None:
    trace = world({**STAR, **SLOW}).kept_trace
    gradients = trace[(trace["op"] == "Compute") & (trace["rank"] == 1)]
    last = trace[(trace["op"] == "Exchange") & (trace["rank"] == 1)]["end_ns"].max()
    assert (gradients["start_ns"] < last).all()


@pytest.mark.parametrize("program", ["gossip", "a2cid2"])
def test_exchanges_answer_the_ticks_of_their_edges(program: str, world: World) -> None:
    result = world({"schedule.program": program})
    met = result.kept_trace[result.kept_trace["op"] == "Exchange"]
    clocks, gradient_ns = Clocks(result.scenario.graph, result.seed, 20.0), result.gradient_s * 1e9
    for rank, rows in met.groupby("rank"):
        expected = [int(time * gradient_ns + 0.5) for time, _, _ in clocks.edges(int(rank))]
        assert rows["due_ns"].tolist() == expected
    assert (met["due_ns"] <= met["start_ns"]).all()
    summary = result.summary
    # On a busy machine no exchange may be over in the window of twenty gradients.
    is_answered = summary["exchanges_due"] > summary["backlog_exchanges"]
    assert summary["lag_p95_s"] >= 0
    assert summary["lag_mean_s"] > 0 or not is_answered
    assert 0 <= summary["backlog_exchanges"] <= summary["exchanges_due"] <= summary["exchanges"]


@pytest.mark.parametrize("pairing", ["edge-clock", "first-come"])
def test_a_replay_has_the_same_ticks_and_parameters(
    pairing: str, simulated: World, measured: World, tmp_path: Path
) -> None:
    case = {"topology.graph": "star", "schedule.pairing": pairing, **SLOW}
    original = simulated(case)
    original.save(tmp_path / "original")
    for world in (simulated, measured):
        followed = world(case, replay=tmp_path / "original")
        assert followed.parameters == pytest.approx(original.parameters, rel=0, abs=1e-12)
        columns = ["rank", "stream", "index", "op", "peer", "tag", "due_ns", "answer"]
        rows = [
            run.kept_trace[columns].sort_values(["rank", "stream", "index"]).to_numpy().tolist()
            for run in (original, followed)
        ]
        assert rows[0] == rows[1]
