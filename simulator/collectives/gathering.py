"""One collective: who has come with what, and what each member is answered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from schedules.driving.answers import bytes_sent_by
from schedules.driving.checks import Meaning, differ, meaning, shown
from schedules.driving.driver import Running
from schedules.errors import DeadRankError
from schedules.operations import AllGather, AllToAll, Broadcast, Group
from schedules.payload import Payload
from simulator.collectives import answers
from simulator.messages.levels import Levels

Communicator = tuple[Group, str]
"""A group and a channel: its collectives go one behind the other."""


class MessageByMessage(Protocol):
    """A collective that goes message by message."""

    def arrive(self, member: int, now: int, /) -> None:
        """A member, counted in its group, takes part."""


class Gathering:
    """Its members, and how it is carried out.

    Attributes:
        members: ranks, ascending.
        communicator: of which it is one.
        levels, algorithm: what lies between them, and how they go about it.
        operations: what has been issued, by rank.
        arrived: the same under way, until it ends.
        lowered: its messages under way, where it goes message by message.
        gone: members that have failed for good, and that nobody waits for.
        last_ns: when the last member so far took part.
        num_done: members that have their answers.
    """

    __slots__ = (
        "_answers", "_meaning", "algorithm", "arrived", "communicator", "gone", "last_ns", "levels", "lowered",
        "members", "num_done", "operations",
    )  # fmt: skip

    def __init__(self, members: Sequence[int], communicator: Communicator, levels: Levels, algorithm: str) -> None:
        self.members = members
        self.communicator = communicator
        self.levels = levels
        self.algorithm = algorithm
        self.operations: dict[int, Any] = {}
        self.arrived: dict[int, Running] = {}
        self.lowered: MessageByMessage | None = None
        self._answers: list[Payload | None] | None = None
        self._meaning: Meaning | None = None
        self.gone: set[int] = set()
        self.last_ns = 0
        self.num_done = 0

    @property
    def num_members(self) -> int:
        """How many there are that have not failed for good."""
        return len(self.members) - len(self.gone)

    @property
    def is_full(self) -> bool:
        """Whether everybody has come who still may."""
        return len(self.operations) == len(self.members) - len(self.gone)

    def join(self, running: Running) -> None:
        """A member has come.

        Raises:
            ProgramError: if it has issued another operation than those before it.
        """
        rank = running.worker.rank
        self.arrived[rank] = running
        self.operations[rank] = running.operation
        told = meaning(running.operation)
        if self._meaning is None:
            self._meaning = told
        elif told != self._meaning:
            other, first = next(iter(self.operations.items()))
            raise differ(rank, shown(running.operation), other, shown(first))

    def lose(self, rank: int) -> None:
        """A member has failed for good; it may have come, but nothing has left it yet."""
        self.gone.add(rank)
        self.operations.pop(rank, None)
        self.arrived.pop(rank, None)
        if not self.operations:
            self._meaning = None  # whoever comes next is the first

    @property
    def size(self) -> int:
        """Bytes a member that its time follows from. Where they bring unequal bytes: the most of any of them, which
        all others of its round wait for."""
        operations = self.operations
        first: Any = next(iter(operations.values()))
        if isinstance(first, AllGather):
            return max(int(each.size) for each in operations.values())
        if not isinstance(first, AllToAll) or first.parts is None or len(operations) == 1:
            return int(first.size)
        moved = (answers.moved(self.members, operations, rank) for rank in self.members)
        n = len(operations)
        # A formula takes the part of size / n that stays where it is off again.
        return round(max(map(max, moved)) * n / (n - 1))

    def sent(self, rank: int) -> int:
        """Bytes that a member sends: its share of all, or where the parts are given, what it has for others."""
        members = self.members if not self.gone else [each for each in self.members if each not in self.gone]
        place = members.index(rank)
        return bytes_sent_by(self.operations[rank], place, self.num_members, self.algorithm)

    def answer(self, rank: int) -> Payload | None:
        """A member's answer; whoever has one early has it from those that have come."""
        operations = self.operations
        members = self.members if not self.gone else sorted(operations)
        # Combined once, for whoever is through first: by then all have come or, of a broadcast, the root has.
        if self._answers is None:
            self._answers = answers.combine(members, operations)
        return self._answers[members.index(rank)]


def check_gone(operation: Any, gone: set[int]) -> None:
    """What cannot be done without a member that has failed for good."""
    if isinstance(operation, Broadcast) and operation.root in gone:
        raise DeadRankError(f"rank {operation.root} has failed: {operation} cannot go on without its root")
    parts = operation.parts if isinstance(operation, AllToAll) else None
    if parts is not None:
        raise DeadRankError(f"rank {min(gone)} has failed: {operation} has a part for it and cannot go on")
