"""One rank of a run, from set-up to report: what every launcher calls."""

from __future__ import annotations

import os
import socket
import sys
import time
import traceback
from contextlib import nullcontext
from functools import partial
from types import TracebackType
from typing import Any

import pandas as pd
import torch

from executor import rank_report as report
from executor.agreement.clock import EXACT, Offset, RunClock, measure_offset
from executor.agreement.control import Control, tell
from executor.agreement.desk import Desk
from executor.agreement.meetings import Meetings
from executor.agreement.news import FAILED, News, Stopped
from executor.agreement.store import LOOPBACK, connect
from executor.cutting import Count
from executor.events import Agenda
from executor.introduction import check_equal, introduce
from executor.running import buffers
from executor.running.computing import Computing
from executor.running.modules import FlatModule, flat_module
from executor.running.waiting import sharpen
from executor.running.warmup import keep_memory, warm_up
from executor.seat import Seat, Task
from executor.services import Services
from executor.stages.assembling import Whole, gathered
from executor.stages.staged import StagedModule, staged_module
from executor.wire.collectives import Collectives
from executor.wire.edges import Edges
from executor.wire.exchanges import Exchanges
from executor.wire.groups import Groups, Placement, place
from executor.wire.named import named
from executor.wire.sends import Sends
from executor.world import World
from schedules.driving.coordinator import Coordinator
from schedules.driving.crew import Crew
from schedules.driving.replay import Replay
from schedules.errors import ScheduleError
from schedules.operations import Exchange, Receive, Send
from schedules.platform.durations import Durations
from schedules.platform.stragglers import pace
from schedules.record.trace import FileRecorder
from schedules.scenario import Cut, Scenario, ScenarioError, as_recorded, load
from schedules.setup import OBSERVE, Setup
from schedules.training.problems import to_numpy
from schedules.worker import Worker

LEAD_NS = 20_000_000
"""How far ahead the common start lies when rank 0 sets it: longer than the news of it travels."""


def run_rank(order: Task, seat: Seat) -> int:
    """Run one rank. Returns the exit status of its process: 0, or 1 where the run has failed."""
    sharpen()
    # Ranks of one machine share its cores: with torch's own threads each would ask for all of them at every gradient.
    torch.set_num_threads(1)
    keep_memory()
    control = None
    try:
        scenario = load(order.scenario, is_forced=True)
        if order.replay is not None:
            scenario = as_recorded(scenario, order.scenario)
        control = Control(
            lambda: connect(seat.host, seat.port, seat.prefix),
            seat.rank,
            seat.num_workers,
            scenario.execution.timeout,
            scenario.execution.patience,
        )
        RankRun(order, scenario, seat, control).run()
    except Stopped:  # the news is known: somebody has told it
        return 1
    except Exception as error:
        if control is None:  # no store to tell it: the launcher sees that this process dies, and what it prints
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


class RankRun:
    """The parts of one rank, put together."""

    def __init__(self, order: Task, scenario: Scenario, seat: Seat, control: Control) -> None:
        self.scenario, self.seat, self.control = scenario, seat, control
        self.clock = RunClock()
        self.agenda = Agenda(self.clock)
        # Before anything waits for another rank: if that one has failed, this one hears of it, and its process ends.
        control.listen(self.agenda.hear, lambda: os._exit(1), lambda: self.agenda.now)
        self.placement = place(scenario, seat.local_rank, seat.local_size)
        self.recorder = FileRecorder(report.stem(seat.directory, seat.rank)) if scenario.run.is_recorded else None
        self.replay = _replay(order, seat.rank)
        self.setup = Setup(
            scenario,
            xp=torch if scenario.is_numeric else None,
            device=self.placement.device,
            is_recorded=self.recorder is not None,
        )
        self.module: FlatModule | StagedModule | None = None
        self.whole: Whole | None = None
        self.worker = self._worker()
        programs = self.setup.programs(self.worker)
        self.services = self._services()
        self.world = World(
            self.services,
            self.agenda,
            control,
            gradient_ns=scenario.gradient_s * 1e9,
            recorder=self.recorder,
            replay=self.replay,
        )
        self.crew = Crew(self.worker, self.services.meetings.end)
        self.world.add(self.crew, programs, daemons=(OBSERVE,))
        if self.replay is None and self.setup.cut is not None:
            self._expect(self.setup.cut)

    def run(self) -> None:
        """Connect, start together, run, and write the report."""
        before = self._warm_up()
        self._start(before)
        cpu = time.process_time()
        self.world.run()
        cpu = time.process_time() - cpu
        self.cut_ns = self.control.during(self.control.cut_ns) if self.setup.cut is not None else None
        self.setup.observe_end(self.seat.rank, self._ended_at())
        self.control.during(self._share)
        after = self.control.during(self._measure_offset)
        self._report(before, after, cpu)
        self.control.part()

    def _expect(self, cut: Cut) -> None:
        """Have the run cut."""
        if cut.at_ns is not None:
            self.world.course.end_at(cut.at_ns)
        if cut.total is not None:
            count = Count(self.control, cut.total, self.agenda.hear)
            self.worker.account.ledger.contributions.listen(count.applied)

    def _ended_at(self) -> float:
        """When the run ended here, in gradient times: where it was cut, at one time on all ranks."""
        if self.replay is not None and self.replay.cut_at is not None:
            return self.replay.cut_at
        return self.crew.ended_at or 0.0 if self.cut_ns is None else self.cut_ns / self.world.gradient_ns

    # ------------------------------------------------------------------ set-up

    def _worker(self) -> Worker:
        scenario, rank = self.scenario, self.seat.rank
        if scenario.workload.module is None or not scenario.run.numerics:
            return self.setup.worker(rank)
        device = self.placement.device
        if self.setup.plan.stages:
            self.module = staged_module(scenario, rank, device, self._agreed)
        else:
            self.module = flat_module(scenario, rank, device)
        return self.setup.worker(rank, self.module)

    def _agreed(self, own: list[int]) -> list[int]:
        """Rank 0's answer to what all ranks ask themselves."""
        return self.control.during(lambda: self.control.gather("split", own))[0]

    def _services(self) -> Services:
        """What runs the operations. All hand in at the agenda what is over."""
        seat, store, ends = self.seat, self.control.store, self.agenda
        kernels = self.setup.kernels(self.worker, self.module)
        computing = Computing(
            self.clock,
            ends,
            kernels=kernels,
            durations=self._durations(),
            device=self.placement.device,
            pace=pace(self.scenario.platform.stragglers, self.scenario.run.seed, seat.rank),
        )
        limit_s = self.scenario.execution.timeout
        self.groups = groups = Groups(
            self.placement, is_local=seat.is_local, connect=self.control.connect, limit_s=limit_s
        )
        self.edges = Edges(groups, seat.rank, seat.num_workers, ends)
        if seat.rank == 0:
            # Before this rank's own meetings are made, which wait for the desk's address.
            coordinator = Coordinator(seat.num_workers, self.scenario.run.seed)
            Desk(store, LOOPBACK if seat.is_local else seat.host, seat.num_workers, coordinator)
        return Services(
            computing,
            Exchanges(self.edges, ends),
            Sends(self.edges, ends),
            Collectives(groups, seat.rank, seat.num_workers, ends),
            self.control.during(lambda: Meetings(store, seat.rank, ends)),
        )

    def _durations(self) -> Durations | None:
        """Durations of paced kernels; a replay follows an order and does not wait."""
        compute, is_numeric = self.scenario.execution.compute, bool(self.setup.read_outs)
        is_real = is_numeric if compute == "auto" else compute == "real"
        if self.replay is not None or (is_real and is_numeric):
            return None
        if is_real:
            raise ScenarioError("scenario: execution.compute: expected 'paced' for a timing-only run, found 'real'")
        return self.setup.durations(self.seat.rank)

    def _warm_up(self) -> Offset:
        """Connect everything that will be used, so that nothing of it is measured. Returns the clock's offset."""
        # While others are waited for the main thread is not: it hears of bad news.
        self.control.during(self._connect)
        module = self.module
        if isinstance(module, StagedModule):
            module.warm_up()
        trained = module if isinstance(module, FlatModule) else self.setup.problem
        with buffers.kept(module.module) if isinstance(module, FlatModule) else nullcontext():
            warm_up(trained, seed=self.scenario.run.seed, rank=self.seat.rank, device=self.placement.device)
        return self.control.during(self._measure_offset)

    def _connect(self) -> None:
        mine = introduce(self.worker, self.module, self.scenario.run.seed)
        told = self.control.gather("set-up", mine)
        check_equal(told, self.scenario)
        self._is_clock_shared = told[0]["machine"] == mine["machine"]
        largest, kinds = max(each["largest"] for each in told), named(self.setup.schedule.streams)
        self.edges.warm_up(self.worker.graph.edges, largest if kinds & {Exchange, Send, Receive} else 0)
        self.services.collectives.warm_up(kinds, largest)

    def _measure_offset(self) -> Offset:
        return EXACT if self._is_clock_shared else measure_offset(self.services.meetings.ask_time)

    def _start(self, offset: Offset) -> None:
        """Agree on the start: an instant of rank 0's clock, a little ahead.

        Not the end of a barrier: its news reaches the ranks at times that differ by a round trip or more.
        """
        store = self.control.store
        self.control.during(lambda: self.control.gather("ready", None))
        if self.seat.rank == 0:
            store.set("t0", str(time.perf_counter_ns() + LEAD_NS))
        self.clock.start(int(self.control.during(lambda: store.get("t0"))), offset)

    # ------------------------------------------------------------------ afterwards

    def _share(self) -> None:
        """What becomes of a module's buffers, and what a module in stages says of itself: all ranks take part.

        No operations of the run: a simulation does not know the module, and its trace would lack them.
        """
        store, num_workers, read_outs = self.control.store, self.seat.num_workers, self.setup.read_outs
        connect: Any = partial(self.groups.gloo, "buffers", self.seat.rank, num_workers, store)
        if isinstance(self.module, StagedModule):
            x = dict(zip(self.module.stages, [each.parameters() for each in read_outs[self.seat.rank]], strict=True))
            self.whole = gathered(self.scenario, self.seat.rank, self.module, x, connect)
        elif self.module is not None:
            (own,) = read_outs[self.seat.rank]
            roles = self.setup.plan.roles
            buffers.share(self.scenario, self.seat.rank, self.module, own.parameters(), roles, connect)

    def _evaluation(self) -> dict[str, float]:
        """What the user's object says of the final parameters."""
        if isinstance(self.module, StagedModule):
            return {} if self.whole is None else self.module.evaluate(*self.whole)
        return {} if self.module is None else self.module.evaluate(self.setup.read_outs[self.seat.rank][0].parameters())

    def _report(self, before: Offset, after: Offset, cpu_s: float) -> None:
        if self.recorder is not None:
            self.recorder.close()
        ends = [stream.end_ns for stream in self.world.streams if not stream.is_daemon]
        told = report.Report(
            rank=self.seat.rank,
            ledger=self.worker.account.ledger,
            end_ns=max(ends, default=0) if self.cut_ns is None else self.cut_ns,
            cut_ns=self.cut_ns,
            collectives=self.services.collectives.took(),
            info={**_describe(self.placement), "cpu_s": cpu_s},
            t0_ns=self.clock.t0_ns or 0,
            before=before,
            after=after,
            is_clock_shared=self._is_clock_shared,
        )
        read_outs = self.setup.read_outs.get(self.seat.rank)
        if read_outs is not None:
            told.parameters = [to_numpy(each.parameters()) for each in read_outs]
            told.observations = [observation for each in read_outs for observation in each.observations]
            told.evaluation = self._evaluation()
        report.write(told, self.seat.directory)


def _replay(order: Task, rank: int) -> Replay | None:
    if order.replay is None:
        return None
    rows = pd.read_parquet(order.replay, filters=[("rank", "==", rank)])  # a trace has the rows of all ranks
    return Replay(rows, *order.followed)


def _describe(placement: Placement) -> dict[str, object]:
    return {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "device": str(placement.device),
        "backend": placement.backend,
        "torch": torch.__version__,
        "python": sys.version.split()[0],
    }
