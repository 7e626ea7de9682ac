"""Models in four unequal stages for pipelines without a flush: of tanh layers, of couplings, and of both."""

from __future__ import annotations

import torch
from torch import nn

WIDTH = 4


class Coupling(nn.Module):
    """Two streams, one beside the other: y1 = x1 + f(x2), y2 = x2 + g(y1), and back."""

    def __init__(self, width: int = WIDTH, depth: int = 1) -> None:
        super().__init__()
        self.halves = nn.ModuleList(
            nn.Sequential(*(layer for _ in range(depth) for layer in (nn.Linear(width, width), nn.Tanh())))
            for _ in range(2)
        )

    def forward(self, value: torch.Tensor) -> torch.Tensor:
        one, two = value.chunk(2, dim=1)
        one = one + self.halves[0](two)
        return torch.cat((one, two + self.halves[1](one)), dim=1)

    def inverse(self, outputs: torch.Tensor) -> torch.Tensor:
        one, two = outputs.chunk(2, dim=1)
        two = two - self.halves[1](one)
        return torch.cat((one - self.halves[0](two), two), dim=1)


def layers(depth: int) -> nn.Sequential:
    """So many layers of tanh."""
    return nn.Sequential(*(each for _ in range(depth) for each in (nn.Linear(2 * WIDTH, 2 * WIDTH), nn.Tanh())))


class Layers:
    """Stages of one, three, two and one layers; none has an inverse."""

    def __init__(self, rank: int, num_workers: int, seed: int) -> None:
        torch.manual_seed(seed)
        self.stages = [each.double() for each in self.made()]

    def made(self) -> list[nn.Module]:
        return [layers(1), layers(3), layers(2), nn.Linear(2 * WIDTH, 3)]

    def batch(self, k: int) -> tuple[torch.Tensor, torch.Tensor]:
        generator = torch.Generator().manual_seed(k)
        inputs = torch.randn(5, 2 * WIDTH, generator=generator, dtype=torch.float64)
        return inputs, torch.randn(5, 3, generator=generator, dtype=torch.float64)

    def loss(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return ((outputs - targets) ** 2).sum()


class Reversible(Layers):
    """All but the last have an inverse."""

    def made(self) -> list[nn.Module]:
        return [Coupling(), Coupling(depth=2), Coupling(depth=3), nn.Linear(2 * WIDTH, 3)]


class Mixed(Layers):
    """The first and the third have one."""

    def made(self) -> list[nn.Module]:
        return [Coupling(), layers(2), Coupling(depth=2), nn.Linear(2 * WIDTH, 3)]


class Others(Layers):
    """The second has one."""

    def made(self) -> list[nn.Module]:
        return [layers(2), Coupling(), layers(1), nn.Linear(2 * WIDTH, 3)]


class Normed(Layers):
    """Batch norms in a stage with an inverse, in one without, and in the last."""

    norm: type[nn.BatchNorm1d] = nn.BatchNorm1d

    def made(self) -> list[nn.Module]:
        coupled, width = Coupling(), 2 * WIDTH
        for half in coupled.halves:
            half.append(self.norm(WIDTH))
        middle = nn.Sequential(nn.Linear(width, width), self.norm(width), nn.Tanh())
        return [Coupling(), coupled, middle, nn.Sequential(self.norm(width), nn.Linear(width, 3))]

    def evaluate(self, module: nn.Module) -> dict[str, float]:
        return {
            f"{number}.{name.replace('.', '-')}": each.double().square().sum().item()
            for number, stage in enumerate(module.children())
            for name, each in stage.named_buffers()
            if each.is_floating_point()
        }


class OfGraphs(nn.BatchNorm1d):
    """A batch norm whose statistics follow only where there is a graph."""

    def forward(self, value: torch.Tensor) -> torch.Tensor:
        if torch.is_grad_enabled():
            return super().forward(value)
        return nn.functional.batch_norm(value, None, None, self.weight, self.bias, training=True, eps=self.eps)


class NormedInGraphs(Normed):
    norm = OfGraphs


class Dropping(Layers):
    """The third stage has dropout."""

    def made(self) -> list[nn.Module]:
        stages = super().made()
        return [*stages[:2], nn.Sequential(stages[2], nn.Dropout(0.1)), stages[3]]


class Crooked(Coupling):
    """Its inverse takes away what it should not."""

    def inverse(self, outputs: torch.Tensor) -> torch.Tensor:
        return super().inverse(outputs) - 1e-3


class WrongInverse(Layers):
    """The second stage's inverse does not invert."""

    def made(self) -> list[nn.Module]:
        return [Coupling(), Crooked(), Coupling(), nn.Linear(2 * WIDTH, 3)]
