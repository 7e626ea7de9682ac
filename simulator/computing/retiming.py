"""Kernels on engines: what runs, what waits, and kernels whose end moves while they run.

A kernel's end is known when it begins, unless its rank may be slowed down meanwhile: by a slow spell
(`schedules.platform.stragglers`), or by transfers, where computing and communicating share what they need. Then the end
is worked out anew whenever that changes, and the work that is left is what counts. How late a thread is that takes a
kernel up, or that wakes at its end, is work, too (`simulator.computing.hosts`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from schedules.driving.driver import Running
from schedules.platform.durations import Draw, Key, key
from schedules.platform.stragglers import Pace
from schedules.record.ledger import Ledger
from simulator.computing.engines import Engine
from simulator.computing.hosts import START, WAKING, Hosts
from simulator.network.calls import CallAt


class PacedKernel:
    """A kernel under way: what is left of it, in nanoseconds at full speed, as of `since_ns`; and whether its thread
    has slept until its end, and is waking."""

    __slots__ = ("engine", "is_waking", "running", "since_ns", "work")

    def __init__(self, engine: Engine, running: Running, since_ns: int, work: float) -> None:
        self.engine = engine
        self.running = running
        self.since_ns = since_ns
        self.work = work
        self.is_waking = False


class Retiming:
    """Kernels whose end may move.

    Args:
        paces: of every rank.
        durations: for every rank, what draws how long a kernel takes, where one begins anew.
        communication_slowdown: how many times longer kernels take while a transfer of their rank is under way.
        call_at: has something called at a tick.
        ledger: where a computation is entered when it is over.
        hosts: how late threads are; None: never.
    Attributes:
        num_ended: kernels that have come to their end.
    """

    def __init__(
        self,
        paces: Sequence[Pace],
        durations: Sequence[Mapping[Key, Draw]],
        *,
        communication_slowdown: float,
        call_at: CallAt,
        ledger: Ledger,
        hosts: Hosts | None = None,
    ) -> None:
        self._hosts = hosts
        self._slowdown = communication_slowdown
        self._paces, self._durations = paces, durations
        self._call_at, self._ledger = call_at, ledger
        self._kernels: list[list[PacedKernel]] = [[] for _ in paces]
        self._transfers = [0] * len(paces)
        self.num_ended = 0

    def occupy(self, engine: Engine, running: Running, now: int) -> None:
        """Begin a kernel on an engine that is free."""
        rank = running.worker.rank
        engine.current = running
        # A thread that has ended one kernel takes up the next at once; one that waits has to notice.
        is_waited_for = self._hosts is not None and running.start_ns == now
        late = self._hosts.quiet(rank, START) if self._hosts is not None and is_waited_for else 0
        running.ready_ns = now + late
        kernel = PacedKernel(engine, running, now, running.work_ns + late)
        self._kernels[rank].append(kernel)
        self._plan(kernel, rank)
        if is_waited_for:  # at its beginning others may begin to transfer: how busy the machine is it finds then
            self._call_at(now + late, partial(self._take_up, kernel, rank, now + late))

    def _take_up(self, kernel: PacedKernel, rank: int, now: int) -> None:
        """The thread is to begin: it does later where it finds the machine busy."""
        assert self._hosts is not None
        extra = self._hosts.extra(rank, START)
        if extra and kernel in self._kernels[rank]:
            kernel.running.ready_ns = now + extra
            self._lengthen(kernel, rank, extra, now)

    def abandon(self, running: Running, now: int) -> None:
        """A kernel is cancelled."""
        kernels = self._kernels[running.worker.rank]
        kernels.remove(next(each for each in kernels if each.running is running))
        self._enter(running, now)

    def restart(self, rank: int, now: int, at: int | None) -> None:
        """The rank fails: what its kernels have done is lost, and they begin anew at `at` (None: never)."""
        kernels, self._kernels[rank] = self._kernels[rank], []
        for kernel in kernels:
            running = kernel.running
            self._enter(running, now)
            running.end_ns = -1  # void
            if at is not None:
                kernel.engine.free_ns = at  # nobody else may have it meanwhile
                self._call_at(at, partial(self._begin_anew, kernel.engine, running, at))

    def _begin_anew(self, engine: Engine, running: Running, now: int) -> None:
        operation = running.operation
        running.work_ns = self._durations[running.worker.rank][key(operation.kernel, operation.stage)]()
        self.occupy(engine, running, now)

    def transfer_began(self, rank: int, at: int) -> None:
        """A transfer of the rank begins, now or later."""
        self._call_at(at, partial(self._count, rank, 1, at))

    def transfer_ended(self, rank: int, at: int) -> None:
        """A transfer of the rank ends, now or later."""
        self._call_at(at, partial(self._count, rank, -1, at))

    def transfer(self, rank: int, begin: int, end: int) -> None:
        """A transfer of the rank is under way from one tick to another."""
        self.transfer_began(rank, begin)
        self.transfer_ended(rank, end)

    def _count(self, rank: int, change: int, now: int) -> None:
        before = self._transfers[rank]
        after = self._transfers[rank] = before + change
        assert after >= 0, "a transfer ends that has not begun"
        # How many transfers are under way does not matter, only whether there is any.
        if (before == 0) != (after == 0):
            if self._hosts is not None:
                self._hosts.moved(rank, change)
            factor = 1.0 if before == 0 else self._slowdown  # of the time until now
            for kernel in self._kernels[rank] if self._slowdown != 1 else ():
                if kernel.running.end_ns > now:  # else it is over, in this very tick
                    kernel.work -= self._paces[rank].work(kernel.since_ns, now) / factor
                    kernel.since_ns = now
                    self._plan(kernel, rank)

    def _lengthen(self, kernel: PacedKernel, rank: int, more: int, now: int) -> None:
        """There is more to a kernel than was known."""
        factor = self._slowdown if self._transfers[rank] else 1.0
        kernel.work += more - self._paces[rank].work(kernel.since_ns, now) / factor
        kernel.since_ns = now
        self._plan(kernel, rank)

    def _plan(self, kernel: PacedKernel, rank: int) -> None:
        """Work out when the kernel is over, if nothing changes."""
        factor = self._slowdown if self._transfers[rank] else 1.0
        # By rounding more than all of it may be done.
        end = self._paces[rank].end(kernel.since_ns, max(0.0, kernel.work) * factor)
        kernel.engine.free_ns = kernel.running.end_ns = end
        self._call_at(end, partial(self._finish, kernel, rank, end))

    def _finish(self, kernel: PacedKernel, rank: int, now: int) -> None:
        """The kernel is over, unless its end has moved or it was cancelled."""
        running = kernel.running
        # Plans are not taken out of the queue: one that is void finds another end here, or the kernel gone.
        if running.end_ns != now or kernel not in self._kernels[rank]:
            return
        if self._hosts is not None and running.work_ns and not kernel.is_waking:
            kernel.is_waking = True
            late = self._hosts.quiet(rank, WAKING) + self._hosts.extra(rank, WAKING)
            self._lengthen(kernel, rank, late, now)
            return
        self._kernels[rank].remove(kernel)
        self.num_ended += 1
        self._enter(running, now)
        if self._hosts is None:
            running.ended()
        else:
            self._tell(running, self._hosts, now)

    def _tell(self, running: Running, hosts: Hosts, now: int) -> None:
        """A kernel is over, and its engine free; its program hears of it later."""
        hook, running.hook = running.hook, None
        if hook is not None:
            hook(running)
        hosts.tell(now, running)

    def _enter(self, running: Running, end: int) -> None:
        is_done = end == running.end_ns and not running.is_cancelled
        gradients = running.result.what[2] if is_done else 0
        rank, operation = running.worker.rank, running.operation
        self._ledger.computed(rank, running.ready_ns, end, operation, gradients, is_done=is_done)
