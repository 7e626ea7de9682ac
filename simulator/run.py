"""One simulation, from a scenario to its result."""

from __future__ import annotations

import struct
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from itertools import permutations
from pathlib import Path
from typing import Any

from schedules.driving.coordinator import Coordinator
from schedules.driving.replay import Replay
from schedules.errors import ScheduleError
from schedules.operations import Program
from schedules.platform.outages import outages
from schedules.platform.stragglers import pace
from schedules.platform.tables import CollectivesTable, NetworkTable, PlatformTable
from schedules.platform.transports import TRANSPORTS
from schedules.record.files import SIMULATED, Info
from schedules.record.summary import summarise
from schedules.record.trace import Recorder
from schedules.result import Result, add_ages, add_end, add_graphs, add_numbers, add_own_summary
from schedules.runs.followed import read_replay
from schedules.runs.stages import add_stages
from schedules.scenario import Cut, ScenarioError, Source, counting, load
from schedules.setup import OBSERVE, Setup, exchange_ticks
from schedules.training.readout import numbers
from schedules.worker import Worker
from simulator.computing.hosts import Hosts
from simulator.course import Seen
from simulator.events import Events
from simulator.faults import Failures
from simulator.messages.fabric import Fabric, Wires
from simulator.messages.formulas import Formulas, windows_of
from simulator.network.calls import CallAt
from simulator.steady.spells import slow_spells
from simulator.steady.stopping import Steady
from simulator.world import World


def simulate(
    scenario: Source,
    *,
    replay: str | Path | Result | None = None,
    overrides: Mapping[str, Any] | None = None,
    watch: Callable[[Callable[[], Seen]], object] | None = None,
) -> Result:
    """Simulate a scenario: a file, tables of the same shape, or one that is resolved already.

    Args:
        scenario: what to simulate.
        replay: a run directory, or a run, whose trace is to be followed: its order, times, peers and arrivals.
        overrides: dotted keys to change in the scenario, e.g. `{"schedule.rate": 2}`.
        watch: is given, before the run begins, a function that tells how far it has come, to be called by any thread.
    Raises:
        ScenarioError: if the scenario is wrong, or the trace is unreadable or of another scenario.
        ScheduleError: if the run cannot go on (deadlock, replay divergence, a program's mistake).
    """
    resolved = load(scenario, overrides)
    # A replay ends with its rows, whatever has ended the run that it follows.
    is_steady = resolved.run.until == "precision" and replay is None
    followed = None if replay is None else read_replay(replay, resolved)
    resolved = resolved if followed is None else followed.scenario
    recorder = Recorder() if resolved.run.is_recorded else None
    setup = Setup(resolved, is_recorded=recorder is not None)
    world = build_world(setup, recorder, None if followed is None else Replay(*followed[:-1]))
    spells = slow_spells(resolved.platform.stragglers, resolved.run.seed, resolved.topology.workers)
    steady = Steady(world, resolved.run, spells) if is_steady else None
    if setup.cut is not None and replay is None:
        expect(world, setup.cut)
    if watch is not None:
        watch(looks(setup, world))
    with told_overflow(resolved.program):
        world.run()
    if steady is not None:
        steady.check_end()
    result = result_of(setup, world, {} if followed is None else followed.told())
    if steady is not None:
        result.summary |= steady.summary()
    return result


@contextmanager
def told_overflow(program: str) -> Iterator[None]:
    """Around the run of a program: what 64 bits cannot hold is a `ScheduleError`."""
    try:
        yield
    except (struct.error, OverflowError) as error:
        told = f"a time or a number of bytes is larger than 64 bits hold ({error})"
        raise ScheduleError(f"{program}: {told}: expected shorter times, or fewer bytes") from None


def looks(setup: Setup, world: World) -> Callable[[], Seen]:
    """What tells how far a run has come, by the end that it is to have."""
    expected, at_ns = sum(setup.plan.lengths[rank] for rank in counting(setup.plan)), None
    if setup.cut is not None:
        expected, at_ns = setup.cut.total or 0, setup.cut.at_ns
    elif setup.scenario.run.until == "precision":
        expected = 0  # nobody knows
    return partial(world.course.seen, world.ledger, gradients=expected, until_ns=at_ns)


def expect(world: World, cut: Cut) -> None:
    """Have the run cut."""
    if cut.at_ns is not None:
        world.course.stop_at(cut.at_ns)
    if cut.total is not None:
        world.course.stop_after(cut.total, world.ledger)


def build_world(
    setup: Setup,
    recorder: Recorder | None = None,
    replay: Replay | None = None,
    programs: Callable[[Worker], Mapping[str, Program]] | None = None,
    *,
    events: Events | None = None,
    wires: Wires | None = None,
) -> World:
    """The simulated world of a set-up, ready to run.

    Args:
        programs: in the place of those of its schedule.
        events, wires: what it shares with other runs that go on beside it.
    """
    scenario, platform = setup.scenario, setup.scenario.platform
    workers = scenario.topology.workers
    world = World(
        ledger=setup.ledger,
        # Not rounded: ticks of clocks are multiples of it, and would multiply its rounding.
        gradient_ns=scenario.gradient_s * 1e9,
        transport=Formulas(scenario.platform),
        coordinator=Coordinator(workers, scenario.run.seed),
        recorder=recorder,
        replay=replay,
        is_in_order=is_in_order(scenario.platform),
        network=_network(setup, wires),
        collectives=_collectives(setup),
        events=events,
    )
    # Only where something can move a kernel's end: else the kernel itself is queued, once, and no work left is kept.
    if any((platform.stragglers, platform.faults, platform.communication_slowdown != 1, platform.host)):
        paces = [pace(platform.stragglers, scenario.run.seed, rank) for rank in range(workers)]
        world.retime(paces, platform.communication_slowdown, _hosts(platform, world, workers))
    for rank in range(workers):
        worker = setup.worker(rank)
        chosen = (programs or setup.programs)(worker)
        world.add(
            worker,
            setup.durations(rank),
            chosen,
            daemons=(OBSERVE,),
            kernels=setup.kernels(worker),
        )
    # A trace says which exchanges were given up, and a replay gives up the same without failures of its own.
    if platform.faults is not None and replay is None:
        drawn = [outages(platform.faults, scenario.run.seed, rank) for rank in range(workers)]
        survives = setup.schedule.survives
        failures = Failures(world, drawn, detection=platform.faults.detection, survives=survives)
        world.interrupt(failures, survives=survives)
    return world


def _hosts(platform: PlatformTable, world: World, workers: int) -> Hosts | None:
    if platform.host is None:
        return None
    assert world.fabric is not None, "what ranks of a machine share are links"
    return Hosts(platform.host, world.fabric.machines(workers), world.events)


def is_in_order(platform: PlatformTable) -> bool:
    """Whether sends and receives of one channel are posted one after the other."""
    return TRANSPORTS[platform.transport].is_in_order if platform.order == "auto" else platform.order == "in-order"


def _network(setup: Setup, wires: Wires | None) -> Callable[[CallAt], Fabric] | None:
    """What messages cross. Failures cut messages off, so there links of their own are a network too; and where ranks
    share a machine, as it is asked how many messages are under way."""
    platform = setup.scenario.platform
    table, graph, own = platform.network, setup.scenario.network, None
    shared = None if platform.host is None else platform.host.bandwidth
    if table is None or graph is None:
        if platform.faults is None and platform.host is None:
            return None
        table, graph, own = NetworkTable(kind="dedicated"), setup.graph, platform.link

    def build(call_at: CallAt) -> Fabric:
        try:
            fabric = Fabric(
                graph,
                table,
                call_at,
                own=own,
                transport=TRANSPORTS[platform.transport],
                windows=windows_of(platform),
                wires=wires,
                shared=shared,
            )
            # A view: a copy would be one of all parts, too. Once transfers have shared a link no pairs are to come.
            pairs = setup.graph.to_directed(as_view=True).edges
            fabric.connect(pairs if shared is None else permutations(range(len(setup.graph)), 2))
        except ValueError as error:
            raise ScenarioError(f"scenario: platform.network: {error}") from None
        return fabric

    return build


def _collectives(setup: Setup) -> CollectivesTable:
    """By formula, unless there is a network; and where a rank may be left out for good, as those of `Failures` are."""
    platform = setup.scenario.platform
    is_closed = not platform.has_shared_links or (platform.faults is not None and setup.schedule.survives)
    return platform.collectives.model_copy(update={"form": "closed"}) if is_closed else platform.collectives


def makespan_of(world: World) -> int:
    """Nanoseconds from the start of a run that is over to its end."""
    if world.course.stopped_ns is not None:
        return world.course.stopped_ns
    # A daemon's end is set when it goes to sleep, and may lie long after the last program's.
    return max((stream.end_ns for stream in world.streams if not stream.is_daemon), default=0)


def result_of(setup: Setup, world: World, told: Info | None = None, *, links_until: int | None = None) -> Result:
    """What a run leaves behind.

    Args:
        told: what `run.json` says beside its scenario.
        links_until: the tick up to which links are told, where they are others' too; None: to the run's end.
    """
    scenario, makespan = setup.scenario, makespan_of(world)
    if setup.problem is not None:
        read_out(setup, world)
    world.ledger.stop(makespan)  # of what was started and never awaited, or failed for good, only the time up to here
    gone = sorted(world.outages.gone) if world.outages is not None else []
    summary = summarise(
        world.ledger,
        makespan,
        batch_size=scenario.workload.batch_size,
        cut_ns=world.course.stopped_ns,
        failed=gone,
        servers=scenario.plan.servers,
        units=scenario.plan.units,
        ticks=exchange_ticks(scenario),
    )
    result = Result(
        scenario, SIMULATED, summary, info={"cut_ns": world.course.stopped_ns, "lost_ranks": gone, **(told or {})}
    )
    if world.recorder is not None:
        trace = world.recorder.table(run=scenario.fingerprint(), world=SIMULATED)
        add_ages(result, trace)
    if world.recorder is not None and scenario.run.trace:
        result.trace = trace
        result.memory = world.ledger.memory_table()
    if world.outages is not None:
        result.summary |= world.outages.summary(makespan)
    if took := world.collectives.summary():
        result.summary["collectives"] = took
    result.link_rows = list(world.traffic.links(makespan if links_until is None else links_until))
    result.network = world.fabric.graph if world.fabric is not None else setup.graph
    if setup.problem is not None:
        _add_numbers(result, setup, gone)
    add_end(result)
    add_graphs(result)
    add_stages(result, world.ledger)
    add_own_summary(result)
    return result


def read_out(setup: Setup, world: World) -> None:
    """Read out the parameters of all workers whose programs have ended, or all that there are when the run is cut."""
    stopped_ns, replay = world.course.stopped_ns, world.replay
    cut_at = replay.cut_at if replay is not None else None if stopped_ns is None else stopped_ns / world.gradient_ns
    for crew in world.crews:
        time = crew.ended_at if cut_at is None else cut_at
        if time is not None:
            setup.observe_end(crew.worker.rank, time)


def _add_numbers(result: Result, setup: Setup, gone: Collection[int]) -> None:
    """Final parameters, and loss, accuracy and consensus distance against time, those of the ranks that are left."""
    assert setup.problem is not None
    read_outs = [setup.read_outs[rank] for rank in range(setup.scenario.topology.workers)]
    found = numbers(
        [[each.parameters() for each in held] for held in read_outs],
        [each.observations for rank, held in enumerate(read_outs) for each in held if rank not in gone],
        setup.plan.stages,
        setup.problem,
        result.scenario.gradient_s,
    )
    add_numbers(result, found)
