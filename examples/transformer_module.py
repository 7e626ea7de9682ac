"""A small transformer of your own under local steps: `workload.module = "examples.transformer_module:factory"`.

It learns to say which of eight letters comes next in sequences that repeat themselves. Each rank draws its own.

twinclock execute examples/diloco.toml
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

LETTERS, LENGTH, WIDTH = 8, 16, 32


class NextLetter(nn.Module):
    """Two layers of causal attention over letters and places: int64 [batch, LENGTH] -> [batch, LENGTH, LETTERS]."""

    def __init__(self) -> None:
        super().__init__()
        self.letters = nn.Embedding(LETTERS, WIDTH)
        self.places = nn.Parameter(torch.randn(LENGTH, WIDTH) / WIDTH**0.5)
        layer = nn.TransformerEncoderLayer(WIDTH, 4, 2 * WIDTH, dropout=0.0, batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.out = nn.Linear(WIDTH, LETTERS)
        self.register_buffer("mask", nn.Transformer.generate_square_subsequent_mask(LENGTH))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        hidden = self.letters(inputs) + self.places
        return self.out(self.layers(hidden, mask=self.mask.to(hidden.dtype), is_causal=True))


class Repeating:
    """The module and its data."""

    def __init__(self, rank: int, num_workers: int, seed: int) -> None:
        torch.manual_seed(seed)  # the same start on every rank: from the seed alone
        self.module: nn.Module = NextLetter()
        self.rank, self.seed = rank, seed

    def batch(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        """The mini-batch of this rank's `step`-th gradient: a function of the step, so a run can be repeated."""
        return sequences(32, self.seed * 1_000_003 + self.rank * 10_007 + step)

    def loss(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return nn.functional.cross_entropy(outputs.flatten(0, 1), targets.flatten())

    def evaluate(self, module: nn.Module) -> dict[str, float]:
        """After the run, with the final parameters: of sequences that nobody has trained on."""
        inputs, targets = sequences(256, 2**31 - 1)
        outputs = module(inputs)
        right = (outputs.argmax(dim=2) == targets).float()
        return {"loss": self.loss(outputs, targets).item(), "accuracy": right.mean().item()}


def sequences(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Letters that repeat every 2 to 5, and the letter that follows each: int64 [count, LENGTH] both."""
    generator = torch.Generator().manual_seed(seed)
    period = torch.randint(2, 6, (count, 1), generator=generator)
    motif = torch.randint(LETTERS, (count, 5), generator=generator)
    letters = motif.gather(1, torch.arange(LENGTH + 1).expand(count, -1) % period)
    return letters[:, :-1], letters[:, 1:]


def factory(rank: int, num_workers: int, seed: int) -> Any:
    """What `workload.module` names."""
    return Repeating(rank, num_workers, seed)
