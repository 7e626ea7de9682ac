"""Sends and receives of one channel go in order, as on one communicator; `platform.order` lets them overtake."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import pytest

from schedules.errors import DeadlockError
from schedules.operations import Await, Cancel, Compute, Exchange, Payload, Program, Put, Receive, Send, Start, Take
from schedules.platform.transports import TRANSPORTS
from schedules.scenario import load
from schedules.worker import Worker
from simulator.run import is_in_order
from simulator.world import World
from tests.simulator import rig

SIZE = 1000  # bytes: 1 ms on the rig's link of 1 MB/s
LATENCY, BYTES, GRADIENT = 1_000_000, 1_000_000, 1_000_000_000
MESSAGE = LATENCY + BYTES
NUM_MICRO_BATCHES = 6
IN_ORDER = {"platform__order": "in-order"}


def early(worker: Worker, back: str = "") -> Mapping[str, Program]:
    """Two pipeline stages. The first sends activations, and posts the receive of each gradient at once, early.

    Gradients go on the channel `back`."""

    def forward() -> Program:
        for number in range(NUM_MICRO_BATCHES):
            yield Compute("gradient")
            yield Start(Send(1, Payload(SIZE), number))
            handle, _ = yield Start(Receive(1, SIZE, number, back))
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
            yield Start(Send(0, Payload(SIZE), number, back))

    worker.capacity("receives", NUM_MICRO_BATCHES)
    worker.capacity("activations", NUM_MICRO_BATCHES)
    first = {"forward": forward(), "backward": backward()}
    return first if worker.rank == 0 else {"receiver": receiver(), "stage": last_stage()}


def makespan(world: World) -> int:
    return max(stream.end_ns for stream in world.streams)


def test_a_receive_posted_early_blocks_the_sends_behind_it() -> None:
    """Head-of-line blocking of a pipeline. In order, each stage has posted a receive before the send that the other one
    waits for. With a channel a direction, or overtaking, both stages compute side by side."""
    with pytest.raises(DeadlockError, match="11 of the sends and receives are blocked by earlier ones"):
        rig.run(partial(early, back=""), **IN_ORDER)
    for channel, order in (("", "overtaking"), ("gradients", "in-order"), ("gradients", "overtaking")):
        found = makespan(rig.run(partial(early, back=channel), platform__order=order))
        assert found == GRADIENT + MESSAGE + NUM_MICRO_BATCHES * GRADIENT + MESSAGE


@pytest.mark.parametrize("transport", sorted(set(TRANSPORTS) - {"nccl"}))
def test_no_other_transport_is_in_order_unless_the_scenario_says(transport: str) -> None:
    """They go by tags: there an early receive only announces itself (real-hardware.md, section 1)."""
    platform = {"platform__transport": transport}
    one, other = (makespan(rig.run(early, **platform, **order)) for order in ({}, {"platform__order": "overtaking"}))
    assert one == other


def test_nccl_is_in_order_unless_the_scenario_says() -> None:
    with pytest.raises(DeadlockError, match="11 of the sends and receives are blocked by earlier ones"):
        rig.run(early, platform__transport="nccl")
    found = makespan(rig.run(early, platform__transport="nccl", platform__order="overtaking"))
    assert found == makespan(rig.run(early, platform__order="overtaking"))


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
        rig.run(crossing, **IN_ORDER)
    assert "2 of the sends and receives are blocked by earlier ones of their channels" in str(error.value)
    assert "platform.order" in str(error.value)
    assert makespan(rig.run(crossing, platform__order="overtaking")) == MESSAGE


def test_order_is_of_one_channel_and_exchanges_are_batches_of_their_own() -> None:
    """Another channel is another communicator, whatever the streams, and an exchange is one batch of a send and a
    receive."""

    def programs(worker: Worker) -> Mapping[str, Program]:
        def waiting() -> Program:
            yield Receive(1, SIZE, tag=1, channel="back")

        def sending() -> Program:
            yield Send(1, Payload(SIZE), tag=2)
            yield Send(1, Payload(SIZE), tag=1)  # rank 1 sends its own only now

        def both() -> Program:
            yield Start(Receive(0, SIZE, tag=2))
            yield Start(Receive(0, SIZE, tag=1))
            yield Exchange(0, Payload(SIZE), tag=3)

        def others() -> Program:
            yield Send(0, Payload(SIZE), tag=1, channel="back")

        def exchange() -> Program:
            yield Exchange(1, Payload(SIZE), tag=3)

        first = {"waiting": waiting(), "sending": sending(), "exchange": exchange()}
        return first if worker.rank == 0 else {"both": both(), "others": others()}

    world = rig.run(programs, **IN_ORDER)
    assert all(stream.is_over for stream in world.streams)


def test_streams_share_a_channel() -> None:
    """Two streams without channels: the receive that one of them posted first blocks the other's send."""

    def programs(worker: Worker) -> Mapping[str, Program]:
        def receiving() -> Program:
            yield Receive(1 - worker.rank, SIZE)

        def sending() -> Program:
            yield Send(1 - worker.rank, Payload(SIZE))

        return {"receiving": receiving(), "sending": sending()}

    with pytest.raises(DeadlockError, match="2 of the sends and receives are blocked"):
        rig.run(programs, platform__order="in-order")
    rig.run(programs, platform__order="overtaking")


def test_other_peers_are_another_order() -> None:
    def programs(worker: Worker) -> Mapping[str, Program]:
        def first() -> Program:
            waiting, _ = yield Start(Receive(2, SIZE))
            yield Send(1, Payload(SIZE))
            yield Await((waiting,))

        def second() -> Program:
            yield Receive(0, SIZE)

        def third() -> Program:
            yield Compute("gradient")
            yield Send(0, Payload(SIZE))

        return {"program": (first, second, third)[worker.rank]()}

    world = rig.run(programs, 3, platform__order="in-order")
    assert [stream.end_ns for stream in world.streams] == [GRADIENT + MESSAGE, MESSAGE, GRADIENT + MESSAGE]


@pytest.mark.parametrize("channels", [("", ""), ("a", "b")])
def test_channels_share_the_link(channels: tuple[str, str]) -> None:
    def programs(worker: Worker) -> Mapping[str, Program]:
        def program() -> Program:
            made = [Send(1, Payload(SIZE), channel=each) for each in channels]
            if worker.rank == 1:
                made = [Receive(0, SIZE, channel=each) for each in channels]
            handles = []
            for each in made:
                handle, _ = yield Start(each)
                handles.append(handle)
            yield Await(tuple(handles))

        return {"program": program()}

    assert makespan(rig.run(programs, platform__order="in-order")) == LATENCY + 2 * BYTES


def test_a_message_of_another_channel_is_not_taken() -> None:
    def programs(worker: Worker) -> Mapping[str, Program]:
        def first() -> Program:
            yield Start(Send(1, Payload(SIZE, version=1), channel="a"))
            yield Send(1, Payload(SIZE, version=2), channel="b")

        def second() -> Program:
            two, _ = yield Receive(0, SIZE, channel="b")
            one, _ = yield Receive(0, SIZE, channel="a")
            assert (one.version, two.version) == (1, 2)

        return {"program": first() if worker.rank == 0 else second()}

    rig.run(programs, **IN_ORDER)


def test_the_board_says_that_channels_differ() -> None:
    def programs(worker: Worker) -> Mapping[str, Program]:
        def program() -> Program:
            if worker.rank == 0:
                yield Send(1, Payload(SIZE), channel="a")
            else:
                yield Receive(0, SIZE, channel="b")

        return {"program": program()}

    with pytest.raises(DeadlockError, match=r"Receive\(<-0 1 kB via b\) .* <- channels differ"):
        rig.run(programs)


def test_a_long_queue_is_posted_without_nested_calls() -> None:
    """All wait behind the first, and meet their other ends at once when it does."""
    number = 5000

    def programs(worker: Worker) -> Mapping[str, Program]:
        def program() -> Program:
            handles = []
            for k in range(number):
                if k == 0 and worker.rank == 1:
                    first, _ = yield Start(Receive(0, SIZE, tag=-1))
                handle, _ = yield Start(Send(1, Payload(SIZE), k) if worker.rank == 0 else Receive(0, SIZE, k))
                handles.append(handle)
            if worker.rank == 1:
                yield Cancel(first)
            yield Await(tuple(handles))

        return {"program": program()}

    assert makespan(rig.run(programs, **IN_ORDER)) == LATENCY + number * BYTES


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

    world = rig.run(programs, **IN_ORDER)
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

    assert makespan(rig.run(programs, **IN_ORDER)) == GRADIENT + 2 * MESSAGE


def test_the_rule() -> None:
    def rule(**platform: str) -> bool:
        tables = {
            "schedule": {"program": "gossip", "gradients": 1},
            "topology": {"graph": "ring", "workers": 3},
            "platform": {"gradient": {"mean": 1.0}, **platform},
            "workload": {"parameters": 1},
        }
        return is_in_order(load(tables).platform)

    assert not rule()
    assert not rule(transport="gloo")
    assert not rule(order="overtaking")
    assert rule(order="in-order")
    assert rule(order="in-order", transport="gloo")
