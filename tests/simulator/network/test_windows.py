"""Windows in runs: no connection carries more than its window in a round trip, and others have the rest.

Every expectation is worked out by hand: links of 100 MB/s, 10 ms one way from host to host (20 ms there and back).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import networkx as nx
import pytest

from schedules.operations import Exchange, Payload, Program, Receive, Send
from schedules.worker import Worker
from simulator.network.calls import CallClock
from simulator.network.network import LinkSpec, Network
from tests.simulator import rig

MB = 1_000_000
B, L = 100 * MB, 10e-3
FABRIC = {"kind": "fabric", "bandwidth": B, "latency": L / 2}
LINK = {"bandwidth": B, "latency": L}


def sends(*pairs: tuple[int, int, int]) -> Any:
    """Programs in which workers send (from, to, bytes) at once."""

    def programs(worker: Worker) -> Mapping[str, Program]:
        def one(operation: Any) -> Program:
            yield operation

        found = {
            f"to {target}": one(Send(target, Payload(size))) for source, target, size in pairs if source == worker.rank
        }
        found |= {
            f"from {source}": one(Receive(source, size)) for source, target, size in pairs if target == worker.rank
        }
        return found

    return programs


def ends(programs: Any, workers: int, **platform: Any) -> dict[str, float]:
    world = rig.run(programs, workers, **{f"platform__{key}": value for key, value in platform.items()})
    return {f"{stream.worker.rank} {stream.name}": stream.end_ns / 1e9 for stream in world.streams}


@pytest.mark.parametrize("where", [{"link": LINK}, {"network": FABRIC}], ids=["a link of its own", "a network"])
@pytest.mark.parametrize(
    ("window", "expected"),
    [(1_000_000, L + 20 * MB / (50 * MB)), (4_000_000, L + 20 * MB / B)],
    ids=["1 MB in 20 ms", "more than the link holds"],
)
def test_a_connection_carries_its_window_in_a_round_trip(where: Any, window: int, expected: float) -> None:
    found = ends(sends((0, 1, 20 * MB)), 2, window=window, **where)
    assert found == pytest.approx({"0 to 1": expected, "1 from 0": expected}, rel=1e-9)


def test_a_window_of_a_link_is_as_good() -> None:
    expected = L + 20 * MB / (50 * MB)
    for where in ({"link": {**LINK, "window": MB}}, {"network": {**FABRIC, "window": MB}}):
        assert ends(sends((0, 1, 20 * MB)), 2, **where)["1 from 0"] == pytest.approx(expected, rel=1e-9)


def test_what_a_window_leaves_is_for_others() -> None:
    """Two connections into one host, of which the far one may have 1 MB in 80 ms, 12.5 MB/s: the near one has the other
    87.5 MB/s of the link, and not half of it."""
    clock = CallClock()
    network = Network({"far": LinkSpec(B, 30e-3), "near": LinkSpec(B), "in": LinkSpec(B, L)}, clock.call_at)
    told: dict[str, float] = {}

    def start(name: str, limit: float) -> None:
        route = network.route([name, "in"], limit)
        network.start(route, 25 * MB, 0, lambda: told.setdefault(name, clock.now / 1e9), 0)

    start("far", 12.5 * MB)
    start("near", 1e300)
    clock.run()
    assert told == pytest.approx({"near": 25 / 87.5, "far": 2.0}, rel=1e-9)


def test_a_file_gives_every_link_its_own(tmp_path: Any) -> None:
    """Hosts 0 and 1 over a link with a window of 1 MB, 0 and 2 over one without."""
    graph: nx.Graph[int] = nx.Graph()
    graph.add_nodes_from(range(3), kind="host")
    graph.add_edge(0, 1, bandwidth=float(B), latency=L, window=float(MB))
    graph.add_edge(0, 2, bandwidth=float(B), latency=L)
    (tmp_path / "hosts.json").write_text(json.dumps(nx.node_link_data(graph, edges="edges")))
    found = ends(sends((0, 1, 20 * MB), (0, 2, 20 * MB)), 3, network={"file": str(tmp_path / "hosts.json")})
    assert (found["1 from 0"], found["2 from 0"]) == pytest.approx((L + 0.4, L + 0.2), rel=1e-9)


@pytest.mark.parametrize("where", [{"link": LINK}, {"network": FABRIC}], ids=["a link of its own", "a network"])
@pytest.mark.parametrize("transport", ["ideal", "gloo"])
def test_a_connection_that_has_rested_opens_by_doubling(where: Any, transport: str) -> None:
    """0.25 MB, 0.5 MB and 1 MB leave in the first three round trips of 20 ms, which hold 2 MB: of these 17.5, 15 and 10
    ms pass in vain. A second message right behind it finds it open."""

    def twice(worker: Worker) -> Mapping[str, Program]:
        def main() -> Program:
            for tag in range(2):
                yield Exchange(1 - worker.rank, Payload(20 * MB), tag)

        return {"main": main()}

    one = L + 20 * MB / B + (L if transport == "gloo" else 0.0)
    found = ends(twice, 2, transport=transport, initial_window=MB // 4, **where)
    assert found == pytest.approx(dict.fromkeys(("0 main", "1 main"), 2 * one + 42.5e-3), rel=1e-6)
