"""Members of a communicator compare what they issue, at a store that nobody waits for."""

import pytest

from executor.wire.sequences import SLOTS, Sequence
from schedules.errors import ProgramError
from schedules.operations import AllGather, AllReduce, Barrier, Payload


class KeptInMemory:
    """A store whose only call is the one that is used."""

    def __init__(self) -> None:
        self.kept: dict[str, str] = {}

    def compare_set(self, key: str, expected: str, value: str) -> bytes:
        """As torch's."""
        if self.kept.get(key, "") == expected:
            self.kept[key] = value
        return self.kept[key].encode()


def members(number: int = 2) -> tuple[KeptInMemory, list[Sequence]]:
    store = KeptInMemory()
    return store, [Sequence(store, "group/all/", rank) for rank in range(number)]  # type: ignore[arg-type]


def test_equal_sequences_pass_whoever_is_ahead() -> None:
    store, (one, other) = members()
    operations = [AllReduce(Payload(8)), Barrier(), AllGather(Payload(8))]
    for operation in operations:
        one.check(operation)
    for operation in operations[:2]:
        other.check(operation)
    other.check(AllGather(Payload(16)))  # in its bytes members may differ
    assert len(store.kept) == 3


def test_the_second_to_come_tells_both() -> None:
    _, (one, other, third) = members(3)
    for each in (one, other, third):
        each.check(Barrier())
    third.check(AllReduce(Payload(8), "sum"))
    with pytest.raises(ProgramError, match=r"rank 0 Barrier\(\) and rank 2 AllReduce\(8 B sum\): expected the same"):
        one.check(Barrier())
    other.check(AllReduce(Payload(8), "sum"))


def test_the_store_holds_so_many_and_no_more() -> None:
    store, (one, other) = members()
    for _ in range(2 * SLOTS + 3):
        one.check(Barrier())
        other.check(Barrier())
    assert len(store.kept) == SLOTS
    one.check(Barrier())
    with pytest.raises(ProgramError, match="found two"):
        other.check(AllReduce(Payload(8)))


def test_whoever_is_too_far_behind_is_not_told_what_is_not_so() -> None:
    _, (one, other) = members()
    for _ in range(SLOTS + 5):
        one.check(Barrier())
    for _ in range(SLOTS + 5):
        other.check(Barrier())
