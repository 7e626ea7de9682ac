"""What a first computation costs is no computation's time: it is done once before the start."""

from __future__ import annotations

import ctypes
import importlib
import os
from typing import Any

import torch

from schedules.training.problems.problem import Trained

SLOW_IMPORT = "torch.fx.experimental.symbolic_shapes"
"""What the first `autograd.grad` with `grad_outputs` imports, in half a second or more."""


LARGEST_KEPT, MOST_KEPT = 32 << 20, 128 << 20
"""Bytes of an array from which on its memory is the system's own to give and take (glibc's limit of that), and of what
is free that a rank keeps."""
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of malloc.h


def keep_memory() -> None:
    """Have C's allocator keep what is freed, up to `MOST_KEPT` bytes: parameters and gradients are replaced at every
    step, and a page that comes from the system anew costs a fault. A gradient that was added up, of 2 MB beside a pass
    of 2.8 ms, took 1.3 ms less of the processor (2 cores, torch 2.13, 2026-12-01). Where the environment sets the
    allocator up, or it is another, nothing is changed."""
    if any(name.startswith("MALLOC_") or name == "GLIBC_TUNABLES" for name in os.environ):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, LARGEST_KEPT)
        mallopt(M_TRIM_THRESHOLD, MOST_KEPT)


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
