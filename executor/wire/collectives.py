"""Collectives over gloo or NCCL: one thread and one process group a lane.

The collectives that one stream issues on one group of ranks are a lane: they run one after the other, in the order of
issue. So two streams of a worker do not have to agree about order with the other ranks' streams, but the streams that
take part in one collective must have the same name on all its ranks.

When the last rank was there (`ready_ns`) no rank knows while it runs, and asking would disturb the run: it is worked
out afterwards from the starts that all ranks have kept (`executor.rank_report`), and entered then.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from queue import SimpleQueue
from typing import assert_never

import torch
from torch import distributed

from executor.ends import Ends, Took
from executor.wire.groups import Group, Groups
from schedules.driving import answers
from schedules.driving.checks import check_reduction
from schedules.driving.driver import Handler, Running
from schedules.errors import ProgramError
from schedules.operations import (
    COLLECTIVES,
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

Combining = AllReduce | ReduceScatter | AllGather | AllToAll
"""A collective to whose answer every member contributes."""

_SUM = {
    "sum": distributed.ReduceOp(distributed.ReduceOp.SUM),
    "mean": distributed.ReduceOp(distributed.ReduceOp.SUM),
    "max": distributed.ReduceOp(distributed.ReduceOp.MAX),
}
"""gloo has no mean: it is the sum, divided here."""

_NOT_CARRIED = {torch.int16, torch.uint16, torch.uint32, torch.uint64}
"""Numbers that neither gloo nor NCCL knows."""


class Collectives:
    """The collectives of one rank."""

    def __init__(self, groups: Groups, rank: int, num_workers: int, ends: Ends) -> None:
        self._groups = groups
        self._rank = rank
        self._everybody = tuple(range(num_workers))
        self._ends = ends
        self._lanes: dict[str, _GroupLane] = {}

    def handlers(self) -> dict[type[Operation], Handler]:
        """Which operations it answers, and how."""
        return dict.fromkeys(COLLECTIVES, self._issue)

    def withdraw(self, running: Running, now: int) -> None:
        """Nothing is freed: the others take part, so this rank does, too, and what comes of it is dropped."""

    def warm_up(self, streams: Sequence[str]) -> None:
        """Connect everybody for the streams of these names, which all ranks have, and make one barrier each."""
        for stream in streams:
            self._lane(self._everybody, stream).warm_up()

    def took(self) -> list[Took]:
        """All collectives that are over, each lane in the order of issue."""
        return [took for lane in self._lanes.values() for took in lane.took]

    def _issue(self, running: Running) -> bool:
        self._ends.issued(running)
        members = self._everybody if running.operation.group is None else running.operation.group
        if self._rank not in members or not set(members) <= set(self._everybody):
            raise ProgramError(f"rank {self._rank}: expected to be a member of {running.operation}")
        if isinstance(running.operation, Broadcast) and running.operation.root not in members:
            told = f"expected a root among {list(members)}, found {running.operation.root}"
            raise ProgramError(f"rank {self._rank} {running.operation}: {told}")
        check_reduction(running)
        self._lane(members, running.stream.name).queue.put(running)
        return False

    def _lane(self, members: tuple[int, ...], stream: str) -> _GroupLane:
        name = f"group/{'all' if members == self._everybody else ','.join(map(str, members))}/{stream}"
        lane = self._lanes.get(name)
        if lane is None:
            lane = self._lanes[name] = _GroupLane(self._groups, name, self._rank, members, self._ends)
        return lane


class _GroupLane:
    """Collectives of one stream on one group, one after the other on a thread of their own."""

    def __init__(self, groups: Groups, name: str, rank: int, members: tuple[int, ...], ends: Ends) -> None:
        self.took: list[Took] = []
        self.queue: SimpleQueue[Running] = SimpleQueue()
        self._groups, self._name, self._ends = groups, name, ends
        self._index, self._members = members.index(rank), members
        self._group: Group | None = None
        threading.Thread(target=self._work, name=name, daemon=True).start()

    def warm_up(self) -> None:
        """Connect, and wait for one another."""
        self._connect()
        if self._group is not None:
            self._group.barrier().wait()

    def _connect(self) -> None:
        """On the lane's thread where it can be: it waits for all members. A group of one has nobody to talk to."""
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
        # Before the end is told: the run may be over with it, and its report made.
        self.took.append(Took(self._name, start_ns, end_ns, bytes_sent(*volume), in_flight(*volume)))
        self._ends.done(running)

    def _answer(self, operation: Combining | Broadcast | Barrier) -> Payload | None:
        if isinstance(operation, Barrier):
            if self._group is not None:
                self._group.barrier().wait()
            return None
        given, n, placement = operation.payload, len(self._members), self._groups.placement
        array = self._wire(given)
        if self._group is not None:
            if isinstance(operation, Broadcast):
                given, array = _broadcast(self._group, given, array, self._members.index(operation.root))
            else:
                array = _combined(self._group, operation, array, n)
        if placement.device.type == "cuda" and placement.backend == "nccl":  # NCCL's wait is the GPU's, not the host's
            torch.cuda.current_stream(placement.device).synchronize()
        size = operation.size * n if isinstance(operation, AllGather) else operation.size
        size = operation.size // n if isinstance(operation, ReduceScatter) else size
        is_numeric = operation.payload.array is not None
        return answers.of_collective(given, size, array.to(placement.device) if is_numeric else None)

    def _wire(self, payload: Payload) -> torch.Tensor:
        """A copy to work on: the payload itself may be read by others. A timing-only payload sends as many zeros."""
        placement = self._groups.placement
        device = placement.device if placement.backend == "nccl" else torch.device("cpu")
        if payload.array is not None:
            if payload.array.dtype in _NOT_CARRIED:  # gloo's own error would be taken for a lost connection
                raise ProgramError(f"expected numbers that collectives carry, found {payload.array.dtype}")
            copied: torch.Tensor = payload.array.detach().to(device, copy=True)
            return copied
        # Floats, as most that they stand for, so that adding them takes as long; bytes where parts would not be equal.
        dtype = torch.uint8 if payload.size % (4 * len(self._members)) else torch.float32
        return torch.zeros(payload.size // dtype.itemsize, dtype=dtype, device=device)


def _combined(group: Group, operation: Combining, array: torch.Tensor, n: int) -> torch.Tensor:
    """What a member has afterwards; the array is its own, and may be written to."""
    match operation:
        case AllReduce():
            return _all_reduced(group, array, operation.reduction, n)
        case ReduceScatter():
            part = torch.empty(_part(operation, array, n), dtype=array.dtype, device=array.device)
            return _reduce_scattered(group, array, part, operation.reduction, n)
        case AllGather():
            whole = torch.empty(len(array) * n, dtype=array.dtype, device=array.device)
            # Views of the answer: every part is received where it belongs.
            group.allgather([list(whole.chunk(n))], [array]).wait()
            return whole
        case AllToAll():
            _part(operation, array, n)
            answer = torch.empty_like(array)
            group.alltoall_base(answer, array, [], []).wait()
            return answer
    assert_never(operation)


def _all_reduced(group: Group, array: torch.Tensor, reduction: str, n: int) -> torch.Tensor:
    options = distributed.AllreduceOptions()
    options.reduceOp = _SUM[reduction]
    group.allreduce([array], options).wait()
    return _mean(array, reduction, n)


def _reduce_scattered(group: Group, array: torch.Tensor, part: torch.Tensor, reduction: str, n: int) -> torch.Tensor:
    options = distributed.ReduceScatterOptions()
    options.reduceOp = _SUM[reduction]
    group._reduce_scatter_base(part, array, options).wait()
    return _mean(part, reduction, n)


def _broadcast(group: Group, given: Payload, array: torch.Tensor, root: int) -> tuple[Payload, torch.Tensor]:
    """The root's facts and array; `root` is its place in the group.

    The facts lie before the array: in a message of their own they would cost a latency.
    """
    # 24 bytes of facts: what is viewed as another type behind them has to begin at a multiple of its items' size.
    facts = torch.tensor((given.version, given.step, given.read_ns), dtype=torch.int64, device=array.device)
    wire = torch.cat((facts.view(torch.uint8), array.view(torch.uint8)))
    options = distributed.BroadcastOptions()
    options.rootRank, options.rootTensor = root, 0
    group.broadcast([wire], options).wait()
    split = facts.nbytes
    return Payload(given.size, None, *wire[:split].view(torch.int64).tolist()), wire[split:].view(array.dtype)


def _mean(array: torch.Tensor, reduction: str, n: int) -> torch.Tensor:
    return array / n if reduction == "mean" else array


def _part(operation: Combining, array: torch.Tensor, n: int) -> int:
    part, rest = divmod(len(array), n)
    if rest:
        raise ProgramError(f"{operation}: expected a length that {n} ranks divide, found {len(array)}")
    return part
