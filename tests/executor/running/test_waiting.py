"""Threads that wait, and lanes that keep an order."""

import threading

from executor.running.waiting import Lane, Waiters


def test_a_lane_keeps_the_order_of_asking() -> None:
    log: list[int] = []
    gate, over = threading.Event(), threading.Event()
    lane = Lane("test")
    lane.post(lambda: log.append(0), is_long=False)
    lane.post(lambda: (gate.wait(), log.append(1)), is_long=True)  # type: ignore[func-returns-value]
    lane.post(lambda: (log.append(2), over.set()), is_long=False)  # type: ignore[func-returns-value]
    assert log == [0]
    gate.set()
    assert over.wait(5)
    assert log == [0, 1, 2]


def test_as_many_waiters_as_calls_under_way() -> None:
    waiters, barrier = Waiters(), threading.Barrier(4)
    for _ in range(3):
        waiters.submit(barrier.wait)  # type: ignore[arg-type]
    barrier.wait(5)
