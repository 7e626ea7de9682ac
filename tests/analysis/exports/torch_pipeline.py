"""One rank of torch's pipeline runtime, which runs orders from files on models of small layers."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.pipelining import PipelineStage
from torch.distributed.pipelining.schedules import _PipelineScheduleRuntime

WIDTH, SAMPLES = 5, 2  # of a layer, and of a micro-batch


def layers(num_stages: int) -> list[nn.Module]:
    """The stages of the model, the same in every process."""
    random = torch.Generator().manual_seed(3)
    found = []
    for _ in range(num_stages):
        linear = nn.Linear(WIDTH, WIDTH, dtype=torch.float64)
        with torch.no_grad():
            for each in linear.parameters():
                each.copy_(torch.randn(each.shape, generator=random, dtype=torch.float64))
        found.append(nn.Sequential(linear, nn.Tanh()))
    return found


def batch(micro_batches: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs and targets of all micro-batches."""
    random = torch.Generator().manual_seed(4)
    shape = (micro_batches * SAMPLES, WIDTH)
    return (
        torch.randn(shape, generator=random, dtype=torch.float64),
        torch.randn(shape, generator=random, dtype=torch.float64),
    )


def loss(found: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return ((found - target) ** 2).sum()


def run(rank: int, workers: int, folder: Path, places: dict[str, tuple[int, ...]], micro_batches: int) -> None:
    """Run every `NAME.csv` of a folder, whose stages are at `places[NAME]`, and leave the rank's gradients there."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=workers)
    try:
        for name, place in places.items():
            gradients = _one(rank, folder / f"{name}.csv", place, micro_batches)
            torch.save(gradients, folder / f"{name}-{rank}.pt")
    finally:
        dist.destroy_process_group()


def _one(rank: int, file: Path, place: tuple[int, ...], micro_batches: int) -> dict[int, list[torch.Tensor | None]]:
    """The gradients of a rank's stages."""
    model, own = layers(len(place)), [stage for stage, its in enumerate(place) if its == rank]
    stages = [PipelineStage(model[stage], stage, len(place), torch.device("cpu")) for stage in own]
    runtime = _PipelineScheduleRuntime(stages, micro_batches, loss_fn=loss, scale_grads=False)
    runtime._load_csv(str(file))
    inputs, targets = batch(micro_batches)
    is_last = len(place) - 1 in own
    runtime.step(*([inputs] if 0 in own else []), target=targets if is_last else None, losses=[] if is_last else None)
    return {stage: [each.grad for each in model[stage].parameters()] for stage in own}


def alone(num_stages: int, micro_batches: int) -> list[list[torch.Tensor]]:
    """The gradients of every stage in one process, of plain back-propagation."""
    model = layers(num_stages)
    whole = nn.Sequential(*model)
    for inputs, targets in zip(*(each.split(SAMPLES) for each in batch(micro_batches)), strict=True):
        loss(whole(inputs), targets).backward()
    return [[each.grad for each in stage.parameters() if each.grad is not None] for stage in model]
