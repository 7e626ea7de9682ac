"""Stepping programs: what the two worlds share.

A world says what an operation means in its time (its `handlers`), what time it is (`now`), and how to continue later
(`wake`, `alarm`). The driver resumes programs with answers and keeps the record; what the operations between the
streams of one worker mean is in `handlers`, following a trace in `replay`, and the board of all that wait in `board`.

A handler is called when an operation is issued. It returns True if the operation is over at once (its result is in
`running.result`), else False, and the world later calls `running.ended()`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from schedules.driving.board import mistake, not_an_operation
from schedules.driving.crew import Crew
from schedules.errors import ProgramError
from schedules.operations import Operation, Program
from schedules.payload import Arrivals, Handle
from schedules.record.memory import received

if TYPE_CHECKING:
    from schedules.record.trace import Recorder
    from schedules.worker import Worker

Handler = Callable[["Running"], bool]


class Alarm(Protocol):
    """A call that is to be made at a time."""

    def cancel(self) -> None:
        """Have it not made; nothing if it has been."""


class RunCourse(Protocol):
    """What ends a run before its programs."""

    @property
    def is_cut(self) -> bool:
        """Whether it has: no stream is resumed any more."""


class World(Protocol):
    """What the driver needs of a world."""

    handlers: dict[type[Operation], Handler]
    recorder: Recorder | None
    gradient_ns: float
    """One gradient time in nanoseconds."""

    @property
    def course(self) -> RunCourse:
        """What ends the run before its programs."""

    @property
    def replay(self) -> Follower | None:
        """The trace that is followed, or None."""

    @property
    def now(self) -> int:
        """Nanoseconds since the start of the run."""

    def wake(self, running: Running, now: int) -> None:
        """Have `running.ended()` called at the present time, after what happens now."""

    def alarm(self, time: float, call: Callable[[int], None]) -> Alarm:
        """Have `call(now)` called at the given time, in gradient times."""

    def abandon(self, running: Running) -> None:
        """The program cancelled this operation: free what it holds."""


class Follower(Protocol):
    """What the driver needs of a trace that is followed (`schedules.driving.replay`)."""

    def issue(self, stream: Stream, handler: Handler) -> None:
        """A stream asks for an operation."""

    def start(self, started: Running, handler: Handler) -> bool:
        """A stream starts an operation; True if it is over at once."""

    def hold(self, stream: Stream) -> None:
        """A stream's operation is over: it is resumed when it is its turn."""

    def wanted(self, stream: Stream) -> frozenset[int]:
        """The positions of the handles that had arrived when the recorded `Await` ended."""


class Running:
    """One operation under way.

    Attributes:
        world, worker, stream: where it runs; `stream` is its program's.
        name, lane: of the lane that shows it, `compute` or `compute+1`, and the lane's number in the record; below 0:
            it is not recorded.
        operation: what was asked for.
        start_ns, ready_ns, end_ns: when it was issued; when the last participant was there; when it is over.
        result: its answer, once there is one.
        note: the recorded answer of `Meet` and `Await`.
        hook: called by `ended` first: the world's book-keeping.
        waiter: the stream that awaits it.
        work_ns: of a computation: how long it takes at full speed.
        is_over, is_cancelled, is_taken: its state; taken is what an `Await` has handed to its program.
        has_left: of a stream, whether it has said `Leave`, for the board.
    """

    __slots__ = (
        "end_ns", "has_left", "hook", "is_cancelled", "is_over", "is_taken", "lane", "name", "note", "operation",
        "ready_ns", "result", "start_ns", "stream", "waiter", "work_ns", "worker", "world",
    )  # fmt: skip
    work_ns: int  # unset in most: only a computation has it

    def __init__(self, world: World, worker: Worker, name: str, operation: Any, stream: Stream | None = None) -> None:
        self.world = world
        self.worker = worker
        self.stream: Any = stream or self  # a `Stream` stands for its own operation
        self.name = name
        self.lane = world.recorder.lane(worker.rank, name) if world.recorder is not None else -1
        self.operation = operation
        self.start_ns = self.ready_ns = self.end_ns = world.now
        self.result: Any = None
        self.note = ""
        self.hook: Callable[[Any], None] | None = None
        self.waiter: Stream | None = None
        self.is_over = self.is_cancelled = self.is_taken = self.has_left = False

    def ended(self) -> None:
        """A started operation is over: record it, and tell the stream that awaits it."""
        if self.is_cancelled:
            return
        if self.hook is not None:
            self.hook(self)
        self.is_over = True
        self.stream.free_lanes.append(self.name)
        if self.lane >= 0 and self.world.recorder is not None:
            self.world.recorder.row(self, None)
        if self.waiter is not None:
            self.waiter.arrived(self.end_ns)


class Stream(Running):
    """A program being run. As a `Running` it stands for the operation that its program waits for."""

    __slots__ = (
        "awaited", "course", "crew", "deadline", "free_lanes", "gradient_ns", "handlers", "index", "is_daemon",
        "ledger", "num_lanes", "program", "recorder", "replay", "send", "wanted",
    )  # fmt: skip

    def __init__(self, world: World, crew: Crew, name: str, program: Program, *, is_daemon: bool = False) -> None:
        super().__init__(world, crew.worker, name, None)
        self.crew = crew
        self.ledger = crew.worker.account.ledger
        self.program = program
        self.send: Callable[[Any], Operation] = program.send  # bound once: it is called for every operation
        self.index = -1
        self.is_daemon = is_daemon
        self.free_lanes: list[str] = []
        self.num_lanes = 0
        self.awaited: Sequence[Handle] | None = None
        self.deadline: Alarm | None = None
        self.wanted: frozenset[int] | int = 0
        self.replay, self.recorder, self.course = world.replay, world.recorder, world.course
        self.gradient_ns = world.gradient_ns
        self.handlers = world.handlers
        crew.streams.append(self)

    def begin(self) -> None:
        """Run the program to its first operation."""
        self._run(None)

    def ended(self) -> None:
        """The operation that this program waits for is over: resume it, or hold it until the replay's turn."""
        if self.hook is not None:
            self.hook(self)
            self.hook = None
        if self.replay is None:
            self._run((self.result, self.end_ns / self.gradient_ns))
        else:
            self.replay.hold(self)

    def replayed(self, answer: tuple[Any, float]) -> None:
        """It is this stream's turn in the replay: resume it with the recorded answer."""
        self.end_ns = self.world.now  # the ledger has the present time; the program is told the recorded one
        self._run(answer)

    def _run(self, answer: tuple[Any, float] | None) -> None:
        """Run the program until it waits."""
        now = self.ledger.now = self.end_ns  # what the program applies in this segment is entered at this time
        is_recorded = self.recorder is not None
        send = self.send  # by its own name: to call an attribute that is no method costs a look-up in the class
        try:
            while True:
                operation = send(answer)
                if is_recorded:
                    self._record()
                self.operation, self.result = operation, None
                self.start_ns = self.ready_ns = now
                self.index += 1
                try:
                    # By its class, and not by isinstance: a look-up is all that millions of operations can afford.
                    handler = self.handlers[operation.__class__]
                except KeyError:
                    told = not_an_operation(self.program, self.worker.rank, self.name, operation)
                    raise ProgramError(told) from None
                if self.replay is not None:
                    return self.replay.issue(self, handler)
                if not handler(self) or self.course.is_cut:
                    return None
                answer = (self.result, now / self.gradient_ns)
        except StopIteration:
            self._finish(0.0 if answer is None else answer[1])
        except Exception as error:
            message = mistake(error, self.program, self.worker.rank, self.name)
            if message is None:
                raise
            raise ProgramError(message) from error

    def _record(self) -> None:
        """The segment that consumed the last answer is over: record the operation with what was applied."""
        recorder, log = self.recorder, self.worker.account.log
        if self.operation is not None and recorder is not None:
            assert log is not None, "a recorded run has accounts that log"
            # The row comes only now, as what was applied is known when the program asks for the next operation. What
            # was applied to a stage has a row of its own: the operation's stage may be another.
            if not log:
                recorder.row(self, None)
                return
            is_first = log[0][-1] < 0
            recorder.row(self, log[0] if is_first else None)
            if len(log) > is_first:
                for applied in log[is_first:]:
                    recorder.apply_row(self, applied)
            log.clear()

    def _finish(self, time: float) -> None:
        """The program has ended, with what it was answered at this time."""
        # A program that was closed before its operation ended: sending to it has only ended it once more.
        if self.is_over:
            return
        if self.recorder is not None:
            self._record()
        self.is_over, self.operation = True, None
        self.crew.leave(self, time)

    def await_handles(self, handles: Sequence[Handle], wanted: frozenset[int] | int, now: int) -> bool:
        """Wait for so many of the handles, or for these positions; True if they are there already."""
        self.wanted = wanted
        if self._has_enough(handles):
            self._take_arrivals(handles, now)
            return True
        self.awaited = handles
        for handle in handles:
            handle.running.waiter = self
        return False

    def arrived(self, now: int) -> None:
        """One of the handles that this stream awaits is over."""
        if self.awaited is not None and self._has_enough(self.awaited):
            self.settle(now)

    def settle(self, now: int) -> None:
        """End the `Await` with what has arrived by now."""
        assert self.awaited is not None, "only a stream that awaits can settle"
        handles, self.awaited = self.awaited, None
        if self.deadline is not None:
            # A program may await the same handles again: the deadline of this time must not end that.
            self.deadline.cancel()
            self.deadline = None
        self._take_arrivals(handles, now)
        self.world.wake(self, now)

    def _has_enough(self, handles: Sequence[Handle]) -> bool:
        if not isinstance(self.wanted, int):
            return all(bool(handles[position].running.is_over) for position in self.wanted)
        num_spare = len(handles) - self.wanted
        for handle in handles:  # a loop that ends early: every arrival asks
            if not handle.running.is_over:
                if num_spare <= 0:
                    return False
                num_spare -= 1
        return num_spare >= 0  # more may be wanted than there are handles

    def _take_arrivals(self, handles: Sequence[Handle], now: int) -> None:
        """What has arrived becomes the result. A replay shows what had arrived then, not what has by now."""
        is_shown = [handle.running.is_over for handle in handles]
        if not isinstance(self.wanted, int):
            is_shown = [position in self.wanted for position in range(len(handles))]
        results = tuple(
            handle.running.result if shown else None for handle, shown in zip(handles, is_shown, strict=True)
        )
        arrived = tuple(position for position, shown in enumerate(is_shown) if shown)
        for handle in handles:
            handle.running.waiter = None
        for position in arrived:
            _take_result(handles[position].running, now)
        self.result = Arrivals(results, arrived)
        self.note = ",".join(map(str, arrived))


def _take_result(running: Running, now: int) -> None:
    """What a started operation has received has been kept for its program until now."""
    # A handle may be awaited again; what it has received is counted once.
    size = 0 if running.is_taken else received(running.operation, running.result)
    running.is_taken = True
    if size and running.end_ns < now:
        # Past the account, which looks at what programs hand it: this is entered for every message.
        account = running.worker.account
        account.ledger.held(account.rank, "received", size, running.end_ns, now)
