"""DADAO and A²CiD² in both worlds: in the clocks' own time a free run ends as its prediction, without a replay."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.worlds.conftest import World
from tests.worlds.test_replay_parity import difference

PROGRAMS: dict[str, dict[str, Any]] = {
    "dadao": {"schedule.mu": 0.1, "schedule.smoothness": 1, "schedule.rate": 3},
    "a2cid2": {"schedule.gradient_clock": "poisson", "optimizer.momentum": 0.9},
}
PROBLEMS: dict[str, tuple[float, dict[str, Any]]] = {
    "quadratic": (1e-12, {"workload.options": {"start": "spread", "hessians": "own"}}),
    "digits-mlp": (1e-9, {"workload.problem": "digits-mlp"}),
}
SHAPES = [("ring", 5), ("star", 7), ("star", 5), ("ring", 7)]
APART = {"workload.options": {"start": "spread"}}


def case(program: str, flow: str, **more: Any) -> dict[str, Any]:
    return {"schedule.program": program, "schedule.flow": flow, "schedule.gradients": 10, **PROGRAMS[program], **more}


def check_replays(tables: dict[str, Any], tolerance: float, simulated: World, measured: World, directory: Path) -> None:
    original = simulated(tables)
    assert difference(original, measured(tables, replay=original.save(directory / "simulated"))) <= tolerance
    free = measured(tables)
    assert difference(free, simulated(tables, replay=free.save(directory / "measured"))) <= tolerance


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_free_run_ends_as_the_simulated_one(program: str, simulated: World, measured: World) -> None:
    tables = case(program, "ticks", **APART)
    one, other = simulated(tables), measured(tables)
    assert difference(one, other) <= 1e-12
    assert other.parameters is not None
    assert np.isfinite(other.parameters).all()
    assert one.summary["gradients"] == other.summary["gradients"]
    assert one.summary["exchanges"] == other.summary["exchanges"]


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("flow", ["ticks", "wall"])
def test_each_world_follows_the_other(
    program: str, flow: str, simulated: World, measured: World, tmp_path: Path
) -> None:
    check_replays(case(program, flow, **APART), 1e-12, simulated, measured, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("problem", PROBLEMS)
def test_both_problems_free_and_replayed(
    program: str, problem: str, simulated: World, measured: World, tmp_path: Path
) -> None:
    tolerance, options = PROBLEMS[problem]
    tables = case(program, "ticks", **options)
    assert difference(simulated(tables), measured(tables)) <= tolerance
    for flow in ("ticks", "wall"):
        check_replays({**tables, "schedule.flow": flow}, tolerance, simulated, measured, tmp_path / flow)


@pytest.mark.slow
@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize(("graph", "workers"), SHAPES)
def test_odd_rings_and_stars(
    program: str, graph: str, workers: int, simulated: World, measured: World, tmp_path: Path
) -> None:
    tables = case(program, "ticks", **APART, **{"topology.graph": graph, "topology.workers": workers})
    assert difference(simulated(tables), measured(tables)) <= 1e-12
    check_replays({**tables, "schedule.flow": "wall"}, 1e-12, simulated, measured, tmp_path)


def test_by_wall_time_a_free_run_ends_elsewhere(simulated: World, measured: World) -> None:
    """The tests above can fail."""
    tables = case("a2cid2", "wall", **APART)
    assert difference(simulated(tables), measured(tables)) > 1e-6
