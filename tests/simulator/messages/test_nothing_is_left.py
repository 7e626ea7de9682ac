"""Messages that have arrived are gone at once: a run has Python's collector off, and its length is anybody's guess."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from simulator import simulate
from simulator.messages.connections import Message
from simulator.network.flows import Flow

SCENARIO = {
    "schedule": {"gradients": 4},
    "topology": {"graph": "complete", "workers": 8},
    "platform": {"gradient": {"mean": 1}, "network": {"kind": "racks", "hosts_per_rack": 4}},
    "workload": {"parameters": 1000},
    "run": {"trace": False},
}


@pytest.fixture
def uncollected() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def alive() -> dict[type, int]:
    return {kind: sum(type(each) is kind for each in gc.get_objects()) for kind in (Message, Flow)}


@pytest.mark.parametrize("program", ["all-reduce", "gossip"])
@pytest.mark.usefixtures("uncollected")
def test_what_has_arrived_is_not_left_to_the_collector(program: str) -> None:
    before = alive()
    made = simulate({**SCENARIO, "schedule": {"program": program, "gradients": 40}})
    assert made.summary["bytes_sent"] > 400 * 1000  # hundreds of messages
    # A link keeps the last flow that had it for itself: two of every host, two of every rack.
    assert all(number - before[kind] <= 2 * 8 + 2 * 2 for kind, number in alive().items())
