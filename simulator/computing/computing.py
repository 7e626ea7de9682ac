"""Kernels on engines: what runs, what waits, and when it is over."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence

from schedules.driving import answers
from schedules.driving.board import no_duration
from schedules.driving.checks import kernel_without_row
from schedules.driving.driver import Handler, Running
from schedules.errors import ProgramError, UnknownKernelError, UnknownStageError
from schedules.operations import Compute, Operation
from schedules.payload import What, fresh
from schedules.platform.durations import Draw, Key, key
from schedules.platform.stragglers import Pace
from schedules.record.ledger import Ledger
from schedules.training.kernels import Kernel, Kernels, prepared
from schedules.training.model import Model
from simulator.computing.engines import Engine
from simulator.computing.hosts import Hosts
from simulator.computing.retiming import Retiming
from simulator.events import Events

Row = tuple[Draw, Model, Kernel, What, int]
"""What computations of one kernel and stage of a rank have in common: how long they take, on which model, by which
kernel, what their answers are, and the bytes of one whose operation does not say them. A plain tuple: it is taken apart
for every kernel, and one with names slowly."""


class Computing:
    """The engines of all workers.

    Attributes:
        durations, kernels: for every rank, what draws how long its kernels take, and what these compute.
        retiming: what moves the ends of kernels that run, where ranks may be slowed down; see `retime`.
    """

    def __init__(self, events: Events, ledger: Ledger) -> None:
        self._events, self._ledger = events, ledger
        self._end_at, self._computed = events.end_at, ledger.computed  # looked up once: for every kernel
        self.kernels: list[Kernels] = []
        self._rows: list[dict[Key, Row]] = []
        self._engines: list[defaultdict[str, Engine]] = []
        self._occupy: Callable[[Engine, Running, int], None] = self._occupy_to_the_end
        self.durations: list[dict[Key, Draw]] = []
        self.retiming: Retiming | None = None

    def handlers(self) -> dict[type[Operation], Handler]:
        """What it answers."""
        return {Compute: self.post}

    def add(self, durations: dict[Key, Draw], kernels: Kernels) -> None:
        """Add a worker: what draws how long its kernels take, and what they compute."""
        self.durations.append(durations)
        self.kernels.append(kernels)
        self._rows.append({})
        self._engines.append(defaultdict(Engine))

    def retime(self, paces: Sequence[Pace], communication_slowdown: float, hosts: Hosts | None = None) -> Retiming:
        """Have kernels end later where their rank is slowed down: the pace of every rank, what transfers do, and how
        late threads are."""
        self.retiming = Retiming(
            paces,
            # The list itself: workers are added after this.
            self.durations,
            communication_slowdown=communication_slowdown,
            call_at=self._events.call_at,
            ledger=self._ledger,
            hosts=hosts,
        )
        self._occupy = self.retiming.occupy
        return self.retiming

    def post(self, running: Running) -> bool:
        """A computation has been issued: it reads the parameters now, and runs when its engine is free."""
        operation, rank, now = running.operation, running.worker.rank, running.start_ns
        name, stage = operation.kernel, operation.stage
        # `durations.key`, which would cost a call.
        row = self._rows[rank].get(name if stage < 0 else (name, stage))
        draw, model, kernel, what, usual = self._row(running) if row is None else row
        running.work_ns = draw()  # in the order of the program, as the executor does it
        if operation.at is None:  # as below; of most, without a call
            size = operation.size
            running.result = fresh(usual if size is None else size, model.version, model.steps, now, what)
        else:
            running.result = answers.of_kernel(model, kernel, operation, now, what)
        if model.state is not None:
            # Computed at once: no time passes here, and the parameters are those of the issue.
            prepared(kernel, operation, model, model.state, running.result)()
        engine = self._engines[rank][operation.engine]
        # In the tick in which a kernel ends others may be waiting for it yet, and go first.
        if engine.free_ns <= now and not engine.waiting:
            occupy = self._occupy
            occupy(engine, running, now)
        else:
            engine.waiting.append(running)
            engine.current.hook = self._next_on_engine  # only now: most kernels have nobody behind them
        return False

    def _row(self, running: Running) -> Row:
        """What a computation by the kernel and stage of this one takes and answers, worked out once."""
        worker, operation, rank = running.worker, running.operation, running.worker.rank
        asked = key(operation.kernel, operation.stage)
        model = worker.model if worker.stages is None else worker.stage(operation.stage)
        try:
            draw = self.durations[rank][asked]
        except (UnknownKernelError, UnknownStageError) as error:
            raise ProgramError(no_duration(running, error)) from None
        kernel = self.kernels[rank].get(operation.kernel)
        is_known = kernel is not None
        if kernel is None:
            kernel = kernel_without_row(running, model, self.kernels[rank])
        size = model.size if kernel.size is None else kernel.size
        row = draw, model, kernel, answers.kind_of(model, kernel, operation), size
        if is_known or model.state is None:  # else it is the operation that brings its work, and the next may not
            self._rows[rank][asked] = row
        return row

    def withdraw(self, running: Running, now: int) -> None:
        """A computation is cancelled: its engine is free, or it does not wait for it any more."""
        engine = self._engines[running.worker.rank][running.operation.engine]
        if running is not engine.current:
            engine.waiting.remove(running)
        elif running.end_ns > now:  # else it is over in this very tick
            if self.retiming is None:
                self._ledger.shorten(running.worker.rank, running.ready_ns, running.end_ns, now)
            else:
                self.retiming.abandon(running, now)
            engine.free_ns = running.end_ns = now
            self._next_on_engine(running)

    def _occupy_to_the_end(self, engine: Engine, running: Running, now: int) -> None:
        operation, rank = running.operation, running.worker.rank
        engine.current = running
        running.ready_ns = now
        engine.free_ns = running.end_ns = end = now + running.work_ns
        # Entered now: nothing moves its end but being cancelled, and then the entry is shortened.
        computed, end_at = self._computed, self._end_at
        computed(rank, now, end, operation, running.result.what[2])
        end_at(end, running)

    def _next_on_engine(self, running: Running) -> None:
        """The hook of a kernel that others wait behind."""
        engine = self._engines[running.worker.rank][running.operation.engine]
        if engine.waiting:
            following = engine.waiting.popleft()
            self._occupy(engine, following, running.end_ns)
            if engine.waiting:
                following.hook = self._next_on_engine
