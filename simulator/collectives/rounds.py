"""The rounds of a collective: which parts a member sends to whom in each, and from whom it receives.

A pattern cuts the bytes of a collective into parts, as equal as whole bytes can be unless their sizes are given, and
says of every round of every member which parts it sends to whom, and from whom it receives. A member is in round k+1
when all its messages of round k are over; a message belongs to the same round on both sides. Members are counted 0..n-1
in the order of the group.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple


class Moves(NamedTuple):
    """What a member does in a round: (to whom, which parts) of every message it sends, and from whom it receives."""

    sends: tuple[tuple[int, range], ...] = ()
    sources: tuple[int, ...] = ()


MovesOf = Callable[[int, int], Moves]
"""(member, round) -> what it does."""
IDLE = Moves()


@dataclass(frozen=True, slots=True)
class Pattern:
    """The rounds of all members.

    Attributes:
        num_parts: of all bytes that matter in the collective. Parts are given as ranges, to be read modulo this.
        num_bytes: of all parts together.
        size_of: the bytes of a part, where they are not as equal as can be; asked when the part is sent.
        step: what a member does in a round; a pure function, since all rounds of a large ring would fill the memory.
    """

    num_members: int
    num_rounds: int
    num_parts: int
    num_bytes: int
    step: MovesOf
    size_of: Callable[[int], int] | None = None

    def size(self, parts: range) -> int:
        """Bytes of some parts; those of all parts add up to `num_bytes`."""
        if self.size_of is not None:
            return sum(self.size_of(each % self.num_parts) for each in parts)
        # A difference of bounds: parts of bytes // parts each would lose the rest. It holds beyond `num_parts`, too.
        return parts.stop * self.num_bytes // self.num_parts - parts.start * self.num_bytes // self.num_parts

    def messages(self, member: int) -> Iterator[tuple[int, int, int]]:
        """(round, to whom, bytes) of all that a member sends."""
        for number in range(self.num_rounds):
            for target, parts in self.step(member, number).sends:
                yield number, target, self.size(parts)

    def sent(self, member: int) -> int:
        """Bytes that a member sends in all."""
        return sum(size for _, _, size in self.messages(member))

    def pairs(self) -> list[tuple[int, int]]:
        """Who sends to whom at any time, each pair once."""
        # Not by `messages`, which asks for sizes: those of members that have yet to come nobody knows.
        rounds = range(self.num_rounds)
        members = range(self.num_members)
        return sorted({(each, target) for each in members for k in rounds for target, _ in self.step(each, k).sends})


def one_part(part: int, num_parts: int) -> range:
    """One part, counted modulo their number."""
    part %= num_parts
    return range(part, part + 1)


class Phase(NamedTuple):
    """Some rounds of a pattern."""

    num_rounds: int
    step: MovesOf


def in_turn(num_members: int, num_parts: int, num_bytes: int, *phases: Phase) -> Pattern:
    """A pattern of several phases, one after the other."""
    of_round = [(phase.step, number) for phase in phases for number in range(phase.num_rounds)]

    def step(member: int, number: int) -> Moves:
        phase, inner = of_round[number]
        return phase(member, inner)

    return Pattern(num_members, len(of_round), num_parts, num_bytes, step)
