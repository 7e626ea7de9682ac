"""A rank's watch over itself, at times that the test says."""

from typing import Any

from executor.agreement.watch import Watch


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
