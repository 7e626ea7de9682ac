"""Process groups, made directly on a store: one a pair of ranks that talk, one a lane of collectives.

The backend follows the device. On CPUs, and where several ranks share a GPU, it is gloo (NCCL refuses two ranks on
one GPU); with a GPU a rank it is NCCL. NCCL is **not measured yet**: no machine with two GPUs was at hand.
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
from torch import distributed
from torch.distributed import PrefixStore  # type: ignore[attr-defined]

from schedules.scenario import Scenario, ScenarioError

# Never time out a wait in gloo: it would close the connections of the whole context. The world has its own timeout.
_FOREVER = timedelta(days=10)


@dataclass(frozen=True)
class Placement:
    """Where a rank computes and how it communicates.

    Attributes:
        device: of parameters and gradients.
        backend: `gloo` or `nccl`.
    """

    device: torch.device
    backend: str

    @property
    def is_staged(self) -> bool:
        """Whether messages go through pinned memory of the host: gloo sends nothing from a GPU."""
        return self.device.type == "cuda" and self.backend == "gloo"


def place(scenario: Scenario, local_rank: int, local_size: int) -> Placement:
    """The device and backend of a rank.

    Args:
        local_rank, local_size: which rank of how many on this machine.
    Raises:
        ScenarioError: if the scenario asks for what this machine has not.
    """
    wanted = scenario.execution
    num_gpus = torch.cuda.device_count() if wanted.device != "cpu" else 0
    if wanted.device == "cuda" and not num_gpus:
        raise ScenarioError("scenario: execution.device: expected a machine with a GPU for 'cuda', found none")
    if not num_gpus:
        if wanted.backend == "nccl":
            raise ScenarioError("scenario: execution.backend: expected 'gloo' without a GPU, found 'nccl'")
        return Placement(torch.device("cpu"), "gloo")
    has_own_gpu = local_size <= num_gpus
    if wanted.backend == "nccl" and not has_own_gpu:
        raise ScenarioError(
            f"scenario: execution.backend: expected 'gloo', as {local_size} ranks share {num_gpus} GPUs, found 'nccl'"
        )
    device = torch.device("cuda", local_rank % num_gpus)
    torch.cuda.set_device(device)
    return Placement(device, "nccl" if has_own_gpu and wanted.backend != "gloo" else "gloo")


class Groups:
    """Makes process groups of one rank.

    Args:
        store: that all ranks see.
        placement: of this rank.
        is_local: whether all ranks are on this machine: then they talk over the loopback.
    """

    def __init__(self, store: Any, placement: Placement, *, is_local: bool) -> None:
        self._store = store
        self.placement = placement
        interface = os.environ.get("GLOO_SOCKET_IFNAME", "").split(",")[0]
        create = distributed.ProcessGroupGloo.create_device
        if interface:
            self._device = create(interface=interface)
        else:
            self._device = create(hostname="127.0.0.1" if is_local else socket.gethostname())

    def gloo(self, name: str, index: int, size: int) -> Any:
        """A gloo group, in which this rank is number `index`; returns when all are connected.

        Raises:
            RuntimeError: if a member cannot be reached.
        """
        kind: Any = distributed.ProcessGroupGloo
        options = kind._Options()
        options._devices = [self._device]
        options._threads = 1
        options._timeout = _FOREVER
        return kind(PrefixStore(name, self._store), index, size, options)

    def nccl(self, name: str, index: int, size: int) -> Any:
        """An NCCL group, made at its first operation. Not measured yet."""
        kind: Any = distributed.ProcessGroupNCCL
        options = kind.Options()
        options._timeout = _FOREVER
        return kind(PrefixStore(name, self._store), index, size, options)
