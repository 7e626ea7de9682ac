"""Ranks that fail while they wait, at the tick of something else, together, or again and again: hand-written programs.

Gradients take 1 s, a message of 1 kB takes 1 ms of latency and 1 ms of bytes; the schedule survives unless said.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from schedules.errors import DeadlockError, DeadRankError
from schedules.operations import (
    AllReduce,
    AllToAll,
    Await,
    Barrier,
    Broadcast,
    Cancel,
    Compute,
    Exchange,
    Leave,
    Meet,
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
from schedules.worker import Worker
from simulator.world import World
from tests.simulator import rig

SIZE = 1000
EVERYBODY_WAITS = {"schedule__program": "all-reduce"}
Programs = Callable[[Worker], Mapping[str, Program]]


def away(*outages: tuple[int, float, float | None], **more: float) -> dict[str, Any]:
    """(rank, from, until) each; None: for good."""
    listed = [{"rank": rank, "at": at} | ({} if back is None else {"back": back}) for rank, at, back in outages]
    return {"platform__faults": {"outages": listed, **more}}


def each(*programs: Callable[[], Program]) -> Programs:
    """One program a rank."""
    return lambda worker: {"main": programs[worker.rank]()}


def in_turn(*operations: Operation) -> Callable[[], Program]:
    def program() -> Program:
        for operation in operations:  # noqa: UP028 - a tuple cannot be sent answers
            yield operation

    return program


def ends(world: World) -> list[float]:
    return [stream.end_ns / 1e9 for stream in world.streams]


# ---- for good


def test_who_has_come_to_a_collective_and_fails_before_it_begins_is_left_out() -> None:
    programs = each(in_turn(Barrier()), *[in_turn(Until(5.0), Barrier())] * 2)
    assert ends(rig.run(programs, 3, **away((0, 2.0, None)))) == [2.0, 5.001, 5.001]


def test_the_last_one_that_is_missing_fails() -> None:
    """The others go on at once. One that has failed before is not waited for either."""
    programs = each(in_turn(Until(9.0)), in_turn(Until(8.0)), *[in_turn(Barrier())] * 2)
    assert ends(rig.run(programs, 4, **away((0, 2.0, None), (1, 3.0, None)))) == [2.0, 3.0, 3.001, 3.001]


def test_who_waits_for_the_other_end_of_an_exchange_and_fails() -> None:
    programs = each(in_turn(Exchange(1, Payload(SIZE))), in_turn(Until(3.0), Exchange(0, Payload(SIZE))))
    assert ends(rig.run(programs, 2, **away((0, 2.0, None)))) == [2.0, 3.0]


def test_what_it_has_posted_is_paired_with_nothing_any_more() -> None:
    programs = each(in_turn(Receive(1, SIZE)), in_turn(Until(3.0), Send(0, Payload(SIZE))))
    with pytest.raises(DeadlockError, match=r"no worker can move\.\n  rank 1  main  #1  Send\(->0 1 kB\)  waiting"):
        rig.run(programs, 2, **away((0, 2.0, None)))


@pytest.mark.parametrize("fails", [0, 1])
def test_a_message_that_is_on_its_way_is_finished(fails: int) -> None:
    programs = each(in_turn(Send(1, Payload(10**6))), in_turn(Receive(0, 10**6)))
    found = ends(rig.run(programs, 2, **away((fails, 0.5, None))))
    assert (found[fails], found[1 - fails]) == (0.5, 1.001)


def test_a_broadcast_needs_its_root() -> None:
    program = in_turn(Until(3.0), Broadcast(Payload(SIZE), root=0))
    with pytest.raises(DeadRankError, match=r"rank 0 has failed: Broadcast\(1 kB\) cannot go on without its root"):
        rig.run(each(*[program] * 3), 3, **away((0, 2.0, None)))


def test_those_who_are_left_choose_another_algorithm() -> None:
    """Nodes of four, and three are left of one of them: a hierarchical all-reduce would need four on each."""
    network = {"kind": "gpu_nodes", "gpus_per_node": 4, "bandwidth": 1e6}
    options = {"platform__network": network, "platform__collectives": {"all_reduce": "hierarchical"}}
    program = in_turn(AllReduce(Payload(SIZE)), Until(3.0), AllReduce(Payload(SIZE)))
    told = rig.run(each(*[program] * 8), 8, **options, **away((0, 2.0, None))).collectives.summary()
    assert [(row["ranks"], row["algorithm"]) for row in told] == [(7, "ring"), (8, "hierarchical")]


def test_parts_are_those_of_the_ranks_that_are_left() -> None:
    found = {}

    def program(worker: Worker) -> Program:
        yield Until(3.0)
        payload, _ = yield ReduceScatter(Payload(9))
        found[worker.rank] = payload.size

    rig.run(lambda worker: {"main": program(worker)}, 3, **away((0, 2.0, None)))
    assert found == {1: 4, 2: 5}


def test_parts_that_are_given_have_one_for_a_rank_that_is_gone() -> None:
    program = in_turn(Until(3.0), AllToAll(Payload(9), parts=(3, 3, 3)))
    with pytest.raises(DeadRankError, match=r"rank 0 has failed: .* has a part for it"):
        rig.run(each(*[program] * 3), 3, **away((0, 2.0, None)))


# ---- for a time


def test_exchanges_that_are_given_up_are_counted_tag_by_tag() -> None:
    """Rank 1 gives up its third and fourth exchange, all under one tag: rank 0 has not issued these two."""
    found: dict[int, list[bool]] = {0: [], 1: []}

    def program(worker: Worker) -> Program:
        for _ in range(6):
            yield Compute("gradient")
            theirs, _ = yield Exchange(1 - worker.rank, Payload(SIZE), tag=7)
            found[worker.rank].append(theirs is None)

    rig.run(lambda worker: {"main": program(worker)}, 2, **away((0, 2.5, 4.6)))
    assert found[0] == found[1] == [False, False, True, True, False, False]


def test_a_message_between_workers_that_have_never_talked_waits_too() -> None:
    """Rank 0 posts its receive, fails, and rank 2 sends: on a path they are no neighbours."""
    programs = each(in_turn(Receive(2, SIZE)), in_turn(), in_turn(Until(3.0), Send(0, Payload(SIZE))))
    world = rig.run(programs, 3, topology__graph="path", **EVERYBODY_WAITS, **away((0, 2.0, 10.0)))
    assert ends(world) == [10.002, 0.0, 10.002]


def test_gloo_an_outage_before_the_announcement_is_there_brings_nothing_forward() -> None:
    """The receiver's announcement takes 0.5 s, then the message 0.501 s; the sender is away for 0.1 s meanwhile."""
    options = {"platform__transport": "gloo", "platform__link__latency": 0.5, **EVERYBODY_WAITS}
    programs = each(in_turn(Send(1, Payload(SIZE))), in_turn(Receive(0, SIZE)))
    assert ends(rig.run(programs, 2, **options, **away((0, 0.1, 0.2)))) == [1.001, 1.001]


def test_gloo_half_an_exchange_is_finished_when_the_rank_is_back() -> None:
    """Rank 1 asked early, so its data is there at 2.5 s; rank 0, whose own comes at 3 s, fails at 2.7 s."""
    found: dict[int, Any] = {}

    def program(worker: Worker) -> Program:
        yield Until(1.0 - worker.rank)
        found[worker.rank] = yield Exchange(1 - worker.rank, Payload(10**6))

    options = {"platform__transport": "gloo", "platform__link__latency": 0.5}
    world = rig.run(lambda worker: {"main": program(worker)}, 2, **options, **away((0, 2.7, 5.0)))
    assert ends(world) == [6.5, 2.5]
    assert [found[rank][0] for rank in (0, 1)] == [Payload(10**6)] * 2
    assert world.outages is not None
    assert world.outages.summary(0)["exchanges_lost"] == 0


def test_two_that_fail_together_give_an_exchange_up_once() -> None:
    program = in_turn(Compute("gradient"), Exchange(1, Payload(10**6)))
    other = in_turn(Compute("gradient"), Exchange(0, Payload(10**6)))
    world = rig.run(each(program, other), 2, **away((0, 1.5, 3.0), (1, 1.5, 4.0)))
    assert ends(world) == [3.0, 4.0]
    assert world.outages is not None
    assert world.outages.summary(0)["exchanges_lost"] == 1


# ---- at the tick at which it is back


def test_a_rank_is_back_before_its_programs_go_on() -> None:
    """Rank 0 sleeps until 3 s and is away until 4.6 s. It leaves at once, and nobody can meet it any more."""
    met: list[Any] = []

    def meeting() -> Program:
        yield Until(6.0)
        met.append((yield Meet((0, 2))))

    programs = each(in_turn(Until(3.0), Leave()), meeting, in_turn(Leave()))
    rig.run(programs, 3, **away((0, 2.5, 4.6)))
    assert met == [(None, 6.0)]


@pytest.mark.parametrize("wakes", [0.7, 4.6])
def test_its_kernels_begin_anew_before_others_begin(wakes: float) -> None:
    """Another stream wants the engine at the very tick at which the rank is back."""
    recorder = Recorder()
    gradient = Compute("gradient")

    def programs(worker: Worker) -> Mapping[str, Program]:
        both = {"one": in_turn(gradient, gradient)(), "other": in_turn(Until(wakes), gradient)()}
        return both if worker.rank == 0 else {}

    rig.run(programs, 2, recorder=recorder, **away((0, 0.5, 4.6)))
    trace = recorder.table(run="", world="simulated")
    rows = trace[trace["op"] == "Compute"]
    ran = sorted(zip(rows["ready_ns"] / 1e9, rows["end_ns"] / 1e9, rows["stream"], strict=True))
    assert ran == [(4.6, 5.6, "one"), (5.6, 6.6, "other"), (6.6, 7.6, "one")]


def test_a_kernel_that_was_to_begin_anew_can_be_cancelled() -> None:
    def program() -> Program:
        handle, _ = yield Start(Compute("gradient"))
        yield Until(0.7)
        yield Cancel(handle)
        yield Compute("gradient")

    assert ends(rig.run(each(program, in_turn()), 2, **away((0, 0.5, 4.6))))[0] == 5.6


# ---- again and again


def test_outages_without_end_do_not_hide_a_deadlock() -> None:
    """Nobody sends. With eight ranks that are away for most of the time, some rank is always to come back."""
    programs = each(*[in_turn(Compute("gradient"), Receive((rank + 1) % 8, SIZE)) for rank in range(8)])
    faults = {"mean_time_to_failure": 1.0, "mean_time_to_repair": 5.0}
    with pytest.raises(DeadlockError, match=r"no worker has got on during 8,000 outages(.|\n)*Receive\(<-1 1 kB\)"):
        rig.run(programs, 8, platform__faults=faults, **EVERYBODY_WAITS)


def test_a_kernel_that_is_never_through_is_an_error() -> None:
    faults = {"mean_time_to_failure": 0.01, "mean_time_to_repair": 0.01}
    with pytest.raises(DeadlockError, match="or fail faster than they can work"):
        rig.run(each(*[in_turn(Compute("gradient"))] * 2), 2, platform__faults=faults)


def test_what_was_started_may_take_long_together() -> None:
    """A program waits for 100 kernels, each of which is begun anew ten times or so: that is no standstill."""

    def program() -> Program:
        handles = []
        for _ in range(100):
            handle, _ = yield Start(Compute("gradient"))
            handles.append(handle)
        yield Await(tuple(handles))

    faults = {"mean_time_to_failure": 0.3, "mean_time_to_repair": 0.01}
    world = rig.run(each(program, in_turn()), 2, platform__faults=faults)
    assert world.outages is not None
    assert world.outages.summary(0)["outages"] > 2000  # PATIENCE, for two ranks
