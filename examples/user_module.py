"""Your own `torch.nn.Module` under any schedule: `workload.module = "examples.user_module:factory"`.

twinclock execute examples/user_module.toml
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


class Spirals:
    """Two intertwined spirals, a small perceptron, and the three names that the executor asks for."""

    def __init__(self, rank: int, num_workers: int, seed: int) -> None:
        torch.manual_seed(seed)  # the same start on every rank: from the seed alone
        self.module: nn.Module = nn.Sequential(nn.Linear(2, 32), nn.Tanh(), nn.Linear(32, 2))
        self.inputs, self.targets = spirals(200)
        self.mine = torch.arange(rank, len(self.targets), num_workers)  # this rank's share of the data
        self.rank, self.seed = rank, seed

    def batch(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        """The mini-batch of this rank's `step`-th gradient: a function of the step, so a run can be repeated."""
        generator = torch.Generator().manual_seed(hash((self.seed, self.rank, step)) % 2**31)
        chosen = self.mine[torch.randint(len(self.mine), (16,), generator=generator)]
        return self.inputs[chosen], self.targets[chosen]

    def loss(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return nn.functional.cross_entropy(outputs, targets)

    def evaluate(self, module: nn.Module) -> dict[str, float]:
        """After the run, with the final parameters (optional)."""
        outputs = module(self.inputs)
        right = (outputs.argmax(dim=1) == self.targets).float()
        return {"loss": self.loss(outputs, self.targets).item(), "accuracy": right.mean().item()}


def spirals(num_points: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Points of two spirals: float32 [2 num_points, 2], and which spiral each is on."""
    angle = torch.linspace(0.5, 6.0, num_points)
    arm = torch.stack([angle * torch.cos(angle), angle * torch.sin(angle)], dim=1) / 6
    return torch.cat([arm, -arm]), torch.arange(2).repeat_interleave(num_points)


def factory(rank: int, num_workers: int, seed: int) -> Any:
    """What `workload.module` names."""
    return Spirals(rank, num_workers, seed)
