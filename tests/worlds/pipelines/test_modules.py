"""Pipelines with a flush run a module for real: the parameters are those of one process."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.optim.swa_utils import update_bn

from executor.launching.launch import Ranks, execute
from schedules.scenario import ScenarioError
from simulator import simulate
from tests.worlds.conftest import World
from tests.worlds.pipelines import modules

RATE = 0.05
MODULES = "tests.worlds.pipelines.modules"


def pipeline(program: str, workers: int, micro_batches: int, **keys: Any) -> dict[str, Any]:
    """A scenario of two iterations."""
    return {
        "schedule": {"program": program, "micro_batches": micro_batches, "iterations": 2, **keys},
        "topology": {"workers": workers},
        "platform": {
            "kernels": dict.fromkeys(("forward", "backward-input", "backward-weight"), "1 ms"),
            "link": {"bandwidth": "1 GB/s", "latency": "50 us"},
        },
        "workload": {"module": f"{MODULES}:Chain", "dtype": "float64"},
        "optimizer": {"learning_rate": RATE},
        "execution": {"timeout": "30 s"},
    }


@pytest.fixture
def executed(ranks: Ranks) -> World:
    return lambda scenario, overrides=None, **options: execute(scenario, overrides=overrides, ranks=ranks, **options)


def whole(scenario: dict[str, Any], kind: str = "Chain", workers: int = 0) -> Any:
    schedule = scenario["schedule"]
    training = getattr(modules, kind)(0, workers, 0)
    micro_batches = schedule["micro_batches"] * schedule.get("replicas", 1)
    return modules.one_process(training, schedule["iterations"], micro_batches, RATE)


CASES: dict[str, tuple[dict[str, Any], list[int] | str]] = {
    "gpipe": (pipeline("gpipe", 2, 4), [3]),
    "one stage": (pipeline("gpipe", 1, 3), []),
    "1f1b, unequal stages": (pipeline("1f1b", 4, 6), [1, 2, 7]),
    "1f1b, fewer micro-batches than workers": (pipeline("1f1b", 4, 2), [2, 4, 6]),
    "1f1b, checkpoint": (pipeline("1f1b", 2, 4, checkpoint=True), [4]),
    "1f1b, cut by cost": (pipeline("1f1b", 4, 4), "cost"),
    "interleaved-1f1b": (pipeline("interleaved-1f1b", 2, 4, chunks=2), [1, 4, 8]),
    "looped-bfs": (pipeline("looped-bfs", 2, 3, chunks=3), [1, 3, 4, 6, 8]),
    "interleaved-zb": (pipeline("interleaved-zb", 2, 4, chunks=2), [1, 4, 8]),
    "zb-h1": (pipeline("zb-h1", 4, 5), [2, 4, 6]),
    "zb-h2, checkpoint": (pipeline("zb-h2", 4, 8, checkpoint=True), [2, 4, 6]),
    "zb-h2, fewer micro-batches than workers": (pipeline("zb-h2", 4, 3), [2, 4, 6]),
    "zb-v": (pipeline("zb-v", 2, 4), [1, 4, 8]),
    "dualpipe": (pipeline("dualpipe", 2, 4), [4]),
    "dualpipe-v": (pipeline("dualpipe-v", 2, 4), [1, 4, 8]),
    "1f1b, 2 x 2": (pipeline("1f1b", 4, 3, replicas=2), [3]),
    "zb-h1, 2 x 2, barrier": (pipeline("zb-h1", 4, 2, replicas=2, optimizer_sync="barrier"), [4]),
    "zb-v, 2 x 2": (pipeline("zb-v", 4, 4, replicas=2), [1, 4, 8]),
    "dualpipe, 2 x 2": (pipeline("dualpipe", 4, 4, replicas=2), [4]),
    "gpipe, three copies of one stage": (pipeline("gpipe", 3, 2, replicas=3), []),
}


@pytest.mark.parametrize("case", CASES)
def test_parameters_are_those_of_one_process(case: str, executed: World) -> None:
    scenario, split = CASES[case]
    found = executed(scenario, {"workload.split": split})
    assert found.parameters is not None
    expected = whole(scenario)
    np.testing.assert_allclose(found.parameters[0], modules.vector(expected), rtol=0, atol=1e-10)
    assert found.summary["module_loss"] == pytest.approx(modules.Chain(0, 1, 0).evaluate(expected)["loss"], abs=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("program", "replicas"), [("1f1b", 1), ("zb-h2", 1), ("dualpipe", 1), ("1f1b", 2), ("zb-h2", 2)]
)
def test_eight_ranks_are_one_process(program: str, replicas: int, executed: World) -> None:
    scenario = pipeline(program, 8, 16 // replicas, replicas=replicas)
    found = executed(scenario, {"workload.split": [1, 2, 4, 5, 6, 8, 9] if replicas == 1 else [2, 4, 7]})
    assert found.parameters is not None
    np.testing.assert_allclose(found.parameters[0], modules.vector(whole(scenario)), rtol=0, atol=1e-10)


SHARED = {"workload.boundary": "360 B", "workload.tied": [{"stages": [0, 3], "parameters": 36}]}
"""Five samples of six and of three numbers; a weight [6, 6]."""

TIED = {
    "on two ranks": (pipeline("1f1b", 4, 4), "Tied"),
    "on one rank": (pipeline("zb-v", 2, 4), "TiedTwice"),
    "in copies": (pipeline("dualpipe", 4, 8), "Tied"),
    "computed again": (pipeline("zb-h1", 4, 4, checkpoint=True), "Tied"),
    "in replicas": (pipeline("1f1b", 4, 4, replicas=2), "TiedTwo"),
}


@pytest.mark.parametrize("case", TIED)
def test_a_weight_of_the_first_and_the_last_stage_is_one(case: str, executed: World) -> None:
    """And several tensors go from stage to stage; batch norms' statistics follow once a micro-batch."""
    scenario, kind = TIED[case]
    shared = SHARED | ({"workload.tied": [{"stages": [0, 1], "parameters": 36}]} if kind == "TiedTwo" else {})
    found = executed(scenario, {"workload.module": f"{MODULES}:{kind}", **shared})
    expected = whole(scenario, kind, scenario["topology"]["workers"])
    assert found.parameters is not None
    np.testing.assert_allclose(found.parameters[0], modules.vector(expected), rtol=0, atol=1e-10)
    if case not in ("in copies", "in replicas"):  # where each copy sees its own micro-batches only
        loss = modules.Tied.evaluate(modules.Tied(0, 4, 0), expected)["loss"]
        assert found.summary["module_loss"] == pytest.approx(loss, abs=1e-9)


@pytest.mark.parametrize("program", ["1f1b", "dualpipe"])
def test_statistics_taken_anew_are_of_all_micro_batches_at_the_final_parameters(program: str, executed: World) -> None:
    scenario = pipeline(program, 4, 8)
    found = executed(scenario, {"workload.module": f"{MODULES}:Tied", "workload.buffers": "recompute", **SHARED})
    training = modules.Tied(0, 4, 0)
    expected = modules.one_process(training, 2, 8, RATE)
    update_bn((training.batch(k)[0] for k in range(16)), expected)
    assert found.summary["module_loss"] == pytest.approx(training.evaluate(expected)["loss"], abs=1e-9)
    averaged = executed(scenario, {"workload.module": f"{MODULES}:Tied", **SHARED})
    assert found.summary["module_loss"] != pytest.approx(averaged.summary["module_loss"], abs=1e-6)


TIED_REPLAYED = {"1f1b": pipeline("1f1b", 4, 4), "zb-v": pipeline("zb-v", 2, 4), "dualpipe": pipeline("dualpipe", 4, 8)}


@pytest.mark.parametrize("program", TIED_REPLAYED)
def test_each_world_follows_the_other_with_ties(program: str, executed: World, tmp_path: Path) -> None:
    scenario, kind = TIED_REPLAYED[program], "TiedTwice" if program == "zb-v" else "Tied"
    training = getattr(modules, kind)(0, scenario["topology"]["workers"], 0)
    changes = {"workload.module": f"{MODULES}:{kind}", "workload.parameters": sizes(training.stages), **SHARED}
    follow(scenario, changes, executed, tmp_path)


REPLAYED = {
    "gpipe": pipeline("gpipe", 2, 3),
    "1f1b": pipeline("1f1b", 4, 3, replicas=2),
    "interleaved-1f1b": pipeline("interleaved-1f1b", 2, 4, chunks=2),
    "looped-bfs": pipeline("looped-bfs", 2, 3, chunks=2),
    "interleaved-zb": pipeline("interleaved-zb", 2, 4, chunks=2),
    "zb-h1": pipeline("zb-h1", 2, 3, optimizer_sync="post-validation"),
    "zb-h2": pipeline("zb-h2", 2, 4, checkpoint=True),
    "zb-1p": pipeline("zb-1p", 2, 4),
    "zb-2p": pipeline("zb-2p", 2, 4),
    "v-half": pipeline("v-half", 2, 4),
    "v-min": pipeline("v-min", 2, 4),
    "dualpipe-v": pipeline("dualpipe-v", 2, 4),
    "order": pipeline("order", 2, 2, file="order.csv"),
}


@pytest.mark.parametrize("program", REPLAYED)
def test_each_world_follows_the_other(
    program: str, executed: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("order.csv").write_text("0F0,0F1,0I1,0I0,0W0,0W1\n1F0,1F1,1B1,1B0\n")
    split = [1, 4, 8] if REPLAYED[program]["schedule"].get("chunks", 1) == 2 or program in IN_A_V else [3]
    layers = list(modules.Chain(0, 2, 0).module)
    stages = [torch.nn.Sequential(*layers[begin:end]) for begin, end in pairwise([0, *split, len(layers)])]
    changes = {"workload.split": split, "workload.parameters": sizes(stages), "workload.boundary": "240 B"}
    parameters = follow(REPLAYED[program], changes, executed, tmp_path)
    np.testing.assert_allclose(parameters, modules.vector(whole(REPLAYED[program])), rtol=0, atol=1e-10)


IN_A_V = ("v-half", "v-min", "dualpipe-v")


def sizes(stages: Sequence[torch.nn.Module]) -> list[int]:
    """Parameters of each stage."""
    return [sum(each.numel() for each in stage.parameters()) for stage in stages]


def follow(scenario: dict[str, Any], changes: dict[str, Any], executed: World, place: Path) -> Any:
    """Each world follows the other; the parameters of both runs for real, which are equal."""
    one = executed(scenario, changes)
    again = simulate(scenario, overrides=changes, replay=one.save(place / "measured"))
    other = simulate(scenario, overrides=changes)
    followed = executed(scenario, changes, replay=other.save(place / "simulated"))
    assert again.trace is not None
    assert one.parameters is not None
    np.testing.assert_allclose(followed.parameters, one.parameters, rtol=0, atol=1e-12)
    return one.parameters[0]


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no norm": (
        {"workload.split": [3, 5, 7], "optimizer.clip_norm": 1.0},
        r"optimizer\.clip_norm: expected none for 1f1b, whose stages step without the whole gradient's norm "
        r"\(schedule\.optimizer_sync = 'barrier' has it\), found 1",
    ),
    "an empty stage": (
        {"workload.split": [3, 3, 5]},
        r"workload\.split: expected where stages begin, ascending from 1, so that none is empty; found \[3, 3, 5\]",
    ),
    "an empty last stage": (
        {"workload.split": [3, 5, 10]},
        r"workload\.split: expected where stages begin, ascending from 1 to 9, so that none is empty; found",
    ),
    "too few": ({"workload.split": [3, 5]}, r"workload\.split: expected 3 numbers for 4 stages, found \[3, 5\]"),
    "no split": ({}, r'workload\.split: expected where 3 stages begin, or "cost", for a module .* found none'),
    "few layers": (
        {"workload.module": f"{MODULES}:Short", "workload.split": "cost"},
        r"workload\.module = .*: expected a module of at least 4 layers for 4 stages, found 3",
    ),
    "shapes": (
        {"workload.module": f"{MODULES}:Apart"},
        r"workload\.module = .*: expected stage 2 to take what stage 1 returns \(float64 \[5, 6\]\), found Run",
    ),
    "number of stages": (
        {"workload.module": f"{MODULES}:Apart", "topology.workers": 3},
        r"workload\.module = .*: expected 3 stages, found 4",
    ),
    "another boundary": (
        {"workload.split": [3, 5, 7], "workload.boundary": "8 MB"},
        r"workload\.boundary: expected \[240, 240, 240\] bytes, as the stages hand on, found 8000000",
    ),
    "other parameters": (
        {"workload.split": [3, 5, 7], "workload.parameters": 3},
        r"workload\.parameters: expected \[84, 42, 42, 42\], as the stages have, found 3",
    ),
    "a tie that is not said": (
        {"workload.module": f"{MODULES}:Tied"},
        r"workload\.tied: expected \[\{ stages = \[0, 3\], parameters = 36 \}\], as the module has, found \[\]",
    ),
    "other batches": (
        {"workload.module": f"{MODULES}:OwnBatches", "workload.split": [3, 5, 7]},
        r"workload\.module = .*: expected the same micro-batch 0 on all ranks of a model in stages, found another on",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_run_is_one_clear_line(case: str, executed: World) -> None:
    changes, told = WRONG[case]
    with pytest.raises(ScenarioError, match=told) as raised:
        executed(pipeline("1f1b", 4, 4), changes)
    assert "\n" not in str(raised.value).strip()


def test_a_schedule_without_stages_has_none_to_split() -> None:
    gossip = {**pipeline("gossip", 4, 4), "schedule": {"program": "all-reduce", "gradients": 1}}
    gossip["topology"] = {"workers": 4, "graph": "ring"}
    with pytest.raises(ScenarioError, match=r"workload\.split: expected none for all-reduce, which has no stages"):
        simulate(gossip, overrides={"workload.split": [3, 4, 5], "workload.parameters": 8})
