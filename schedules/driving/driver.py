"""Stepping programs: what the two worlds share.

A world says what an operation means in its time (its `handlers`), what time it is (`now`), and how to continue later
(`wake`, `alarm`). The driver resumes programs with answers, hands over between the streams of a worker, starts and
awaits, keeps the record, follows a replay, and draws the board when nobody can move.

A handler is called when an operation is issued. It returns True if the operation is over at once (its result is in
`running.result`), else False, and the world later calls `running.ended()`.
"""

from __future__ import annotations

import linecache
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from schedules.errors import ProgramError
from schedules.operations import (
    OPERATIONS,
    Arrivals,
    Await,
    Cancel,
    Handle,
    Operation,
    Program,
    Put,
    Start,
    Take,
)
from schedules.record.memory import received

if TYPE_CHECKING:
    from schedules.driving.replay import Replay
    from schedules.record.trace import Recorder
    from schedules.worker import Worker

Handler = Callable[["Running"], bool]


class World(Protocol):
    """What the driver needs of a world."""

    handlers: dict[type[Operation], Handler]
    streams: list[Stream]
    recorder: Recorder | None
    replay: Replay | None
    gradient_ns: float
    """One gradient time in nanoseconds."""

    @property
    def now(self) -> int:
        """Nanoseconds since the start of the run."""

    def wake(self, running: Running, now: int) -> None:
        """Have `running.ended()` called at the present time, after what happens now."""

    def alarm(self, time: float, call: Callable[[int], None]) -> None:
        """Have `call(now)` called at the given time, in gradient times."""

    def abandon(self, running: Running) -> None:
        """The program cancelled this operation: free what it holds."""


class Running:
    """One operation under way.

    Attributes:
        world, worker, stream: where it runs; `stream` is its program's.
        name, lane: of the lane that shows it, `compute` or `compute+1`, and the lane's number in the record.
        operation: what was asked for.
        start_ns, ready_ns, end_ns: when it was issued; when the last participant was there; when it is over.
        result: its answer, once there is one.
        note: the recorded answer of `Meet` and `Await`.
        hook: called by `ended` first: the world's book-keeping.
        state, callbacks: the world's own. (The simulator queues the running operation itself as its SimPy event.)
        waiter: the stream that awaits it.
        is_over, is_cancelled, is_taken: its state; taken is what an `Await` has handed to its program.
    """

    __slots__ = (
        "callbacks", "end_ns", "hook", "is_cancelled", "is_over", "is_taken", "lane", "name", "note", "operation",
        "ready_ns", "result", "start_ns", "state", "stream", "waiter", "worker", "world",
    )  # fmt: skip

    _ok: ClassVar[bool] = True
    on_end: ClassVar[tuple[Callable[[Any], None], ...]]

    def __init__(self, world: World, worker: Worker, name: str, operation: Any, stream: Stream | None = None) -> None:
        self.world = world
        self.worker = worker
        self.stream: Any = stream or self
        self.name = name
        self.lane = world.recorder.lane(worker.rank, name) if world.recorder is not None else -1
        self.operation = operation
        self.start_ns = self.ready_ns = self.end_ns = world.now
        self.result: Any = None
        self.note = ""
        self.hook: Callable[[Any], None] | None = None
        self.state: Any = None
        self.callbacks: Any = None
        self.waiter: Stream | None = None
        self.is_over = self.is_cancelled = self.is_taken = False

    def ended_with(self, _: object) -> None:
        """`ended`, when the simulator ends it together with another operation."""
        self.ended()

    def ended(self) -> None:
        """A started operation is over: record it, and tell the stream that awaits it."""
        if self.is_cancelled:
            return
        if self.hook is not None:
            self.hook(self)
        self.is_over = True
        self.stream.free_lanes.append(self.name)
        if self.world.recorder is not None:
            self.world.recorder.row(self, None)
        if self.waiter is not None:
            self.waiter.arrived(self.end_ns)


class Stream(Running):
    """A program being run. As a `Running` it stands for the operation that its program waits for."""

    __slots__ = ("free_lanes", "index", "is_daemon", "ledger", "num_lanes", "program", "replay", "send", "wanted")

    def __init__(self, world: World, worker: Worker, name: str, program: Program, *, is_daemon: bool = False) -> None:
        super().__init__(world, worker, name, None)
        self.ledger = worker.account.ledger
        self.program = program
        self.send: Callable[[Any], Operation] = program.send
        self.index = -1
        self.is_daemon = is_daemon
        self.free_lanes: list[str] = []
        self.num_lanes = 0
        self.wanted: frozenset[int] | int = 0
        self.replay = world.replay
        worker.streams.append(self)

    def begin(self) -> None:
        """Run the program to its first operation."""
        self._run(None)

    def ended(self) -> None:
        """The operation that this program waits for is over: resume it, or hold it until the replay's turn."""
        if self.hook is not None:
            self.hook(self)
            self.hook = None
        if self.replay is None:
            self._run((self.result, self.end_ns / self.world.gradient_ns))
        else:
            self.replay.hold(self)

    def replayed(self, answer: tuple[Any, float]) -> None:
        """It is this stream's turn in the replay: resume it with the recorded answer."""
        self.end_ns = self.world.now
        self._run(answer)

    def _run(self, answer: tuple[Any, float] | None) -> None:
        """Run the program until it waits."""
        world: Any = self.world
        now = self.ledger.now = self.end_ns
        is_recorded = world.recorder is not None
        try:
            while True:
                operation = self.send(answer)
                if is_recorded:
                    self._record()
                self.operation, self.result = operation, None
                self.start_ns = self.ready_ns = now
                self.index += 1
                try:
                    handler = world.handlers[operation.__class__]
                except KeyError:
                    raise ProgramError(not_an_operation(self, operation)) from None
                if self.replay is not None:
                    return self.replay.issue(self, handler)
                if not handler(self):
                    return None
                answer = (self.result, now / world.gradient_ns)
        except StopIteration:
            self._finish()

    def _record(self) -> None:
        """The segment that consumed the last answer is over: record the operation with what was applied."""
        recorder, log = self.world.recorder, self.worker.model.log
        if self.operation is not None and recorder is not None:
            assert log is not None, "a recorded run has models that log"
            recorder.row(self, log[0] if log else None)
            for applied in log[1:]:
                recorder.apply_row(self, applied)
            log.clear()

    def _finish(self) -> None:
        """The program has ended. When only daemons are left of a worker, they are closed."""
        if self.is_over:
            return
        if self.world.recorder is not None:
            self._record()
        self.is_over, self.operation = True, None
        worker = self.worker
        worker.streams.remove(self)
        if all(each.is_daemon for each in worker.streams):
            for each in worker.streams:
                each.is_over, each.operation = True, None
                each.program.close()
            worker.streams.clear()

    def arrived(self, now: int) -> None:
        """One of the handles that this stream awaits is over."""
        if self.state is not None and _is_enough(self.state, self.wanted):
            self.settle(now)

    def settle(self, now: int) -> None:
        """End the `Await` with what has arrived by now."""
        handles, self.state = self.state, None
        _take_arrivals(self, handles, now)
        self.world.wake(self, now)


Running.on_end = (Running.ended,)
Stream.on_end = (Stream.ended,)


def _is_enough(handles: Sequence[Handle], wanted: frozenset[int] | int) -> bool:
    if isinstance(wanted, int):
        return sum(bool(handle.running.is_over) for handle in handles) >= wanted
    return all(bool(handles[position].running.is_over) for position in wanted)


def _take_arrivals(stream: Stream, handles: Sequence[Handle], now: int) -> None:
    """What has arrived becomes the result. A replay shows what had arrived then, not what has by now."""
    is_shown = [handle.running.is_over for handle in handles]
    if not isinstance(stream.wanted, int):
        is_shown = [position in stream.wanted for position in range(len(handles))]
    results = tuple(handle.running.result if shown else None for handle, shown in zip(handles, is_shown, strict=True))
    arrived = tuple(position for position, shown in enumerate(is_shown) if shown)
    for handle in handles:
        handle.running.waiter = None
    for position in arrived:
        _take_result(handles[position].running, now)
    stream.result = Arrivals(results, arrived)
    stream.note = ",".join(map(str, arrived))


def _take_result(running: Running, now: int) -> None:
    """What a started operation has received has been kept for its program until now."""
    size = 0 if running.is_taken else received(running.operation, running.result)
    running.is_taken = True
    if size and running.end_ns < now:
        running.worker.account.held("received", size, running.end_ns, now)


def _put(running: Running) -> bool:
    queue = running.worker.queue(running.operation.queue)
    if queue.takers:
        taker = queue.takers.popleft()
        taker.result = running.operation.item
        running.world.wake(taker, running.start_ns)
        return True
    if len(queue.items) < queue.capacity:
        queue.items.append(running.operation.item)
        return True
    queue.putters.append(running)
    return False


def _take(running: Running) -> bool:
    queue = running.worker.queue(running.operation.queue)
    if not queue.items:
        queue.takers.append(running)
        return False
    running.result = queue.items.popleft()
    if queue.putters:
        putter = queue.putters.popleft()
        queue.items.append(putter.operation.item)
        running.world.wake(putter, running.start_ns)
    return True


def _start(running: Running) -> bool:
    stream, operation = running.stream, running.operation.operation
    handler = running.world.handlers.get(operation.__class__)
    if handler is None or operation.__class__ in (Start, Await, Cancel):
        raise ProgramError(not_an_operation(stream, operation))
    if not stream.free_lanes:
        stream.num_lanes += 1
        stream.free_lanes.append(f"{stream.name}+{stream.num_lanes}")
    started = Running(running.world, running.worker, stream.free_lanes.pop(), operation, stream)
    running.worker.num_started += 1
    running.result = Handle(running.worker.num_started, started)
    if handler(started):
        started.end_ns = started.start_ns
        started.ended()
    return True


def _await(running: Running) -> bool:
    world, handles, need = running.world, running.operation.handles, running.operation.need
    stream = running.stream
    if any(handle.running.is_cancelled for handle in handles):
        raise ProgramError(f"{where(stream)}: awaits an operation that it has cancelled")
    wanted = len(handles) if need == "all" else 1 if need == "any" else int(need)
    stream.wanted = wanted if world.replay is None else world.replay.wanted(stream, wanted)
    if _is_enough(handles, stream.wanted):
        _take_arrivals(stream, handles, running.start_ns)
        return True
    stream.state = handles
    for handle in handles:
        handle.running.waiter = stream
    if running.operation.deadline is not None and world.replay is None:
        world.alarm(running.operation.deadline, lambda now: stream.settle(now) if stream.state is handles else None)
    return False


def _cancel(running: Running) -> bool:
    target = running.operation.handle.running
    if not target.is_over and not target.is_cancelled:
        target.is_cancelled = True
        target.stream.free_lanes.append(target.name)
        if isinstance(target.operation, Put | Take):
            _leave_queue(target)
        else:
            running.world.abandon(target)
    return True


def _leave_queue(running: Running) -> None:
    """Neither is an item handed to it any more, nor taken from it."""
    queue = running.worker.queue(running.operation.queue)
    for waiting in (queue.takers, queue.putters):
        if running in waiting:
            waiting.remove(running)


SHARED_HANDLERS: dict[type[Operation], Handler] = {
    Put: _put,
    Take: _take,
    Start: _start,
    Await: _await,
    Cancel: _cancel,
}
"""What the operations between the streams of one worker mean, the same in both worlds."""


def where(stream: Stream) -> str:
    """The program's own line: `file.py:12: yield Exchange(...)`."""
    generator: Any = stream.program
    while getattr(generator, "gi_yieldfrom", None) is not None and hasattr(generator.gi_yieldfrom, "gi_frame"):
        generator = generator.gi_yieldfrom
    frame = generator.gi_frame
    if frame is None:
        return f"rank {stream.worker.rank} {stream.name}"
    file, line = frame.f_code.co_filename, frame.f_lineno
    return f"{file}:{line}: {linecache.getline(file, line).strip()}"


def not_an_operation(stream: Stream, found: object) -> str:
    """The message of a program that yields what a world cannot interpret."""
    names = ", ".join(OPERATIONS)
    return (
        f"{where(stream)}\n  rank {stream.worker.rank}, stream {stream.name}: "
        f"expected one of the operations {names}; found {found!r} ({type(found).__name__})"
    )


def board(streams: Iterable[Stream], now: int) -> str:
    """Who waits for what: one line a stream that has not ended, and a remark where two wait for each other in vain."""
    waiting = [each for each in streams if not each.is_over and not each.is_daemon and each.operation is not None]
    lines = []
    for each in waiting:
        since = f"waiting {(now - each.start_ns) / 1e6:.3f} ms"
        label = f"rank {each.worker.rank}  {each.name}  #{each.index}"
        lines.append(f"  {label}  {each.operation}  {since}{_disagreement(each, waiting)}")
        lines.extend(f"      awaits {_started(handle.running)}" for handle in each.state or () if _is_pending(handle))
    return "\n".join(lines)


def _is_pending(handle: object) -> bool:
    return isinstance(handle, Handle) and not handle.running.is_over


def _started(running: Running) -> str:
    return f"{running.operation} on {running.name}"


def _disagreement(stream: Stream, waiting: Iterable[Stream]) -> str:
    """Two ranks that wait for each other with different tags."""
    rank, operation = stream.worker.rank, stream.operation
    for other in waiting:
        is_mutual = other.worker.rank == operation.peer and other.operation.peer == rank
        if is_mutual and other.operation.tag != operation.tag:
            return "   <- tags differ: the two programs disagree on order"
    return ""
