"""Cyclic data parallelism of the user's own module in stages: the parameters are those of the rules."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim.swa_utils import update_bn

from executor.launching.launch import Ranks, execute
from schedules.scenario import ScenarioError
from simulator import simulate
from tests.worlds.conftest import World
from tests.worlds.pipelines import modules

STEPS, RATE, MOMENTUM = 5, 0.05, 0.9
SPLIT = {2: [5], 3: [2, 6], 4: [2, 5, 8]}


@pytest.fixture
def executed(ranks: Ranks) -> World:
    return lambda scenario, **options: execute(scenario, ranks=ranks, **options)


def stages_of(num_stages: int) -> list[nn.Sequential]:
    """Those of `modules.Chain` as the scenario cuts it."""
    layers = list(modules.Chain(0, num_stages, 0).module)
    return [nn.Sequential(*layers[begin:end]) for begin, end in pairwise([0, *SPLIT[num_stages], len(layers)])]


def case(rule: str, num_stages: int, **keys: Any) -> dict[str, Any]:
    workers = num_stages * (num_stages + 1) // 2 if keys.get("placement") == "stages" else num_stages
    return {
        "schedule": {"program": f"cdp-{rule}", "gradients": STEPS, **keys},
        "topology": {"workers": workers},
        "platform": {
            "kernels": dict.fromkeys(("forward", "backward"), "4 ms"),
            "link": {"bandwidth": "1 GB/s", "latency": "50 us"},
        },
        "workload": {
            "module": "tests.worlds.pipelines.modules:Chain",
            "dtype": "float64",
            "split": SPLIT[num_stages],
            "parameters": [sum(each.numel() for each in stage.parameters()) for stage in stages_of(num_stages)],
            "boundary": "240 B",
        },
        "optimizer": {"learning_rate": RATE, "momentum": MOMENTUM},
        "execution": {"timeout": "30 s"},
    }


def emulated(rule: str, stages: list[nn.Sequential]) -> nn.Sequential:
    """theta^{t+1} = theta^t + momentum step of (1 / N) sum_i grad f_i(u_i): stage j of u_i is that of theta^{t-1}, in
    v2 of theta^t where i + j >= N - 1. In a loop, with torch alone."""
    whole, n = nn.Sequential(*stages), len(stages)
    optimizer = torch.optim.SGD(whole.parameters(), lr=RATE, momentum=MOMENTUM)
    training = modules.Chain(0, n, 0)
    former = [each.detach().clone() for each in whole.parameters()]
    stage_of = [j for j, stage in enumerate(stages) for _ in stage.parameters()]
    for t in range(STEPS):
        now = [each.detach().clone() for each in whole.parameters()]
        optimizer.zero_grad()
        for i in range(n):
            for j, each, old, new in zip(stage_of, whole.parameters(), former, now, strict=True):
                each.data = (new if rule == "v2" and i + j >= n - 1 else old).clone()
            inputs, targets = training.batch(t * n + i)
            (training.loss(whole(inputs), targets) / n).backward()
        for each, new in zip(whole.parameters(), now, strict=True):
            each.data = new.clone()
        optimizer.step()
        former = now
    return whole


@pytest.mark.parametrize(
    ("rule", "num_stages", "keys"),
    [
        ("v1", 4, {}),
        ("v2", 4, {}),
        ("v1", 4, {"parameters": "ring"}),
        ("v2", 4, {"offset": 0}),
        ("v2", 2, {"placement": "stages"}),
        ("v1", 3, {"placement": "stages", "parameters": "ring"}),
    ],
)
def test_the_parameters_are_those_of_the_rule(
    rule: str, num_stages: int, keys: dict[str, Any], executed: World
) -> None:
    run = executed(case(rule, num_stages, **keys))
    assert run.parameters is not None
    assert run.trace is not None
    expected = emulated(rule, stages_of(num_stages))
    for each in run.parameters:
        np.testing.assert_allclose(each, modules.vector(expected), rtol=0, atol=1e-12)
    assert "AllReduce" not in set(run.trace["op"])
    assert run.summary["gradients"] == num_stages * STEPS
    assert run.summary["module_loss"] == pytest.approx(modules.Chain(0, 1, 0).evaluate(expected)["loss"], abs=1e-12)


@pytest.mark.parametrize("rule", ["v1", "v2"])
def test_each_world_follows_the_other(rule: str, executed: World, tmp_path: Path) -> None:
    scenario = case(rule, 4)
    simulated = simulate(scenario)
    followed = executed(scenario, replay=simulated.save(tmp_path / "simulated"))
    again = simulate(scenario, replay=followed.save(tmp_path / "measured"))
    expected = modules.vector(emulated(rule, stages_of(4)))
    assert followed.parameters is not None
    assert again.trace is not None
    np.testing.assert_allclose(followed.parameters[0], expected, rtol=0, atol=1e-12)
    assert again.summary["gradients"] == simulated.summary["gradients"] == 4 * STEPS
    assert again.summary["bytes_sent"] == simulated.summary["bytes_sent"] == followed.summary["bytes_sent"]


def test_statistics_taken_anew_are_of_all_micro_batches(executed: World) -> None:
    """Of all workers: so many of a run as the steps times the workers."""
    scenario = case("v1", 4)
    scenario["workload"] = {"module": f"{__name__}:Normed", "dtype": "float64", "buffers": "recompute"}
    run, training = executed(scenario), Normed(0, 4, 0)
    whole = nn.Sequential(*training.stages)
    assert run.parameters is not None
    nn.utils.vector_to_parameters(torch.from_numpy(run.parameters[0]), whole.parameters())
    update_bn((training.batch(k)[0] for k in range(4 * STEPS)), whole)
    assert run.summary["module_loss"] == pytest.approx(training.evaluate(whole)["loss"], abs=1e-12)


class Normed(modules.Chain):
    """Four stages with the statistics of a batch norm each."""

    def __init__(self, rank: int, num_workers: int, seed: int) -> None:
        torch.manual_seed(seed)
        self.stages = [nn.Sequential(nn.Linear(6, 6), nn.BatchNorm1d(6)).double() for _ in range(4)]

    def evaluate(self, module: nn.Module) -> dict[str, float]:
        module.eval()
        return super().evaluate(module)


WRONG = {
    "no split": ({"workload.split": None}, r'workload\.split: expected where 3 stages begin, or "cost", for a module'),
    "split": ({"workload.split": [2, 5]}, r"workload\.split: expected 3 numbers for 4 stages, found \[2, 5\]"),
    "boundary": ({"workload.boundary": "8 MB"}, r"workload\.boundary: expected \[240, 240, 240\] bytes, as the stages"),
    "batches": (
        {"workload.module": "tests.worlds.pipelines.modules:OwnBatches"},
        r"expected the same micro-batch 0 on all ranks of a model in stages, found another on rank 1 than on rank 0",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_run_is_one_clear_line(name: str, executed: World) -> None:
    changes, told = WRONG[name]
    scenario = case("v2", 4)
    for key, value in changes.items():
        scenario["workload"][key.removeprefix("workload.")] = value
    scenario["workload"] = {key: value for key, value in scenario["workload"].items() if value is not None}
    with pytest.raises(ScenarioError, match=told) as raised:
        executed(scenario)
    assert "\n" not in str(raised.value).strip()
