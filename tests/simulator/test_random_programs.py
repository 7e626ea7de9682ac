"""Random programs of sends, receives, exchanges and collectives, started or waited for, in two streams of every worker.

All ranks go through one list of events a stream, in its order and on its own channel, so no program can be stuck, in
order or not.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping

import pytest

from schedules.errors import DeadlockError, DeadRankError
from schedules.operations import (
    AllGather,
    AllReduce,
    AllToAll,
    Await,
    Barrier,
    Broadcast,
    Compute,
    Exchange,
    Operation,
    Payload,
    Program,
    Receive,
    ReduceScatter,
    Send,
    Start,
    Until,
)
from schedules.record.trace import Recorder
from schedules.result import Result
from schedules.scenario import load
from schedules.setup import Setup
from schedules.worker import Worker
from simulator import run
from tests.simulator import invariants
from tests.simulator.test_random_scenarios import Tables, draw_faults, draw_platform

Event = Mapping[int, Operation]
"""What each rank that takes part in it does."""

COLLECTIVES: tuple[Callable[..., Operation], ...] = (AllReduce, ReduceScatter, AllGather, AllToAll)


def draw_event(rng: random.Random, workers: int, tag: int, channel: str) -> Event:
    one, other = rng.sample(range(workers), 2)
    size = rng.choice([0, 1, 501, 20_011])
    kind = rng.choice(["message", "exchange", "collective", "barrier", "broadcast"])
    if kind == "message":
        return {one: Send(other, Payload(size), tag, channel), other: Receive(one, size, tag, channel)}
    if kind == "exchange":
        return {one: Exchange(other, Payload(size), tag), other: Exchange(one, Payload(size), tag)}
    members = tuple(sorted(rng.sample(range(workers), rng.randint(1, workers))))
    group = None if len(members) == workers else members
    divisible = Payload(840 * rng.choice([0, 1, 10]))
    if kind == "barrier":
        operation: Operation = Barrier(group=group, tag=tag, channel=channel)
    elif kind == "broadcast":
        operation = Broadcast(divisible, root=members[0], group=group, tag=tag, channel=channel)
    else:
        operation = rng.choice(COLLECTIVES)(divisible, group=group, tag=tag, channel=channel)
    return dict.fromkeys(members, operation)


def program(events: list[Event], rank: int, rng: random.Random) -> Program:
    """Some operations are started and awaited later, some kernels run in between."""
    handles = []
    for operation in [event[rank] for event in events if rank in event]:
        if rng.random() < 0.4:
            handle, _ = yield Start(operation)
            handles.append(handle)
        else:
            yield operation
        if rng.random() < 0.5:
            yield Compute("gradient")
        if handles and rng.random() < 0.3:
            yield Await(tuple(handles))
            handles = []
    if handles:
        yield Await(tuple(handles))


def draw_tables(seed: int) -> Tables:
    rng = random.Random(seed)
    workers = rng.randint(2, 8)
    platform = draw_platform(rng, workers)
    platform["collectives"] |= {
        "broadcast": rng.choice(["tree", "chain"]),
        "all_gather": rng.choice(["ring", "doubling"]),
        "reduce_scatter": rng.choice(["ring", "halving"]),
        "all_to_all": rng.choice(["pairwise", "direct"]),
    }
    if rng.random() < 0.5:
        platform["faults"] = draw_faults(rng, workers, survives=False)
        platform["link"] |= {"bandwidth": 1.1e6}
    return {
        "schedule": {
            "program": rng.choice(["all-reduce", "gossip"]),
            "gradients": 1,
        },  # one that waits, one that does not
        "topology": {"graph": rng.choice(["complete", "path"]), "workers": workers},
        "platform": platform,
        "workload": {"parameters": 100},
        "run": {"seed": seed},
    }


def run_programs(seed: int, tables: Tables) -> Result:
    rng = random.Random(seed)
    workers = tables["topology"]["workers"]
    lists = [
        [draw_event(rng, workers, 2 * k + stream, f"c{stream}") for k in range(rng.randint(3, 15))]
        for stream in range(2)
    ]

    def programs(worker: Worker) -> Mapping[str, Program]:
        return {
            f"stream{number}": program(events, worker.rank, random.Random(f"{seed} {worker.rank} {number}"))
            for number, events in enumerate(lists)
        }

    return result_of(tables, programs)


def result_of(tables: Tables, programs: Callable[[Worker], Mapping[str, Program]]) -> Result:
    setup = Setup(load(tables), is_recorded=True)
    world = run.build_world(setup, Recorder(), programs=programs)
    world.run()
    assert all(stream.is_over for stream in world.streams)
    return run.result_of(setup, world)


@pytest.mark.parametrize("batch", range(8))
def test_what_holds_in_every_run(batch: int) -> None:
    for seed in range(batch * 8, (batch + 1) * 8):
        tables = draw_tables(seed)
        result = run_programs(seed, tables)
        try:
            invariants.same(result, run_programs(seed, tables))
            invariants.check(result)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {tables}") from error


def test_ranks_that_fail_for_good_end_no_run_in_disorder() -> None:
    """The others wait in vain for some of their messages: the board says so. They go on without its exchanges."""
    ended = Counter[str]()
    for seed in range(60):
        rng, tables = random.Random(seed), draw_tables(seed)
        outages = [{"rank": rng.randrange(2), "at": rng.random()} for _ in range(rng.randint(1, 2))]
        tables["schedule"]["program"] = "gossip"
        tables["platform"]["faults"] = {"outages": outages, "detection": rng.choice([0.0, 0.01])}
        try:
            invariants.check(run_programs(seed, tables))
            ended["well"] += 1
        except (DeadlockError, DeadRankError) as error:
            ended[type(error).__name__] += 1
    assert min(ended[each] for each in ("well", "DeadlockError", "DeadRankError")) > 5


def test_what_nobody_awaits_counts_up_to_the_end_of_the_programs() -> None:
    """A message of 2.5 s is started at 1 s, and the programs end at 2 s: 1 s of it is in the run, and none is idle."""

    def programs(worker: Worker) -> Mapping[str, Program]:
        def main() -> Program:
            yield Compute("gradient")
            yield Start(Send(1, Payload(10**6)) if worker.rank == 0 else Receive(0, 10**6))
            yield Until(2.0)

        return {"main": main()}

    tables: Tables = {
        "schedule": {"program": "gossip", "gradients": 1},
        "topology": {"graph": "path", "workers": 2},
        "platform": {"gradient": {"mean": 1.0}, "network": {"kind": "fabric", "bandwidth": 4e5, "latency": 0.0}},
        "workload": {"parameters": 100},
    }
    result = result_of(tables, programs)
    assert result.summary["makespan_s"] == 2.0
    assert result.summary["per_rank"]["transfer_s"] == [1.0, 1.0]
    assert result.summary["per_rank"]["idle_s"] == [0.0, 0.0]
    assert result.links is not None
    assert sorted(result.links["carried_bytes"]) == [0, 0, 4e5, 4e5]
