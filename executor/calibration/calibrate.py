"""Measuring this machine: the platform table that makes the simulator predict what the executor will measure.

A short run of its own (`executor.calibration.probes`), with as many ranks as the scenario has, at the concurrency of
its schedule. Exchanges are fitted under the transport that they really went by, with the formula that the simulator has
for it (`schedules.platform.link_fits`), and the software around kernels and messages by the simulator's model of it
(`executor.calibration.host_fits`).
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any

from executor.calibration.host_fits import host_fits
from executor.calibration.message_fits import (
    SMALL,
    collective_bandwidth,
    collective_overhead,
    message_overhead,
    shared_bandwidth,
)
from executor.calibration.probes import ALONE, MOST, QUIET
from executor.calibration.told import Told
from executor.launching.launch import Ranks, execute
from executor.wire.named import named
from schedules import catalogue
from schedules.errors import ScheduleError
from schedules.operations import Compute, Exchange
from schedules.platform.durations import WHOLE, durations
from schedules.platform.fits import duration_table, kernel_fits, link_table
from schedules.platform.link_fits import LARGEST_FACTOR, LinkEstimate, at_bounds, link_estimate
from schedules.platform.protocols.segments import RingWay
from schedules.platform.transports import TRANSPORTS
from schedules.result import Result
from schedules.scenario import Duration, Scenario, ScenarioError, Source, load, resolve
from schedules.setup import Setup

if TYPE_CHECKING:
    import pandas as pd

ATTEMPTS = 3
"""How often the machine is measured when the bandwidth cannot be told."""

TRANSPORT = "gloo"
"""What the executor's point-to-point messages go by, with GPUs too: a row of `schedules.platform.transports`."""

WARM_UP = 3
"""Gradients of each rank that are left out: the first ones fill caches."""

LARGEST_SIZE = 1 << 24
"""Bytes of a message that is measured at most."""

LONGEST_KERNEL_S = 0.05
"""Of the probe, where kernels are paced: how late threads are hangs little on how long they have slept."""

MIN_SHARING = 1 << 20
"""Bytes of the messages from which a bandwidth is told, where the schedule's own are smaller."""

SPACING_S = 0.008
"""Between two exchanges that are waited for."""


@dataclass(frozen=True)
class Measurement:
    """What a calibration has found.

    Attributes:
        platform: a table [platform] of a scenario, in SI units.
        info: for people: the fit's residuals, all-reduce times, how many of what were measured, the intervals of what
            was fitted, by its key.
        doubts: what the measurement does not tell well.
    """

    platform: dict[str, object]
    info: dict[str, object]
    doubts: list[str] = field(default_factory=list)

    def comments(self) -> list[str]:
        """What a file of the table should say beside its numbers."""
        intervals: Any = self.info["intervals"]
        told = [f"{key}: from {low:.4g} to {high:.4g} (two standard errors)" for key, (low, high) in intervals.items()]
        return told + [f"In doubt: {doubt}." for doubt in self.doubts]


def calibrate(
    scenario: Source,
    *,
    overrides: Mapping[str, object] | None = None,
    ranks: Ranks | None = None,
    sizes: Sequence[int] | None = None,
) -> dict[str, Any]:
    """The table [platform] of this machine for a scenario: see `measure`."""
    return measure(scenario, overrides=overrides, ranks=ranks, sizes=sizes).platform


def check_has_links(scenario: Scenario, where: str = "scenario") -> None:
    """A calibration is of links, too.

    Args:
        where: its file.
    Raises:
        ScenarioError: if there is one worker.
    """
    if scenario.topology.workers == 1:
        raise ScenarioError(f"{where}: topology.workers: expected at least 2, between which a link is, found 1")


def measure(
    scenario: Source,
    *,
    overrides: Mapping[str, object] | None = None,
    ranks: Ranks | None = None,
    sizes: Sequence[int] | None = None,
) -> Measurement:
    """Measure this machine for a scenario, in seconds. The predicted run itself is not made.

    Args:
        scenario: its workload and its number of workers count. Without numbers there is no gradient to be measured, and
            that of the scenario is kept.
        overrides: dotted keys to change in it.
        ranks: to be used; without, they are started.
        sizes: of the messages, in bytes; without, from 4 KiB to 4 MiB or those of the scenario.
    Raises:
        ScenarioError: if the scenario is wrong.
        ScheduleError: if the run fails, or the machine is too busy: the bandwidth could not be told in three attempts.
    """
    resolved = load(scenario, overrides)
    check_has_links(resolved)
    asked = probe(resolved, sizes)
    result, attempts = _measured(asked, ranks)
    assert result.trace is not None
    found = fitted(asked, result.trace, resolved)
    found.info.update({"attempts": attempts, "ranks": result.info["ranks"]})
    return found


def fitted(asked: Scenario, trace: pd.DataFrame, resolved: Scenario) -> Measurement:
    """What the trace of the probe `asked` tells of the machine, for a scenario."""
    link, size = _link(trace), int(asked.schedule.size)
    has_gradient, compute = _has_gradient(resolved), resolved.execution.compute
    is_paced = not has_gradient if compute == "auto" else compute == "paced"
    fits = _fits(asked, trace, link, size, is_paced=is_paced)
    own = resolved.platform.gradient
    # The simulator adds how late a thread wakes to what a paced one takes.
    waking = fits["host.waking"].value if is_paced else 0.0
    gradient = gradient_table(trace, waking) if has_gradient else own and kept(own)
    found = {"gradient": gradient, "transport": TRANSPORT, **link_table(link), **_tables(fits)}
    platform = {key: value for key, value in found.items() if value is not None}
    info = {
        "num_gradients": int((trace["op"] == Compute.__name__).sum()),
        "all_reduce_s": _all_reduces(trace),
        "intervals": {key: told.interval for key, told in fits.items()},
    }
    info |= {"link_residual": link.residual, "bandwidth_factor": link.factor}
    doubts = [f"link: the fit ends at a bound of its {name}" for name in at_bounds(link)]
    doubts += [told.doubt for told in fits.values() if told.doubt]
    return Measurement(platform, info, doubts)


def _has_gradient(scenario: Scenario) -> bool:
    """Whether there is one to be measured."""
    return scenario.is_numeric or scenario.workload.module is not None


def num_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _fits(asked: Scenario, trace: pd.DataFrame, link: LinkEstimate, size: int, *, is_paced: bool) -> dict[str, Told]:
    """What was fitted beside the link, by its key in [platform]."""
    platform, workers, row = asked.platform, asked.topology.workers, TRANSPORTS[TRANSPORT]
    number = len(trace)  # more than any rank has kernels
    drawn = {
        rank: list(islice(durations(platform, asked.run.seed, rank, WHOLE), number)) if is_paced else []
        for rank in range(workers)
    }
    found: dict[str, Told | None] = {f"host.{key}": told for key, told in host_fits(trace, num_cores(), drawn).items()}
    found |= (of_messages := _shared_fits(asked, trace, link, size))
    shared = of_messages["host.bandwidth"]
    found["overhead"] = message_overhead(trace, row, link, size, None if shared is None else shared.value)
    return {key: told for key, told in found.items() if told is not None}


def _shared_fits(asked: Scenario, trace: pd.DataFrame, link: LinkEstimate, size: int) -> dict[str, Told | None]:
    """The bandwidth that messages share, from exchanges where the schedule has them, and what collectives cost."""
    kinds, workers = asked.schedule.kinds, asked.topology.workers
    way = RingWay(link.bandwidth, link.latency, has_one_interface=False)
    if "Exchange" in kinds or "AllReduce" not in kinds:
        shared = shared_bandwidth(trace, link, max(size, MIN_SHARING))
        if "AllReduce" not in kinds:
            return {"host.bandwidth": shared}
    else:
        small = collective_overhead(trace, workers, SMALL, way)
        shared = collective_bandwidth(trace, workers, size, way._replace(overhead=small.value if small else 0.0))
        return {"host.bandwidth": shared, "collectives.overhead": small}
    bandwidth = link.bandwidth if shared is None else min(link.bandwidth, shared.value / workers)
    told = collective_overhead(trace, workers, size, way._replace(bandwidth=bandwidth))
    return {"host.bandwidth": shared, "collectives.overhead": told}


def _tables(fits: Mapping[str, Told]) -> dict[str, object]:
    """The values of fits, as tables within tables by the dots of their keys."""
    table: dict[str, Any] = {"host": {"cores": num_cores()}}
    for key, told in fits.items():
        *path, last = key.split(".")
        inner = table
        for each in path:
            inner = inner.setdefault(each, {})
        inner[last] = told.value
    return table


def kept(gradient: Duration) -> dict[str, object]:
    """The scenario's own durations, in seconds."""
    # The table has no device: what work and bytes take on it stands in the mean.
    return gradient.model_dump(mode="json", exclude={"flops", "bytes"}, exclude_none=True)


def _link(trace: pd.DataFrame) -> LinkEstimate:
    """Of exchanges without others beside: how these share the machine is another number."""
    is_alone = trace["op"].eq(Exchange.__name__) & (trace["tag"] // MOST).eq(ALONE)
    link = link_estimate(trace[is_alone], TRANSPORTS[TRANSPORT])
    assert link is not None  # the probe exchanges
    return link


def _measured(asked: Scenario, ranks: Ranks | None) -> tuple[Result, int]:
    """The run, and how many attempts it took until the exchanges told the bandwidth."""
    factors = []
    for attempt in range(1, ATTEMPTS + 1):
        result = execute(asked, ranks=ranks)
        assert result.trace is not None
        link = _link(result.trace)
        if link.is_told:
            return result, attempt
        factors.append(f"{link.factor:.3g}")
    raise ScheduleError(
        f"calibration: expected exchanges that tell the bandwidth within a factor of {LARGEST_FACTOR:g}, found "
        f"{', '.join(factors)} in {ATTEMPTS} attempts: is the machine busy, or are the messages too small?"
    )


def probe(scenario: Scenario, sizes: Sequence[int] | None = None) -> Scenario:
    """The scenario of the calibration's own run."""
    tables = scenario.tables()
    own = min(scenario.parameter_bytes or MIN_SHARING, LARGEST_SIZE) // 8 * 8 or 8
    largest = max(own, 1 << 22)
    chosen = sorted({*sizes, own}) if sizes else sorted({4096, SMALL, MIN_SHARING, own, largest})
    kinds = kinds_of(scenario)
    gradient = scenario.platform.gradient
    # Durations that scatter as the scenario's do: kernels that all end in one instant would wait for the same cores.
    if gradient is None or not (_has_gradient(scenario) or 0 < gradient.mean <= LONGEST_KERNEL_S):
        tables["platform"]["gradient"] = {"mean": LONGEST_KERNEL_S, "distribution": "lognormal", "cv": 0.1}
    tables["platform"] |= {"stragglers": None, "faults": None}  # they would be taken for lateness
    spacing = SPACING_S / (tables["platform"]["gradient"]["mean"] or 1.0)
    tables["schedule"] = {
        "program": "executor.calibration.probes",
        "sizes": chosen,
        "size": own,
        "kinds": sorted(kinds),
        "spacing": spacing,
    }
    # The fit reads the trace; read-outs would take time from the cores, and only a simulation ends by a precision.
    tables["run"] |= {"trace": True, "observations": 0, "until": "end"}
    return resolve(tables, "calibration", is_forced=True)


def kinds_of(scenario: Scenario) -> set[str]:
    """The operations that the schedule's programs name, by their code: of one that can pair in two ways, those of the
    way that it takes."""
    found = {kind.__name__ for kind in named(catalogue.find(scenario.program).streams)}
    setup = Setup(scenario, is_recorded=False)
    worker = setup.worker(0) if scenario.workload.module is None and not scenario.plan.stages else None
    if worker is not None and {"Meet", "Until"} <= found:
        first = {type(next(program, None)).__name__ for program in setup.programs(worker).values()}
        found -= {"Meet", "Until"} - first if first & {"Meet", "Until"} else set()
    return found


def gradient_table(trace: pd.DataFrame, waking: float = 0.0) -> dict[str, object]:
    """The gradients' durations, as a table `platform.gradient`, without how late their threads woke on average.

    Ranks that differ in speed count as scatter: the table is for any number of workers, as many machines like this one.
    """
    fit = kernel_fits(trace[trace["micro_batch"].eq(QUIET)], warm_up=WARM_UP)[WHOLE]
    return duration_table(max(fit.mean_s - waking, 0.0), fit.spread)


def _all_reduces(trace: pd.DataFrame) -> dict[str, float]:
    """Median seconds of an all-reduce, from the last rank's arrival, by size in bytes."""
    rows = trace[trace["op"] == "AllReduce"]
    taken = (rows["end_ns"] - rows["ready_ns"]) / 1e9
    medians = taken.groupby(rows["bytes"]).median()
    return {str(size): float(seconds) for size, seconds in zip(medians.index.tolist(), medians.tolist(), strict=True)}
