"""After a run the whole model once more, on rank 0: for what the user's object says of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch.distributed import ProcessGroup

from executor.running import buffers
from executor.stages.staged import StagedModule
from schedules.scenario import Scenario

Connect = Callable[[], ProcessGroup]
"""A gloo group of all ranks."""


Whole = tuple[Mapping[int, torch.Tensor], Mapping[int, torch.Tensor]]
"""The parameters of every stage, and the numbers of its buffers: float64."""


def gathered(
    scenario: Scenario, rank: int, module: StagedModule, x: Mapping[int, torch.Tensor], connect: Connect
) -> Whole | None:
    """All stages at their final parameters, on rank 0, if the user's object has something to say of them.

    Every stage comes from the first rank that holds it; the buffers of copies are averaged, unless `workload.buffers`
    is "own"; where it is "recompute", they are taken anew in what is assembled.

    Args:
        x: the final parameters of the stages that this rank holds.
    Returns:
        None on other ranks.
    """
    if not hasattr(module.training, "evaluate"):
        return None
    group = connect() if scenario.topology.workers > 1 else None
    is_own = scenario.workload.buffers == "own"
    parameters, values = {}, {}
    for stage, holders in enumerate(scenario.plan.stages):
        asked = holders[:1] if is_own or not module.num_buffers[stage] else holders
        taken = [_fetched(module, stage, holder, rank, x, group) for holder in asked]
        if rank == 0:
            size = module.sizes[stage]
            parameters[stage] = taken[0][:size]
            values[stage] = torch.stack([each[size:] for each in taken]).mean(0)
    return (parameters, values) if rank == 0 else None


def _fetched(
    module: StagedModule, stage: int, holder: int, rank: int, x: Mapping[int, torch.Tensor], group: ProcessGroup | None
) -> torch.Tensor:
    """Parameters and buffers of a stage, one behind the other, float64, from a holder to rank 0; elsewhere nothing."""
    if rank == holder:
        own = torch.cat([x[stage].detach().to("cpu", torch.float64), buffers.vector(module.stages[stage].module)])
        if rank != 0 and group is not None:
            group.send([own], 0, stage).wait()
        return own
    if rank != 0 or group is None:
        return torch.empty(0)
    arrived = torch.empty(module.sizes[stage] + module.num_buffers[stage], dtype=torch.float64)
    group.recv([arrived], holder, stage).wait()
    return arrived
