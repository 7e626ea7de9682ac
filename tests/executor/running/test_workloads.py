"""The user's own module, calibration, and a cluster's launcher."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from executor import Ranks
from executor.calibration.calibrate import measure
from executor.running.modules import FlatModule
from schedules.record.files import read_trace
from schedules.scenario import ScenarioError, load
from tests.executor.conftest import scenario

ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / "examples" / "user_module.toml"


def test_the_gradient_of_a_module_is_that_of_autograd_at_the_snapshot() -> None:
    from examples.user_module import factory

    training = factory(rank=1, num_workers=4, seed=3)
    training.inputs = training.inputs.double()
    flat = FlatModule(training, torch.float64, torch.device("cpu"))
    x = flat.initial + 0.1
    before = x.clone()
    gradient = flat.gradient(x, 1, 5)
    assert torch.equal(x, before)
    flat.evaluate(x)
    inputs, targets = training.batch(5)
    training.loss(training.module(inputs), targets).backward()
    expected = torch.cat([each.grad.reshape(-1) for each in training.module.parameters()])
    torch.testing.assert_close(gradient, expected)


def test_a_module_trains_and_replays(ranks: Ranks) -> None:
    changes = {"schedule.gradients": 40, "topology.workers": 3}
    result = ranks.execute(EXAMPLE, overrides=changes)
    assert result.parameters is not None
    assert result.parameters.shape == (3, 162)
    assert result.summary["module_loss"] < 0.69
    again = ranks.execute(EXAMPLE, overrides=changes, replay=result)
    np.testing.assert_array_equal(result.parameters, again.parameters)


def test_a_factory_that_is_not_there_is_a_mistake_in_the_scenario(ranks: Ranks) -> None:
    wrong = scenario("gradients", workers=2, workload={"module": "examples.user_module:nothing"})
    with pytest.raises(ScenarioError, match=r"workload\.module = 'examples\.user_module:nothing'"):
        ranks.execute(wrong)


@pytest.mark.slow
def test_calibration_gives_a_platform_that_a_scenario_accepts(ranks: Ranks) -> None:
    found = measure(EXAMPLE, overrides={"topology.workers": 2}, ranks=ranks)
    platform = load(EXAMPLE, {f"platform.{key}": value for key, value in found.platform.items()})
    assert platform.platform.transport == "gloo"
    assert 1e-5 < found.platform["gradient"]["mean"] < 1
    assert 1e7 < found.platform["link"]["bandwidth"] < 1e12
    assert found.info["bandwidth_factor"] <= 4
    assert set(found.info["all_reduce_s"]) == {"4096", "65536", "1048576", "4194304"}


@pytest.mark.slow
def test_torchrun_runs_the_ranks_and_rank_0_writes_the_run(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    options = [str(EXAMPLE), "--set", "topology.workers=2", "--out", str(tmp_path / "run")]
    done = subprocess.run([*command, "-m", "executor", *options], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    trace, info = read_trace(tmp_path / "run")
    assert sorted(set(trace["rank"])) == [0, 1]
    assert info["world"] == "measured"
