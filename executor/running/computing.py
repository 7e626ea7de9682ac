"""What `Compute` runs on: one thread an engine, first in, first out.

A kernel is prepared on the loop, where it reads the parameters; the engine's thread runs it. A paced kernel ends no
sooner than the platform's duration, drawn as the simulator draws it: a virtual GPU. What is computed meanwhile is
real.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from queue import SimpleQueue
from typing import Any

import torch

from executor.agreement.clock import Clock
from executor.running.waiting import sleep_until
from executor.wire.messages import Ends
from schedules.driving import answers
from schedules.driving.board import where
from schedules.driving.driver import Running
from schedules.errors import ProgramError
from schedules.platform.stragglers import Pace
from schedules.training.kernels import Kernel

Draw = Callable[[str], Iterator[int]]
"""Durations of a kernel in nanoseconds, without end."""


class Job:
    """One kernel to run."""

    __slots__ = ("duration_ns", "running", "work")

    def __init__(self, running: Running, work: Callable[[], Any] | None, duration_ns: int) -> None:
        self.running = running
        self.work = work
        self.duration_ns = duration_ns


class Engines:
    """The engines of one rank.

    Args:
        draw: durations of a kernel, or None where kernels take what they take.
        device: waited for at the end of a kernel.
        pace: of the rank; paced kernels take longer in its slow spells.
        kernels: what they compute; None in a timing-only run.
    """

    def __init__(
        self,
        clock: Clock,
        ends: Ends,
        draw: Draw | None,
        device: torch.device,
        pace: Pace,
        kernels: Mapping[str, Kernel] | None,
    ) -> None:
        self._kernels = kernels
        self._clock, self._ends, self._draw, self._device = clock, ends, draw, device
        self._pace, self._pace_lock = pace, threading.Lock()  # all engines' threads ask it
        self._durations: dict[str, Iterator[int]] = {}
        self._threads: dict[str, _Engine] = {}

    def issue(self, running: Running) -> bool:
        """Handler of `Compute`: the parameters are read here."""
        worker, operation = running.worker, running.operation
        model = worker.model
        size = operation.inputs[1][operation.stage] if operation.kernel == "backward" else model.size
        running.result = answers.of_kernel(model, size, running.start_ns)
        job = Job(running, self._prepared(running), self._duration(operation.kernel))
        engine = self._threads.get(operation.engine)
        if engine is None:
            engine = self._threads[operation.engine] = _Engine(operation.engine, self)
        engine.jobs.put(job)
        return False

    def abandon(self, running: Running) -> None:
        """Free the engine that runs this: another thread takes over what is queued behind it."""
        name = running.operation.engine
        engine = self._threads[name]
        if engine.leave(running):
            ready_ns = running.ready_ns
            account = running.worker.account
            account.ledger.computed(account.rank, ready_ns, max(ready_ns, self._ends.now), running.operation)
            self._threads[name] = _Engine(name, self, engine.jobs)

    def busy_until_ns(self) -> int:
        """Until when a paced kernel is known to be under way."""
        return max((engine.until_ns for engine in self._threads.values()), default=0)

    def _prepared(self, running: Running) -> Callable[[], Any] | None:
        kernel, kernels = running.operation.kernel, self._kernels
        if not kernels:
            return None
        if kernel not in kernels:
            known = ", ".join(kernels)
            stream = running.stream
            place = where(stream.program, running.worker.rank, stream.name)
            raise ProgramError(f"{place}: expected one of the kernels {known}; found {kernel!r}")
        work: Callable[[], Any] = kernels[kernel](running.operation)
        return work

    def _duration(self, kernel: str) -> int:
        if self._draw is None:
            return 0
        durations = self._durations.get(kernel)
        if durations is None:
            durations = self._durations[kernel] = self._draw(kernel)
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
            if self._device.type == "cuda":
                torch.cuda.current_stream(self._device).synchronize()
        if job.duration_ns and self._clock.t0_ns is not None:
            sleep_until(self._clock.t0_ns + until_ns)
        running.end_ns = self._ends.now
        self._ends.done(running)


class _Engine:
    """A thread that runs kernels one after the other, until a cancelled one has left it to itself."""

    def __init__(self, name: str, engines: Engines, jobs: SimpleQueue[Job] | None = None) -> None:
        self.jobs: SimpleQueue[Job] = jobs or SimpleQueue()
        self.until_ns = 0
        self._engines = engines
        self._lock = threading.Lock()
        self._current: Running | None = None
        self._is_left = False
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
            self._engines.run(job, self)
        except Exception as error:
            self._engines.failed(job.running, error)
        with self._lock:
            self._current = None
