"""Collectives over gloo or NCCL: one thread and one process group a communicator.

A communicator is a group of ranks and a channel: its collectives run one after the other, in the order of issue, which
must be the same on all its ranks (`executor.wire.sequences`). Whatever is issued without order between them needs a
channel each. Everybody's communicator without a name is connected before the run, the others at their first use.

When the last rank was there (`ready_ns`) no rank knows while it runs, and asking would disturb the run: it is worked
out afterwards from the starts that all ranks have kept (`executor.rank_report`), and entered then.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterable
from functools import partial
from queue import SimpleQueue

import torch

from executor.ends import Ends, Took
from executor.wire import rehearsal
from executor.wire.groups import Group, Groups
from executor.wire.movements import Combining, broadcast, combined
from executor.wire.sequences import Sequence
from schedules.driving import answers
from schedules.driving.checks import check_collective
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
from schedules.record.memory import received
from schedules.training.parts import size_of_part

_NOT_CARRIED = {torch.int16, torch.uint16, torch.uint32, torch.uint64}
"""Numbers that neither gloo nor NCCL knows."""


# Of each kind one in which this many bytes lie on every member; the first rank is the root.
_Make = Callable[[int, int], Combining | Broadcast]
_KINDS: dict[type[Operation], _Make] = {
    AllReduce: lambda size, n: AllReduce(Payload(size)),
    ReduceScatter: lambda size, n: ReduceScatter(Payload(size)),
    AllGather: lambda size, n: AllGather(Payload(size // n)),
    Broadcast: lambda size, n: Broadcast(Payload(size)),
    AllToAll: lambda size, n: AllToAll(Payload(size)),
}


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

    def warm_up(self, kinds: Collection[type[Operation]], largest: int) -> None:
        """Connect everybody, on the channel without a name, and make one collective of each of these kinds and that
        size."""
        self._lane(self._everybody, "").warm_up([make for kind, make in _KINDS.items() if kind in kinds], largest)

    def took(self) -> list[Took]:
        """All collectives that are over, each lane in the order of issue."""
        return [took for lane in self._lanes.values() for took in lane.took]

    def _issue(self, running: Running) -> bool:
        self._ends.issued(running)
        members = tuple(check_collective(running, len(self._everybody)))
        self._lane(members, running.operation.channel).queue.put(running)
        return False

    def _lane(self, members: tuple[int, ...], channel: str) -> _GroupLane:
        # A group of all ranks is everybody, however it is written.
        name = f"group/{'all' if members == self._everybody else ','.join(map(str, members))}/{channel}"
        lane = self._lanes.get(name)
        if lane is None:
            lane = self._lanes[name] = _GroupLane(self._groups, name, self._rank, members, self._ends)
        return lane


class _GroupLane:
    """Collectives of one communicator, one after the other on a thread of their own."""

    def __init__(self, groups: Groups, name: str, rank: int, members: tuple[int, ...], ends: Ends) -> None:
        self.took: list[Took] = []
        self.queue: SimpleQueue[Running | Callable[[], None]] = SimpleQueue()
        self._groups, self._name, self._ends = groups, name, ends
        self._rank, self._index, self._members = rank, members.index(rank), members
        self._group: Group | None = None
        self._sequence: Sequence | None = None
        threading.Thread(target=self._work, name=name, daemon=True).start()

    def warm_up(self, makes: Iterable[_Make], largest: int) -> None:
        """Connect, and make one collective of each kind, on the lane's own thread: what a thread has allocated before
        it has at hand."""
        over: SimpleQueue[Exception | None] = SimpleQueue()

        def rehearse() -> None:
            try:
                self._connect()
                if self._group is not None:
                    self._answer(Barrier())
                    for make in makes:
                        rehearsal.grow(largest, rehearsal.COLLECTIVE_S, partial(self._rehearse, make))
            except Exception as error:  # raised again where it is waited for
                over.put(error)
            over.put(None)

        self.queue.put(rehearse)
        if (error := over.get()) is not None:
            raise error

    def _rehearse(self, make: _Make, size: int) -> float:
        """Make a collective of that size. Returns the seconds it took where it took longest."""
        begin_s = time.perf_counter()
        self._answer(make(size, len(self._members)))
        took = torch.tensor([time.perf_counter() - begin_s], dtype=torch.float64)
        longest = self._answer(AllReduce(Payload(8, took), "max"))
        assert longest is not None
        return float(longest.array[0])

    def _connect(self, first: Operation | None = None) -> None:
        """On the lane's thread where it can be: it waits for all members. A group of one has nobody to talk to."""
        if self._group is None and len(self._members) > 1:
            # A client of its own: while one lane waits for its members, the others go on.
            store = self._groups.connect()
            self._sequence = Sequence(store, self._name, self._rank)
            if first is not None:
                self._sequence.check(first)  # before anybody is waited for
            make = self._groups.nccl if self._groups.placement.backend == "nccl" else self._groups.gloo
            self._group = make(self._name, self._index, len(self._members), store)
        elif self._sequence is not None and first is not None:
            self._sequence.check(first)

    def _work(self) -> None:
        while True:
            asked = self.queue.get()
            if not isinstance(asked, Running):
                asked()
                continue
            try:
                self._run(asked)
            except Exception as error:
                self._ends.failed(asked, error)

    def _run(self, running: Running) -> None:
        start_ns, operation = running.start_ns, running.operation
        self._connect(operation)
        running.result = self._answer(operation)
        end_ns = running.end_ns = self._ends.now
        sent = answers.bytes_sent_by(operation, self._index, len(self._members))
        # Before the end is told: the run may be over with it, and its report made.
        self.took.append(Took(self._name, start_ns, end_ns, sent, received(operation, running.result)))
        self._ends.done(running)

    def _answer(self, operation: Combining | Broadcast | Barrier) -> Payload | None:
        if isinstance(operation, Barrier):
            if self._group is not None:
                self._group.barrier().wait()
            return None
        given, n, placement = operation.payload, len(self._members), self._groups.placement
        array = self._wire(given, is_added=isinstance(operation, AllReduce | ReduceScatter))
        if self._group is not None:
            if isinstance(operation, Broadcast):
                given, array = broadcast(self._group, given, array, self._members.index(operation.root))
            else:
                array = combined(self._group, operation, array, self._index, n)
        if placement.device.type == "cuda" and placement.backend == "nccl":  # NCCL's wait is the GPU's, not the host's
            torch.cuda.current_stream(placement.device).synchronize()
        if operation.payload.array is not None:
            return answers.of_collective(given, array.nbytes, array.to(placement.device))
        size = array.nbytes if isinstance(operation, AllGather | AllToAll) else operation.size
        if isinstance(operation, ReduceScatter):
            size = size_of_part(size, self._index, n)
        return answers.of_collective(given, size)

    def _wire(self, payload: Payload, *, is_added: bool) -> torch.Tensor:
        """A copy to work on: the payload itself may be read by others. A timing-only payload sends as many zeros."""
        placement = self._groups.placement
        device = placement.device if placement.backend == "nccl" else torch.device("cpu")
        if payload.array is not None:
            if payload.array.dtype in _NOT_CARRIED:  # gloo's own error would be taken for a lost connection
                raise ProgramError(f"expected numbers that collectives carry, found {payload.array.dtype}")
            copied: torch.Tensor = payload.array.detach().to(device, copy=True)
            return copied
        # Floats, as most that they stand for, so that adding them takes as long; bytes where these are no floats, or
        # may be cut between two of one.
        dtype = torch.float32 if is_added and payload.size % 4 == 0 else torch.uint8
        return torch.zeros(payload.size // dtype.itemsize, dtype=dtype, device=device)
