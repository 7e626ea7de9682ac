"""A rank's watch over itself, at times that the test says."""

from types import SimpleNamespace
from typing import Any

import pytest

from executor.agreement.watch import Watch
from schedules.errors import TimeoutError
from schedules.operations import Compute, Exchange, Payload


class FakeControl:
    """Keeps what is told."""

    timeout_s = 2.0
    patience_s: float | None = None

    def __init__(self) -> None:
        self.log: list[Any] = []

    def beat(self) -> None:
        self.log.append("beat")

    def moved(self) -> None:
        self.log.append("moved")

    def show(self, waiting: Any) -> None:
        self.log.append(("show", len(waiting)))

    def idle(self, waiting: Any, now_ns: int) -> None:
        self.log.append(("idle", waiting, now_ns))


def test_four_beats_fit_into_the_time_limit() -> None:
    control: Any = FakeControl()
    watch = Watch(control)
    watch.beat(10**9)
    assert watch.next_ns == 1_500_000_000
    assert control.log == ["beat"]


def test_what_moves_or_computes_is_not_late() -> None:
    watch: Any = Watch(FakeControl())  # type: ignore[arg-type]
    assert not watch.is_late(2_000_000_000, 0)
    assert watch.is_late(2_000_000_001, 0)
    assert not watch.is_late(2_000_000_001, 1)
    watch.moved(5)
    assert not watch.is_late(2_000_000_005, 0)


def test_a_rank_that_has_said_that_it_is_idle_says_so_when_it_moves_again() -> None:
    control: Any = FakeControl()
    watch = Watch(control)
    watch.moved(1)
    watch.say_idle([], 7)
    watch.moved(8)
    watch.moved(9)
    assert control.log == [("idle", [], 7), "moved"]


def under_way(operation: Any, start_s: float) -> Any:
    return SimpleNamespace(operation=operation, start_ns=int(start_s * 1e9), name="main")


def stream(operation: Any) -> Any:
    worker = SimpleNamespace(rank=0)
    return SimpleNamespace(
        worker=worker,
        name="main",
        index=3,
        operation=operation,
        start_ns=0,
        is_over=False,
        is_daemon=False,
        has_left=False,
        awaited=(),
    )


EXCHANGE = Exchange(1, Payload(8))


def test_a_board_is_shown_while_an_operation_waits_for_half_the_time_limit() -> None:
    control: Any = FakeControl()
    watch = Watch(control)
    waits, streams = [under_way(EXCHANGE, 0)], [stream(EXCHANGE)]
    watch.look_at(waits, 1_000_000_000, streams)
    watch.look_at(waits, 1_100_000_000, streams)
    watch.look_at([under_way(EXCHANGE, 1)], 1_200_000_000, streams)
    watch.look_at([], 1_300_000_000, streams)
    assert control.log == [("show", 1), ("show", 0)]


def test_a_wait_longer_than_it_may_be_is_an_error_and_a_kernel_is_no_wait() -> None:
    control: Any = FakeControl()
    control.patience_s = 1.5
    watch, streams = Watch(control), [stream(EXCHANGE)]
    kernel = under_way(Compute("gradient"), 0)
    watch.look_at([kernel, under_way(EXCHANGE, 1)], 2_500_000_000, streams)
    with pytest.raises(TimeoutError) as raised:
        watch.look_at([kernel, under_way(EXCHANGE, 1)], 2_500_000_001, streams)
    assert str(raised.value).splitlines() == [
        "Exchange(<->1 8 B) on main has waited 1.500 s, longer than execution.patience (1.5 s).",
        "  rank 0  main  #3  Exchange(<->1 8 B)  waiting 2500.000 ms",
    ]
