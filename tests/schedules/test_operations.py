"""The vocabulary: operations are values, print short and parse back."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schedules.operations import (
    OPERATIONS,
    AllGather,
    AllReduce,
    AllToAll,
    Await,
    Barrier,
    Broadcast,
    Cancel,
    Compute,
    Exchange,
    Handle,
    Join,
    Meet,
    Operation,
    Payload,
    Put,
    Receive,
    ReduceScatter,
    Send,
    Start,
    Take,
    Until,
    format_bytes,
    parse,
    parse_bytes,
)

SHORT = {
    "Compute(gradient)": Compute("gradient"),
    "Compute(F s2 m3 on copy)": Compute("F", 2, 3, "copy"),
    "Send(->3 #1 5 B)": Send(3, Payload(5), 1),
    "Receive(<-2 1.234567 MB)": Receive(2, 1_234_567),
    "Send(->3 #1 5 B via forward limit 4.1 kB)": Send(3, Payload(5), 1, "forward", 4100),
    "Receive(<-2 #4 7 B via b.c-d)": Receive(2, 7, 4, "b.c-d"),
    "AllGather(3 B of 0,1 via shards)": AllGather(Payload(3), (0, 1), channel="shards"),
    "ReduceScatter(3 B via shards)": ReduceScatter(Payload(3), channel="shards"),
    "AllToAll(#2 30 B via experts parts 0,10,20)": AllToAll(Payload(30), None, 2, "experts", (0, 10, 20)),
    "Broadcast(4 B from 3 via x)": Broadcast(Payload(4), 3, channel="x"),
    "Barrier(via end)": Barrier(channel="end"),
    "Exchange(<->4 #17 44.7 MB)": Exchange(4, Payload(44_700_000), 17),
    "Meet(1,2,3)": Meet((1, 2, 3)),
    "AllReduce(#5 100 B sum of 0,2)": AllReduce(Payload(100), "sum", (0, 2), 5),
    "Broadcast(4 B from 3)": Broadcast(Payload(4), 3),
    "Barrier()": Barrier(),
    "Start(AllReduce(3 B))": Start(AllReduce(Payload(3))),
    "Await(h3,h5 need 2 by 1.5)": Await((Handle(3), Handle(5)), 2, 1.5),
    "Until(@0.25)": Until(0.25),
    "Put(done)": Put("done", item="not printed"),
    "Take(done)": Take("done"),
    "Cancel(h2)": Cancel(Handle(2)),
    "Join()": Join(),
}


@pytest.mark.parametrize(("text", "operation"), SHORT.items())
def test_prints_short_and_parses_back(text: str, operation: Operation) -> None:
    assert str(operation) == text
    assert parse(text) == operation


@pytest.mark.parametrize("kind", OPERATIONS.values(), ids=OPERATIONS)
def test_is_a_frozen_slotted_dataclass(kind: type[Operation]) -> None:
    assert dataclasses.is_dataclass(kind)
    assert "__dict__" not in dir(kind)
    assert kind.__dataclass_params__.frozen  # type: ignore[attr-defined]


def test_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Until(1.0).time = 2.0  # type: ignore[misc]


def test_arrays_are_not_compared() -> None:
    assert Exchange(1, Payload(8, array=np.zeros(1))) == Exchange(1, Payload(8, array=np.ones(1)))
    assert Exchange(1, Payload(8)) != Exchange(1, Payload(16))


@given(st.integers(0, 10**15))
def test_bytes_are_printed_exactly(size: int) -> None:
    assert parse_bytes(format_bytes(size)) == size


@given(st.integers(0, 10**6), st.integers(0, 10**12), st.integers(0, 10**9))
def test_every_exchange_parses_back(peer: int, size: int, tag: int) -> None:
    operation = Exchange(peer, Payload(size), tag)
    assert parse(str(operation)) == operation


@given(st.floats(0, allow_nan=False, allow_infinity=False))
def test_every_time_parses_back(time: float) -> None:
    assert parse(str(Until(time))) == Until(time)


@pytest.mark.parametrize(
    "text", ["", "Exchange", "Exchange(4", "Fly(<->4)", "Exchange(four 1 B)", "Until(@soon)", "Send()"]
)
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected|argument"):
        parse(text)
