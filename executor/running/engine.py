"""A thread that runs kernels one after the other."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue

from schedules.driving.driver import Running


class Job:
    """One kernel to run; `work` computes its answer."""

    __slots__ = ("running", "work")

    def __init__(self, running: Running, work: Callable[[], None] | None) -> None:
        self.running = running
        self.work = work


class EngineThread:
    """A thread that runs kernels one after the other, until a cancelled one has left it to itself.

    Args:
        name: of the engine.
        run: runs one, on this thread.
        failed: is told of one that has raised.
        jobs: what is queued already.
    Attributes:
        until_ns: until when a paced kernel is known to be under way.
    """

    def __init__(
        self,
        name: str,
        *,
        run: Callable[[Job, EngineThread], None],
        failed: Callable[[Running, BaseException], None],
        jobs: SimpleQueue[Job] | None = None,
    ) -> None:
        self.jobs: SimpleQueue[Job] = jobs or SimpleQueue()  # an empty queue is true: it has no length
        self.until_ns = 0
        self._run, self._failed = run, failed
        # The loop cancels while this thread begins or ends a kernel: whether it runs that one is asked under the lock.
        self._lock = threading.Lock()
        self._current: Running | None = None
        self._is_left = False
        # A daemon: nobody joins it, and its kernel may never return.
        threading.Thread(target=self._work, name=f"engine-{name}", daemon=True).start()

    @property
    def is_busy(self) -> bool:
        """Whether a kernel is under way."""
        return self._current is not None

    def leave(self, running: Running) -> bool:
        """Have the thread end with this kernel. Returns False if it does not run it."""
        with self._lock:
            self._is_left = self._current is running
            return self._is_left

    def _work(self) -> None:
        while not self._is_left:
            self._take(self.jobs.get())

    def _take(self, job: Job) -> None:
        with self._lock:
            if job.running.is_cancelled:
                return
            self._current = job.running
        try:
            self._run(job, self)
        except Exception as error:
            self._failed(job.running, error)
        with self._lock:
            self._current = None
