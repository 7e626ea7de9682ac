"""Sends and receives of one stream go in order, as on one communicator; `platform.order` lets them overtake."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from schedules.errors import DeadlockError
from schedules.operations import Await, Cancel, Compute, Exchange, Payload, Program, Put, Receive, Send, Start, Take
from schedules.scenario import load
from schedules.worker import Worker
from simulator.run import is_in_order
from simulator.world import World
from tests.simulator import rig

SIZE = 1000  # bytes: 1 ms on the rig's link of 1 MB/s
LATENCY, BYTES, GRADIENT = 1_000_000, 1_000_000, 1_000_000_000
MESSAGE = LATENCY + BYTES
NUM_MICRO_BATCHES = 6


def early(worker: Worker) -> Mapping[str, Program]:
    """Two pipeline stages. The first sends activations, and posts the receive of each gradient at once, early."""

    def forward() -> Program:
        for number in range(NUM_MICRO_BATCHES):
            yield Compute("gradient")
            yield Start(Send(1, Payload(SIZE), number))
            handle, _ = yield Start(Receive(1, SIZE, number))
            yield Put("receives", handle)

    def backward() -> Program:
        for _ in range(NUM_MICRO_BATCHES):
            handle, _ = yield Take("receives")
            yield Await((handle,))

    def receiver() -> Program:
        for number in range(NUM_MICRO_BATCHES):
            yield Receive(0, SIZE, number)
            yield Put("activations")

    def last_stage() -> Program:
        for number in range(NUM_MICRO_BATCHES):
            yield Take("activations")
            yield Compute("gradient")
            yield Start(Send(0, Payload(SIZE), number))

    worker.capacity("receives", NUM_MICRO_BATCHES)
    worker.capacity("activations", NUM_MICRO_BATCHES)
    first = {"forward": forward(), "backward": backward()}
    return first if worker.rank == 0 else {"receiver": receiver(), "stage": last_stage()}


def makespan(world: World) -> int:
    return max(stream.end_ns for stream in world.streams)


def test_a_receive_posted_early_blocks_the_sends_behind_it() -> None:
    """Head-of-line blocking of a pipeline. In order, an activation leaves only when the gradient before it is back, so
    the stages alternate: each micro-batch costs a round trip. Overtaking, both stages compute side by side."""
    in_order = makespan(rig.run(early, platform__order="in-order"))
    assert in_order == GRADIENT + NUM_MICRO_BATCHES * (GRADIENT + 2 * MESSAGE)
    overtaking = makespan(rig.run(early, platform__order="overtaking"))
    assert overtaking == GRADIENT + MESSAGE + NUM_MICRO_BATCHES * GRADIENT + MESSAGE


def test_in_order_is_the_default_but_for_gloo() -> None:
    """gloo goes by tags: there an early receive only announces itself (real-hardware.md, section 1)."""
    assert makespan(rig.run(early)) == makespan(rig.run(early, platform__order="in-order"))
    gloo = {"platform__transport": "gloo"}
    assert makespan(rig.run(early, **gloo)) == makespan(rig.run(early, **gloo, platform__order="overtaking"))
    assert makespan(rig.run(early, **gloo)) < makespan(rig.run(early, **gloo, platform__order="in-order"))


def crossing(worker: Worker) -> Mapping[str, Program]:
    """Both post a receive, then send: the classic of unbatched messages on one communicator."""

    def program() -> Program:
        peer = 1 - worker.rank
        receiving, _ = yield Start(Receive(peer, SIZE))
        yield Send(peer, Payload(SIZE))
        yield Await((receiving,))

    return {"crossing": program()}


def test_receives_before_sends_at_both_ends_block_each_other() -> None:
    with pytest.raises(DeadlockError) as error:
        rig.run(crossing)
    assert "2 of the sends and receives are blocked by earlier ones of their streams" in str(error.value)
    assert "platform.order" in str(error.value)
    assert makespan(rig.run(crossing, platform__order="overtaking")) == MESSAGE


def test_order_is_of_one_stream_and_exchanges_are_batches_of_their_own() -> None:
    """Another stream is another communicator, and an exchange is one batch of a send and a receive."""

    def programs(worker: Worker) -> Mapping[str, Program]:
        def waiting() -> Program:
            yield Receive(1, SIZE, tag=1)

        def sending() -> Program:
            yield Send(1, Payload(SIZE), tag=2)
            yield Send(1, Payload(SIZE), tag=1)  # rank 1 sends its own only now

        def both() -> Program:
            yield Start(Receive(0, SIZE, tag=1))
            yield Exchange(0, Payload(SIZE), tag=3)

        def others() -> Program:
            yield Receive(0, SIZE, tag=2)
            yield Send(0, Payload(SIZE), tag=1)

        def exchange() -> Program:
            yield Exchange(1, Payload(SIZE), tag=3)

        first = {"waiting": waiting(), "sending": sending(), "exchange": exchange()}
        return first if worker.rank == 0 else {"both": both(), "others": others()}

    world = rig.run(programs)
    assert all(stream.is_over for stream in world.streams)


def test_a_cancelled_operation_lets_the_next_pass() -> None:
    def programs(worker: Worker) -> Mapping[str, Program]:
        def first() -> Program:
            never, _ = yield Start(Receive(1, SIZE, tag=9))
            sending, _ = yield Start(Send(1, Payload(SIZE)))
            yield Compute("gradient")
            yield Cancel(never)
            yield Await((sending,))

        def second() -> Program:
            yield Receive(0, SIZE)

        return {"program": first() if worker.rank == 0 else second()}

    world = rig.run(programs)
    assert makespan(world) == GRADIENT + MESSAGE


def test_a_cancelled_operation_in_the_middle_is_left_out() -> None:
    def programs(worker: Worker) -> Mapping[str, Program]:
        def first() -> Program:
            yield Start(Receive(1, SIZE, tag=1))
            dropped, _ = yield Start(Send(1, Payload(SIZE), tag=9))
            sending, _ = yield Start(Send(1, Payload(SIZE), tag=2))
            yield Cancel(dropped)
            yield Await((sending,))

        def second() -> Program:
            yield Compute("gradient")
            yield Send(0, Payload(SIZE), tag=1)
            yield Receive(0, SIZE, tag=2)

        return {"program": first() if worker.rank == 0 else second()}

    assert makespan(rig.run(programs)) == GRADIENT + 2 * MESSAGE


def test_the_rule() -> None:
    def rule(**platform: str) -> bool:
        tables = {
            "schedule": {"program": "gossip", "gradients": 1},
            "topology": {"graph": "ring", "workers": 3},
            "platform": {"gradient": {"mean": 1.0}, **platform},
            "workload": {"parameters": 1},
        }
        return is_in_order(load(tables).platform)

    assert rule()
    assert rule(order="in-order", transport="gloo")
    assert not rule(transport="gloo")
    assert not rule(order="overtaking")
