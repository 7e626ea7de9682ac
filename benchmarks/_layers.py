"""The model that `benchmarks.against_torch` trains in both runtimes: layers of Linear and Tanh, in stages or whole.

It is as large as the environment says: `LAYERS=8 WIDTH=256 SAMPLES=1024`.
"""

from __future__ import annotations

import os

import torch
from torch import nn

LAYERS, WIDTH, SAMPLES = (
    int(os.environ.get(name, usual)) for name, usual in (("LAYERS", 8), ("WIDTH", 256), ("SAMPLES", 1024))
)
"""Layers of the model, numbers of a layer, samples of a micro-batch."""
DISTINCT = 16
"""Micro-batches that are drawn; then they come again, so that drawing them is nobody's time."""


class Layers:
    """The whole model and its data. Those of one `stream` are alike on all ranks.

    Attributes:
        module: float64, from a seed of its own.
    """

    def __init__(self, stream: int = 0) -> None:
        with torch.random.fork_rng():
            torch.manual_seed(1)
            layers = [nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.Tanh()) for _ in range(LAYERS)]
        self.module = nn.Sequential(*layers).double()
        random = torch.Generator().manual_seed(100 + stream)
        self._data = torch.randn(DISTINCT, 2, SAMPLES, WIDTH, generator=random, dtype=torch.float64)

    def batch(self, k: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Inputs and targets of the k-th micro-batch."""
        inputs, targets = self._data[k % DISTINCT]
        return inputs, targets

    def loss(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """The mean of the squares: of a micro-batch."""
        return ((outputs - targets) ** 2).mean()

    def parts(self, number: int) -> list[nn.Sequential]:
        """The model in so many equal stages."""
        size = LAYERS // number
        return [self.module[first : first + size] for first in range(0, LAYERS, size)]


def staged(rank: int, num_workers: int, seed: int) -> Layers:
    """`workload.module` of a pipeline: the data are alike on all ranks."""
    return Layers()


def copied(rank: int, num_workers: int, seed: int) -> Layers:
    """`workload.module` of data parallelism: each rank has data of its own."""
    return Layers(rank)
