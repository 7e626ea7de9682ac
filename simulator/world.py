"""The simulated world: operations take simulated time. The only place that knows SimPy.

There are no SimPy processes. A running operation is itself the event that SimPy queues, and SimPy's call at its end
resumes the program: what a process would add is a generator around our generator, and half the time.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Any

import numpy as np
import simpy

from schedules.driving.coordinator import Answer, Coordinator
from schedules.driving.driver import SHARED_HANDLERS, Handler, Running, Stream, board
from schedules.driving.replay import Replay, note_partner
from schedules.errors import DeadlockError, ProgramError
from schedules.operations import (
    COLLECTIVES,
    Compute,
    Exchange,
    Join,
    Leave,
    Meet,
    Operation,
    Payload,
    Receive,
    Send,
    Until,
)
from schedules.platform.stragglers import Pace
from schedules.platform.tables import CollectivesTable
from schedules.record.files import LinkRow
from schedules.record.ledger import Ledger, pack_computation, pack_exchange, pack_transfer
from schedules.record.memory import in_flight
from schedules.record.trace import Recorder
from schedules.worker import Worker
from simulator.collectives.gatherings import Gatherings
from simulator.computing.retiming import Engine, Retiming
from simulator.course import Course
from simulator.messages.fabric import Fabric, Message
from simulator.messages.formulas import Ideal, Pair
from simulator.messages.sends import Messages, check_sizes
from simulator.network.transfers import Schedule

if TYPE_CHECKING:
    from simulator.faults import Faults

NORMAL = simpy.events.NORMAL


class Call:
    """A plain call at a time, as an event."""

    __slots__ = ("callbacks",)
    _ok = True

    def __init__(self, call: Callable[[Any], object]) -> None:
        self.callbacks = (call,)


class World:
    """All workers of a run, in simulated time.

    Args:
        ledger: of the run's facts.
        gradient_ns: one gradient time in nanoseconds.
        transport: when messages are there.
        coordinator: who meets whom.
        recorder: of the trace, or None.
        replay: the trace to follow, or None.
        is_in_order: whether sends and receives of one stream wait for those before them.
        network: makes what messages cross, given how to schedule calls; None: every pair has a link of its own.
        collectives: how they are carried out.
    Attributes:
        course: what is done beside the programs, and an end before theirs.
        fabric: what messages cross, where they share links.
        retiming: what moves the ends of kernels that run, where ranks may be slowed down; see `retime`.
        slowed: the same, where transfers slow kernels down; None: transfers need not be told.
    """

    def __init__(
        self,
        *,
        ledger: Ledger,
        gradient_ns: float,
        transport: Ideal,
        coordinator: Coordinator,
        recorder: Recorder | None = None,
        replay: Replay | None = None,
        is_in_order: bool = False,
        network: Callable[[Schedule], Fabric] | None = None,
        collectives: CollectivesTable | None = None,
    ) -> None:
        self.env = simpy.Environment()
        self.events: list[Any] = self.env._queue
        self._number = self.env._eid
        self.course = Course(self.events, self._number, self.alarm)
        self.ledger = ledger
        self.gradient_ns = gradient_ns
        self.transport = transport
        self.coordinator = coordinator
        self.recorder = recorder
        self.replay = replay
        self.workers: list[Worker] = []
        self.streams: list[Stream] = []
        self._pairs: list[dict[int, Pair]] = []
        self._durations: list[dict[str, Callable[[], int]]] = []
        self._occupy: Callable[[Engine, Running, int], None] = self._occupy_to_the_end
        self.retiming: Retiming | None = None
        self.slowed: Retiming | None = None
        self.fabric = None if network is None else network(self.schedule)
        self.gatherings = Gatherings(self, collectives or CollectivesTable())
        self.messages = Messages(self, is_in_order=is_in_order and replay is None)  # a trace fixes the order itself
        self.faults: Faults | None = None
        self._meeting: dict[int, Running] = {}
        self.handlers: dict[type[Operation], Handler] = {
            **SHARED_HANDLERS,
            Until: self._until,
            Compute: self._compute,
            Exchange: self.exchange,
            Send: self.messages.post,
            Receive: self.messages.post,
            Meet: self._meet,
            Leave: self._leave,
            Join: self._join,
            **dict.fromkeys(COLLECTIVES, self.gatherings.arrive),
            **(replay.handlers() if replay is not None else {}),
        }

    # ------------------------------------------------------------------ the run

    def add(
        self, worker: Worker, durations: dict[str, Callable[[], int]], programs: Mapping[str, Any], daemons: Any = ()
    ) -> None:
        """Add a worker with its programs; `durations` draws the nanoseconds that a kernel takes on it."""
        self.workers.append(worker)
        self._pairs.append({})
        self._durations.append(durations)
        for name, program in programs.items():
            self.streams.append(Stream(self, worker, name, program, is_daemon=name in daemons))

    def retime(self, paces: Sequence[Pace], communication_slowdown: float) -> None:
        """Have kernels end later where their rank is slowed down: the pace of every rank, and what transfers do."""
        self.retiming = Retiming(
            paces, self._durations, communication_slowdown=communication_slowdown, schedule=self.schedule
        )
        self._occupy = self.retiming.occupy
        self.slowed = self.retiming if communication_slowdown != 1 else None

    def run(self) -> None:
        """Run every program to its end, or until the run is stopped.

        Raises:
            DeadlockError: if no worker can move; the message is the whole board.
        """
        with _no_collector(), np.errstate(over="ignore", invalid="ignore"):  # a run that diverges shows it in its loss
            for stream in self.streams:
                stream.begin()
            self.course.keep_house(self.ledger, self.gradient_ns)
            self._run_events()
        self.course.end()
        if self.course.stopped_ns is None and not all(stream.is_over or stream.is_daemon for stream in self.streams):
            now = max(stream.end_ns for stream in self.streams if not stream.is_daemon)
            told = f"DeadlockError at {now / 1e6:.3f} ms: no worker can move.\n{board(self.streams, now)}"
            raise DeadlockError(told + self.messages.blocked())
        if self.replay is not None:
            self.replay.check_end()

    def _run_events(self) -> None:
        """SimPy's `run` with its `step` written out: a sixth of the time. SimPy's own events and processes run too."""
        env, queue = self.env, self.events
        while queue:
            env._now, _, _, event = heappop(queue)
            calls, event.callbacks = event.callbacks, None
            for call in calls:
                call(event)
            if not event._ok and not hasattr(event, "_defused"):
                raise event._value

    @property
    def now(self) -> int:
        """Nanoseconds since the start of the run."""
        return int(self.env.now)

    def links(self, now: int) -> Iterator[LinkRow]:
        """What every direction of a link has carried up to `now`."""
        return self.fabric.links(now) if self.fabric is not None else self.transport.links(self._pairs, now)

    def wake(self, running: Running, now: int) -> None:
        """End an operation at the present time, after what happens now."""
        self.end_at(running, now)

    def alarm(self, time: float, call: Callable[[int], None]) -> None:
        """Call `call(now)` at a time in gradient times."""
        at = max(self.now, round(time * self.gradient_ns))
        heappush(self.events, (at, NORMAL, next(self._number), Call(lambda _: call(at))))

    def schedule(self, at: int, call: Callable[[Any], object]) -> None:
        """Call `call(event)` at a tick, after what is scheduled for it already."""
        heappush(self.events, (at, NORMAL, next(self._number), Call(call)))

    def abandon(self, running: Running) -> None:
        """A cancelled operation gives back what it holds."""
        operation, rank = running.operation, running.worker.rank
        if isinstance(operation, Compute):
            self._abandon_compute(running)
        elif isinstance(operation, Exchange):
            pair = self.pair(rank, operation.peer)
            if pair.waiting.get(operation.tag) is running:
                del pair.waiting[operation.tag]
        elif isinstance(operation, Meet) and self._meeting.pop(rank, None) is not None:
            self.coordinator.withdraw(rank)
        else:
            self.messages.withdraw(running, self.now)

    def end_at(self, running: Running, at: int) -> None:
        """End an operation at a tick, after what happens then already."""
        running.end_ns = at
        running.callbacks = running.on_end
        heappush(self.events, (at, NORMAL, next(self._number), running))

    # ------------------------------------------------------------------ time and compute

    def _until(self, running: Running) -> bool:
        at = int(running.operation.time * self.gradient_ns + 0.5)
        if at <= running.start_ns:
            return True
        self.end_at(running, at)
        return False

    def _compute(self, running: Running) -> bool:
        worker, operation, now = running.worker, running.operation, running.start_ns
        model = worker.model
        result = running.result = Payload(model.size, None, model.version, model.steps, now)
        if worker.kernels is not None:
            result.array = worker.kernels[operation.kernel](operation)()
            result.size = result.array.nbytes
        elif operation.kernel == "backward":
            result.size = operation.inputs[1][operation.stage]
        engine = worker.engines.get(operation.engine)
        if engine is None:
            engine = worker.engines[operation.engine] = Engine()
        if engine.free_ns <= now and not engine.waiting:
            self._occupy(engine, running, now)
        else:
            engine.waiting.append(running)
            engine.current.hook = self._next_on_engine
        return False

    def _occupy_to_the_end(self, engine: Engine, running: Running, now: int) -> None:
        rank = running.worker.rank
        engine.current = running
        running.ready_ns = now
        engine.free_ns = running.end_ns = end = now + self._durations[rank][running.operation.kernel]()
        running.callbacks = running.on_end
        ledger = self.ledger
        ledger.computations += pack_computation(rank, now, end)
        if ledger.activations:
            ledger.hold_activations(rank, running.operation, now, end)
        heappush(self.events, (end, NORMAL, next(self._number), running))

    def _next_on_engine(self, running: Running) -> None:
        """The hook of a kernel that others wait behind."""
        engine = running.worker.engines[running.operation.engine]
        if engine.waiting:
            following = engine.waiting.popleft()
            self._occupy(engine, following, running.end_ns)
            if engine.waiting:
                following.hook = self._next_on_engine

    def _abandon_compute(self, running: Running) -> None:
        engine, now = running.worker.engines[running.operation.engine], self.now
        if running is not engine.current:
            engine.waiting.remove(running)
        elif running.end_ns > now:
            if self.retiming is None:
                self.ledger.shorten(running.worker.rank, running.ready_ns, running.end_ns, now)
            else:
                self.retiming.abandon(running, now)
            engine.free_ns = running.end_ns = now
            self._next_on_engine(running)

    # ------------------------------------------------------------------ point to point

    def pair(self, rank: int, peer: int) -> Pair:
        """What two workers have between them."""
        pair = self._pairs[rank].get(peer)
        if pair is None:
            if not 0 <= peer < len(self.workers) or peer == rank:
                raise ProgramError(f"rank {rank}: expected a peer among the {len(self.workers)} workers, found {peer}")
            pair = self._pairs[rank][peer] = self._pairs[peer][rank] = Pair()
        return pair

    def exchange(self, running: Running) -> bool:
        """One end of an exchange has been issued."""
        operation, worker = running.operation, running.worker
        rank, peer, payload = worker.rank, operation.peer, operation.payload
        pair = self._pairs[rank].get(peer) or self.pair(rank, peer)
        other = pair.waiting.pop(operation.tag, None)
        if other is None:
            pair.waiting[operation.tag] = running
            return False
        if other.worker is worker:
            raise ProgramError(f"rank {rank}: two exchanges with rank {peer} have the tag {operation.tag}")
        now, other_start, size = running.start_ns, other.start_ns, payload.size
        running.result = other.operation.payload
        if running.result.size != size:
            check_sizes(running, other, size, running.result.size)
        other.result = payload
        other.ready_ns = now
        if self.fabric is not None:
            self.exchange_by_flows(running, other)
            return False
        if rank < peer:
            end, other_end = self.transport.exchange(pair, now, other_start, size)
        else:
            other_end, end = self.transport.exchange(pair, other_start, now, size)
        self.ledger.exchanges += pack_exchange(rank, peer, other_start, now, end, other_end, size)
        if self.slowed is not None:
            self.slowed.transfer(rank, now, end)
            self.slowed.transfer(peer, now, other_end)
        running.end_ns, other.end_ns = end, other_end
        if end == other_end:  # one event for both ends
            running.callbacks = (other.ended_with, *running.on_end)
        else:
            running.callbacks = running.on_end
            self.end_at(other, other_end)
        heappush(self.events, (end, NORMAL, next(self._number), running))
        return False

    def exchange_by_flows(self, running: Running, other: Running) -> list[tuple[Message, Running]]:
        """Both directions at once; with gloo each end is over when it has the other's data, else both together.

        Returns:
            the two messages, each with the end that receives it.
        """
        fabric, transport, now = self.fabric, self.transport, running.start_ns
        assert fabric is not None
        ends: list[int] = []
        self.transfer_began(now, running.worker.rank, other.worker.rank)

        def arrived(ending: Running, at: int) -> None:
            ends.append(at)
            if not transport.ends_together:
                self.end_transfer(ending, now, at + transport.overhead_ns, is_exchange=1)
            elif len(ends) == 2:
                for each in (other, running):
                    self.end_transfer(each, now, at, is_exchange=1)

        def send(sender: Running, receiver: Running) -> tuple[Message, Running]:
            source, target = sender.worker.rank, receiver.worker.rank
            leaves = transport.leaves(sender.start_ns, receiver.start_ns, fabric.route(target, source).latency)
            done = partial(arrived, receiver)
            return fabric.send(source, target, sender.operation.size, max(now, leaves), now, done), receiver

        return [send(running, other), send(other, running)]

    def end_transfer(self, running: Running, ready: int, end: int, *, is_exchange: int = 0) -> None:
        """Enter a transfer in the ledger, and end it."""
        operation = running.operation
        sent = 0 if isinstance(operation, Receive) else operation.payload.size
        held = in_flight(operation.__class__.__name__, 2, operation.size)
        entry = (running.worker.rank, running.start_ns, ready, end, sent, is_exchange, held)
        self.ledger.transfers += pack_transfer(*entry)
        self.transfer_ended(end, running.worker.rank)
        self.end_at(running, end)

    def waiting_for(self, rank: int) -> list[tuple[int, int]]:
        """The exchanges that others have issued with a rank and that it has not: (peer, tag)."""
        return [
            (peer, tag)
            for peer, pair in self._pairs[rank].items()
            for tag, each in pair.waiting.items()
            if each.worker.rank == peer
        ]

    def take_waiting(self, rank: int, peer: int, tag: int) -> Running | None:
        """Take out the end of an exchange that waits for the other one."""
        waiting: Running | None = self.pair(rank, peer).waiting.pop(tag, None)
        return waiting

    def transfer_began(self, at: int, *ranks: int) -> None:
        """Bytes from or to these ranks are under way from `at` on, now or later."""
        if self.slowed is not None:
            for rank in ranks:
                self.slowed.transfer_began(rank, at)

    def transfer_ended(self, at: int, *ranks: int) -> None:
        """They are no longer."""
        if self.slowed is not None:
            for rank in ranks:
                self.slowed.transfer_ended(rank, at)

    # ------------------------------------------------------------------ pairing

    def withdraw(self, rank: int, now: int) -> None:
        """Nobody is paired with a rank until it rejoins."""
        self._tell(self.coordinator.leave(rank), now)

    def rejoin(self, rank: int, now: int) -> None:
        """A rank that was withdrawn is back, and asks again for whom it waited."""
        self._tell(self.coordinator.join(rank), now)
        waiting = self._meeting.get(rank)
        if waiting is not None:
            self._tell(self.coordinator.arrive(rank, waiting.operation.candidates), now)

    def _meet(self, running: Running) -> bool:
        rank = running.worker.rank
        self._meeting[rank] = running
        self._tell(self.coordinator.arrive(rank, running.operation.candidates), running.start_ns)
        return False

    def _leave(self, running: Running) -> bool:
        self._tell(self.coordinator.leave(running.worker.rank), running.start_ns)
        return True

    def _join(self, running: Running) -> bool:
        self._tell(self.coordinator.join(running.worker.rank), running.start_ns)
        return True

    def _tell(self, answers: list[Answer], now: int) -> None:
        for rank, partner in answers:
            meeting = self._meeting.pop(rank)
            meeting.result, meeting.note = partner, note_partner(partner)
            meeting.ready_ns = now
            self.ledger.transfers += pack_transfer(rank, meeting.start_ns, now, now, 0, 0, 0)
            self.end_at(meeting, now)

    # ------------------------------------------------------------------ collectives

    def end_collective(self, running: Running, ready: int, end: int, sent: int) -> None:
        """A member of a collective, all of whom were there at `ready`, has its answer at `end`."""
        running.ready_ns = ready
        operation, rank = running.operation, running.worker.rank
        n = len(self.workers) if operation.group is None else len(operation.group)
        held = in_flight(type(operation).__name__, n, operation.size)
        self.ledger.transfers += pack_transfer(rank, running.start_ns, ready, end, sent, 0, held)
        self.end_at(running, end)


@contextmanager
def _no_collector() -> Iterator[None]:
    """A run makes no reference cycles, and its many live objects make every collection long."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
