"""What the kernels of a problem compute.

A kernel is prepared when it is issued: `prepare(operation)` reads the parameters there and then, and returns the
function that does the work. So a `Compute` works on the version that it read, wherever and whenever the function runs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from schedules.operations import Array, Compute

Kernel = Callable[[Compute], Callable[[], Array]]


def numeric_kernels(problem: Any, model: Any, rank: int) -> Mapping[str, Kernel]:
    """The kernels of a worker: `gradient`, and `forward` and `backward` for a gradient cut into buckets."""
    steps = iter(range(2**63))

    def gradient(_: Compute) -> Callable[[], Array]:
        x, step = model.snapshot(), next(steps)  # `gradient` and `forward` draw batches from one count
        return lambda: problem.gradient(x, rank, step)

    def backward(operation: Compute) -> Callable[[], Array]:
        whole, sizes = operation.inputs
        first = sum(sizes[: operation.stage])
        # From bytes to numbers.
        begin, end = (at * len(whole.array) // sum(sizes) for at in (first, first + sizes[operation.stage]))
        return lambda: whole.array[begin:end]

    return {"gradient": gradient, "forward": gradient, "backward": backward}
