"""The smallest engine: calls at ticks."""

from __future__ import annotations

from functools import partial

from simulator.network.calls import CallClock


def test_calls_go_by_their_ticks_and_then_by_who_asked_first() -> None:
    clock, log = CallClock(), list[tuple[int, str]]()

    def note(name: str) -> None:
        log.append((clock.now, name))

    for tick, name in [(7, "a"), (5, "b"), (7, "c"), (5, "d")]:
        clock.call_at(tick, partial(note, name))
    clock.call_at(5, lambda: clock.call_at(5, partial(note, "asked for in the tick itself")))
    clock.run()
    assert log == [(5, "b"), (5, "d"), (5, "asked for in the tick itself"), (7, "a"), (7, "c")]
    assert clock.num_calls == 6


def test_a_run_stops_after_a_tick_and_goes_on() -> None:
    clock, log = CallClock(), list[int]()
    for tick in (1, 2, 3):
        clock.call_at(tick, lambda: log.append(clock.now))
    clock.run(2)
    assert log == [1, 2]
    clock.run()
    assert log == [1, 2, 3]
