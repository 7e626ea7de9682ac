"""What a loop does next: timers in their order, what is woken first, and what threads hand in."""

import threading
from types import SimpleNamespace
from typing import Any

from executor.agreement.clock import RunClock
from executor.agreement.news import FINISHED, News
from executor.events import Agenda, Failure

NEWS = News(FINISHED)


def agenda() -> Agenda:
    return Agenda(RunClock())


def operation(log: list[str], name: str) -> Any:
    return SimpleNamespace(ended=lambda: log.append(name))


def test_timers_ring_by_time_and_then_in_the_order_of_asking() -> None:
    made, log = agenda(), []
    for name, at in (("c", 20), ("a", 10), ("b", 10), ("later", 21)):
        made.set_timer(at, lambda now, name=name: log.append((name, now)), is_expected=True)  # type: ignore[misc]
    while (timer := made.due(20)) is not None:
        timer.call(20)
    assert log == [("a", 20), ("b", 20), ("c", 20)]
    assert made.num_expected == 1


def test_only_expected_timers_are_waited_for() -> None:
    made = agenda()
    made.set_timer(10, lambda now: None, is_expected=False)
    assert made.num_expected == 0
    assert made.due(10) is not None
    assert made.num_expected == 0


def test_a_cancelled_timer_is_neither_called_nor_waited_for() -> None:
    made, log = agenda(), []
    timers = [made.set_timer(at, log.append, is_expected=True) for at in (30, 10, 20)]
    timers[1].cancel()
    timers[1].cancel()
    assert made.num_expected == 2
    while (timer := made.due(30)) is not None:
        timer.call(timer.at_ns)
        timer.cancel()  # what has been called is not cancelled
    assert log == [20, 30]
    assert made.num_expected == 0


def test_what_is_woken_comes_before_what_threads_hand_in() -> None:
    made, log = agenda(), []
    made.hear(NEWS)
    made.wake(operation(log, "woken"))
    assert made.take(0, 10**12) is None
    made.end_woken()
    assert log == ["woken"]
    assert made.take(0, 10**12) == NEWS


def test_what_threads_hand_in_comes_in_their_order_and_nothing_is_waited_for_beyond_the_next_timer() -> None:
    made, log = agenda(), []
    over, failed, error = operation(log, "over"), operation(log, "failed"), OSError("gone")

    def hand_in() -> None:
        made.done(over)
        made.failed(failed, error)

    thread = threading.Thread(target=hand_in)
    thread.start()
    thread.join()
    assert made.take(0, 10**12) is over
    assert made.take(0, 10**12) == Failure(failed, error)
    made.set_timer(0, lambda now: None, is_expected=True)
    assert made.take(0, 10**12) is None


def test_news_are_found_behind_what_is_over() -> None:
    made = agenda()
    made.done(operation([], "over"))
    made.hear(NEWS)
    assert made.wait_for_news(10) == NEWS
    assert made.wait_for_news(0) is None
