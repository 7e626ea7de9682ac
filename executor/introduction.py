"""What a rank tells the others of itself at the set-up."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import TypedDict

import torch

from executor.agreement.clock import machine
from executor.running.modules import FlatModule
from executor.stages.staged import StagedModule
from schedules.scenario import Scenario, ScenarioError
from schedules.worker import Worker


class Introduction(TypedDict):
    """Its machine, a fingerprint of the initial parameters of the user's module (of one in stages also of its first
    batch), and the bytes of its largest model or message."""

    machine: str
    initial: int
    batch: int
    largest: int


def introduce(worker: Worker, module: FlatModule | StagedModule | None, seed: int) -> Introduction:
    """What a rank has to say."""
    models = [worker.model] if worker.stages is None else worker.stages.values()
    initial = batch = 0
    if isinstance(module, StagedModule):
        initial, batch = module.fingerprint
    elif module is not None:  # as bytes, since numpy has no bfloat16
        initial = zlib.crc32(module.initial(seed).cpu().view(torch.uint8).numpy().tobytes())
    largest = max([*(model.size for model in models), *worker.boundaries], default=0)
    return Introduction(machine=machine(), initial=initial, batch=batch, largest=largest)


def check_equal(told: Sequence[Introduction], scenario: Scenario) -> None:
    """That all ranks start from the same parameters, and those of one in stages have the same batches.

    Raises:
        ScenarioError: if they do not.
    """
    where = f"scenario: workload.module = {scenario.workload.module!r}"
    other = next((rank for rank, each in enumerate(told) if each["batch"] != told[0]["batch"]), None)
    if other is not None:
        wanted = "expected the same micro-batch 0 on all ranks of a model in stages"
        raise ScenarioError(f"{where}: {wanted}, found another on rank {other} than on rank 0")
    other = next((rank for rank, each in enumerate(told) if each["initial"] != told[0]["initial"]), None)
    if other is not None:
        raise ScenarioError(
            f"{where}: expected equal initial parameters "
            f"on all ranks (draw them from seed, not from rank), found others on rank {other} than on rank 0"
        )
