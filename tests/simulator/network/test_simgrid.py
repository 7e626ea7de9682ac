"""The same transfers in SimGrid, where it is installed: the fluid model's own simulator, by other people.

SimGrid has one engine a process, so a child process runs all the networks at once, as islands of one platform. Its
factors for TCP's overheads are set to nothing and the latencies are zero (it would weigh flows by them).
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from simulator.network.completion import completion_times
from simulator.network.links import LinkId, LinkLike

NUM_NETWORKS = 40
Network = tuple[list[tuple[float, str]], list[tuple[int, int, list[int]]]]


def random_network(seed: int) -> Network:
    """Links (bandwidth, policy) and flows (size, start in s, route by link number)."""
    draw = random.Random(seed)
    num_links = draw.randint(1, 8)
    links = [
        (draw.choice([60e6, 80e6, 100e6, 1e6 * draw.randint(1, 200)]), draw.choice(["shared", "shared", "fatpipe"]))
        for _ in range(num_links)
    ]
    flows = [
        (draw.randint(1, 500) * 10**6, draw.randint(0, 3), draw.sample(range(num_links), draw.randint(1, num_links)))
        for _ in range(draw.randint(1, 10))
    ]
    return links, flows


def test_transfers_end_when_they_do_in_simgrid() -> None:
    pytest.importorskip("simgrid")
    networks = [random_network(seed) for seed in range(NUM_NETWORKS)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path.cwd()), *sys.path])}
    child = subprocess.run(
        [sys.executable, __file__],
        input=json.dumps(networks),
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    for (links, flows), theirs in zip(networks, json.loads(child.stdout.splitlines()[-1]), strict=True):
        ours_links: dict[LinkId, LinkLike] = {
            link: {"bandwidth": bandwidth, "policy": policy} for link, (bandwidth, policy) in enumerate(links)
        }
        assert completion_times(ours_links, flows) == pytest.approx(theirs, rel=1e-6)


def run_in_simgrid(networks: list[Network]) -> list[list[float]]:
    from simgrid import (  # type: ignore[import-not-found, unused-ignore]
        Actor,
        Comm,
        Engine,
        LinkInRoute,
        NetZone,
    )
    from simgrid import Link as SimGridLink

    options = ["model:CM02", "latency-factor:1", "bandwidth-factor:1", "weight-S:0", "crosstraffic:0", "TCP-gamma:0"]
    engine = Engine(["test", "--log=root.thres:error", *(f"--cfg=network/{option}" for option in options)])
    zone = NetZone.create_full_zone("all")
    ends = [[0.0] * len(flows) for _, flows in networks]

    def send(island: int, index: int, start: int, ends_of: tuple[object, object], size: int) -> None:
        from simgrid import this_actor

        this_actor.sleep_for(start)
        Comm.sendto(*ends_of, size)
        ends[island][index] = engine.clock

    for island, (links, flows) in enumerate(networks):
        made = []
        for link, (bandwidth, policy) in enumerate(links):
            made.append(zone.create_link(f"{island}-{link}", bandwidth).set_latency(0))
            policies = SimGridLink.SharingPolicy
            made[-1].set_sharing_policy(policies.FATPIPE if policy == "fatpipe" else policies.SHARED, None)
            made[-1].seal()
        for index, (size, start, route) in enumerate(flows):
            source, target = (zone.create_host(f"{island}-{index}-{end}", 1e9).seal() for end in "ab")
            way = [LinkInRoute(made[link]) for link in route]
            zone.add_route(source.netpoint, target.netpoint, None, None, way, False)
            Actor.create(f"{island}-{index}", source, send, island, index, start, (source, target), size)
    zone.seal()
    engine.run()
    return ends


if __name__ == "__main__":
    print(json.dumps(run_in_simgrid(json.load(sys.stdin))))
