"""A module in four stages under a pipeline: `workload.module = "examples.pipeline_module:factory"`.

twinclock execute examples/pipeline_module.toml
"""

from __future__ import annotations

from typing import Any

import torch
from sklearn.datasets import load_digits
from torch import nn

WIDTH, SAMPLES, NUM_TESTED = 64, 32, 397


class Digits:
    """Handwritten digits, and a perceptron with skips."""

    def __init__(self, seed: int) -> None:
        torch.manual_seed(seed)  # the same start on every rank: from the seed alone
        # Eight layers, each of which gets what the one before it returns. Where stages begin says workload.split.
        blocks = [Block() for _ in range(6)]
        self.module = nn.Sequential(nn.Linear(64, WIDTH), *blocks, nn.Linear(WIDTH, 10))
        pixels, digits = load_digits(return_X_y=True)
        order = torch.randperm(len(digits), generator=torch.Generator().manual_seed(0))
        self.pixels, self.digits = torch.tensor(pixels).float()[order] / 16, torch.tensor(digits)[order]
        self.seed = seed

    def batch(self, k: int) -> tuple[torch.Tensor, torch.Tensor]:
        """The k-th micro-batch of the run, alike on all ranks: inputs of the first stage, targets of the last."""
        generator = torch.Generator().manual_seed(hash((self.seed, k)) % 2**31)
        chosen = torch.randint(len(self.digits) - NUM_TESTED, (SAMPLES,), generator=generator)
        return self.pixels[chosen], self.digits[chosen]

    def loss(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return nn.functional.cross_entropy(outputs, targets)

    def evaluate(self, module: nn.Module) -> dict[str, float]:
        """After the run, on rank 0, with the whole model at its final parameters (optional)."""
        outputs, targets = module(self.pixels[-NUM_TESTED:]), self.digits[-NUM_TESTED:]
        return {
            "loss": self.loss(outputs, targets).item(),
            "accuracy": (outputs.argmax(1) == targets).float().mean().item(),
        }


class Block(nn.Module):
    """x + W2 relu(W1 norm(x))."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.LayerNorm(WIDTH), nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        added: torch.Tensor = self.inner(x)
        return x + added


def factory(rank: int, num_workers: int, seed: int) -> Any:
    """What `workload.module` names."""
    return Digits(seed)
