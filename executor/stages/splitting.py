"""Where a chain of layers is cut into stages: where the user says, or so that the slowest stage is fastest."""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any

import torch

from executor.running import buffers
from executor.stages.boundaries import Value, filled, tensors_of

REPETITIONS = 5
"""Of a measured layer: the least time of so many counts."""


def cut(num_layers: int, begins: Sequence[int], num_stages: int) -> list[range]:
    """The layers of each stage.

    Args:
        begins: where each stage but the first begins.
    Raises:
        ValueError: if a stage would be empty, or there are not as many as there must be.
    """
    if len(begins) != num_stages - 1:
        raise ValueError(f"expected {num_stages - 1} numbers for {num_stages} stages, found {list(begins)}")
    edges = [0, *begins, num_layers]
    if any(late <= early for early, late in pairwise(edges)):
        told = f"expected where stages begin, ascending from 1 to {num_layers - 1}, so that none is empty"
        raise ValueError(f"{told}; found {list(begins)}")
    return [range(early, late) for early, late in pairwise(edges)]


def balanced(costs: Sequence[float], num_stages: int) -> list[int]:
    """Where stages begin so that the slowest takes as little as can be; none is empty.

    With best[n][j] the least slowest time of n stages of the first j layers,
    best[n][j] = min over i < j of max(best[n-1][i], cost of the layers i to j-1).

    Args:
        costs: of each layer.
    Returns:
        as many numbers as there are stages after the first.
    Raises:
        ValueError: of fewer layers than stages.
    """
    num_layers = len(costs)
    if num_layers < num_stages:
        raise ValueError(f"expected at least {num_stages} layers for {num_stages} stages, found {num_layers}")
    sums = list(accumulate(costs, initial=0.0))
    best = [sums[j] for j in range(num_layers + 1)]
    begins: list[list[int]] = [[] for _ in range(num_layers + 1)]
    for n in range(2, num_stages + 1):
        slowest = [
            min((max(best[i], sums[j] - sums[i]), i) for i in range(n - 1, j)) if j >= n else (float("inf"), 0)
            for j in range(num_layers + 1)
        ]
        begins = [[*begins[i], i] if j >= n else [] for j, (_, i) in enumerate(slowest)]
        best = [cost for cost, _ in slowest]
    return begins[num_layers]


def measured(layers: Sequence[torch.nn.Module], batch: tuple[Any, Any], loss: Any) -> list[float]:
    """How long each layer takes, forward and backward, in seconds of this process on one batch.

    Args:
        batch: inputs and targets, on the layers' device.
        loss: of outputs and targets: it goes with the last layer.
    """
    value, costs = batch[0], []
    with buffers.kept(torch.nn.ModuleList(layers)):
        for number, layer in enumerate(layers):
            is_last = number == len(layers) - 1
            tries = [_tried(layer, value, batch[1], loss if is_last else None) for _ in range(REPETITIONS)]
            costs.append(min(seconds for seconds, _ in tries))
            value = tries[-1][1]
    return costs


def _tried(layer: torch.nn.Module, value: Value, targets: Any, loss: Any) -> tuple[float, Value]:
    """Seconds of one forward and backward pass of a layer, and what it returns."""
    inputs = [each.detach().requires_grad_(each.is_floating_point()) for each in tensors_of(value)]
    # Clones: a layer that works in place must not do so on a leaf.
    given = filled(value, iter([each.clone() for each in inputs]))
    begin = _now(inputs)
    outputs = layer(given)
    ends = outputs if loss is None else loss(outputs, targets)
    roots = [each for each in tensors_of(ends) if each.requires_grad]
    leaves = [each for each in (*inputs, *layer.parameters()) if each.requires_grad]
    if roots and leaves:
        torch.autograd.grad(roots, leaves, [torch.ones_like(each) for each in roots], allow_unused=True)
    return _now(inputs) - begin, outputs


def _now(tensors: Sequence[torch.Tensor]) -> float:
    """Seconds: of this thread on the host, where others are at work; on a GPU of the clock, when it has computed."""
    if tensors and tensors[0].is_cuda:
        torch.cuda.synchronize(tensors[0].device)
        return time.perf_counter()
    return time.thread_time()
