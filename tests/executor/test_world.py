"""The loop of one rank, alone, with services that do nothing by themselves."""

import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from executor.agreement.clock import EXACT, RunClock
from executor.agreement.news import DEAD, FINISHED, STUCK, News, Stopped
from executor.events import Agenda
from executor.services import Services
from executor.world import World
from schedules.driving.crew import Crew
from schedules.operations import Await, Cancel, Compute, Exchange, Operation, Payload, Program, Put, Start, Take, Until
from schedules.scenario import load
from schedules.setup import Setup

SCENARIO = {
    "schedule": {"program": "gossip", "gradients": 1},
    "topology": {"graph": "ring", "workers": 4},
    "platform": {"gradient": {"mean": "1 ms"}},
    "workload": {"parameters": 10},
}


class Silent:
    """A service that is asked, and never ends an operation unless the test says so."""

    def __init__(self, agenda: Agenda, *kinds: type[Operation], ends: Callable[[Any], None] | None = None) -> None:
        self.log: list[tuple[str, str]] = []
        self._agenda, self._kinds, self._ends = agenda, kinds, ends

    def handlers(self) -> dict[type[Operation], Callable[[Any], bool]]:
        return dict.fromkeys(self._kinds, self._issue)

    def withdraw(self, running: Any, now: int) -> None:
        assert now >= running.start_ns
        self.log.append(("withdrawn", str(running.operation)))

    def busy_until_ns(self) -> int:
        return 0

    def _issue(self, running: Any) -> bool:
        self._agenda.issued(running)
        self.log.append(("issued", str(running.operation)))
        if self._ends is not None:
            self._ends(running)
        return False


class Alone:
    """The agreement of a rank that has nobody to agree with."""

    timeout_s = 0.05
    patience_s: float | None = None

    def __init__(self, agenda: Agenda) -> None:
        self._agenda = agenda
        self.boards: list[list[Any]] = []
        self.told: list[News] = []
        self.store = SimpleNamespace(compare_set=self._set)

    def _set(self, key: str, expected: str, text: str) -> bytes:
        self.told.append(text)  # type: ignore[arg-type]
        return text.encode()

    def beat(self) -> None: ...

    def moved(self) -> None: ...

    def show(self, waiting: list[Any]) -> None: ...

    def finish(self) -> None:
        self._agenda.hear(News(FINISHED))

    def idle(self, waiting: list[Any], now: int) -> None:
        self.boards.append(waiting)
        self._agenda.hear(News(STUCK, message="nobody moves"))


class Rank:
    """One rank and its five services, of which two are asked."""

    def __init__(self, program: Iterator[Any], ends: Callable[[Agenda, Any], None] | None = None) -> None:
        clock = RunClock()
        self.agenda = Agenda(clock)
        end = None if ends is None else lambda running: ends(self.agenda, running)
        self.computing = Silent(self.agenda, Compute, ends=end)
        self.exchanges = Silent(self.agenda, Exchange, ends=end)
        others = [Silent(self.agenda) for _ in range(3)]
        services: Any = Services(self.computing, self.exchanges, *others)  # type: ignore[arg-type]
        self.control = Alone(self.agenda)
        control: Any = self.control
        self.world = World(services, self.agenda, control, gradient_ns=1e6)
        made: Any = program
        self.world.add(Crew(Setup(load(SCENARIO)).worker(0)), {"main": made})
        clock.start(time.perf_counter_ns(), EXACT)


def done(agenda: Agenda, running: Any) -> None:
    running.result, running.end_ns = "answer", agenda.now
    agenda.done(running)


def test_an_operation_is_answered_by_the_service_that_has_a_handler_for_it() -> None:
    log: list[Any] = []

    def program() -> Program:
        log.append((yield Compute("gradient")))
        log.append((yield Exchange(1, Payload(8))))

    rank = Rank(program(), done)
    rank.world.run()
    assert [answer for answer, _ in log] == ["answer", "answer"]
    assert rank.computing.log == [("issued", "Compute(gradient)")]
    assert rank.exchanges.log == [("issued", "Exchange(<->1 8 B)")]
    assert not rank.agenda.under_way


def test_a_cancelled_operation_is_withdrawn_by_its_service_alone() -> None:
    def program() -> Program:
        handle, _ = yield Start(Exchange(1, Payload(8)))
        yield Cancel(handle)

    rank = Rank(program())
    rank.world.run()
    assert rank.exchanges.log == [("issued", "Exchange(<->1 8 B)"), ("withdrawn", "Exchange(<->1 8 B)")]
    assert rank.computing.log == []
    assert not rank.agenda.under_way


def test_a_rank_that_waits_for_nobody_says_so_and_stops_when_it_is_told() -> None:
    def program() -> Program:
        yield Exchange(1, Payload(8))

    rank = Rank(program())
    with pytest.raises(Stopped, match="nobody moves"):
        rank.world.run()
    [board] = rank.control.boards
    assert [(each.stream, each.operation) for each in board] == [("main", "Exchange(<->1 8 B)")]


def test_a_sleep_is_no_standstill() -> None:
    def program() -> Program:
        yield Until(150)

    rank = Rank(program())
    rank.world.run()
    assert rank.control.boards == []
    assert rank.world.now >= 150e6


def cancels_a_sleep() -> Program:
    handle, _ = yield Start(Until(1e9))
    yield Cancel(handle)
    yield Exchange(1, Payload(8))


def needs_no_deadline() -> Program:
    handle, _ = yield Start(Take("items"))
    second, _ = yield Start(Until(5))
    yield Await((handle, second), need="any", deadline=1e9)
    yield Put("items")
    yield Await((handle,), deadline=1e9)
    yield Exchange(1, Payload(8))


@pytest.mark.parametrize("program", [cancels_a_sleep, needs_no_deadline])
def test_a_time_that_nobody_waits_for_any_more_is_nothing_to_wait_for(program: Callable[[], Program]) -> None:
    rank = Rank(program())
    with pytest.raises(Stopped, match="nobody moves"):
        # The loop looks around at least every second; a beat says at the latest then that the rank is stuck.
        within(2.0, rank)
    [board] = rank.control.boards
    assert [each.operation for each in board] == ["Exchange(<->1 8 B)"]
    assert rank.agenda.num_expected == 0


def within(seconds: float, rank: Rank) -> None:
    """Run a rank; fail where it does not come to an end in that time."""
    late = News(STUCK, message="the test has waited too long")
    alarm = threading.Timer(seconds, rank.agenda.hear, [late])
    alarm.start()
    try:
        rank.world.run()
    finally:
        alarm.cancel()


def test_a_deadline_that_was_not_needed_does_not_end_a_later_wait_for_the_same_handles() -> None:
    log: list[Any] = []

    def program() -> Program:
        late, _ = yield Start(Until(60))
        early, _ = yield Start(Until(5))
        handles = (early, late)
        log.append((yield Await(handles, need="any", deadline=20)))
        log.append((yield Await(handles)))

    Rank(program()).world.run()
    assert [arrivals.arrived for arrivals, _ in log] == [(0,), (0, 1)]


def test_what_was_started_is_waited_for_at_the_end_although_a_sleep_was_cancelled() -> None:
    under_way: list[Any] = []

    def program() -> Program:
        asleep, _ = yield Start(Until(1e9))
        yield Start(Exchange(1, Payload(8)))
        yield Cancel(asleep)

    def end_late(agenda: Agenda, running: Any) -> None:
        under_way.append(running)
        threading.Timer(0.05, done, [agenda, running]).start()

    rank = Rank(program(), end_late)
    rank.world.run()
    assert [running.is_over for running in under_way] == [True]
    assert not rank.agenda.under_way


def test_a_lost_connection_is_told_when_no_news_say_who_has_died(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("executor.world.PATIENCE_S", 0.01)

    def program() -> Program:
        yield Exchange(1, Payload(8))

    rank = Rank(program(), lambda agenda, running: agenda.failed(running, RuntimeError("Connection closed by peer")))
    with pytest.raises(Stopped, match="rank 0 has lost its connection in Exchange"):
        rank.world.run()
    [text] = rank.control.told
    assert f'"{DEAD}"' in str(text)


def test_a_kernel_that_raises_ends_the_rank_with_its_own_error() -> None:
    def program() -> Program:
        yield Compute("gradient")

    rank = Rank(program(), lambda agenda, running: agenda.failed(running, ZeroDivisionError("a kernel is wrong")))
    with pytest.raises(ZeroDivisionError, match="a kernel is wrong"):
        rank.world.run()
