"""Computing: what `Compute` runs on, one thread an engine, first in, first out.

A kernel is prepared on the loop, where it reads the parameters; the engine's thread runs it. A paced kernel ends no
sooner than the platform's duration, drawn as the simulator draws it: a virtual GPU. What is computed meanwhile is
real.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping
from queue import SimpleQueue

import torch

from executor.agreement.clock import RunClock
from executor.ends import Ends
from executor.running.engine import EngineThread, Job
from executor.running.waiting import sleep_until
from schedules.driving import answers
from schedules.driving.board import mistake, no_duration
from schedules.driving.checks import kernel_without_row
from schedules.driving.driver import Handler, Running
from schedules.errors import ProgramError, UnknownKernelError, UnknownStageError
from schedules.operations import Compute, Operation
from schedules.platform.durations import Draw, Key, key
from schedules.platform.stragglers import Pace
from schedules.training.kernels import Kernels, prepared


class Computing:
    """The engines of one rank.

    Args:
        clock: of the run: a paced kernel ends at a time of it.
        ends: where the end of a kernel is told.
        kernels: what each kernel computes, by name.
        durations: draws how long a kernel takes, or None where kernels take what they take.
        device: waited for at the end of a kernel.
        pace: of the rank; paced kernels take longer in its slow spells.
    """

    def __init__(
        self,
        clock: RunClock,
        ends: Ends,
        *,
        kernels: Kernels,
        durations: Mapping[Key, Draw] | None,
        device: torch.device,
        pace: Pace,
    ) -> None:
        self._clock, self._ends, self._durations, self._device = clock, ends, durations, device
        self._kernels = kernels
        self._pace, self._pace_lock = pace, threading.Lock()  # all engines' threads ask it, and it keeps where it is
        self._engines: dict[str, EngineThread] = {}

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
            self._engines[name] = self._engine(name, engine.jobs)

    def stop(self, under_way: Collection[Running], now: int) -> None:
        """The run is cut: kernels that are under way count until now and have computed nothing."""
        kernels = [each for each in under_way if isinstance(each.operation, Compute)]
        for each in kernels:  # all first: an engine that is left takes up what is queued behind
            each.is_cancelled = True
        for each in kernels:
            self.withdraw(each, now)

    def busy_until_ns(self) -> int:
        """Until when a kernel is known to be under way: a paced one until its end, a real one until now at least."""
        engines, now = self._engines.values(), self._ends.now
        return max((max(each.until_ns, now if each.is_busy else 0) for each in engines), default=0)

    def _compute(self, running: Running) -> bool:
        """The parameters are read here, on the loop: on the engine's thread a later segment may have changed them."""
        self._ends.issued(running)
        running.hook = _enter
        worker, operation = running.worker, running.operation
        model = worker.stage(operation.stage)
        kernel = self._kernels.get(operation.kernel) or kernel_without_row(running, model, self._kernels)
        # Made before its array: the versions that it tells are those of the parameters that are read now.
        running.result = answers.of_kernel(model, kernel, operation, running.start_ns)
        answer = running.result
        work = None if model.state is None else prepared(kernel, operation, model, model.state, answer)
        running.work_ns = self._duration(running)
        engine = self._engines.get(operation.engine)
        if engine is None:
            engine = self._engines[operation.engine] = self._engine(operation.engine)
        engine.jobs.put(Job(running, work))
        return False

    def _engine(self, name: str, jobs: SimpleQueue[Job] | None = None) -> EngineThread:
        return EngineThread(name, run=self.run, failed=self._failed, jobs=jobs)

    def _failed(self, running: Running, error: BaseException) -> None:
        """A kernel has raised: a mistake of the program's is told with its line."""
        stream = running.stream
        told = mistake(error, stream.program, running.worker.rank, stream.name)
        self._ends.failed(running, error if told is None else ProgramError(told))

    def _duration(self, running: Running) -> int:
        """Drawn at issue, in the order of the program: the simulator draws the same for the same kernel."""
        if self._durations is None:
            return 0
        operation = running.operation
        try:
            return self._durations[key(operation.kernel, operation.stage)]()
        except (UnknownKernelError, UnknownStageError) as error:
            raise ProgramError(no_duration(running, error)) from None

    def run(self, job: Job, engine: EngineThread) -> None:
        """Run one kernel, on the engine's thread."""
        running = job.running
        ready_ns = running.ready_ns = self._ends.now
        with self._pace_lock:
            until_ns = engine.until_ns = self._pace.end(ready_ns, running.work_ns)
        if job.work is not None:
            job.work()
            if self._device.type == "cuda":  # a GPU is only handed its work: without this, nothing has been computed
                torch.cuda.current_stream(self._device).synchronize()
        if running.work_ns and self._clock.t0_ns is not None:
            # Until an instant rather than for a time: what the real work took and how late the thread woke are in it.
            sleep_until(self._clock.t0_ns + until_ns)
        running.end_ns = self._ends.now
        self._ends.done(running)


def _enter(running: Running, end_ns: int | None = None) -> None:
    """Enter a computation with its activations; it ends with the operation, or sooner where that is cancelled."""
    account, end = running.worker.account, running.end_ns if end_ns is None else end_ns
    is_done = not running.is_cancelled
    gradients = running.result.what[2] if is_done else 0
    account.ledger.computed(account.rank, running.ready_ns, end, running.operation, gradients, is_done=is_done)
