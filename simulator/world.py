"""The simulated world: operations take simulated time. It joins the services that carry them out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType

from schedules.driving.board import board
from schedules.driving.coordinator import Coordinator
from schedules.driving.crew import Crew
from schedules.driving.driver import Handler, Running, Stream
from schedules.driving.handlers import SHARED_HANDLERS
from schedules.driving.replay import Replay
from schedules.driving.services import Service
from schedules.errors import DeadlockError
from schedules.operations import Operation, Program
from schedules.platform.durations import Draw, Key
from schedules.platform.stragglers import Pace
from schedules.platform.tables import CollectivesTable
from schedules.record.ledger import Ledger
from schedules.record.trace import Recorder
from schedules.training.kernels import Kernels
from schedules.worker import Worker
from simulator.collectives.collectives import Collectives
from simulator.computing.computing import Computing
from simulator.computing.hosts import Hosts
from simulator.course import Course
from simulator.events import CancellableCall, Events, undisturbed
from simulator.meetings import Meetings
from simulator.messages.exchanges import Exchanges
from simulator.messages.fabric import Fabric
from simulator.messages.formulas import Formulas
from simulator.messages.sends import Sends
from simulator.messages.traffic import Traffic
from simulator.network.calls import CallAt
from simulator.outages import Outages
from simulator.sleeps import Sleeps


class World:
    """All workers of a run, in simulated time.

    Args:
        ledger: of the run's facts.
        gradient_ns: one gradient time in nanoseconds.
        transport: when messages are there.
        coordinator: who meets whom.
        recorder: of the trace, or None.
        replay: the trace to follow, or None.
        is_in_order: whether sends and receives of one channel are posted one after the other.
        network: makes what messages cross, given how to call; None: each pair has a link of its own.
        collectives: how they are carried out.
        events: what is to come, where other runs go on beside it.
    Attributes:
        events: what is to come.
        course: what is done beside the programs, and an end before theirs.
        away: ranks that have failed, and the tick at which each is back (infinite: never).
        outages: what becomes of these, where ranks fail; see `interrupt`.
    """

    def __init__(
        self,
        *,
        ledger: Ledger,
        gradient_ns: float,
        transport: Formulas,
        coordinator: Coordinator,
        recorder: Recorder | None = None,
        replay: Replay | None = None,
        is_in_order: bool = False,
        network: Callable[[CallAt], Fabric] | None = None,
        collectives: CollectivesTable | None = None,
        events: Events | None = None,
    ) -> None:
        self.ledger, self.gradient_ns, self.recorder, self.replay = ledger, gradient_ns, recorder, replay
        self.crews, self.streams = list[Crew](), list[Stream]()
        self.away: dict[int, float] = {}
        self.outages: Outages | None = None
        self.events = events or Events()
        self._tell: Callable[[int, Running], None] = self.events.end_at
        self.course = Course(self.events, self.alarm)
        self.fabric = None if network is None else network(self.events.call_at)
        self.traffic = Traffic(transport, self.fabric, ledger, events=self.events, end=self.end_at)
        self.computing = Computing(self.events, ledger)
        self.exchanges = Exchanges(self.traffic, gradient_ns)
        self.sends = Sends(self.traffic, is_in_order=is_in_order and replay is None)  # a trace fixes the order itself
        self.collectives = Collectives(self.traffic, collectives or CollectivesTable(), self.away)
        self.meetings = Meetings(coordinator, ledger, self.end_at)
        sleeps = Sleeps(self.end_at, gradient_ns)
        services: list[Service] = [self.computing, self.exchanges, self.sends]
        services += [self.collectives, self.meetings, sleeps]
        self._service_of = {operation: each for each in services for operation in each.handlers()}
        self.handlers: dict[type[Operation], Handler] = {**SHARED_HANDLERS}
        for each in services:
            self.handlers |= each.handlers()
        if replay is not None:
            self.handlers |= replay.handlers()

    def add(
        self,
        worker: Worker,
        durations: dict[Key, Draw],
        programs: Mapping[str, Program],
        daemons: Sequence[str] = (),
        kernels: Kernels = MappingProxyType({}),
    ) -> None:
        """Add a worker with its programs.

        Args:
            durations: draws the nanoseconds that each of its kernels takes.
            daemons: names of programs that end with the others.
            kernels: what its kernels compute.
        """
        crew = Crew(worker, self.meetings.end)
        self.crews.append(crew)
        self.computing.add(durations, kernels)
        for name, program in programs.items():
            self.streams.append(Stream(self, crew, name, program, is_daemon=name in daemons))

    def retime(self, paces: Sequence[Pace], communication_slowdown: float, hosts: Hosts | None = None) -> None:
        """Have kernels end later where their rank is slowed down: as `Computing.retime`."""
        retiming = self.computing.retime(paces, communication_slowdown, hosts)
        self.traffic.slowed = retiming if communication_slowdown != 1 or hosts is not None else None
        self._tell = hosts.tell if hosts is not None else self._tell

    def interrupt(self, outages: Outages, *, survives: bool) -> None:
        """Have ranks fail: their operations end when they are back, or never.

        Args:
            survives: whether exchanges with them are given up, and the others go on.
        """
        self.outages = outages
        self.exchanges.losses = outages if survives else None

    def run(self) -> None:
        """Run every program to its end, or until the run is stopped; raises what `end` raises."""
        with undisturbed():
            self.begin()
            self.events.run()
        self.end()

    def begin(self) -> None:
        """Begin every program."""
        for stream in self.streams:
            stream.begin()
        self.course.keep_house(self.ledger, self.gradient_ns)

    def end(self) -> None:
        """No event is left: see that every program is over.

        Raises:
            DeadlockError: if no worker can move; the message is the whole board.
        """
        self.course.end()
        has_rows = self.replay is not None and not self.replay.is_whole  # which end before the programs
        if not (self.course.is_cut or has_rows or all(stream.is_over or stream.is_daemon for stream in self.streams)):
            now = max(stream.end_ns for stream in self.streams if not stream.is_daemon)
            told = f"DeadlockError at {now / 1e6:.3f} ms: no worker can move.\n"
            raise DeadlockError(told + board(self.streams, now, away=self.away) + self.sends.blocked())
        if self.replay is not None:
            self.replay.check_end()

    # ------------------------------------------------------------------ what the driver and the services ask for

    @property
    def workers(self) -> list[Worker]:
        """All of them, by rank."""
        return [crew.worker for crew in self.crews]

    @property
    def now(self) -> int:
        """Nanoseconds since the start of the run."""
        return self.events.now

    def wake(self, running: Running, now: int) -> None:
        """End an operation at the present time, after what happens now."""
        self.end_at(running, now)

    def alarm(self, time: float, call: Callable[[int], None]) -> CancellableCall:
        """Call `call(now)` at a time in gradient times."""
        at = max(self.now, round(time * self.gradient_ns))  # what is past is due now
        alarm = CancellableCall(partial(call, at))
        self.events.call_at(at, alarm.make)
        return alarm

    def abandon(self, running: Running) -> None:
        """A cancelled operation gives back what it holds."""
        self._service_of[running.operation.__class__].withdraw(running, self.now)

    def end_at(self, running: Running, at: int) -> None:
        """End an operation at a tick, after what happens then already."""
        if self.outages is not None:
            end = self.outages.end_of(running, at)
            if end is None:
                return
            at = end
        running.end_ns = at
        self._tell(at, running)
