"""Workers of a quadratic that start apart, in both worlds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from schedules.scenario import ScenarioError, load
from tests.worlds.conftest import BASE, World
from tests.worlds.test_replay_parity import difference

APART: dict[str, Any] = {"workload.options": {"start": "spread"}}
PROGRAMS = Path(__file__).parent / "programs"

SHARDED = '''"""Keeps a part of a vector a rank."""

from schedules import SHARD, Count, Table

SOURCE = "a test"
{name} = {value}


class Settings(Table):
    gradients: Count


def streams(worker):
    return {{}}
'''


def starts(seed: int = 0) -> np.ndarray[Any, np.dtype[np.float64]]:
    problem = load(BASE, {**APART, "run.seed": seed}).problem
    assert problem is not None
    return np.stack([problem.initial(seed, rank) for rank in range(4)])


def test_the_first_read_out_is_of_the_starting_points(world: World) -> None:
    rows = world(APART).series
    assert rows is not None
    x = starts()
    assert rows["consensus_distance"][0] == pytest.approx(((x - x.mean(axis=0)) ** 2).sum(), rel=1e-12)
    assert rows["consensus_distance"][0] > 20  # 20 (n - 1) is expected


def test_all_reduce_moves_all_workers_alike(world: World) -> None:
    """The change is the mean gradient for everybody, so what they were apart they stay."""
    found = world({**APART, "schedule.program": "all-reduce"}).parameters
    assert found is not None
    moved = found - starts()
    np.testing.assert_allclose(moved, np.tile(moved[0], (4, 1)), rtol=0, atol=1e-12)
    assert np.abs(moved).max() > 1e-3


@pytest.mark.parametrize("program", ["gossip", "a2cid2", "d-psgd"])
def test_each_world_follows_the_other(program: str, simulated: World, measured: World, tmp_path: Path) -> None:
    case = {**APART, "schedule.program": program, "optimizer.momentum": 0.9}
    original = simulated(case)
    assert difference(original, measured(case, replay=original.save(tmp_path / "simulated"))) <= 1e-12
    free = measured(case)
    assert difference(free, simulated(case, replay=free.save(tmp_path / "measured"))) <= 1e-12


QUIET: dict[str, Any] = {"workload.options": {"start": "spread", "curvature": 0, "noise": 0}}
"""Gradients of zero."""


def check_mean(found: np.ndarray[Any, np.dtype[np.float64]] | None) -> None:
    assert found is not None
    np.testing.assert_allclose(found.mean(axis=0), starts().mean(axis=0), rtol=0, atol=1e-12)
    assert np.abs(found - starts()).max() > 1e-3


def test_averaging_keeps_the_mean_of_the_starting_points(world: World) -> None:
    check_mean(world(QUIET).parameters)


def test_accelerated_averaging_keeps_it_too(simulated: World) -> None:
    """Each worker's x-tilde starts at its own x, so the sums of both are equal; a common clock keeps them so."""
    check_mean(simulated({**QUIET, "schedule.program": "a2cid2"}).parameters)


def test_a_replay_from_another_start_is_refused(simulated: World, tmp_path: Path) -> None:
    directory = simulated(APART).save(tmp_path / "run")
    with pytest.raises(ScenarioError, match=r"workload\.options"):
        simulated({}, replay=directory)


REFUSED = r"workload\.options\.start: expected 'common' for a schedule whose ranks hold one model in "


def test_ranks_that_hold_stages_start_alike(world: World) -> None:
    with pytest.raises(ScenarioError, match=REFUSED + "stages, found 'spread'"):
        world({**APART, "schedule.program": str(PROGRAMS / "two_stages.py")})


@pytest.mark.parametrize(("name", "value"), [("STATE", "{'mine': SHARD}"), ("OPTIMIZER", "SHARD")])
def test_ranks_that_hold_shards_start_alike(name: str, value: str, world: World, tmp_path: Path) -> None:
    (tmp_path / "sharded.py").write_text(SHARDED.format(name=name, value=value))
    with pytest.raises(ScenarioError, match=REFUSED + "shards, found 'spread'"):
        world({**APART, "schedule.program": str(tmp_path / "sharded.py")})
