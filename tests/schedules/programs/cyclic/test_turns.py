"""Who has which micro-batch at which stage."""

from __future__ import annotations

import pytest

from schedules.programs.cyclic.turns import Turns, holders, num_stages


def test_workers_hold_all_stages() -> None:
    assert holders("workers", 3) == ((0, 1, 2),) * 3


def test_upper_stages_have_fewer_devices() -> None:
    assert holders("stages", 6) == ((0, 1, 2), (3, 4), (5,))


@pytest.mark.parametrize("number", [1, 2, 3, 8, 32])
def test_the_number_of_stages_follows_from_the_devices(number: int) -> None:
    assert num_stages("stages", number * (number + 1) // 2) == number


@pytest.mark.parametrize("ranks", [2, 4, 5, 7, 9])
def test_other_numbers_of_devices_are_refused(ranks: int) -> None:
    with pytest.raises(ValueError, match=rf"N \(N \+ 1\) / 2 devices for N stages, such as \d+ or \d+, found {ranks}"):
        num_stages("stages", ranks)


def test_a_device_takes_its_turn() -> None:
    turn = Turns(4, holders("stages", 6))
    assert turn.stages == [1]
    assert list(turn.micro_batches(2)) == [1, 3, 5]
    assert [turn.holder(1, k) for k in range(4)] == [3, 4, 3, 4]
    assert [turn.is_mine(1, k) for k in range(4)] == [False, True, False, True]
    assert Turns(1, holders("stages", 6)).following(0) == [2, 0]
