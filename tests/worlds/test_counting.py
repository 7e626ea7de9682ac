"""Who counts what (docs/vocabulary.md): whole schedules, their gradients and how stale they were, in both worlds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from schedules.result import Result
from tests.worlds.conftest import World
from tests.worlds.programs import verbs
from tests.worlds.test_replay_parity import difference

PROGRAMS = Path(__file__).parent / "programs"
N, T = 4, 12


def own(name: str, **settings: Any) -> dict[str, Any]:
    """A scenario of one of the test programs, with momentum, so that updates differ from each other."""
    program = str(PROGRAMS / f"{name}.py")
    settings = {f"schedule.{key}": value for key, value in {"gradients": T, **settings}.items()}
    return {"schedule.program": program, **settings, "optimizer.momentum": 0.5}


def built_in(name: str, **settings: Any) -> dict[str, Any]:
    return {**own(name, **settings), "schedule.program": name}


CASES: dict[str, dict[str, Any]] = {
    "all-reduce": built_in("all-reduce"),
    "all-reduce in buckets": built_in("all-reduce", overlap=True, bucket_size=64),
    "all-reduce, accumulated": own("accumulating", accumulate=3),
    "d-psgd": built_in("d-psgd"),
    "gossip": built_in("gossip"),
    "a2cid2": built_in("a2cid2"),
    "diloco": own("diloco", local_steps=4),
    "acco": own("acco", half=2),
    "fedbuff": own("fedbuff", local_steps=4, buffer=3),
}
SYNCHRONOUS = ("all-reduce", "all-reduce in buckets", "all-reduce, accumulated", "d-psgd", "diloco", "acco")
TIMING = {"run.numerics": False}

case = pytest.mark.parametrize("name", CASES)
synchronous = pytest.mark.parametrize("name", SYNCHRONOUS)
both = pytest.mark.parametrize("numbers", [{}, TIMING], ids=["numeric", "timing"])


def targets(result: Result) -> dict[tuple[str, str], tuple[int, float, int]]:
    """Of each kind of contribution to each target: how many there were, and how stale they were."""
    rows = result.summary["staleness_by_target"]
    return {(row["kind"], row["target"]): (row["count"], row["staleness_mean"], row["staleness_max"]) for row in rows}


@both
@case
def test_every_gradient_is_counted_once(name: str, numbers: dict[str, Any], world: World) -> None:
    """Those of all workers; a server counts those of its clients, of which each makes as many."""
    summary = world({**CASES[name], **numbers}).summary
    if name == "fedbuff":
        assert summary["per_rank"]["gradients"] == [(N - 1) * T, 0, 0, 0]
    else:
        assert summary["per_rank"]["gradients"] == [T] * N
    assert summary["gradients"] == sum(summary["per_rank"]["gradients"])


@both
@synchronous
def test_where_every_update_waits_nothing_is_stale(name: str, numbers: dict[str, Any], world: World) -> None:
    result = world({**CASES[name], **numbers})
    assert (result.summary["staleness_mean"], result.summary["staleness_max"]) == (0, 0)
    assert all(mean == largest == 0 for _, mean, largest in targets(result).values())


# ---- row by row: the facts of answers of messages and collectives are in test_facts.py


@both
@pytest.mark.parametrize("row", verbs.CASES)
def test_a_row_of_the_table(row: str, numbers: dict[str, Any], world: World) -> None:
    """The program compares."""
    world({"schedule.program": str(PROGRAMS / "verbs.py"), "schedule.case": row, **numbers})


# ---- schedule by schedule

GRADIENT, AVERAGE = ("gradient", "x"), ("average", "x")


@pytest.mark.parametrize("name", ["all-reduce", "all-reduce in buckets", "all-reduce, accumulated", "d-psgd", "acco"])
def test_gradients_are_all_that_is_applied(name: str, world: World) -> None:
    """Buckets, means and the models of the neighbours are arguments; an estimate is a change."""
    assert targets(world(CASES[name])) == {GRADIENT: (N * T, 0, 0)}


@pytest.mark.parametrize("name", ["gossip", "a2cid2"])
def test_gossip_applies_its_own_values_beside_gradients(name: str, world: World) -> None:
    """One average at either end of an exchange."""
    result = world(CASES[name])
    found = targets(result)
    assert set(found) == {GRADIENT, AVERAGE}
    assert found[GRADIENT][0] == N * T
    assert found[AVERAGE][0] == 2 * result.summary["exchanges"] > 0
    assert found[GRADIENT][1] == pytest.approx(result.summary["staleness_mean.gradient"])
    assert found[AVERAGE][1] == pytest.approx(result.summary["staleness_mean.average"])


def test_outer_updates_have_versions_of_their_own(world: World) -> None:
    """An outer change is none of theta's versions old, though x had H more meanwhile."""
    rounds = T // 4
    assert targets(world(CASES["diloco"])) == {GRADIENT: (N * T, 0, 0), ("change", "theta"): (N * rounds, 0, 0)}


def test_a_server_counts_the_gradients_in_what_it_applies(world: World) -> None:
    """Three clients of three rounds each, applied three at a time: of three updates at most two come between."""
    result = world(CASES["fedbuff"])
    ((what, (count, mean, largest)),) = targets(result).items()
    assert (what, count) == (("change", "theta"), 9)
    assert 0 <= mean <= largest <= 2
    assert result.summary["staleness_mean.change"] == mean


@pytest.mark.parametrize("name", ["all-reduce, accumulated", "acco"])
def test_added_up_gradients_take_no_room_of_their_own(name: str, world: World) -> None:
    memory = world(CASES[name]).summary["peak_memory_by_kind"]
    assert "gradients" not in memory
    assert memory["vectors"] == memory["parameters"] * (2 if name == "acco" else 1)


def test_the_peak_does_not_grow_with_the_gradients_that_are_added_up(world: World) -> None:
    peaks = [
        world(own("accumulating", accumulate=number) | {"workload.activations": 500}).summary["peak_memory_by_kind"]
        for number in (1, 4, 12)
    ]
    assert peaks[0] == peaks[1] == peaks[2]


def test_the_trace_has_an_entry_for_each_of_several(world: World) -> None:
    trace = world(CASES["all-reduce, accumulated"]).trace
    assert trace is not None
    rows = trace[(trace["rank"] == 0) & (trace["applied"] != "")]
    assert rows["op"].tolist() == ["AllReduce", "Apply", "Apply"] * 4
    assert rows[["version_read", "version_written"]].to_numpy().tolist() == [
        [v, v + 1] for v in range(4) for _ in "abc"
    ]
    assert set(rows["gradients"]) == {1}
    assert set(rows["target"]) == {"x"}


def test_accumulated_gradients_end_where_one_of_all_does(simulated: World) -> None:
    """Bit for bit the same batches: k = 1 is plain all-reduce."""
    plain, accumulated = simulated(CASES["all-reduce"]), simulated(own("accumulating", accumulate=1))
    assert difference(plain, accumulated) <= 1e-15


# ---- both worlds, both ways


@pytest.mark.parametrize("name", CASES)
def test_each_world_follows_the_other(name: str, simulated: World, measured: World, tmp_path: Path) -> None:
    case = CASES[name]
    original = simulated(case)
    followed = measured(case, replay=original.save(tmp_path / "simulated"))
    assert difference(original, followed) <= 1e-12
    assert targets(followed) == targets(original)
    free = measured(case)
    again = simulated(case, replay=free.save(tmp_path / "measured"))
    assert difference(free, again) <= 1e-12
    assert targets(again) == targets(free)
