"""Graphs that change with time in both worlds: the same exchanges, and replays that end with the same parameters."""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from schedules.result import Result
from tests.worlds.conftest import World
from tests.worlds.test_replay_parity import difference
from topologies.varying import of_union


def case(program: str, **more: Any) -> dict[str, Any]:
    varying = {
        "topology.graph": "random-geometric",
        "topology.count": 5,
        "topology.radius": 0.5,
        "topology.period": 0.7,
    }
    return {**varying, "topology.workers": 5, "schedule.program": program, "schedule.rate": 2, **more}


def met(run: Result) -> list[list[tuple[int, int, int]]]:
    """By rank: with whom, which of the edge's ticks, and when it was due, in the order of the ticks."""
    rows = run.kept_trace[run.kept_trace["op"] == "Exchange"].sort_values(["due_ns", "peer"])
    return [
        list(zip(own["peer"], own["tag"], own["due_ns"], strict=True)) for _, own in rows.groupby("rank", sort=True)
    ]


@pytest.mark.parametrize("program", ["gossip", "a2cid2"])
def test_both_worlds_make_the_same_exchanges_and_follow_each_other(
    program: str, simulated: World, measured: World, tmp_path: Path
) -> None:
    original, free = simulated(case(program)), measured(case(program))
    assert met(original) == met(free)
    cycle = of_union(original.scenario.graph)
    ticks = list(chain.from_iterable([(rank, *row) for row in rows] for rank, rows in enumerate(met(free))))
    assert len(ticks) > 100
    assert {cycle.index(due / 2e6) for *_, due in ticks} == set(range(5))
    assert all(cycle.at(due / 2e6).has_edge(rank, peer) for rank, peer, _, due in ticks)
    followed = measured(case(program), replay=original.save(tmp_path / "simulated"))
    assert difference(original, followed) <= 1e-12
    followed = simulated(case(program), replay=free.save(tmp_path / "measured"))
    assert difference(free, followed) <= 1e-12
