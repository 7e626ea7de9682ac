"""A module's buffers: statistics of batch norms, each rank's own while it trains."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from executor import Ranks
from executor.running import buffers
from executor.running.modules import FlatModule
from schedules.scenario import ScenarioError

EXAMPLE: dict[str, Any] = {
    "schedule": {"program": "all-reduce", "gradients": 6},
    "topology": {"graph": "complete", "workers": 2},
    "platform": {"gradient": {"mean": "1 ms"}},
    "workload": {"module": "tests.executor.running.test_buffers:factory", "dtype": "float64"},
}


class Normed:
    """A batch norm alone; a rank's data lie around its own mean, so that the ranks' statistics differ."""

    def __init__(self, rank: int) -> None:
        self.rank = rank
        self.module: nn.Module = nn.BatchNorm1d(3, momentum=0.5)

    def batch(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        generator = torch.Generator().manual_seed(1000 * self.rank + step)
        return torch.randn(8, 3, generator=generator, dtype=torch.float64) + 10 * self.rank, torch.zeros(8)

    def loss(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return (outputs**2).mean()

    def evaluate(self, module: nn.Module) -> dict[str, float]:
        return {"mean": float(dict(module.named_buffers())["running_mean"].mean())}


def factory(rank: int, num_workers: int, seed: int) -> Normed:
    return Normed(rank)


def trained(rank: int, steps: int = 6) -> nn.Module:
    """What the rank's batches make of a batch norm: torch's own module, run as torch runs it."""
    own = Normed(rank)
    module = own.module.double()
    for step in range(steps):
        module(own.batch(step)[0])
    return module


def mean_of(module: nn.Module) -> float:
    return float(dict(module.named_buffers())["running_mean"].mean())


def recomputed(*num_batches: int) -> float:
    """The plain average over so many batches of each rank, all of them alike."""
    batches = [Normed(rank).batch(step)[0] for rank, number in enumerate(num_batches) for step in range(number)]
    return float(torch.stack([each.mean() for each in batches]).mean())


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("own", lambda: mean_of(trained(0))),
        ("average", lambda: np.mean([mean_of(trained(rank)) for rank in range(2)])),
        ("recompute", lambda: recomputed(6, 6)),
    ],
)
@pytest.mark.parametrize("program", ["all-reduce", "d-psgd"])
def test_buffers_where_the_parameters_are_read_out(choice: str, expected: Any, program: str, ranks: Ranks) -> None:
    changes = {"workload.buffers": choice, "schedule.program": program}
    found = ranks.execute(EXAMPLE, overrides=changes)
    assert found.summary["module_mean"] == pytest.approx(expected(), rel=1e-9)
    again = ranks.execute(EXAMPLE, overrides=changes, replay=found)
    assert again.summary["module_mean"] == found.summary["module_mean"]


class Epochs(Normed):
    """One that says how many batches are all of its data: more of rank 1, and more than sixty-four."""

    def __init__(self, rank: int) -> None:
        super().__init__(rank)
        self.num_batches = 70 + 5 * rank


def epochs(rank: int, num_workers: int, seed: int) -> Epochs:
    return Epochs(rank)


def test_statistics_taken_anew_are_of_one_pass_over_all_data(ranks: Ranks) -> None:
    changes = {"workload.buffers": "recompute", "workload.module": "tests.executor.running.test_buffers:epochs"}
    found = ranks.execute(EXAMPLE, overrides=changes)
    assert found.summary["module_mean"] == pytest.approx(recomputed(70, 75), rel=1e-9)


@pytest.mark.parametrize("said", [0, 1.5, "all", True])
def test_what_is_no_number_of_batches_is_refused(said: Any) -> None:
    training = Normed(0)
    training.num_batches = said  # type: ignore[attr-defined]
    flat = FlatModule(training, torch.float64, torch.device("cpu"))
    with pytest.raises(ScenarioError, match=r"expected num_batches, a whole number of at least 1, found"):
        buffers.recompute(flat, flat.initial(0))


def test_as_many_batches_as_were_drawn_where_nobody_says_how_many_there_are() -> None:
    flat = FlatModule(Normed(0), torch.float64, torch.device("cpu"))
    for step in range(100):
        flat.gradient(flat.initial(0), 0, step)
    assert buffers.recompute(flat, flat.initial(0)) == 100


def test_what_is_kept_comes_back_and_counts_are_not_averaged() -> None:
    module = nn.BatchNorm1d(2)
    with buffers.kept(module):
        module(torch.randn(4, 2))
    assert module.running_mean is not None
    assert module.running_mean.tolist() == [0, 0]
    assert len(buffers.vector(module)) == 4
    buffers.load(module, torch.arange(4, dtype=torch.float64))
    assert buffers.vector(module).tolist() == [0, 1, 2, 3]


def test_a_module_without_buffers_has_none() -> None:
    flat = FlatModule(Normed(0), torch.float64, torch.device("cpu"))
    assert len(buffers.vector(flat.module)) == 6
    assert len(buffers.vector(nn.Linear(2, 2))) == 0
