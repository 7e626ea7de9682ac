"""The measured world: one rank, in real time.

The main thread runs the loop. It alone resumes streams, so what stands between two yields is never interrupted;
operations run on the threads of five services (computing, exchanges, sends, collectives, meetings), which hand in what
is over through one queue (`executor.events`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from executor.agreement.control import Control, tell
from executor.agreement.news import CUT, DEAD, FINISHED, News, Stopped
from executor.agreement.watch import Watch
from executor.cutting import Cutting
from executor.events import Agenda, Event, Failure, Timer
from executor.services import Services
from executor.sleeps import Sleeps
from schedules.driving.crew import Crew
from schedules.driving.driver import Handler, Running, Stream
from schedules.driving.handlers import SHARED_HANDLERS
from schedules.driving.replay import Replay
from schedules.driving.services import Service
from schedules.operations import Compute, Operation, Program
from schedules.record.trace import Recorder

PATIENCE_S = 1.0
"""How long a rank whose operation has failed waits for the news of who is to blame."""

DRAIN_S = 0.2
"""How long, when everybody is done, is waited for what was started and never awaited."""


class World:
    """One rank of a run.

    Args:
        services: what runs the operations.
        agenda: what is to be done next; the services hand in there what is over.
        gradient_ns: one gradient time in nanoseconds.
        recorder: of the trace, or None.
        replay: the trace to follow, or None.
    """

    def __init__(
        self,
        services: Services,
        agenda: Agenda,
        control: Control,
        *,
        gradient_ns: float,
        recorder: Recorder | None = None,
        replay: Replay | None = None,
    ) -> None:
        self.gradient_ns = gradient_ns
        self.recorder, self.replay = recorder, replay
        self.streams: list[Stream] = []
        self.handlers: dict[type[Operation], Handler] = {**SHARED_HANDLERS}
        self._computing = services.computing
        self._service_of: dict[type[Operation], Service] = {}
        self._agenda, self._control, self._watch = agenda, control, Watch(control)
        self._news: News | None = None
        self._is_done = False
        self.course = Cutting(control, agenda, services.computing)
        self._join(services)

    def _join(self, services: Services) -> None:
        """Have the services' operations answered by them, but for those that a replay answers from its trace."""
        for service in (*services, Sleeps(self._agenda, self.gradient_ns)):
            self.handlers |= service.handlers()
            self._service_of |= dict.fromkeys(service.handlers(), service)
        if self.replay is not None:
            self.handlers |= self.replay.handlers()

    def add(self, crew: Crew, programs: Mapping[str, Program], daemons: tuple[str, ...] = ()) -> None:
        """Add the worker with its programs."""
        for name, program in programs.items():
            self.streams.append(Stream(self, crew, name, program, is_daemon=name in daemons))

    # ------------------------------------------------------------------ what the driver asks for

    @property
    def now(self) -> int:
        """Nanoseconds since the start of the run."""
        return self._agenda.now

    def wake(self, running: Running, now: int) -> None:
        """End an operation at the present time, after what happens now. It never ends before it was issued."""
        # `now` may be when an operation of another stream ended on its thread, before this stream came to wait for it.
        running.end_ns = max(now, running.start_ns)
        self._agenda.wake(running)

    def alarm(self, time: float, call: Callable[[int], None]) -> Timer:
        """Call `call(now)` at a time in gradient times."""
        return self._agenda.set_timer(round(time * self.gradient_ns), call, is_expected=True)

    def abandon(self, running: Running) -> None:
        """A cancelled operation: its service frees what it holds."""
        self._agenda.left(running)
        self._service_of[type(running.operation)].withdraw(running, self.now)

    # ------------------------------------------------------------------ the loop

    def run(self) -> None:
        """Run every program to its end, and go on until all ranks are done.

        Raises:
            Stopped: if there is bad news from another rank, or nobody moves.
            ScheduleError: what a program of this rank has raised, or an operation that failed.
        """
        self._agenda.wait_for_start()
        for stream in self.streams:
            stream.begin()
        while self._news is None:
            if not self._is_done and self._has_ended():
                self._is_done = True
                if self.replay is not None:
                    self.replay.check_end()
                self._control.finish()
            self._turn()
        until = self.now + int(DRAIN_S * 1e9)
        while self._agenda.under_way and self.now < until:
            self._turn(until)

    def _has_ended(self) -> bool:
        """Whether the programs of this rank have, or in the replay of a run that was cut, its rows."""
        is_through = self.replay is not None and self.replay.is_through(self._control.rank)
        return is_through or all(stream.is_over or stream.is_daemon for stream in self.streams)

    def _cut(self, now: int) -> None:
        """The run is cut here, unless it has ended by itself."""
        if not self._is_done:
            self._is_done = True
            self.course.make(now)

    def _turn(self, until: int | None = None) -> None:
        """Do what is due: what was woken, timers, and one thing that a thread hands in; wait if there is nothing."""
        agenda, watch = self._agenda, self._watch
        agenda.end_woken()
        now = self.now
        if now >= self.course.at_ns:  # before what is due now: it would end behind the cut
            self._cut(self.course.at_ns)
        while (timer := agenda.due(now)) is not None:
            if timer.is_expected:
                watch.moved(self.now)
            timer.call(now)
        if now >= watch.next_ns:
            self._look_around(now)
        event = agenda.take(now, watch.next_ns if until is None else until)
        if event is not None:
            self._do(event)

    def _look_around(self, now: int) -> None:
        """Show a sign of life; if nothing has happened here for the time limit, say so."""
        self._watch.beat(now)
        self._watch.look_at(self._agenda.under_way, now, self.streams)
        if not self._agenda.num_expected and not self._is_done:
            self._watch.look(now, self._computing.busy_until_ns(), self.streams)

    def _do(self, event: Event) -> None:
        """What a thread has handed in."""
        if isinstance(event, News):
            self._heard(event)
        elif isinstance(event, Failure):
            self._failed(event.running, event.error)
        elif not event.is_cancelled and not self.course.drops(event):
            self._agenda.left(event)
            self._watch.moved(self.now)
            event.ended()

    def _failed(self, running: Running, error: BaseException) -> None:
        """A kernel has raised, or the connection is gone. If a rank has died, its launcher says so soon."""
        # A lost connection is gloo's RuntimeError, or the desk's OSError; all else is a mistake.
        if isinstance(running.operation, Compute) or not isinstance(error, RuntimeError | OSError):
            raise error
        if running.is_cancelled or self.course.is_cut:
            return
        self._agenda.left(running)
        if self._news is not None:  # the run is over: ranks that have ended close their connections
            return
        # gloo tells within 10 to 20 ms that a connection is gone; which process has died only its launcher knows.
        if (news := self._agenda.wait_for_news(PATIENCE_S)) is None:
            message = f"rank {running.worker.rank} has lost its connection in {running.operation}: {error}"
            tell(self._control.store, News(DEAD, running.worker.rank, message))
            raise Stopped(message)
        self._heard(news)

    def _heard(self, news: News) -> None:
        if news.kind == CUT:
            return self._cut(self.now)
        self._news = news
        if news.kind != FINISHED:
            raise Stopped(news.message)
        return None
