"""When each of a set of transfers ends, without an engine."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import partial

from simulator.network.calls import CallClock
from simulator.network.flows import Route
from simulator.network.links import LinkId, Links
from simulator.network.network import Network
from simulator.network.sharing import SharingRule, Solver

FINE_TICKS = 2**80
"""Ticks a second where results are wanted in float seconds: a power of two, so nothing is lost by scaling."""


def completion_times(
    links: Links,
    flows: Sequence[tuple[float, float, Iterable[LinkId]]],
    *,
    sharing: SharingRule = "max-min",
    solver: Solver = "auto",
) -> list[float]:
    """When each of a set of transfers ends.

    Args:
        links: id -> (bandwidth in bytes/s, latency in s, "shared" or "fatpipe"), or a mapping or `LinkSpec` of these.
        flows: (size in bytes, start in s, ids of the links on the route) each.
        sharing, solver: as for `Network`.
    Returns:
        the end of each transfer in seconds on the clock of the starts; relative error below 1e-9.
    Raises:
        ValueError: for an impossible link, route, size or start, naming it.

    Two transfers share a link of 100 MB/s until the shorter is through:

    >>> completion_times({"l": (100e6, 0.0, "shared")}, [(100e6, 0.0, ["l"]), (200e6, 0.0, ["l"])])
    [2.0, 3.0]
    """
    clock = CallClock()
    network = Network(links, clock.call_at, sharing=sharing, solver=solver, ticks_per_second=FINE_TICKS)
    ends = [0.0] * len(flows)

    def note_end(index: int) -> None:
        ends[index] = clock.now / FINE_TICKS

    def start(index: int, route: Route, size: float) -> None:
        network.start(route, size, clock.now, partial(note_end, index))

    for index, (size, start_s, ids) in enumerate(flows):
        if not math.isfinite(start_s):
            raise ValueError(f"flow {index} starts at {start_s!r} s, expected a finite number")
        clock.call_at(round(start_s * FINE_TICKS), partial(start, index, network.route(ids), size))
    clock.run()
    return ends
