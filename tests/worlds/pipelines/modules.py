"""Models in stages for runs of pipelines, and what one process makes of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

WIDTH = 6


class Chain:
    """A Sequential of ten layers, to be cut; float64."""

    def __init__(self, rank: int, num_workers: int, seed: int) -> None:
        torch.manual_seed(seed)
        layers = [layer for _ in range(5) for layer in (nn.Linear(WIDTH, WIDTH), nn.Tanh())]
        self.module = nn.Sequential(*layers).double()

    def batch(self, k: int) -> tuple[torch.Tensor, torch.Tensor]:
        generator = torch.Generator().manual_seed(k)
        inputs, targets = torch.randn(2, 5, WIDTH, generator=generator, dtype=torch.float64)
        return inputs, targets

    def loss(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return ((outputs - targets) ** 2).sum()

    def evaluate(self, module: nn.Module) -> dict[str, float]:
        outputs = module(self.batch(1000)[0])
        return {"loss": self.loss(outputs, self.batch(1000)[1]).item(), "layers": len(list(module.modules()))}


class Overflowing(Chain):
    """Two of its micro-batches, of which one is the first, have gradients without end."""

    def batch(self, k: int) -> tuple[torch.Tensor, torch.Tensor]:
        inputs, targets = super().batch(k)
        return inputs, targets * (torch.inf if k in (2, 9) else 1.0)


class Forked(nn.Module):
    """Two tensors go on, of unlike shapes."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(WIDTH, WIDTH + 3)

    def forward(self, value: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        out = torch.tanh(self.layer(value))
        return out[:, :WIDTH], out[:, WIDTH:]


class Kept(nn.Module):
    """Two come, two go."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, WIDTH)
        self.norm = nn.BatchNorm1d(WIDTH)

    def forward(self, value: tuple[torch.Tensor, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        wide, narrow = value
        return self.norm(wide + self.layer(narrow)), narrow.exp()


class Tied:
    """Stages that hand on two tensors; the first and the last share a weight, as a language model's do."""

    def __init__(self, rank: int, num_workers: int, seed: int) -> None:
        torch.manual_seed(seed)
        first = nn.Linear(WIDTH, WIDTH)
        middle = [Kept() for _ in range(num_workers * self.chunks - 2)]
        self.stages: Sequence[nn.Module] = [nn.Sequential(first, Forked()), *middle, Last(first)]
        for each in self.stages:
            each.double()

    chunks = 1
    batch, loss = Chain.batch, Chain.loss

    def evaluate(self, module: nn.Module) -> dict[str, float]:
        module.eval()
        inputs, targets = self.batch(1000)
        return {"loss": self.loss(module(inputs), targets).item()}


class Last(nn.Module):
    def __init__(self, first: nn.Linear) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(3)
        self.weight = first.weight

    def forward(self, value: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        wide, narrow = value
        return wide @ self.weight.T + self.norm(narrow).sum(1, keepdim=True)


class TiedTwice(Tied):
    chunks = 2


class TiedTwo(Tied):
    """Of two stages, whatever the number of workers."""

    def __init__(self, rank: int, num_workers: int, seed: int) -> None:
        super().__init__(rank, 2, seed)


def one_process(training: Any, iterations: int, micro_batches: int, rate: float) -> nn.Sequential:
    """Plain gradient descent, with the mean over an iteration's micro-batches."""
    whole = nn.Sequential(*training.stages) if hasattr(training, "stages") else training.module
    optimizer = torch.optim.SGD(whole.parameters(), lr=rate)
    for iteration in range(iterations):
        optimizer.zero_grad()
        for number in range(micro_batches):
            inputs, targets = training.batch(iteration * micro_batches + number)
            (training.loss(whole(inputs), targets) / micro_batches).backward()
        optimizer.step()
    return whole


def vector(whole: nn.Sequential) -> NDArray[np.float64]:
    """All parameters, stage after stage: one that two stages share is there twice."""
    parts = [each.detach().reshape(-1) for stage in whole for each in stage.parameters()]
    found: NDArray[np.float64] = torch.cat(parts).numpy()
    return found


class Short(Chain):
    def __init__(self, rank: int, num_workers: int, seed: int) -> None:
        super().__init__(rank, num_workers, seed)
        self.module = self.module[:3]


class Apart(Chain):
    """Stages that do not join."""

    def __init__(self, rank: int, num_workers: int, seed: int) -> None:
        self.stages = [nn.Linear(WIDTH, width).double() for width in (WIDTH, WIDTH, WIDTH + 1, WIDTH)]
        self.stages[2] = nn.Linear(WIDTH + 1, WIDTH).double()


class OwnBatches(Chain):
    def __init__(self, rank: int, num_workers: int, seed: int) -> None:
        super().__init__(rank, num_workers, seed)
        self.rank = rank

    def batch(self, k: int) -> tuple[torch.Tensor, torch.Tensor]:
        return super().batch(k + self.rank)
