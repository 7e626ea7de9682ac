"""Collectives over gloo or NCCL: one thread and one process group a lane.

The collectives that one stream issues on one group of ranks are a lane: they run one after the other, in the order of
issue. So two streams of a worker do not have to agree about order with the other ranks' streams, but the streams that
take part in one collective must have the same name on all its ranks.

When the last rank was there (`ready_ns`) no rank knows while it runs, and asking would disturb the run: it is worked
out afterwards from the starts that all ranks have kept (`executor.rank_report`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Any, NamedTuple

import torch
from torch import distributed

from executor.rank_report import Took
from executor.wire.groups import Groups
from executor.wire.messages import Ends
from schedules.driving import answers
from schedules.driving.driver import Running
from schedules.errors import ProgramError
from schedules.operations import (
    AllGather,
    AllReduce,
    AllToAll,
    Barrier,
    Broadcast,
    Operation,
    Payload,
    ReduceScatter,
)
from schedules.platform.volumes import bytes_sent
from schedules.record.memory import in_flight

_SUM = {"sum": distributed.ReduceOp.SUM, "mean": distributed.ReduceOp.SUM, "max": distributed.ReduceOp.MAX}


class Collectives:
    """The collectives of one rank."""

    def __init__(self, groups: Groups, rank: int, num_workers: int, ends: Ends) -> None:
        self._groups = groups
        self._rank = rank
        self._everybody = tuple(range(num_workers))
        self._ends = ends
        self._lanes: dict[str, _Lane] = {}

    def warm_up(self, streams: Sequence[str]) -> None:
        """Connect everybody for the streams of these names, which all ranks have, and make one barrier each."""
        for stream in streams:
            self._lane(self._everybody, stream).warm_up()

    def issue(self, running: Running) -> bool:
        """Handler of every collective."""
        members = self._everybody if running.operation.group is None else running.operation.group
        if self._rank not in members or not set(members) <= set(self._everybody):
            raise ProgramError(f"rank {self._rank}: expected to be a member of {running.operation}")
        self._lane(members, running.stream.name).queue.put(running)
        return False

    def took(self) -> list[Took]:
        """All collectives that are over, each lane in the order of issue."""
        return [Took(name, *times) for name, lane in self._lanes.items() for times in lane.took]

    def _lane(self, members: tuple[int, ...], stream: str) -> _Lane:
        name = f"group/{'all' if members == self._everybody else ','.join(map(str, members))}/{stream}"
        lane = self._lanes.get(name)
        if lane is None:
            lane = self._lanes[name] = _Lane(self._groups, name, members.index(self._rank), members, self._ends)
        return lane


class _Lane:
    """Collectives of one stream on one group, one after the other on a thread of their own."""

    def __init__(self, groups: Groups, name: str, index: int, members: tuple[int, ...], ends: Ends) -> None:
        self.took: list[tuple[int, int, int, int]] = []
        self.queue: SimpleQueue[Running] = SimpleQueue()
        self._groups, self._name, self._ends = groups, name, ends
        self._index, self._members = index, members
        self._group: Any = None
        threading.Thread(target=self._work, name=name, daemon=True).start()

    def warm_up(self) -> None:
        """Connect, and wait for one another."""
        self._connect()
        if len(self._members) > 1:
            self._group.barrier().wait()

    def _connect(self) -> None:
        if self._group is None and len(self._members) > 1:
            make = self._groups.nccl if self._groups.placement.backend == "nccl" else self._groups.gloo
            self._group = make(self._name, self._index, len(self._members))

    def _work(self) -> None:
        while True:
            running = self.queue.get()
            try:
                self._run(running)
            except Exception as error:
                self._ends.failed(running, error)

    def _run(self, running: Running) -> None:
        start_ns, operation = running.start_ns, running.operation
        self._connect()
        running.result = self._answer(operation)
        end_ns = running.end_ns = self._ends.now
        volume = type(operation).__name__, len(self._members), operation.size
        self.took.append((start_ns, end_ns, bytes_sent(*volume), in_flight(*volume)))
        self._ends.done(running)

    def _answer(self, operation: Any) -> Payload | None:
        if isinstance(operation, Barrier):
            if self._group is not None:
                self._group.barrier().wait()
            return None
        array, n = self._wire(operation.payload), len(self._members)
        result = ANSWERS[type(operation)](self._group, array, operation, _Place(self._index, self._members))
        if self._groups.placement.device.type == "cuda" and self._groups.placement.backend == "nccl":
            torch.cuda.current_stream().synchronize()
        size = operation.size * n if isinstance(operation, AllGather) else operation.size
        size = operation.size // n if isinstance(operation, ReduceScatter) else size
        is_numeric = operation.payload.array is not None
        return answers.of_collective(operation.payload, size, self._handed_over(result) if is_numeric else None)

    def _wire(self, payload: Payload) -> torch.Tensor:
        """A copy to work on: the payload itself may be read by others. A timing-only payload sends as many zeros."""
        placement = self._groups.placement
        device = placement.device if placement.backend == "nccl" else torch.device("cpu")
        if payload.array is not None:
            copied: torch.Tensor = payload.array.detach().to(device, copy=True)
            return copied
        dtype = torch.uint8 if payload.size % (4 * len(self._members)) else torch.float32
        return torch.zeros(payload.size // dtype.itemsize, dtype=dtype, device=device)

    def _handed_over(self, array: torch.Tensor) -> torch.Tensor:
        return array.to(self._groups.placement.device)


class _Place(NamedTuple):
    """Which member of which group."""

    number: int
    members: tuple[int, ...]


def _all_reduce(group: Any, array: torch.Tensor, operation: Any, place: _Place) -> torch.Tensor:
    if group is not None:
        options: Any = distributed.AllreduceOptions()
        options.reduceOp = _SUM[operation.reduction]
        group.allreduce([array], options).wait()
    return _mean(array, operation, place)


def _reduce_scatter(group: Any, array: torch.Tensor, operation: Any, place: _Place) -> torch.Tensor:
    if group is None:
        return array
    part = torch.empty(_part(array, operation, place), dtype=array.dtype, device=array.device)
    options: Any = distributed.ReduceScatterOptions()
    options.reduceOp = _SUM[operation.reduction]
    group._reduce_scatter_base(part, array, options).wait()
    return _mean(part, operation, place)


def _all_gather(group: Any, array: torch.Tensor, operation: Any, place: _Place) -> torch.Tensor:
    if group is None:
        return array
    whole = torch.empty(len(array) * len(place.members), dtype=array.dtype, device=array.device)
    group.allgather([list(whole.chunk(len(place.members)))], [array]).wait()
    return whole


def _broadcast(group: Any, array: torch.Tensor, operation: Any, place: _Place) -> torch.Tensor:
    if group is not None:
        options: Any = distributed.BroadcastOptions()
        options.rootRank, options.rootTensor = place.members.index(operation.root), 0
        group.broadcast([array], options).wait()
    return array


def _all_to_all(group: Any, array: torch.Tensor, operation: Any, place: _Place) -> torch.Tensor:
    if group is None:
        return array
    _part(array, operation, place)
    answer = torch.empty_like(array)
    group.alltoall_base(answer, array, [], []).wait()
    return answer


def _mean(array: torch.Tensor, operation: Any, place: _Place) -> torch.Tensor:
    return array / len(place.members) if operation.reduction == "mean" and array.is_floating_point() else array


def _part(array: torch.Tensor, operation: Any, place: _Place) -> int:
    part, rest = divmod(len(array), len(place.members))
    if rest:
        raise ProgramError(f"{operation}: expected a length that {len(place.members)} ranks divide, found {len(array)}")
    return part


ANSWERS: dict[type[Operation], Callable[[Any, torch.Tensor, Any, _Place], torch.Tensor]] = {
    AllReduce: _all_reduce,
    ReduceScatter: _reduce_scatter,
    AllGather: _all_gather,
    Broadcast: _broadcast,
    AllToAll: _all_to_all,
}
