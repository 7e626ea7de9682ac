"""The user's own module, calibration, and a cluster's launcher."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from examples.user_module import factory
from executor import Ranks
from executor.calibration.calibrate import measure
from executor.running.modules import FlatModule
from schedules.errors import ProgramError
from schedules.record.files import read_trace
from schedules.scenario import ScenarioError, load
from tests.executor.conftest import scenario

ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / "examples" / "user_module.toml"


def test_the_gradient_of_a_module_is_that_of_autograd_at_the_snapshot() -> None:
    training = factory(rank=1, num_workers=4, seed=3)
    training.inputs = training.inputs.double()
    flat = FlatModule(training, torch.float64, torch.device("cpu"))
    x = flat.initial(3) + 0.1
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


@pytest.mark.slow
def test_half_precision_with_a_master_trains_and_replays(ranks: Ranks) -> None:
    changes = {
        "schedule.gradients": 40, "topology.workers": 3, "optimizer.name": "adamw", "optimizer.learning_rate": 0.01,
        "workload.module": "tests.executor.half_precision:factory",
        "workload.dtype": "bfloat16", "workload.master": "float32",
    }  # fmt: skip
    result = ranks.execute(EXAMPLE, overrides=changes)
    assert result.summary["module_loss"] < 0.69
    assert result.summary["peak_memory_by_kind"]["parameters"] == 2 * 162
    assert result.summary["peak_memory_by_kind"]["optimizer"] == 12 * 162
    again = ranks.execute(EXAMPLE, overrides=changes, replay=result)
    assert result.parameters is not None
    np.testing.assert_array_equal(result.parameters, again.parameters)
    assert torch.equal(torch.asarray(result.parameters).bfloat16().double(), torch.asarray(result.parameters))


def test_biases_do_not_decay_where_the_scenario_says_so(ranks: Ranks) -> None:
    """With a decay of 1 / learning rate, whatever decays is what one gradient makes of it."""
    changes = {"schedule.gradients": 1, "topology.workers": 2, "schedule.rate": 1e-6, "optimizer.weight_decay": 1 / 0.3}
    module = factory(0, 2, 0).module
    was = {name: each.detach().numpy().ravel() for name, each in module.named_parameters()}
    all_, weights = (
        ranks.execute(EXAMPLE, overrides={**changes, "optimizer.no_decay": patterns}).parameters
        for patterns in ([], ["*.bias"])
    )
    assert all_ is not None
    assert weights is not None
    difference, at = (weights - all_)[0], 0
    for name, each in was.items():
        found, at = difference[at : at + len(each)], at + len(each)
        np.testing.assert_allclose(found, each if name.endswith("bias") else 0, atol=1e-6)


def test_a_pattern_that_names_no_tensor_is_a_mistake_in_the_scenario(ranks: Ranks) -> None:
    message = r"optimizer\.no_decay: expected patterns of '0\.weight', '0\.bias', '2\.weight', '2\.bias', found 'bias'"
    with pytest.raises(ScenarioError, match=message):
        ranks.execute(EXAMPLE, overrides={"topology.workers": 2, "optimizer.no_decay": ["bias"]})


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
    assert set(found.info["all_reduce_s"]) == {"648", "4096", "65536", "1048576", "4194304"}


@pytest.mark.slow
def test_torchrun_runs_the_ranks_and_rank_0_writes_the_run(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    options = [str(EXAMPLE), "--set", "topology.workers=2", "--out", str(tmp_path / "run")]
    done = subprocess.run([*command, "-m", "executor", *options], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    trace, info = read_trace(tmp_path / "run")
    assert sorted(set(trace["rank"])) == [0, 1]
    assert info["world"] == "measured"


def test_gradients_of_two_engines_at_once_are_those_of_one_after_the_other() -> None:
    flat = FlatModule(factory(rank=1, num_workers=4, seed=3), torch.float32, torch.device("cpu"), rank=1)
    points = [flat.initial(0) + 0.1 * number for number in range(40)]
    expected = [flat.gradient(x, 1, step) for step, x in enumerate(points)]
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda step: flat.gradient(points[step], 1, step), range(40)))
    for one, other in zip(expected, found, strict=True):
        assert torch.equal(one, other)


def test_a_module_has_no_other_rank_s_data() -> None:
    flat = FlatModule(factory(rank=1, num_workers=4, seed=3), torch.float32, torch.device("cpu"), rank=1)
    with pytest.raises(ProgramError, match="expected data of rank 1, whose own a module's batches are, found 0"):
        flat.gradient(flat.initial(0), 0, 0)
