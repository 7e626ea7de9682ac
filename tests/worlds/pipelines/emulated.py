"""What pipelines without a flush compute, in one process and without orders: the rules of their papers.

Every function takes the stages (modules in float64, whose parameters are where training begins), `batches`, one
(inputs, targets) a micro-batch, the loss and a learning rate of plain gradient descent, and returns the parameters of
each stage at the end: flat vectors. Stages are i = 0..p-1, micro-batches k = 0..m-1; `accumulate` gradients make one
update, of their mean.

* `at_versions`: back-propagation of micro-batch k through stage i at version `version(i, k)` of its parameters, whose
  gradient makes the update after. PipeDream, 2BW and delayed gradients differ in `version` alone (papers cited there).
* `ticks`: PETRA (Rivaud et al. 2024, arXiv:2406.02052, Algorithm 1 and eq. 5), tick by tick, and delayed gradients with
  checkpoints, which are the same with kept inputs in the place of reconstructed ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

Version = Callable[[int, int], int]
"""(stage, micro-batch) -> which version of its parameters the forward pass sees, counted in updates."""
Batches = Sequence[tuple[Any, Any]]
Loss = Callable[[Any, Any], Tensor]


def pipedream(num_stages: int, accumulate: int = 1) -> Version:
    """Harlap et al. 2018 (arXiv:1806.03377): the newest there is, where p - i micro-batches are under way."""
    return lambda i, k: max(0, k - (num_stages - i) + 1) // accumulate


def vertical_sync(num_stages: int) -> Version:
    """The same, with the version that the first stage saw, on all stages."""
    return lambda _, k: max(0, k - num_stages + 1)


def double_buffered(accumulate: int) -> Version:
    """PipeDream-2BW (Narayanan et al. 2021, arXiv:2006.09503, section 3.1): one update behind."""
    return lambda _, k: max(k // accumulate - 1, 0)


def delayed(num_stages: int, accumulate: int = 1, overlap_last: bool = False) -> Version:
    """Delayed gradients: every stage runs a forward and a backward a tick, 2 (p - 1 - i) ticks apart (one more where
    the last stage's run beside each other)."""
    return lambda i, k: max(0, k - 2 * (num_stages - 1 - i) - overlap_last) // accumulate


def at_versions(
    stages: Sequence[nn.Module], batches: Batches, loss: Loss, rate: float, version: Version, accumulate: int = 1
) -> list[Tensor]:
    """Parameters after all micro-batches; see above."""
    versions = [[_flat(each)] for each in stages]
    sums = [torch.zeros_like(each[0]) for each in versions]
    for k, (value, targets) in enumerate(batches):
        seen = [versions[i][version(i, k)].clone().requires_grad_() for i in range(len(stages))]
        for stage, parameters in zip(stages, seen, strict=True):
            value = _call(stage, parameters, value)
        gradients = torch.autograd.grad(loss(value, targets), seen)
        for i, gradient in enumerate(gradients):
            sums[i] = sums[i] + gradient
            if (k + 1) % accumulate == 0:
                versions[i].append(versions[i][-1] - rate * sums[i] / accumulate)
                sums[i] = torch.zeros_like(sums[i])
    return [each[-1] for each in versions]


def ticks(stages: Sequence[nn.Module], batches: Batches, loss: Loss, rate: float, accumulate: int = 1) -> list[Tensor]:
    """Parameters after m + 2 (J - 1) ticks. A stage with `inverse` is reversible; others keep their inputs."""
    last, num = len(stages) - 1, len(batches)
    theta, sums, counts = [_flat(each) for each in stages], [0.0] * len(stages), [0] * len(stages)
    kept: dict[tuple[int, int], Tensor] = {}
    up: dict[int, Tensor] = {0: batches[0][0]}
    down: dict[int, tuple[Tensor, Tensor]] = {}
    for tick in range(num + 2 * last):
        next_up, next_down = {}, {}
        for i, stage in enumerate(stages):
            k, q = tick - i, tick - 2 * last + i
            now = theta[i].clone().requires_grad_()
            given, updates = None, None
            if i < last and 0 <= k < num:
                entered = batches[k][0] if i == 0 else up[i]
                if not hasattr(stage, "inverse"):
                    kept[i, k] = entered
                with torch.no_grad():
                    next_up[i + 1] = _call(stage, theta[i], entered)
            if i == last and 0 <= k < num:
                given, updates = up[i].detach().requires_grad_(), k
                value = loss(_call(stage, now, given), batches[k][1])
                gradients = torch.autograd.grad(value, (now, given))
            elif i < last and 0 <= q < num:
                leaving, delta = down[i]
                if hasattr(stage, "inverse"):
                    with torch.no_grad():
                        entered = functional_call(Inverse(stage), _named(stage, theta[i], "stage."), (leaving,))
                else:
                    entered = kept.pop((i, q))
                given, updates = entered.detach().clone().requires_grad_(entered.is_floating_point()), q
                out = _call(stage, now, given)
                wanted = (now, given) if given.requires_grad else (now,)
                gradients = torch.autograd.grad(out, wanted, delta, allow_unused=True)
            if updates is None:
                continue
            sums[i], counts[i] = sums[i] + gradients[0] / accumulate, counts[i] + 1
            if i > 0:
                next_down[i - 1] = given.detach(), gradients[1]
            if counts[i] % accumulate == 0:
                theta[i], sums[i] = theta[i] - rate * sums[i], 0.0
        up, down = next_up, next_down
    return theta


class Inverse(nn.Module):
    """A stage's inverse as a module's forward."""

    def __init__(self, stage: nn.Module) -> None:
        super().__init__()
        self.stage = stage

    def forward(self, outputs: Tensor) -> Tensor:
        return self.stage.inverse(outputs)  # type: ignore[operator, no-any-return]


def _flat(stage: nn.Module) -> Tensor:
    return torch.cat([each.detach().reshape(-1) for each in stage.parameters()])


def _named(stage: nn.Module, flat: Tensor, prefix: str = "") -> dict[str, Tensor]:
    """The parameters as views of a flat vector."""
    found, begin = {}, 0
    for name, each in stage.named_parameters():
        found[prefix + name] = flat[begin : begin + each.numel()].view(each.shape)
        begin += each.numel()
    return found


def _call(stage: nn.Module, flat: Tensor, value: Any) -> Tensor:
    return functional_call(stage, _named(stage, flat), (value,))  # type: ignore[no-any-return]
