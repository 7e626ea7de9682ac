"""Measuring this machine: the platform table that makes the simulator predict what the executor will measure.

A short run of its own (`executor.calibration.probes`), with as many ranks as the scenario has: gradients while all
ranks compute, exchanges while all pairs exchange. Exchanges are fitted under the transport that they really went by,
with the formula that the simulator has for it (`schedules.platform.link_fits`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from executor.launching.launch import Ranks, execute
from schedules.errors import ScheduleError
from schedules.operations import Compute
from schedules.platform.durations import WHOLE
from schedules.platform.fits import duration_table, kernel_fits, link_table
from schedules.platform.link_fits import LARGEST_FACTOR, LinkEstimate, link_estimate
from schedules.platform.transports import TRANSPORTS
from schedules.result import Result
from schedules.scenario import Duration, Scenario, ScenarioError, Source, load, resolve

if TYPE_CHECKING:
    import pandas as pd

ATTEMPTS = 3
"""How often the machine is measured when the bandwidth cannot be told."""

TRANSPORT = "gloo"
"""What the executor's point-to-point messages go by, with GPUs too: a row of `schedules.platform.transports`."""

WARM_UP = 3
"""Gradients of each rank that are left out: the first ones fill caches."""


@dataclass(frozen=True)
class Measurement:
    """What a calibration has found.

    Attributes:
        platform: a table [platform] of a scenario, in SI units.
        info: for people: the fit's residuals, all-reduce times, how many of what were measured.
    """

    platform: dict[str, object]
    info: dict[str, object]


def calibrate(
    scenario: Source,
    *,
    overrides: Mapping[str, object] | None = None,
    ranks: Ranks | None = None,
    sizes: Sequence[int] | None = None,
) -> dict[str, Any]:
    """The table [platform] of this machine for a scenario: see `measure`."""
    return measure(scenario, overrides=overrides, ranks=ranks, sizes=sizes).platform


def check_has_links(scenario: Scenario) -> None:
    """A calibration is of links, too.

    Raises:
        ScenarioError: if there is one worker.
    """
    if scenario.topology.workers == 1:
        raise ScenarioError("scenario: topology.workers: expected at least 2, between which a link is, found 1")


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
    result, link, attempts = _measured(resolved, sizes, ranks)
    assert result.trace is not None
    has_gradient = resolved.is_numeric or resolved.workload.module is not None
    own = resolved.platform.gradient
    gradient = gradient_table(result.trace) if has_gradient else own and kept(own)
    found = {"gradient": gradient, "transport": TRANSPORT, **link_table(link)}
    platform = {key: value for key, value in found.items() if value is not None}
    info = {
        "num_gradients": int((result.trace["op"] == Compute.__name__).sum()),
        "all_reduce_s": _all_reduces(result.trace),
        "attempts": attempts,
    }
    info |= {"link_residual": link.residual, "bandwidth_factor": link.factor, "ranks": result.info["ranks"]}
    return Measurement(platform, info)


def kept(gradient: Duration) -> dict[str, object]:
    """The scenario's own durations, in seconds."""
    # The table has no device: what work and bytes take on it stands in the mean.
    return gradient.model_dump(mode="json", exclude={"flops", "bytes"}, exclude_none=True)


def _measured(scenario: Scenario, sizes: Sequence[int] | None, ranks: Ranks | None) -> tuple[Result, LinkEstimate, int]:
    """The run, its link, and how many attempts it took until the exchanges told the bandwidth."""
    factors = []
    for attempt in range(1, ATTEMPTS + 1):
        result = execute(probe(scenario, sizes), ranks=ranks)
        assert result.trace is not None
        link = link_estimate(result.trace, TRANSPORTS[TRANSPORT])
        assert link is not None  # the probe exchanges
        if link.is_told:
            return result, link, attempt
        factors.append(f"{link.factor:.3g}")
    raise ScheduleError(
        f"calibration: expected exchanges that tell the bandwidth within a factor of {LARGEST_FACTOR:g}, found "
        f"{', '.join(factors)} in {ATTEMPTS} attempts: is the machine busy, or are the messages too small?"
    )


def probe(scenario: Scenario, sizes: Sequence[int] | None = None) -> Scenario:
    """The scenario of the calibration's own run."""
    tables = scenario.tables()
    largest = min(max(scenario.parameter_bytes or 0, 1 << 22), 1 << 24) // 8 * 8
    chosen = sorted(sizes) if sizes else sorted({4096, 65_536, 1 << 20, largest})
    tables["schedule"] = {"program": "executor.calibration.probes", "sizes": list(chosen)}
    if tables["platform"]["gradient"] is None:  # the probe takes some
        tables["platform"]["gradient"] = {"mean": 0.0}
    # The fit reads the trace; read-outs would take time from the cores, and only a simulation ends by a precision.
    tables["run"] |= {"trace": True, "observations": 0, "until": "end"}
    return resolve(tables, "calibration", is_forced=True)


def gradient_table(trace: pd.DataFrame) -> dict[str, object]:
    """The gradients' durations, as a table `platform.gradient`.

    Ranks that differ in speed count as scatter: the table is for any number of workers, as many machines like this one.
    """
    fit = kernel_fits(trace, warm_up=WARM_UP)[WHOLE]
    return duration_table(fit.mean_s, fit.spread)


def _all_reduces(trace: pd.DataFrame) -> dict[str, float]:
    """Median seconds of an all-reduce, from the last rank's arrival, by size in bytes."""
    rows = trace[trace["op"] == "AllReduce"]
    taken = (rows["end_ns"] - rows["ready_ns"]) / 1e9
    medians = taken.groupby(rows["bytes"]).median()
    return {str(size): float(seconds) for size, seconds in zip(medians.index.tolist(), medians.tolist(), strict=True)}
