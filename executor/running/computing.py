"""Computing: what `Compute` runs on, one thread an engine, first in, first out.

A kernel is prepared on the loop, where it reads the parameters; the engine's thread runs it. A paced kernel ends no
sooner than the platform's duration, drawn as the simulator draws it: a virtual GPU. What is computed meanwhile is
real.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from queue import SimpleQueue

import torch

from executor.agreement.clock import RunClock
from executor.ends import Ends
from executor.running.waiting import sleep_until
from schedules.driving import answers
from schedules.driving.board import not_a_kernel
from schedules.driving.driver import Handler, Running
from schedules.errors import ProgramError, UnknownKernelError
from schedules.operations import Array, Compute, Operation
from schedules.platform.stragglers import Pace
from schedules.training.kernels import Kernel

Draw = Callable[[str], Iterator[int]]
"""Durations of a kernel in nanoseconds, without end."""


class Job:
    """One kernel to run."""

    __slots__ = ("duration_ns", "running", "work")

    def __init__(self, running: Running, work: Callable[[], Array] | None, duration_ns: int) -> None:
        self.running = running
        self.work = work
        self.duration_ns = duration_ns


class Computing:
    """The engines of one rank.

    Args:
        clock: of the run: a paced kernel ends at a time of it.
        ends: where the end of a kernel is told.
        kernels: what each kernel computes, by name; None or none in a timing-only run.
        draw: durations of a kernel, or None where kernels take what they take.
        device: waited for at the end of a kernel.
        pace: of the rank; paced kernels take longer in its slow spells.
    """

    def __init__(
        self,
        clock: RunClock,
        ends: Ends,
        *,
        kernels: Mapping[str, Kernel] | None,
        draw: Draw | None,
        device: torch.device,
        pace: Pace,
    ) -> None:
        self._clock, self._ends, self._draw, self._device = clock, ends, draw, device
        self._kernels = kernels
        self._pace, self._pace_lock = pace, threading.Lock()  # all engines' threads ask it, and it keeps where it is
        self._durations: dict[str, Iterator[int]] = {}
        self._engines: dict[str, _Engine] = {}

    def handlers(self) -> dict[type[Operation], Handler]:
        """Which operations it answers, and how."""
        return {Compute: self._compute}

    def withdraw(self, running: Running, now: int) -> None:
        """Free the engine that runs this: another thread takes over what is queued behind it.

        A thread cannot be stopped in the middle of a kernel. It is left to finish for nobody, and its time counts until
        now; a kernel that has not begun is passed over when its turn comes.
        """
        name = running.operation.engine
        engine = self._engines[name]
        if engine.leave(running):
            _enter(running, max(running.ready_ns, now))
            self._engines[name] = _Engine(name, self, engine.jobs)

    def busy_until_ns(self) -> int:
        """Until when a paced kernel is known to be under way."""
        return max((engine.until_ns for engine in self._engines.values()), default=0)

    def _compute(self, running: Running) -> bool:
        """The parameters are read here, on the loop: on the engine's thread a later segment may have changed them."""
        self._ends.issued(running)
        running.hook = _enter
        model, operation = running.worker.model, running.operation
        # Made before its array: the versions that it tells are those of the parameters that are read now.
        size = operation.inputs[1][operation.stage] if operation.kernel == "backward" else model.size
        running.result = answers.of_kernel(model, size, running.start_ns)
        job = Job(running, self._prepared(running), self._duration(running))
        engine = self._engines.get(operation.engine)
        if engine is None:
            engine = self._engines[operation.engine] = _Engine(operation.engine, self)
        engine.jobs.put(job)
        return False

    def _prepared(self, running: Running) -> Callable[[], Array] | None:
        kernel = running.operation.kernel
        if not self._kernels:
            return None
        if kernel not in self._kernels:
            raise ProgramError(not_a_kernel(running, self._kernels))
        return self._kernels[kernel](running.operation)

    def _duration(self, running: Running) -> int:
        """Drawn at issue, in the order of the program: the simulator draws the same for the same kernel."""
        if self._draw is None:
            return 0
        kernel = running.operation.kernel
        durations = self._durations.get(kernel)
        if durations is None:
            try:
                durations = self._durations[kernel] = self._draw(kernel)
            except UnknownKernelError as error:
                raise ProgramError(not_a_kernel(running, error.known)) from None
        return next(durations)

    def failed(self, running: Running, error: BaseException) -> None:
        """A kernel has raised."""
        self._ends.failed(running, error)

    def run(self, job: Job, engine: _Engine) -> None:
        """Run one kernel, on the engine's thread."""
        running = job.running
        ready_ns = running.ready_ns = self._ends.now
        with self._pace_lock:
            until_ns = engine.until_ns = self._pace.end(ready_ns, job.duration_ns)
        if job.work is not None:
            array = running.result.array = job.work()
            running.result.size = array.nbytes
            if self._device.type == "cuda":  # a GPU is only handed its work: without this, nothing has been computed
                torch.cuda.current_stream(self._device).synchronize()
        if job.duration_ns and self._clock.t0_ns is not None:
            # Until an instant rather than for a time: what the real work took and how late the thread woke are in it.
            sleep_until(self._clock.t0_ns + until_ns)
        running.end_ns = self._ends.now
        self._ends.done(running)


def _enter(running: Running, end_ns: int | None = None) -> None:
    """Enter a computation with its activations; it ends with the operation, or sooner where that is cancelled."""
    account, end = running.worker.account, running.end_ns if end_ns is None else end_ns
    account.ledger.computed(account.rank, running.ready_ns, end, running.operation)


class _Engine:
    """A thread that runs kernels one after the other, until a cancelled one has left it to itself."""

    def __init__(self, name: str, computing: Computing, jobs: SimpleQueue[Job] | None = None) -> None:
        self.jobs: SimpleQueue[Job] = jobs or SimpleQueue()  # an empty queue is true: it has no length
        self.until_ns = 0
        self._computing = computing
        # The loop cancels while this thread begins or ends a kernel: whether it runs that one is asked under the lock.
        self._lock = threading.Lock()
        self._current: Running | None = None
        self._is_left = False
        # A daemon: nobody joins it, and its kernel may never return.
        threading.Thread(target=self._work, name=f"engine-{name}", daemon=True).start()

    def leave(self, running: Running) -> bool:
        """Have the thread end with this kernel. Returns False if it does not run it."""
        with self._lock:
            self._is_left = self._current is running
            return self._is_left

    def _work(self) -> None:
        while not self._is_left:
            self._run(self.jobs.get())

    def _run(self, job: Job) -> None:
        with self._lock:
            if job.running.is_cancelled:
                return
            self._current = job.running
        try:
            self._computing.run(job, self)
        except Exception as error:
            self._computing.failed(job.running, error)
        with self._lock:
            self._current = None
