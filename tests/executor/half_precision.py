"""The module of the example, in whatever dtype its parameters have: `workload.module` of the tests."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from examples.user_module import Spirals


class Like(nn.Module):
    """Inputs in the dtype of the layer behind, and its outputs in single precision, for the loss."""

    def __init__(self, inner: nn.Sequential) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, inputs: torch.Tensor) -> Any:
        return self.inner(inputs.to(self.inner[0].weight.dtype)).float()


def factory(rank: int, num_workers: int, seed: int) -> Spirals:
    training = Spirals(rank, num_workers, seed)
    assert isinstance(training.module, nn.Sequential)
    training.module = Like(training.module)
    return training
