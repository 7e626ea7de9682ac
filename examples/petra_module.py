"""A RevNet in four stages under PETRA: `workload.module = "examples.petra_module:factory"`.

twinclock execute examples/petra_digits.toml
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from examples.pipeline_module import Digits

WIDTH = 64


class Coupling(nn.Module):
    """Two streams side by side: y1 = x1 + f(x2), y2 = x2 + g(y1). Its inputs follow from its outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.f, self.g = (
            nn.Sequential(nn.LayerNorm(WIDTH), nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH))
            for _ in range(2)
        )

    def forward(self, value: torch.Tensor) -> torch.Tensor:
        one, two = value.chunk(2, dim=1)
        one = one + self.f(two)
        return torch.cat((one, two + self.g(one)), dim=1)

    def inverse(self, outputs: torch.Tensor) -> torch.Tensor:
        """What makes the stage reversible: it keeps nothing of a micro-batch between its two passes."""
        one, two = outputs.chunk(2, dim=1)
        two = two - self.g(one)
        return torch.cat((one - self.f(two), two), dim=1)


class RevNet(Digits):
    """Handwritten digits. The first stage makes 128 numbers of 64, so it has no inverse and keeps its inputs."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        torch.manual_seed(seed)
        first = nn.Sequential(nn.Linear(64, 2 * WIDTH), Coupling())
        last = nn.Sequential(Coupling(), nn.LayerNorm(2 * WIDTH), nn.Linear(2 * WIDTH, 10))
        del self.module
        self.stages = [first, Coupling(), Coupling(), last]


def factory(rank: int, num_workers: int, seed: int) -> Any:
    """What `workload.module` names."""
    return RevNet(seed)
