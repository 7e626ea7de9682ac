"""What a module keeps beside its parameters: its buffers, such as the running statistics of batch norms.

They follow no gradient and are not exchanged. Every rank's are its own while it trains; what becomes of them when the
parameters are read out is `workload.buffers`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch.distributed import AllreduceOptions, BroadcastOptions, ProcessGroup
from torch.optim.swa_utils import update_bn

if TYPE_CHECKING:
    from executor.running.modules import FlatModule
    from schedules.scenario import Scenario


def vector(module: torch.nn.Module) -> torch.Tensor:
    """The buffers that are real numbers, one behind the other: float64 [num_numbers], on the host."""
    parts = [each.detach().reshape(-1).to("cpu", torch.float64) for each in _real(module)]
    return torch.cat(parts) if parts else torch.empty(0, dtype=torch.float64)


def load(module: torch.nn.Module, values: torch.Tensor) -> None:
    """Put a vector's numbers into the buffers; inverse of `vector`."""
    begin = 0
    with torch.no_grad():
        for each in _real(module):
            each.copy_(values[begin : begin + each.numel()].view(each.shape))
            begin += each.numel()


def recompute(flat: FlatModule, x: torch.Tensor) -> int:
    """Go through this rank's data once at the parameters x, and have batch norms take their statistics anew.

    As `torch.optim.swa_utils.update_bn` does over a loader: all batches count alike.

    Returns:
        how many batches that were: one epoch's, where the user's object says how many these are, else as many as the
        rank has drawn.
    """
    flat.load(x)
    num_batches = flat.num_batches
    with torch.no_grad():
        update_bn((flat.batch(step)[0] for step in range(num_batches)), flat.module)
    return num_batches


def share(
    scenario: Scenario,
    rank: int,
    flat: FlatModule,
    x: torch.Tensor,
    roles: Sequence[str],
    connect: Callable[[], ProcessGroup],
) -> None:
    """What becomes of the module's buffers where its parameters are read out: `workload.buffers`.

    Args:
        x: this rank's final parameters.
        roles: of all ranks.
        connect: makes a group of them.
    """
    choice = scenario.workload.buffers
    if choice == "own":
        return
    group = connect() if len(roles) > 1 else None
    weight = 1  # of this rank's in the average
    if choice == "recompute":
        at = x.detach().cpu().clone()
        if group is not None and "server" in roles:  # the final parameters are the server's
            options = BroadcastOptions()
            options.rootRank, options.rootTensor = roles.index("server"), 0
            group.broadcast([at], options).wait()
        weight = recompute(flat, at.to(flat.device))
    # A server computes no gradient, so its buffers are still what they were at the start.
    weight *= roles[rank] == "worker"
    values = vector(flat.module)
    if len(values) and group is not None:
        total = torch.cat((values * weight, torch.tensor([weight], dtype=values.dtype)))
        group.allreduce([total], AllreduceOptions()).wait()
        load(flat.module, total[:-1] / total[-1])


@contextmanager
def kept(module: torch.nn.Module) -> Iterator[None]:
    """Within the block the buffers may change; after it they are what they were before."""
    before = [each.detach().clone() for each in module.buffers()]
    try:
        yield
    finally:
        with torch.no_grad():
            for each, value in zip(module.buffers(), before, strict=True):
                each.copy_(value)


def _real(module: torch.nn.Module) -> list[torch.Tensor]:
    """The buffers that a mean makes sense of: not counts."""
    return [each for each in module.buffers() if each.is_floating_point()]
