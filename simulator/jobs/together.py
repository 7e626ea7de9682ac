"""Several jobs at a time on one network: each in a world of its own, whose messages share links with the others'."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from schedules.errors import ScheduleError
from schedules.platform.transports import TRANSPORTS
from schedules.record.trace import Recorder
from schedules.result import Result
from schedules.setup import Setup
from simulator.course import Seen
from simulator.events import undisturbed
from simulator.jobs.clock import SharedClock, named
from simulator.jobs.tables import NetworkJob
from simulator.messages.fabric import Wires, lay
from simulator.run import build_world, expect, looks, makespan_of, result_of, told_overflow
from simulator.world import World


class PlacedJob(NamedTuple):
    """A job among the others: its set-up, its world, and the tick at which it begins."""

    job: NetworkJob
    setup: Setup
    world: World
    start: int


def run_together(
    jobs: Sequence[NetworkJob], watch: Callable[[Callable[[], Seen]], object] | None = None
) -> list[Result]:
    """Simulate jobs at a time; times of each result count from its own start.

    Args:
        jobs: on one network, no two on one host.
        watch: as of `simulator.simulate`.
    Returns:
        a result a job. Its links are those of all: what they carried for all jobs until the last of them was over.
    Raises:
        ScheduleError: if a job cannot go on; it is named.
    """
    clock = SharedClock()
    first = jobs[0].scenario.platform
    assert first.network is not None
    wires = lay(jobs[0].scenario.network, first.network, clock.wires.call_at, TRANSPORTS[first.transport])
    placed = [_place(job, clock, wires) for job in jobs]
    if watch is not None:
        watch(_look(placed, clock))
    with undisturbed(), told_overflow(" and ".join(job.name for job in jobs)):
        clock.run()
    for each in placed:
        try:
            each.world.end()
        except ScheduleError as error:
            raise named(error, each.job.name) from error
    until = max(each.start + makespan_of(each.world) for each in placed)
    return [_result(each, until, jobs) for each in placed]


def _place(job: NetworkJob, clock: SharedClock, wires: Wires) -> PlacedJob:
    start = round(job.start_s * 1e9)
    recorder = Recorder() if job.scenario.run.is_recorded else None
    setup = Setup(job.scenario, is_recorded=recorder is not None)
    events = clock.add(start, job.name)
    world = build_world(setup, recorder, events=events, wires=wires._replace(since=start))
    events.under_way = world.fabric
    if setup.cut is not None:
        expect(world, setup.cut)
    events.call_first(world.begin)
    return PlacedJob(job, setup, world, start)


def _result(place: PlacedJob, until: int, jobs: Sequence[NetworkJob]) -> Result:
    beside = [each.name for each in jobs if each is not place.job]
    told = {"job": {"name": place.job.name, "start_s": place.job.start_s, "beside": beside}}
    return result_of(place.setup, place.world, told, links_until=until - place.start)


def _look(placed: Sequence[PlacedJob], clock: SharedClock) -> Callable[[], Seen]:
    """What tells how far the jobs have come: their mean share, and the gradients of all."""
    each_looks = [looks(each.setup, each.world) for each in placed]

    def look() -> Seen:
        seen = [each() for each in each_looks]
        shares = [each.share for each in seen if each.share is not None]
        share = sum(shares) / len(seen) if shares else None
        return Seen(share, sum(each.gradients for each in seen), clock.wires.now)

    return look
