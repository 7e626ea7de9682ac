"""What a rank tells the others of itself at the set-up."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import TypedDict

import torch

from executor.agreement.clock import machine
from executor.running.modules import FlatModule
from schedules.scenario import Scenario, ScenarioError
from schedules.worker import Worker


class Introduction(TypedDict):
    """Its machine, a fingerprint of the initial parameters of the user's module, and the bytes of its largest model."""

    machine: str
    initial: int
    largest: int


def introduce(worker: Worker, module: FlatModule | None, seed: int) -> Introduction:
    """What a rank has to say."""
    models = [worker.model] if worker.stages is None else worker.stages.values()
    return Introduction(
        machine=machine(),
        # As bytes, since numpy has no bfloat16.
        initial=0 if module is None else zlib.crc32(module.initial(seed).cpu().view(torch.uint8).numpy().tobytes()),
        largest=max((model.size for model in models), default=0),
    )


def check_equal(told: Sequence[Introduction], scenario: Scenario) -> None:
    """That all ranks start from the same parameters.

    Raises:
        ScenarioError: if they do not.
    """
    other = next((rank for rank, each in enumerate(told) if each["initial"] != told[0]["initial"]), None)
    if other is not None:
        raise ScenarioError(
            f"scenario: workload.module = {scenario.workload.module!r}: expected equal initial parameters "
            f"on all ranks (draw them from seed, not from rank), found others on rank {other} than on rank 0"
        )
