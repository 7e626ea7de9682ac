"""One collective: who has come with what, and what each member is answered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from schedules.driving.driver import Running
from schedules.errors import DeadRankError, ProgramError
from schedules.operations import AllToAll, Broadcast, ReduceScatter
from schedules.payload import Payload
from simulator.collectives import answers
from simulator.collectives.lowered import Lowered
from simulator.messages.fabric import Levels


class Gathering:
    """Its members, and how it is carried out.

    Attributes:
        members: ranks, ascending.
        levels, algorithm: what lies between them, and how they go about it.
        operations: what has been issued, by rank.
        arrived: the same under way, until it ends.
        lowered: its messages under way, where it goes message by message.
        gone: members that have failed for good, and that nobody waits for.
        last_ns: when the last member so far took part.
        num_done: members that have their answers.
    """

    __slots__ = (
        "_answers", "algorithm", "arrived", "gone", "last_ns", "levels", "lowered", "members", "num_done", "operations",
    )  # fmt: skip

    def __init__(self, members: Sequence[int], levels: Levels, algorithm: str) -> None:
        self.members = members
        self.levels = levels
        self.algorithm = algorithm
        self.operations: dict[int, Any] = {}
        self.arrived: dict[int, Running] = {}
        self.lowered: Lowered | None = None
        self._answers: list[Payload | None] | None = None
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
        return len(self.operations) == self.num_members

    def join(self, running: Running) -> None:
        """A member has come.

        Raises:
            ProgramError: if it has issued another operation than those before it, or one that cannot be carried out.
        """
        rank = running.worker.rank
        self.arrived[rank] = running
        self.operations[rank] = running.operation
        _check(self.members, self.operations, rank)

    def lose(self, rank: int) -> None:
        """A member has failed for good; it may have come, but nothing has left it yet."""
        self.gone.add(rank)
        self.operations.pop(rank, None)
        self.arrived.pop(rank, None)

    def answer(self, rank: int) -> Payload | None:
        """A member's answer; whoever has one early has it from those that have come."""
        operations = self.operations
        members = self.members if not self.gone else sorted(operations)
        # Combined once, for whoever is through first: by then all have come or, of a broadcast, the root has.
        if self._answers is None:
            self._answers = answers.combine(members, operations)
        return self._answers[members.index(rank)]


def _check(members: Sequence[int], operations: dict[int, Any], rank: int) -> None:
    """Whoever comes must have issued the same as those before it."""
    found = operations[rank]
    other, first = next(iter(operations.items()))
    # Payloads are equal if their sizes are: what the members bring differs, and is not compared.
    if found != first:
        low, high = sorted((other, rank))
        raise ProgramError(
            f"rank {low} {operations[low]} and rank {high} {operations[high]}: "
            "expected the same collective with equal sizes, found two"
        )
    if isinstance(first, Broadcast) and first.root not in members:
        raise ProgramError(f"rank {members[0]} {first}: expected a root among {list(members)}, found {first.root}")
    check_parts(first, members)


def check_parts(operation: Any, members: Sequence[int]) -> None:
    """What is cut into a part a member must divide by their number."""
    if not isinstance(operation, ReduceScatter | AllToAll):
        return
    array, n = operation.payload.array, len(members)
    if operation.size % n:
        raise ProgramError(f"rank {members[0]} {operation}: expected bytes that {n} ranks can divide")
    if array is not None and len(array) % n:
        raise ProgramError(f"{operation}: expected a length that {n} ranks divide, found {len(array)}")


def check_gone(operation: Any, gone: set[int], present: Sequence[int]) -> None:
    """What cannot be done without a member that has failed for good."""
    if isinstance(operation, Broadcast) and operation.root in gone:
        raise DeadRankError(f"rank {operation.root} has failed: {operation} cannot go on without its root")
    check_parts(operation, present)
