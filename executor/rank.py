"""One rank of a run, from set-up to report: what every launcher calls."""

from __future__ import annotations

import os
import socket
import sys
import time
import traceback
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import torch

from executor import rank_report as report
from executor.agreement.clock import EXACT, Clock, Offset, machine, measure_offset
from executor.agreement.control import Control, connect, tell
from executor.agreement.meetings import Desk, Meetings
from executor.agreement.news import FAILED, News
from executor.running.computing import Draw, Engines
from executor.running.waiting import sharpen
from executor.wire.collectives import Collectives
from executor.wire.groups import Groups, Placement, place
from executor.wire.messages import PointToPoint
from executor.world import Stopped, World
from schedules.driving.coordinator import Coordinator
from schedules.driving.replay import Replay
from schedules.errors import ScheduleError
from schedules.platform.durations import durations
from schedules.platform.stragglers import pace
from schedules.record.trace import FileRecorder
from schedules.scenario import Scenario, ScenarioError, load
from schedules.setup import OBSERVE, Setup
from schedules.worker import Worker

LEAD_NS = 20_000_000
"""How far ahead the common start lies when rank 0 sets it: longer than the news of it travels."""


@dataclass(frozen=True)
class Seat:
    """Where a rank sits.

    Attributes:
        rank, num_workers: which one, of how many.
        local_rank, local_size: the same, of those on this machine.
        host, port, prefix: of the store, and of this run in it.
        directory: where it keeps its files.
    """

    rank: int
    num_workers: int
    local_rank: int
    local_size: int
    host: str
    port: int
    prefix: str
    directory: Path

    @property
    def is_local(self) -> bool:
        """Whether all ranks are on this machine."""
        return self.local_size == self.num_workers


@dataclass(frozen=True)
class Order:
    """What is to be run: the tables of a resolved scenario, and a file with the rows to follow and their gradient
    time."""

    scenario: dict[str, Any]
    replay: str | None = None
    replay_gradient_s: float = 1.0


def run_rank(order: Order, seat: Seat) -> int:
    """Run one rank. Returns the exit status of its process: 0, or 1 where the run has failed."""
    sharpen()
    torch.set_num_threads(1)
    control = None
    try:
        scenario = load(order.scenario)
        control = Control(
            lambda: connect(seat.host, seat.port, seat.prefix), seat.rank, seat.num_workers, scenario.execution.timeout
        )
        Run(order, scenario, seat, control).run()
    except Stopped:
        return 1
    except Exception as error:
        if control is None:
            raise
        tell(control.store, _news(seat.rank, error))
        return 1
    return 0


def _news(rank: int, error: Exception) -> News:
    """What is told of an error: its own message where it is ours, else the line of the program that raised it."""
    name = type(error).__name__
    if isinstance(error, ScheduleError | ScenarioError):
        return News(FAILED, rank, f"rank {rank}: {error}", name)
    place = _place(error.__traceback__)
    return News(FAILED, rank, f"rank {rank}: {place}{name}: {error}", name, traceback.format_exc())


def _place(trace: TracebackType | None) -> str:
    """`file.py:12: line`, where it was raised."""
    frames = traceback.extract_tb(trace)
    return f"{frames[-1].filename}:{frames[-1].lineno}: {frames[-1].line}\n  " if frames else ""


class Run:
    """The parts of one rank, put together. (`executor.world.Services`)"""

    def __init__(self, order: Order, scenario: Scenario, seat: Seat, control: Control) -> None:
        self.scenario, self.seat, self.control = scenario, seat, control
        self.clock = Clock()
        self.placement = place(scenario, seat.local_rank, seat.local_size)
        self.recorder = FileRecorder(report.stem(seat.directory, seat.rank)) if scenario.run.trace else None
        self.replay = _replay(order, seat.rank)
        self.world = World(
            gradient_ns=scenario.gradient_s * 1e9,
            clock=self.clock,
            control=control,
            recorder=self.recorder,
            replay=self.replay,
        )
        control.listen(self.world.hear, lambda: os._exit(1))
        self.module: Any = None
        self.worker = self._worker()
        self._provide()

    def run(self) -> None:
        """Connect, start together, run, and write the report."""
        before = self._warm_up()
        self._start(before)
        cpu = time.process_time()
        self.world.run()
        cpu = time.process_time() - cpu
        after = measure_offset(self.meetings.ask_time) if not self._is_clock_shared else EXACT
        self._report(before, after, cpu)

    # ------------------------------------------------------------------ set-up

    def _worker(self) -> Worker:
        scenario, device = self.scenario, self.placement.device
        namespace = torch if scenario.is_numeric else None
        setup = Setup(scenario, xp=namespace, device=device, is_recorded=self.recorder is not None)
        model = kernels = None
        if scenario.workload.module is not None and scenario.run.numerics:
            from executor.running.modules import module_kernels

            self.module, model, kernels = module_kernels(setup, self.seat.rank, device)
        self.problem: Any = self.module or setup.problem
        worker = setup.worker(self.seat.rank, model)
        self.kernels = kernels if kernels is not None else setup.kernels(worker)
        self.world.add(worker, setup.programs(worker), daemons=(OBSERVE,))
        return worker

    def _provide(self) -> None:
        seat, world, store = self.seat, self.world, self.control.store
        groups = Groups(store, self.placement, is_local=seat.is_local)
        rank_pace = pace(self.scenario.platform.stragglers, self.scenario.run.seed, seat.rank)
        self.engines = Engines(self.clock, world, self._draw(), self.placement.device, rank_pace, self.kernels)
        self.messages = PointToPoint(groups, seat.rank, seat.num_workers, world)
        self.collectives = Collectives(groups, seat.rank, seat.num_workers, world)
        if seat.rank == 0:
            coordinator = Coordinator(seat.num_workers, self.scenario.run.seed)
            Desk(store, "127.0.0.1" if seat.is_local else seat.host, seat.num_workers, coordinator)
        self.meetings = Meetings(store, seat.rank, world)
        world.provide(self)

    def _draw(self) -> Draw | None:
        """Durations of paced kernels; a replay follows an order and does not wait."""
        compute = self.scenario.execution.compute
        is_real = self.kernels is not None if compute == "auto" else compute == "real"
        if self.replay is not None or (is_real and self.kernels):
            return None
        if is_real:
            raise ScenarioError("scenario: execution.compute: expected 'paced' for a timing-only run, found 'real'")

        def draw(kernel: str) -> Iterator[int]:
            scenario, seed = self.scenario, self.scenario.run.seed
            return durations(scenario.platform, seed, self.seat.rank, kernel, num_buckets=scenario.num_buckets)

        return draw

    def _warm_up(self) -> Offset:
        """Connect everything that will be used, so that nothing of it is measured. Returns the clock's offset."""
        control, streams = self.control, [stream.name for stream in self.world.streams]
        told = control.gather("set-up", {"machine": machine(), "streams": streams, "initial": self._fingerprint()})
        self._check_equal([each["initial"] for each in told])
        self._is_clock_shared = told[0]["machine"] == machine()
        self.messages.warm_up(list(self.worker.neighbours))
        common = [name for name in streams if name != OBSERVE and all(name in each["streams"] for each in told)]
        self.collectives.warm_up(common)
        if self.problem is not None:  # what a first gradient costs (data, kernels, caches) is no gradient's time
            model: Any = self.worker.model
            self.problem.gradient(model.snapshot(), self.seat.rank, 0)
        return EXACT if self._is_clock_shared else measure_offset(self.meetings.ask_time)

    def _fingerprint(self) -> int:
        """Of the initial parameters of the user's module."""
        return 0 if self.module is None else zlib.crc32(self.module.initial.cpu().view(torch.uint8).numpy().tobytes())

    def _check_equal(self, fingerprints: list[int]) -> None:
        other = next((rank for rank, each in enumerate(fingerprints) if each != fingerprints[0]), None)
        if other is not None:
            raise ScenarioError(
                f"scenario: workload.module = {self.scenario.workload.module!r}: expected equal initial parameters "
                f"on all ranks (draw them from seed, not from rank), found others on rank {other} than on rank 0"
            )

    def _start(self, offset: Offset) -> None:
        """Agree on the start: an instant of rank 0's clock, a little ahead."""
        told = self.control.gather("ready", None)
        del told
        if self.seat.rank == 0:
            self.control.store.set("t0", str(time.perf_counter_ns() + LEAD_NS))
        self.clock.start(int(self.control.store.get("t0")), offset)

    # ------------------------------------------------------------------ afterwards

    def _report(self, before: Offset, after: Offset, cpu_s: float) -> None:
        if self.recorder is not None:
            self.recorder.close()
        model = self.worker.model
        ends = [stream.end_ns for stream in self.world.streams if not stream.is_daemon]
        told = report.Report(
            rank=self.seat.rank,
            ledger=self.worker.account.ledger,
            end_ns=max(ends, default=0),
            collectives=self.collectives.took(),
            info={**_describe(self.placement), "cpu_s": cpu_s},
            t0_ns=self.clock.t0_ns or 0,
            before=before,
            after=after,
            is_clock_shared=self._is_clock_shared,
        )
        if model.is_numeric:
            numeric: Any = model
            told.parameters, told.observations = numeric.parameters(), numeric.observations
            if self.module is not None:
                told.evaluation = self.module.evaluate(numeric.x)
        report.write(told, self.seat.directory)


def _replay(order: Order, rank: int) -> Replay | None:
    if order.replay is None:
        return None
    import pandas as pd

    rows = pd.read_parquet(order.replay, filters=[("rank", "==", rank)])
    return Replay(rows, order.replay_gradient_s)


def _describe(placement: Placement) -> dict[str, Any]:
    return {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "device": str(placement.device),
        "backend": placement.backend,
        "torch": torch.__version__,
        "python": sys.version.split()[0],
    }
