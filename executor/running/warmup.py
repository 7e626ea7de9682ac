"""What a first computation costs is no computation's time: it is done once before the start."""

from __future__ import annotations

import importlib
from typing import Any

import torch

from schedules.training.problems.problem import Trained

SLOW_IMPORT = "torch.fx.experimental.symbolic_shapes"
"""What the first `autograd.grad` with `grad_outputs` imports, in half a second or more."""


def load() -> None:
    """Import what a first computation would import. No thread begins, so processes may be forked after it."""
    importlib.import_module(SLOW_IMPORT)


def warm_up(trained: Trained | None, *, seed: int, rank: int, device: torch.device) -> None:
    """Compute once what kernels compute: a derivative, and a gradient where there is something to train.

    A kernel that carries a gradient on, of a stage or a rule of the program's own, calls `autograd.grad` with
    `grad_outputs`, whatever the workload.
    """
    load()
    leaf = torch.ones(1, device=device, requires_grad=True)
    torch.autograd.grad(2 * leaf, leaf, grad_outputs=torch.ones_like(leaf))
    if trained is not None:
        start: Any = trained.initial(seed)
        trained.gradient(trained.convert(start), rank, 0)
