"""Orders: what is wrong with one is shown, step by step, around the place."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from schedules import orders
from schedules.orders import Cell, Order, Step

Ranks = list[list[Cell]]


def test_a_step_prints_as_torch_has_it() -> None:
    assert str(Step("F", 3, 7)) == "3F7"
    assert str(orders.Pair(Step("F", 3, 7), Step("D", 5, 2))) == "(3F7;5D2)"


@pytest.mark.parametrize("program", ["1f1b", "zb-v", "dualpipe", "interleaved-1f1b"])
def test_a_sequence_has_every_cell_after_what_it_needs(program: str) -> None:
    order = orders.build(program, 4, 8)
    over: set[Step] = set()
    for cell in order.sequence():
        own = orders.steps_of(cell)
        assert over.issuperset(need for step in own for need in order.needs(step))
        over.update(own)
    assert sorted(order.sequence(), key=str) == sorted(order.cells, key=str)


def test_what_is_behind_in_a_row_of_many_is_no_matter() -> None:
    """A thousand ranks, each of which waits for the one before: nothing calls itself."""
    order = orders.build("gpipe", 1000, 2)
    assert len(order.sequence()) == 4000


def changed(program: str, change: Callable[[Ranks], object]) -> Order:
    """An order of four ranks and eight micro-batches in which something is elsewhere."""
    order = orders.build(program, 4, 8)
    ranks = [list(cells) for cells in order.ranks]
    change(ranks)
    return Order(tuple(map(tuple, ranks)), order.place, order.chains)


def swap(rank: int, one: Step, other: Step) -> Callable[[Ranks], None]:
    def change(ranks: Ranks) -> None:
        first, second = ranks[rank].index(one), ranks[rank].index(other)
        ranks[rank][first], ranks[rank][second] = other, one

    return change


MISSING = """\
expected 2F3 on rank 2, found it nowhere
  rank 0 from step 3:  0F3   0D0   0F4   0D1   0F5   0D2   0F6   0D3   0F7
  rank 1 from step 3:  1D0   1F3   1D1   1F4   1D2   1F5   1D3   1F6   1D4
  rank 2 from step 3:  2F2   2D1   2D2   2F4  [2D3]  2F5   2D4   2F6   2D5
  rank 3 from step 3:  3D1   3F2   3D2   3F3   3D3   3F4   3D4   3F5   3D5"""

TWICE = """\
expected 2F3 once, found it 2 times on rank 2
  rank 0 from step 1:  0F1   0F2   0F3   0D0   0F4   0D1   0F5   0D2   0F6
  rank 1 from step 1:  1F1   1F2   1D0   1F3   1D1   1F4   1D2   1F5   1D3
  rank 2 from step 1:  2F1   2D0   2F2   2D1  [2F3]  2D2   2F4   2D3  [2F3]
  rank 3 from step 1:  3D0   3F1   3D1   3F2   3D2   3F3   3D3   3F4   3D4"""

TWO_RANKS = """\
expected 2F3 on rank 2 alone, as stage 2, found it on rank 0 and rank 2
  rank 0 from step 5:  0F4   0D1   0F5   0D2  [2F3]  0F6   0D3   0F7   0D4
  rank 1 from step 5:  1D1   1F4   1D2   1F5   1D3   1F6   1D4   1F7   1D5
  rank 2 from step 1:  2F1   2D0   2F2   2D1  [2F3]  2D2   2F4   2D3   2F5
  rank 3 from step 5:  3D2   3F3   3D3   3F4   3D4   3F5   3D5   3F6   3D6"""

W_BEFORE_B = """\
expected 3B0 before 3W0 on rank 3, found it behind
  rank 0 from step 0:  0F0   0F1   0F2   0F3   0B0   0W0
  rank 1 from step 0:  1F0   1F1   1F2   1B0   1F3   1B1
  rank 2 from step 0:  2F0   2F1   2B0   2F2   2B1   2F3
  rank 3 from step 0:  3F0  [3W0]  3F1   3B1   3F2   3B2"""

BLOCKED = """\
expected an order in which some step can go next, found all waiting for each other
  rank 0 from step 0, waits for 1D0:  0F0   0F1   0F2   0F3  [0D0]  0F4   0D1   0F5   0D2
  rank 1 from step 0, waits for 2D0:  1F0   1F1   1F2  [1D0]  1F3   1D1   1F4   1D2
  rank 2 from step 0, waits for 3D0:  2F0   2F1  [2D0]  2F2   2D1   2F3   2D2
  rank 3 from step 0, waits for 2F4: [3F4]  3D0   3F1   3D1   3F2"""


@pytest.mark.parametrize(
    ("program", "change", "message"),
    [
        ("1f1b", lambda ranks: ranks[2].remove(Step("F", 2, 3)), MISSING),
        ("1f1b", lambda ranks: ranks[2].insert(9, Step("F", 2, 3)), TWICE),
        ("1f1b", lambda ranks: ranks[0].insert(9, Step("F", 2, 3)), TWO_RANKS),
        ("zb-h1", swap(3, Step("B", 3, 0), Step("W", 3, 0)), W_BEFORE_B),
        ("1f1b", swap(3, Step("F", 3, 0), Step("F", 3, 4)), BLOCKED),
    ],
)
def test_what_is_wrong_is_shown(program: str, change: Callable[[Ranks], object], message: str) -> None:
    with pytest.raises(orders.OrderError) as caught:
        changed(program, change).check(8)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("program", "change", "message"),
    [
        ("1f1b", lambda ranks: ranks[3].append(Step("F", 9, 0)), "expected stages 0 to 3, found 9F0"),
        ("1f1b", lambda ranks: ranks[3].append(Step("F", 2, 9)), "expected 2F9 on rank 2 alone, .* found it on rank 3"),
        (
            "1f1b",
            lambda ranks: ranks[3].append(Step("F", 3, 9)),
            "expected no 3F9 beside micro-batches 0 to 7, found it",
        ),
        ("1f1b", lambda ranks: ranks[3].append(Step("B", 3, 2)), "expected no 3B2 beside 3D2, 3F2, found it"),
        ("zb-h1", lambda ranks: ranks[1].remove(Step("W", 1, 5)), "expected 1W5 on rank 1, found it nowhere"),
        ("zb-h1", lambda ranks: ranks[1].remove(Step("B", 1, 5)), "expected 1B5 on rank 1, found it nowhere"),
        ("1f1b", swap(2, Step("F", 2, 5), Step("D", 2, 5)), "expected 2F5 before 2D5 on rank 2, found it behind"),
        (
            "dualpipe",
            lambda ranks: ranks[0].append(Step("F", 0, 4)),
            "expected no 0F4 beside micro-batches 0 to 3, found",
        ),
    ],
)
def test_and_said(program: str, change: Callable[[Ranks], object], message: str) -> None:
    with pytest.raises(orders.OrderError, match=message):
        changed(program, change).check(8)


def test_of_many_ranks_those_around_are_shown() -> None:
    order = orders.build("1f1b", 40, 80)
    ranks = [list(cells) for cells in order.ranks]
    del ranks[20][50]
    with pytest.raises(orders.OrderError) as caught:
        Order(tuple(map(tuple, ranks)), order.place, order.chains).check(80)
    lines = str(caught.value).splitlines()
    assert [line.split()[1] for line in lines[1:]] == [str(rank) for rank in range(12, 29)]


def test_what_has_not_been_looked_through_says_what_it_waits_for() -> None:
    order = Order(((Step("F", 0, 0),), (Step("F", 1, 0), Step("D", 1, 1))), (0, 1), ((0, 1),))
    with pytest.raises(orders.OrderError, match="expected 1F1 before 1D1, found it nowhere"):
        order.sequence()
