"""Small models in stages, and what one process makes of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from executor.stages.examination import examine
from executor.stages.kernels import Keeps, StageKernels
from executor.stages.stage import Stage
from schedules.operations import Payload

CPU = torch.device("cpu")


class Ends:
    """Batches and a loss."""

    def __init__(self, batch: Callable[[int], tuple[Any, Any]], loss: Callable[[Any, Any], torch.Tensor]) -> None:
        self.batch, self.loss = batch, loss


def drawn(k: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(k), dtype=torch.float64)


def squares(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return ((outputs - targets) ** 2).mean()


class Two(nn.Module):
    """Takes a tensor and hands two on, with a mask beside them."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 6)

    def forward(self, value: torch.Tensor) -> Any:
        out = torch.tanh(self.layer(value))
        return {"pair": (out[:, :2], out[:, 2:]), "mask": value > 0}


class One(nn.Module):
    """Takes what `Two` returns."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 6, bias=False)

    def forward(self, value: Any) -> torch.Tensor:
        narrow, wide = value["pair"]
        found: torch.Tensor = self.layer(wide) * value["mask"]
        return torch.cat([narrow, found[:, 2:]], 1) + wide.sum(1, keepdim=True)


class Shared(nn.Module):
    """One weight at three places, and one that is scaled to norm 1."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(6, 6) / 3)
        self.gain = nn.Parameter(torch.tensor(1.5))
        self.direction = nn.Parameter(torch.randn(6, 6))
        self.unused = nn.Parameter(torch.ones(3))

    def forward(self, value: torch.Tensor) -> torch.Tensor:
        once = torch.tanh(value @ self.weight)
        twice = torch.tanh(once @ self.weight + value)
        return (twice @ (self.gain * self.direction / self.direction.norm())) @ self.weight.T


def mlp() -> tuple[list[nn.Module], Ends]:
    torch.manual_seed(0)
    stages: list[nn.Module] = [
        nn.Sequential(nn.Linear(5, 6), nn.Tanh()), Two(), One(),
        nn.Sequential(nn.ReLU(inplace=True), nn.Linear(6, 6), nn.LayerNorm(6)), Shared(), nn.Linear(6, 2),
    ]  # fmt: skip
    return _double(stages), Ends(lambda k: (drawn(k, 7, 5), drawn(k + 1000, 7, 2)), squares)


def words() -> tuple[list[nn.Module], Ends]:
    """Whole numbers go in: nothing is differentiated for them."""
    torch.manual_seed(1)
    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
    stages: list[nn.Module] = [nn.Sequential(nn.Embedding(11, 8), nn.LayerNorm(8)), layer, nn.Linear(8, 11)]

    def batch(k: int) -> tuple[torch.Tensor, torch.Tensor]:
        tokens = torch.randint(11, (3, 5), generator=torch.Generator().manual_seed(k))
        return tokens[:, :-1], tokens[:, 1:]

    return _double(stages), Ends(batch, lambda out, to: nn.functional.cross_entropy(out.flatten(0, 1), to.flatten()))


class Coupling(nn.Module):
    """y1 = x1 + F(x2), y2 = x2 + G(y1) (RevNet)."""

    def __init__(self, width: int, norm: bool = False) -> None:
        super().__init__()
        self.first, self.second = ([nn.Linear(width, width), nn.Tanh()] for _ in range(2))
        if norm:
            self.first.insert(0, nn.BatchNorm1d(width))
        self.first, self.second = nn.Sequential(*self.first), nn.Sequential(*self.second)

    def forward(self, value: tuple[torch.Tensor, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        one, two = value
        one = one + self.first(two)
        return one, two + self.second(one)

    def inverse(self, value: tuple[torch.Tensor, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        one, two = value
        two = two - self.second(one)
        return one - self.first(two), two


class Fork(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(5, 8)

    def forward(self, value: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        one, two = self.layer(value).chunk(2, 1)
        return one, two


class Joined(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(8, 2)

    def forward(self, value: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        found: torch.Tensor = self.layer(torch.cat(value, 1))
        return found


def reversible(norm: bool = False) -> tuple[list[nn.Module], Ends]:
    torch.manual_seed(2)
    stages: list[nn.Module] = [Fork(), Coupling(4, norm), Coupling(4), Joined()]
    return _double(stages), Ends(lambda k: (drawn(k, 7, 5), drawn(k + 1000, 7, 2)), squares)


def _double(stages: list[nn.Module]) -> list[nn.Module]:
    return [each.double() for each in stages]


# ---------------------------------------------------------------------- one process


def one_process(modules: Sequence[nn.Module], ends: Ends, micro_batches: int) -> list[torch.Tensor]:
    """The sum of the micro-batches' gradients, stage by stage, by plain back-propagation."""
    whole = nn.Sequential(*modules)
    whole.zero_grad()
    for k in range(micro_batches):
        inputs, targets = ends.batch(k)
        ends.loss(whole(inputs), targets).backward()
    return [
        torch.cat([_gradient(each).reshape(-1) for each in module.parameters()] or [torch.empty(0).double()])
        for module in modules
    ]


def _gradient(parameter: nn.Parameter) -> torch.Tensor:
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad


# ---------------------------------------------------------------------- stages in one process


def stages_of(modules: Sequence[nn.Module], ends: Ends, *, inverts: bool = False, seed: int = 0) -> dict[int, Stage]:
    found = examine(modules, ends, CPU, inverts=inverts)
    return {
        number: Stage(
            number, module, ends, before=each.entry if number else None, after=each.after, entry=each.entry,
            like=torch.empty(0).double(), seed=seed if each.is_random else None, is_in_place=each.is_in_place,
        )
        for number, (module, each) in enumerate(zip(modules, found, strict=True))
    }  # fmt: skip


class Runner:
    """Calls kernels as a program would."""

    def __init__(self, stages: dict[int, Stage], keeps: Keeps = "graph") -> None:
        self.stages, self.rows = stages, StageKernels(stages, keeps).rows()
        self.x = {number: each.initial for number, each in stages.items()}

    def __call__(self, kernel: str, stage: int, k: int, *inputs: Payload) -> Payload:
        run = self.rows[kernel].run
        assert run is not None
        computed = run(self.x[stage], (0, k), inputs, stage)
        array, kept = computed if isinstance(computed, tuple) else (computed, None)
        answer = Payload(0 if array is None else array.nbytes, None if array is None else array.clone())
        answer.kept = kept
        return answer

    def gpipe(self, micro_batches: int, *, split: bool = False, checkpoint: bool = False) -> list[torch.Tensor]:
        """All forwards, then all backwards; the sums of the stages' weight gradients."""
        last = len(self.stages) - 1
        forwards: dict[tuple[int, int], tuple[Payload, tuple[Payload, ...]]] = {}
        sums = [torch.zeros_like(self.x[stage]) for stage in self.stages]
        for k in range(micro_batches):
            given: tuple[Payload, ...] = ()
            for stage in self.stages:
                answer = self("forward", stage, k, *given)
                forwards[stage, k] = answer, given
                given = (answer,)
        for k in range(micro_batches):
            given = ()
            for stage in reversed(self.stages):
                held, before = forwards.pop((stage, k))
                graph = self("reconstruct", stage, k, *before) if checkpoint else held
                if stage != last:
                    assert given[0].size == self.stages[stage].after.num_bytes  # type: ignore[union-attr]
                if split:
                    answer = self("backward-input", stage, k, graph, *given)
                    sums[stage] += self("backward-weight", stage, k, answer).kept
                else:
                    answer = self("backward", stage, k, graph, *given)
                    sums[stage] += answer.kept
                given = (answer,)
        return sums
