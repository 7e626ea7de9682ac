"""Process groups, made directly on a store: one a pair of ranks that talk, one a lane of collectives.

The backend follows the device. On CPUs, and where several ranks share a GPU, it is gloo (NCCL refuses two ranks on
one GPU); with a GPU a rank it is NCCL. NCCL is **not measured yet**: no machine with two GPUs was at hand.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from queue import Empty, SimpleQueue
from typing import Any, Protocol

import torch
from torch import distributed
from torch.distributed import DistError

from executor.agreement.store import A_DAY, LOOPBACK, SharedStore, part_of
from schedules.scenario import Scenario, ScenarioError

# Never time out a wait in gloo: that closes all connections of its context ("Application timeout caused pair closure"),
# and cuts off ranks that had nothing to do with it (real-hardware.md, section 6). The world has its own time limit.
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


class Work(Protocol):
    """What was posted to a group."""

    def wait(self) -> object:
        """Wait until it is done, without holding up Python's other threads.

        Raises:
            RuntimeError: if the connection is gone.
        """


class Group(Protocol):
    """What is used of torch's process groups; members are told by their number in the group."""

    def send(self, tensors: list[torch.Tensor], member: int, tag: int) -> Work:
        """Offer a tensor to a member."""

    def recv(self, tensors: list[torch.Tensor], member: int, tag: int) -> Work:
        """Announce a tensor to be received into."""

    def barrier(self) -> Work:
        """Wait for one another."""

    def allreduce(self, tensors: list[torch.Tensor], options: object) -> Work:
        """Reduce in place."""

    def _reduce_scatter_base(self, part: torch.Tensor, whole: torch.Tensor, options: object) -> Work:
        """Reduce, and keep this member's part."""

    def allgather(self, parts: list[list[torch.Tensor]], mine: list[torch.Tensor]) -> Work:
        """Receive every member's part."""

    def broadcast(self, tensors: list[torch.Tensor], options: object) -> Work:
        """Receive the root's in place."""

    def alltoall_base(
        self, received: torch.Tensor, sent: torch.Tensor, received_sizes: list[int], sent_sizes: list[int]
    ) -> Work:
        """Send a part to every member, and receive one of each."""


class Groups:
    """Makes process groups of one rank.

    Args:
        placement: of this rank.
        is_local: whether all ranks are on this machine: then they talk over the loopback.
        connect: makes a client of the store. A group is made with one that meanwhile answers nobody else.
        limit_s: how long ranks that are all there may take to connect.
    """

    def __init__(
        self, placement: Placement, *, is_local: bool, connect: Callable[[], SharedStore], limit_s: float
    ) -> None:
        self.connect = connect
        self.placement = placement
        self._limit_s = limit_s
        # torch takes a list and makes a device of each; a rank here has one.
        interface = os.environ.get("GLOO_SOCKET_IFNAME", "").split(",")[0]
        create = distributed.ProcessGroupGloo.create_device
        # One device for all groups of the rank: it has the thread that serves their connections.
        if interface:
            self._device = create(interface=interface)
        else:
            self._device = create(hostname=LOOPBACK if is_local else socket.gethostname())

    def gloo(self, name: str, index: int, size: int, store: SharedStore) -> Group:
        """A gloo group, in which this rank is number `index`; returns when all are connected. Meanwhile the store's
        client answers nobody else.

        Members that come late are waited for, however late: they may compute, and one that is dead or silent is told
        elsewhere. Once all are there, the time limit counts.

        Raises:
            RuntimeError, ConnectionError: if a member cannot be reached, or not in time.
        """
        kind: Any = distributed.ProcessGroupGloo  # its options are in no stub
        options = kind._Options()
        options._devices = [self._device]
        options._threads = 1  # for collectives: a lane makes one after the other, an edge none
        options._timeout = _FOREVER
        _meet(store, name, index, size)
        return _within(self._limit_s, lambda: kind(part_of(store, name), index, size, options), name)

    def nccl(self, name: str, index: int, size: int, store: SharedStore) -> Group:
        """An NCCL group, made at its first operation. Not measured yet."""
        kind: Any = distributed.ProcessGroupNCCL
        options = kind.Options()
        options._timeout = _FOREVER
        _meet(store, name, index, size)
        group: Group = kind(part_of(store, name), index, size, options)
        return group


def _meet(store: SharedStore, name: str, index: int, size: int) -> None:
    """Wait until all members are there."""
    store.set(f"{name}/there/{index}", "")
    while True:
        try:
            store.wait([f"{name}/there/{member}" for member in range(size)], A_DAY)
            return
        except DistError:  # a day's computing
            continue


def _within(limit_s: float, connect: Callable[[], Group], name: str) -> Group:
    """What is made, if that does not take too long.

    gloo's own limit would bound every later wait in the group, too.
    """
    made: SimpleQueue[Group | Exception] = SimpleQueue()

    def make() -> None:
        try:
            made.put(connect())
        except Exception as error:  # raised again where it is waited for
            made.put(error)

    threading.Thread(target=make, name=f"connects {name}", daemon=True).start()
    try:
        found = made.get(timeout=limit_s)
    except Empty:
        raise ConnectionError(f"its ranks are all there and have not connected within {limit_s:g} s") from None
    if isinstance(found, Exception):
        raise found
    return found
