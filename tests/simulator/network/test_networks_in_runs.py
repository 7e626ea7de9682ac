"""Runs over physical networks: the flows of `simulator.network.network` under real schedules."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from schedules.operations import Exchange, Payload, Program, Receive, Send, Start, Until
from schedules.scenario import ScenarioError
from schedules.worker import Worker
from simulator import simulate
from simulator.world import World
from tests.simulator import rig

MB = 10**6
FABRIC = {"kind": "fabric", "bandwidth": 100e6, "latency": 0.25e-3}


def scenario(program: str, network: Mapping[str, Any] | None = None, **schedule: Any) -> dict[str, Any]:
    """A run in which exchanges (82 ms) fill most of the time and often queue."""
    platform = {
        "gradient": {"distribution": "lognormal", "mean": 0.12, "cv": 0.1},
        "link": {"bandwidth": 1.25e9, "latency": 50e-6},
        "transport": schedule.pop("transport", "ideal"),
    }
    return {
        "schedule": {"program": program, "gradients": 20, **schedule},
        "topology": {"graph": "ring", "workers": 8},
        "platform": platform if network is None else {**platform, "network": network},
        "workload": {"parameters": 25_557_032},
    }


SCHEDULES: list[tuple[str, dict[str, Any]]] = [
    ("gossip", {"rate": 2.0}),
    ("a2cid2", {"rate": 2.0, "pairing": "first-come"}),
    ("d-psgd", {}),
    ("all-reduce", {"overlap": True}),
]


@pytest.mark.parametrize("transport", ["ideal", "gloo"])
@pytest.mark.parametrize(("program", "settings"), SCHEDULES, ids=[name for name, _ in SCHEDULES])
def test_links_of_their_own_are_the_closed_form_to_the_nanosecond(
    program: str, settings: dict[str, Any], transport: str
) -> None:
    """One model with other resources: flows over `dedicated` give the trace that the closed forms give."""
    network = {"kind": "dedicated", "bandwidth": 1.25e9, "latency": 50e-6}
    closed = simulate(scenario(program, transport=transport, **settings))
    flows = simulate(scenario(program, network, transport=transport, **settings), overrides={COLLECTIVES: "closed"})
    assert closed.trace is not None
    assert flows.trace is not None
    assert flows.trace.equals(closed.trace)
    assert flows.summary == closed.summary


COLLECTIVES = "platform.collectives.form"


def test_routes_cost_their_latency() -> None:
    """Two hops of 25 us are one link of 50 us, if nobody is in the way: gossip on a ring over a fabric of ample NICs
    differs from dedicated links only where a worker's two neighbours send to it at once, which gossip never does."""
    closed = simulate(scenario("gossip", rate=2.0))
    routed = simulate(scenario("gossip", {"kind": "fabric", "bandwidth": 1.25e9, "latency": 25e-6}, rate=2.0))
    assert routed.summary["makespan_s"] == closed.summary["makespan_s"]


def messages(sends: Mapping[int, list[tuple[int, int, float]]]) -> Any:
    """Programs that send (to, bytes, at what second) each on its own, and receive whatever is sent to them."""

    def programs(worker: Worker) -> Mapping[str, Program]:
        mine = [(f"to{peer}-{k}", peer, size, at) for k, (peer, size, at) in enumerate(sends.get(worker.rank, []))]
        theirs = [
            (f"from{rank}-{k}", rank, size, k)
            for rank, each in sends.items()
            for k, (peer, size, _) in enumerate(each)
            if peer == worker.rank
        ]
        sending = {name: _send(peer, size, at, k) for k, (name, peer, size, at) in enumerate(mine)}
        return {**sending, **{name: _receive(rank, size, k) for name, rank, size, k in theirs}}

    return programs


def _send(peer: int, size: int, at: float, tag: int) -> Program:
    yield Until(at)
    yield Send(peer, Payload(size), tag)


def _receive(rank: int, size: int, tag: int) -> Program:
    yield Receive(rank, size, tag)


def ends(world: World, prefix: str = "from") -> dict[tuple[int, str], float]:
    """When each stream with that prefix was over, in seconds, by (rank, name)."""
    return {(each.worker.rank, each.name): each.end_ns / 1e9 for each in world.streams if each.name.startswith(prefix)}


def test_incast_and_a_bystander() -> None:
    """Four senders of 50 MB into one NIC of 100 MB/s, and 100 MB from one of them to somebody else: 2 s and 1.33 s,
    plus the latency of the route (issue text: 2.001 and 1.334333 with 0.5 ms a link)."""
    sends = {rank: [(0, 50 * MB, 0.0)] for rank in (1, 2, 3, 4)}
    sends[1].append((5, 100 * MB, 0.0))
    world = rig.run(messages(sends), 6, platform__network={**FABRIC, "latency": 0.5e-3})
    found = ends(world)
    assert [found[0, f"from{rank}-0"] for rank in (1, 2, 3, 4)] == pytest.approx([2.001] * 4, rel=1e-9)
    assert found[5, "from1-1"] == pytest.approx(1.334333333, rel=1e-9)


def test_an_uplink_is_shared_between_racks() -> None:
    """Two racks of two; both hosts of one rack send 100 MB to the other over an uplink of 100 MB/s: 2 s, not 1."""
    network = {**FABRIC, "kind": "racks", "hosts_per_rack": 2, "uplink_bandwidth": 100e6, "uplink_latency": 0.25e-3}
    world = rig.run(messages({0: [(2, 100 * MB, 0.0)], 1: [(3, 100 * MB, 0.0)]}), 4, platform__network=network)
    assert list(ends(world).values()) == pytest.approx([2.001, 2.001], rel=1e-9)


def test_messages_of_one_connection_queue_and_those_of_others_share() -> None:
    """Two messages from 0 to 1 go one behind the other; the latency of the second passes meanwhile."""
    world = rig.run(messages({0: [(1, 100 * MB, 0.0), (1, 100 * MB, 0.0)]}), 3, platform__network=FABRIC)
    assert list(ends(world).values()) == pytest.approx([1.0005, 2.0005], rel=1e-9)
    world = rig.run(messages({0: [(1, 100 * MB, 0.0), (2, 100 * MB, 0.0)]}), 3, platform__network=FABRIC)
    assert list(ends(world).values()) == pytest.approx([2.0005, 2.0005], rel=1e-9)


def test_gloo_waits_for_the_announcement_over_the_route() -> None:
    """Both ask at once: the receiver's announcement takes a route's latency, then the message (real-hardware.md, 1)."""
    options = {"platform__network": FABRIC, "platform__transport": "gloo", "platform__overhead": 1e-3}
    world = rig.run(messages({0: [(1, 100 * MB, 0.0)]}), 2, **options)
    assert list(ends(world).values()) == pytest.approx([0.5e-3 + 1.0005 + 1e-3], rel=1e-9)


def exchanging(pairs: list[tuple[int, int]]) -> Any:
    def programs(worker: Worker) -> Mapping[str, Program]:
        def exchange(peer: int) -> Program:
            yield Exchange(peer, Payload(100 * MB))

        peers = [a + b - worker.rank for a, b in pairs if worker.rank in (a, b)]
        return {f"with{peer}": exchange(peer) for peer in peers}

    return programs


@pytest.mark.parametrize(("duplex", "expected"), [("full", 1.0005), ("half", 2.0005)])
def test_half_duplex_links_carry_one_direction_at_a_time(duplex: str, expected: float) -> None:
    world = rig.run(exchanging([(0, 1)]), 2, platform__network={**FABRIC, "duplex": duplex})
    assert list(ends(world, "with").values()) == pytest.approx([expected] * 2, rel=1e-9)


def test_an_exchange_ends_at_once_at_both_ends_with_ideal_and_on_arrival_with_gloo() -> None:
    """0 sends to 2 beside its exchange with 1: the direction from 0 to 1 has half the NIC."""

    def programs(worker: Worker) -> Iterator[tuple[str, Program]]:
        yield from exchanging([(0, 1)])(worker).items()
        yield from messages({0: [(2, 100 * MB, 0.0)]})(worker).items()

    def run(transport: str) -> list[float]:
        options = {"platform__network": FABRIC, "platform__transport": transport}
        return list(ends(rig.run(lambda worker: dict(programs(worker)), 3, **options), "with").values())

    assert run("ideal") == pytest.approx([2.0005, 2.0005], rel=1e-9)
    assert run("gloo") == pytest.approx([1.001, 2.001], rel=1e-9)


def test_placement_and_given_routes() -> None:
    """Workers on the hosts that the scenario names; a route the long way round a square of hosts."""
    torus = {"kind": "torus", "hosts": 4, "shape": [2, 2], "bandwidth": 100e6, "latency": 1e-3}
    world = rig.run(messages({0: [(1, 100 * MB, 0.0)]}), 2, platform__network={**torus, "placement": [0, 3]})
    assert list(ends(world).values()) == pytest.approx([1.002], rel=1e-9)
    given = {**torus, "routes": {"0-1": [0, 2, 3, 1]}}
    world = rig.run(messages({0: [(1, 100 * MB, 0.0)]}), 4, platform__network=given)
    assert list(ends(world).values()) == pytest.approx([1.003], rel=1e-9)


@pytest.mark.parametrize(
    ("network", "message"),
    [
        ({"routes": {"0-1": [0, 5, 1]}}, "route of (0, 1): expected links of the network"),
        ({"routes": {"0>1": [0, 1]}}, "expected pairs of workers such as \"0-3\", found '0>1'"),
        ({"placement": [0, "x"]}, "placement: expected nodes of the network, found 'x'"),
    ],
)
def test_routes_that_do_not_fit(network: dict[str, Any], message: str) -> None:
    with pytest.raises(ScenarioError, match=r"platform\.network") as error:
        rig.build(messages({}), 2, platform__network={**FABRIC, **network})
    assert message in str(error.value)


def test_two_workers_of_one_host_copy_at_no_cost() -> None:
    world = rig.run(exchanging([(0, 1)]), 2, platform__network={**FABRIC, "placement": [0, 0]})
    assert list(ends(world, "with").values()) == [0.0, 0.0]


def test_a_started_message_runs_beside_its_program() -> None:
    """The flow ends the operation that was started, wherever its program is by then."""

    def sender() -> Program:
        handle, _ = yield Start(Send(1, Payload(100 * MB)))
        yield Until(5.0)
        assert handle.running.is_over

    def programs(worker: Worker) -> Mapping[str, Program]:
        return {"all": sender() if worker.rank == 0 else _receive(0, 100 * MB, 0)}

    world = rig.run(programs, 2, platform__network=FABRIC)
    assert ends(world, "all") == {(0, "all"): 5.0, (1, "all"): pytest.approx(1.0005, rel=1e-9)}
