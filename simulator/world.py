"""The simulated world: operations take simulated time. The only place that knows SimPy.

There are no SimPy processes. A running operation is itself the event that SimPy queues, and SimPy's call at its end
resumes the program: what a process would add is a generator around our generator, and half the time.
"""

from __future__ import annotations

import gc
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from heapq import heappop, heappush
from typing import Any

import numpy as np
import simpy

from schedules.accounts import Ledger, pack_computation, pack_exchange, pack_transfer
from schedules.driver import SHARED_HANDLERS, Handler, Running, Stream, board
from schedules.errors import DeadlockError, ProgramError
from schedules.operations import (
    COLLECTIVES,
    AllToAll,
    Broadcast,
    Compute,
    Exchange,
    Group,
    Join,
    Leave,
    Meet,
    Operation,
    Payload,
    Receive,
    ReduceScatter,
    Send,
    Until,
)
from schedules.pairing import Answer, Coordinator
from schedules.replay import Replay, note_partner
from schedules.trace import Recorder
from schedules.volumes import bytes_sent
from schedules.worker import Worker
from simulator import collectives
from simulator.fabric import Fabric
from simulator.transports import Ideal, Pair

NORMAL = simpy.events.NORMAL


class Call:
    """A plain call at a time, as an event."""

    __slots__ = ("callbacks",)
    _ok = True

    def __init__(self, call: Callable[[Any], object]) -> None:
        self.callbacks = (call,)


class Engine:
    """What runs kernels one after the other: the present one, until when, and those that wait."""

    __slots__ = ("current", "free_ns", "waiting")
    current: Running

    def __init__(self) -> None:
        self.free_ns = 0
        self.waiting: deque[Running] = deque()


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
    Attributes:
        fabric: what messages cross, where they share links; None: every pair has a link of its own.
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
    ) -> None:
        self.env = simpy.Environment()
        self._queue: list[Any] = self.env._queue
        self._number = self.env._eid
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
        self.fabric: Fabric | None = None
        self.is_in_order = is_in_order and replay is None  # a trace fixes the order itself
        self._turns: dict[Stream, deque[Running]] = {}
        self._messages: dict[tuple[int, int, int], deque[Running]] = {}
        self._gatherings: dict[Any, list[dict[int, Running]]] = {}
        self._channels: dict[Group, int] = {}
        self._meeting: dict[int, Running] = {}
        self.handlers: dict[type[Operation], Handler] = {
            **SHARED_HANDLERS,
            Until: self._until,
            Compute: self._compute,
            Exchange: self._exchange,
            Send: self._send,
            Receive: self._receive,
            Meet: self._meet,
            Leave: self._leave,
            Join: self._join,
            **dict.fromkeys(COLLECTIVES, self._collective),
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

    def run(self) -> None:
        """Run every program to its end.

        Raises:
            DeadlockError: if no worker can move; the message is the whole board.
        """
        with _no_collector(), np.errstate(over="ignore", invalid="ignore"):  # a run that diverges shows it in its loss
            for stream in self.streams:
                stream.begin()
            self._keep_house()
            self._run_events()
        if not all(stream.is_over or stream.is_daemon for stream in self.streams):
            now = max(stream.end_ns for stream in self.streams if not stream.is_daemon)
            told = f"DeadlockError at {now / 1e6:.3f} ms: no worker can move.\n{board(self.streams, now)}"
            raise DeadlockError(told + self._blocked())
        if self.replay is not None:
            self.replay.check_end()

    def _run_events(self) -> None:
        """SimPy's `run` with its `step` written out: a sixth of the time. SimPy's own events and processes run too."""
        env, queue = self.env, self._queue
        while queue:
            env._now, _, _, event = heappop(queue)
            calls, event.callbacks = event.callbacks, None
            for call in calls:
                call(event)
            if not event._ok and not hasattr(event, "_defused"):
                raise event._value

    def _keep_house(self) -> None:
        """Fold the ledger after every fifty thousand things or so, as long as anything happens."""
        if self._queue:
            self.ledger.fold()
            self.alarm(self.now / self.gradient_ns + max(1.0, 50_000 / len(self.workers)), lambda _: self._keep_house())

    @property
    def now(self) -> int:
        """Nanoseconds since the start of the run."""
        return int(self.env.now)

    def wake(self, running: Running, now: int) -> None:
        """End an operation at the present time, after what happens now."""
        self._end_at(running, now)

    def alarm(self, time: float, call: Callable[[int], None]) -> None:
        """Call `call(now)` at a time in gradient times."""
        at = max(self.now, round(time * self.gradient_ns))
        heappush(self._queue, (at, NORMAL, next(self._number), Call(lambda _: call(at))))

    def schedule(self, at: int, call: Callable[[Any], object]) -> None:
        """Call `call(event)` at a tick, after what is scheduled for it already."""
        heappush(self._queue, (at, NORMAL, next(self._number), Call(call)))

    def abandon(self, running: Running) -> None:
        """A cancelled operation gives back what it holds."""
        operation, rank = running.operation, running.worker.rank
        if isinstance(operation, Compute):
            self._abandon_compute(running)
        elif isinstance(operation, Exchange):
            pair = self._pair(rank, operation.peer)
            if pair.waiting.get(operation.tag) is running:
                del pair.waiting[operation.tag]
        elif isinstance(operation, Meet) and self._meeting.pop(rank, None) is not None:
            self.coordinator.withdraw(rank)
        for waiting in self._messages.values():
            if running in waiting:
                waiting.remove(running)
        if running in self._turns.get(running.stream, ()):
            self._leave_turn(running, self.now)

    def _end_at(self, running: Running, at: int) -> None:
        running.end_ns = at
        running.callbacks = running.on_end
        heappush(self._queue, (at, NORMAL, next(self._number), running))

    # ------------------------------------------------------------------ time and compute

    def _until(self, running: Running) -> bool:
        at = int(running.operation.time * self.gradient_ns + 0.5)
        if at <= running.start_ns:
            return True
        self._end_at(running, at)
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

    def _occupy(self, engine: Engine, running: Running, now: int) -> None:
        rank = running.worker.rank
        engine.current = running
        running.ready_ns = now
        engine.free_ns = running.end_ns = end = now + self._durations[rank][running.operation.kernel]()
        running.callbacks = running.on_end
        self.ledger.computations += pack_computation(rank, now, end)
        heappush(self._queue, (end, NORMAL, next(self._number), running))

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
            self.ledger.shorten(running.worker.rank, running.ready_ns, running.end_ns, now)
            engine.free_ns = running.end_ns = now
            self._next_on_engine(running)

    # ------------------------------------------------------------------ point to point

    def _pair(self, rank: int, peer: int) -> Pair:
        pair = self._pairs[rank].get(peer)
        if pair is None:
            if not 0 <= peer < len(self.workers) or peer == rank:
                raise ProgramError(f"rank {rank}: expected a peer among the {len(self.workers)} workers, found {peer}")
            pair = self._pairs[rank][peer] = self._pairs[peer][rank] = Pair()
        return pair

    def _exchange(self, running: Running) -> bool:
        operation, worker = running.operation, running.worker
        rank, peer, payload = worker.rank, operation.peer, operation.payload
        pair = self._pairs[rank].get(peer) or self._pair(rank, peer)
        other = pair.waiting.pop(operation.tag, None)
        if other is None:
            pair.waiting[operation.tag] = running
            return False
        if other.worker is worker:
            raise ProgramError(f"rank {rank}: two exchanges with rank {peer} have the tag {operation.tag}")
        now, other_start, size = running.start_ns, other.start_ns, payload.size
        running.result = other.operation.payload
        if running.result.size != size:
            _check_sizes(running, other, size, running.result.size)
        other.result = payload
        other.ready_ns = now
        if self.fabric is not None:
            self._exchange_by_flows(self.fabric, running, other)
            return False
        if rank < peer:
            end, other_end = self.transport.exchange(pair, now, other_start, size)
        else:
            other_end, end = self.transport.exchange(pair, other_start, now, size)
        self.ledger.transfers += pack_exchange(rank, now, now, end, size, 1, peer, other_start, now, other_end, size, 1)
        running.end_ns, other.end_ns = end, other_end
        if end == other_end:  # one event for both ends
            running.callbacks = (other.ended_with, *running.on_end)
        else:
            running.callbacks = running.on_end
            self._end_at(other, other_end)
        heappush(self._queue, (end, NORMAL, next(self._number), running))
        return False

    def _exchange_by_flows(self, fabric: Fabric, running: Running, other: Running) -> None:
        """Both directions at once; with gloo each end is over when it has the other's data, else both together."""
        transport, now = self.transport, running.start_ns
        ends: list[int] = []

        def arrived(ending: Running, at: int) -> None:
            ends.append(at)
            if not transport.ends_together:
                self._end_transfer(ending, now, at + transport.overhead_ns, is_exchange=1)
            elif len(ends) == 2:
                for each in (other, running):
                    self._end_transfer(each, now, at, is_exchange=1)

        for sender, receiver in ((running, other), (other, running)):
            source, target = sender.worker.rank, receiver.worker.rank
            leaves = transport.leaves(sender.start_ns, receiver.start_ns, fabric.latency_ns(target, source))
            size = sender.operation.payload.size
            fabric.send(source, target, size, max(now, leaves), now, partial(arrived, receiver))

    def _send(self, running: Running) -> bool:
        return self._take_turn(running) if self.is_in_order else self._match(running)

    _receive = _send

    def _take_turn(self, running: Running) -> bool:
        """Sends and receives of one stream go in order: this one waits until those before it are over."""
        turns = self._turns.setdefault(running.stream, deque())
        turns.append(running)
        running.hook = self._pass_turn
        return self._match(running) if len(turns) == 1 else False

    def _pass_turn(self, running: Running) -> None:
        self._leave_turn(running, running.end_ns)

    def _leave_turn(self, running: Running, now: int) -> None:
        turns = self._turns[running.stream]
        is_first = turns[0] is running
        turns.remove(running)
        if is_first and turns:
            turns[0].ready_ns = now  # posted only now
            self._match(turns[0])

    def _blocked(self) -> str:
        """A remark on messages that wait behind others of their stream, for the board of a deadlock."""
        blocked = sum(len(turns) - 1 for turns in self._turns.values() if turns)
        told = f"\n  {blocked} of the sends and receives are blocked by earlier ones of their streams: they go in order"
        return f"{told} (platform.order)." if blocked else ""

    def _match(self, running: Running) -> bool:
        """Pair a send with its receive, in the order in which they were posted."""
        rank, operation = running.worker.rank, running.operation
        is_sender = isinstance(operation, Send)
        self._pair(rank, operation.peer)
        key = (rank, operation.peer, operation.tag) if is_sender else (operation.peer, rank, operation.tag)
        waiting = self._messages.setdefault(key, deque())
        if not waiting or isinstance(waiting[0].operation, Send) == is_sender:
            waiting.append(running)
            return False
        other = waiting.popleft()
        if not waiting:
            del self._messages[key]
        self._deliver(*((running, other) if is_sender else (other, running)), now=running.ready_ns)
        return False

    def _deliver(self, sender: Running, receiver: Running, *, now: int) -> None:
        payload = sender.operation.payload
        _check_sizes(sender, receiver, payload.size, receiver.operation.size)
        source, target = sender.worker.rank, receiver.worker.rank
        posted = sender.ready_ns, receiver.ready_ns
        receiver.result, sender.result = payload, None
        sender.ready_ns = receiver.ready_ns = now

        def end_both(end: int) -> None:
            for each in (sender, receiver):
                self._end_transfer(each, now, end + self.transport.overhead_ns)

        if self.fabric is None:
            end_both(self.transport.message(self._pair(source, target), int(source > target), *posted, payload.size))
        else:
            leaves = self.transport.leaves(*posted, self.fabric.latency_ns(target, source))
            self.fabric.send(source, target, payload.size, max(now, leaves), now, end_both)

    def _end_transfer(self, running: Running, ready: int, end: int, *, is_exchange: int = 0) -> None:
        """Enter a transfer in the ledger, and end it."""
        sent = 0 if isinstance(running.operation, Receive) else running.operation.payload.size
        entry = (running.worker.rank, running.start_ns, ready, end, sent, is_exchange)
        self.ledger.transfers += pack_transfer(*entry)
        self._end_at(running, end)

    # ------------------------------------------------------------------ pairing

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
            self.ledger.transfers += pack_transfer(rank, meeting.start_ns, now, now, 0, 0)
            self._end_at(meeting, now)

    # ------------------------------------------------------------------ collectives

    def _collective(self, running: Running) -> bool:
        operation, rank = running.operation, running.worker.rank
        group = operation.group
        if group is not None and rank not in group:
            raise ProgramError(f"rank {rank}: expected to be a member of {operation}")
        gatherings = self._gatherings.setdefault((operation.__class__, group, operation.tag), [])
        arrived = next((each for each in gatherings if rank not in each), None)
        if arrived is None:
            arrived = {}
            gatherings.append(arrived)
        arrived[rank] = running
        if len(arrived) == (len(self.workers) if group is None else len(group)):
            gatherings.remove(arrived)
            self._run_collective(arrived, running.start_ns)
        return False

    def _run_collective(self, arrived: dict[int, Running], now: int) -> None:
        """Collectives of one group run one after the other, as on one communicator."""
        members = sorted(arrived)
        present = [arrived[rank] for rank in members]
        operations = [each.operation for each in present]
        _check_collective(present, members)
        kind, size = type(operations[0]), operations[0].size
        seconds = self.transport.collective(kind, len(members), size)
        sent = bytes_sent(kind.__name__, len(members), size)
        group = operations[0].group
        begin = max(now, self._channels.get(group, 0))
        end = self._channels[group] = begin + round(seconds * 1e9)
        is_broadcast = isinstance(operations[0], Broadcast)
        answers = collectives.broadcast(operations, members) if is_broadcast else collectives.combine(operations)
        for each, answer in zip(present, answers, strict=True):
            each.result, each.ready_ns = answer, begin
            entry = (each.worker.rank, each.start_ns, begin, end, sent, 0)
            self.ledger.transfers += pack_transfer(*entry)
            self._end_at(each, end)


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


def _check_collective(present: Sequence[Running], members: Sequence[int]) -> None:
    first = present[0].operation
    for each in present:
        if each.operation != first:
            raise ProgramError(
                f"rank {members[0]} {first} and rank {each.worker.rank} {each.operation}: "
                "expected the same collective with equal sizes, found two"
            )
    if isinstance(first, Broadcast) and first.root not in members:
        raise ProgramError(f"rank {members[0]} {first}: expected a root among {list(members)}, found {first.root}")
    if isinstance(first, ReduceScatter | AllToAll) and first.size % len(members):
        raise ProgramError(f"rank {members[0]} {first}: expected bytes that {len(members)} ranks can divide")


def _check_sizes(one: Running, other: Running, mine: int, theirs: int) -> None:
    if mine != theirs:
        raise ProgramError(
            f"rank {one.worker.rank} {one.operation} and rank {other.worker.rank} {other.operation}: "
            f"expected equal sizes, found {mine} and {theirs} bytes"
        )
