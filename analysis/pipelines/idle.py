"""Why the ranks of a pipeline were idle: each rank's idle time in parts that sum to it.

The cells of a run (`executed`) are timed again with the run's own durations, by the longest path over its order: (a)
where every message takes the platform's latency (on a network that of its route), and none waits for another (latency
mode), (b) where messages take
nothing. A rank's idle time is the time until the last step of all ranks ends, less what it computes. Of each rank:

* contention: its idle time less that of (a): what is gone in latency mode. Bytes on links and their sharing, the
  software of messages, receives that come late. What no order says is in it, too: barriers and all-reduces.
* latency: the idle time of (a) less that of (b): what is gone where messages take nothing.
* before, after, between: in (b), until its first step begins, from the end of its last one on, and the rest: what the
  order itself costs.

A difference may be below 0: of a measured run whose messages were faster than the platform says.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

import topologies
from analysis.pipelines.executed import Executed, ahead_of, executed_order, joints_of
from analysis.pipelines.steps import steps_of_run
from schedules.errors import ScenarioError
from schedules.orders import OrderError, retime
from schedules.platform.transports import transport_of
from schedules.record.memory import lengths, merged

if TYPE_CHECKING:
    import pandas as pd

    from schedules.result import Result

Nanoseconds = NDArray[np.int64]

IDLE_PARTS: Final = ("contention", "latency", "before", "after", "between")
"""In the order in which they are told; columns of `idle_parts` with `_ns` behind."""


@dataclass(frozen=True)
class Idle:
    """Where the idle time of a run's ranks comes from.

    Attributes:
        parts: index `rank`; int64 nanoseconds `compute_ns`, `idle_ns`, and `IDLE_PARTS`, which add up to it exactly.
        latency_s: of a message in (a); None where each has that of its route.
        transport: of the run's scenario.
    """

    parts: pd.DataFrame
    latency_s: float | None
    transport: str

    @property
    def takes_latency(self) -> bool:
        """Whether messages of the transport have one."""
        return transport_of({"transport": self.transport}).has_latency


def idle_of(run: Result) -> Idle | None:
    """The idle time of a run in parts; None where it has no trace, is no pipeline, or follows no order."""
    steps = None if run.trace is None else steps_of_run(run.trace)
    executed = None if steps is None else _executed(steps, run)
    if steps is None or executed is None:
        return None
    latency_s, platform = latency_of(run), run.tables.get("platform") or {}
    try:
        latency = _by_route(run, executed) if latency_s is None else round(1e9 * latency_s)
        return Idle(idle_parts(steps, executed, latency), latency_s, str(platform.get("transport", "ideal")))
    except OrderError:  # its steps wait for others that it has lost
        return None
    except (ScenarioError, ValueError):  # a network that cannot be built any more, say of a file that is gone
        return None


def _by_route(run: Result, executed: Executed) -> Nanoseconds:
    """What a message takes from each of the order's ranks to each: int64 nanoseconds [ranks, ranks]."""
    scenario, order = run.scenario, executed.order
    table, network = scenario.platform.network, scenario.network
    if table is None or network is None:
        raise ValueError("expected a table [platform.network], found none")
    neighbours = {(order.place[one], order.place[other]) for chain in order.chains for one, other in pairwise(chain)}
    pairs = [(one, other) for low, high in neighbours for one, other in ((low, high), (high, low)) if one != other]
    given = {(int(one), int(other)): nodes for name, nodes in table.routes.items() for one, other in [name.split("-")]}
    links = topologies.link_table(network)
    routes = topologies.routes(network, pairs, placement=table.placement, given=given, ties=table.ties)
    number = int(executed.ranks.max()) + 1
    found = np.zeros((number, number), dtype=np.int64)
    for pair, route in routes.items():
        found[pair] = round(1e9 * sum(links[link][1] for link in route))
    return found[np.ix_(executed.ranks, executed.ranks)]


def _executed(steps: pd.DataFrame, run: Result) -> Executed | None:
    schedule, workers = run.tables.get("schedule") or {}, (run.tables.get("topology") or {}).get("workers")
    micro_batches = schedule.get("micro_batches")
    if not isinstance(workers, int) or not isinstance(micro_batches, int):  # a run of a program of the user's
        return executed_order(steps)
    replicas = int(schedule.get("replicas", 1))
    joints = joints_of(str(schedule.get("program")), workers, micro_batches, replicas)
    return executed_order(steps, joints, replicas * micro_batches, ahead_of(schedule, workers))


def latency_of(run: Result) -> float | None:
    """What one message takes, in seconds, by the platform of the run's scenario: of a link of its own, which
    `twinclock calibrate` measures; 0 under the transport "none"; None on a network, where latencies differ."""
    platform = run.tables.get("platform") or {}
    if not transport_of(platform).has_latency:
        return 0.0
    link = platform.get("link")
    if platform.get("network") is not None or not isinstance(link, dict):
        return None
    return float(link.get("latency", 0.0))


def idle_parts(steps: pd.DataFrame, executed: Executed, latency_ns: int | Nanoseconds) -> pd.DataFrame:
    """See above.

    Args:
        steps: of the run, as `analysis.pipelines.steps.steps_of_run` returns them.
        executed: its order.
        latency_ns: of a message; or [ranks, ranks], from one of the order's to another.
    Raises:
        OrderError: if some cells wait for others for ever.
    """
    import pandas as pd

    order = executed.order
    timed = [retime(order, executed.durations, each) for each in (latency_ns, 0)]
    start, end = (np.hstack(times) for times in zip(*timed, strict=True))
    rank = np.repeat(executed.ranks, [len(cells) for cells in order.ranks])
    number = int(executed.ranks.max()) + 1
    whole = steps[steps["half"] < 1]
    times = (whole[name].to_numpy(dtype=np.int64) for name in ("start_ns", "end_ns"))
    computed = lengths(merged(whole["rank"].to_numpy(dtype=np.int64), *times), number)
    with_latency, without = (lengths(merged(rank, start[:, each], end[:, each]), number) for each in (0, 1))
    span = int(steps["end_ns"].max() - min(0, int(steps["start_ns"].min())))
    idle = span - computed
    idle_with_latency, idle_without = end[:, 0].max() - with_latency, end[:, 1].max() - without
    begins, ends = np.full(number, end[:, 1].max()), np.zeros(number, dtype=np.int64)
    np.minimum.at(begins, rank, start[:, 1])
    np.maximum.at(ends, rank, end[:, 1])
    after = np.where(without > 0, end[:, 1].max() - ends, 0)
    table = {
        "compute_ns": computed,
        "idle_ns": idle,
        "contention_ns": idle - idle_with_latency,
        "latency_ns": idle_with_latency - idle_without,
        "before_ns": begins,
        "after_ns": after,
        "between_ns": idle_without - begins - after,
    }
    return pd.DataFrame(table, index=pd.RangeIndex(number, name="rank"))
