"""Measuring this machine: the platform table that makes the simulator predict what the executor will measure.

A short run of its own (`executor.calibration.probes`), with as many ranks as the scenario has: gradients while all
ranks compute, exchanges while all pairs exchange. Exchanges are fitted with gloo's rendezvous, as the simulator's
`gloo` transport has it:

    done_a = max(t_b, t_a + L) + L + S / B + c        (a asks at t_a, b at t_b)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from executor.launching.launch import Ranks, Source, execute
from schedules.errors import ScheduleError
from schedules.result import Result
from schedules.scenario import Duration, Scenario, load, resolve

if TYPE_CHECKING:
    import pandas as pd

ATTEMPTS = 3
"""How often the machine is measured when the bandwidth cannot be told."""

LARGEST_FACTOR = 4.0
"""A bandwidth that may be off by more than this factor (two standard errors) is not told."""

WARM_UP = 3
"""Gradients of each rank that are left out: the first ones fill caches."""

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Measurement:
    """What a calibration has found.

    Attributes:
        platform: a table [platform] of a scenario, in SI units.
        info: for people: the fit's residuals, all-reduce times, how many of what were measured.
    """

    platform: dict[str, Any]
    info: dict[str, Any]


class Link(NamedTuple):
    """Latency in seconds, bandwidth in bytes/s, software cost of a message in seconds, and how well they fit.

    `residual` is the median of |fitted / measured - 1| over exchanges; `factor` is how far off the bandwidth may be:
    two standard errors, as a factor. (On the loopback latency and overhead can hardly be told apart: their sum counts.)
    """

    latency: float
    bandwidth: float
    overhead: float
    residual: float
    factor: float

    @property
    def is_told(self) -> bool:
        """Whether the exchanges say anything about the bandwidth. On a busy machine large ones take no longer."""
        return self.factor <= LARGEST_FACTOR


def calibrate(
    scenario: Source,
    *,
    overrides: Mapping[str, Any] | None = None,
    ranks: Ranks | None = None,
    sizes: Sequence[int] | None = None,
) -> dict[str, Any]:
    """The table [platform] of this machine for a scenario: see `measure`."""
    return measure(scenario, overrides=overrides, ranks=ranks, sizes=sizes).platform


def measure(
    scenario: Source,
    *,
    overrides: Mapping[str, Any] | None = None,
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
    resolved = scenario if isinstance(scenario, Scenario) else load(scenario, overrides)
    result, link, attempts = _measured(resolved, sizes, ranks)
    assert result.trace is not None
    kernels = result.trace[result.trace["op"] == "Compute"]
    has_gradient = resolved.is_numeric or resolved.workload.module is not None
    gradient = fit_gradient(kernels) if has_gradient else kept(resolved.platform.gradient)
    platform: dict[str, Any] = {"gradient": gradient, "transport": "gloo"}
    platform |= {"link": {"bandwidth": link.bandwidth, "latency": link.latency}, "overhead": link.overhead}
    info = {"num_gradients": len(kernels), "all_reduce_s": _all_reduces(result.trace), "attempts": attempts}
    info |= {"link_residual": link.residual, "bandwidth_factor": link.factor, "ranks": result.info["ranks"]}
    return Measurement(platform, info)


def kept(gradient: Duration) -> dict[str, Any]:
    """The scenario's own durations, in seconds."""
    return gradient.model_dump(mode="json", exclude={"flops", "bytes"}, exclude_none=True)


def _measured(scenario: Scenario, sizes: Sequence[int] | None, ranks: Ranks | None) -> tuple[Result, Link, int]:
    """The run, its link, and how many attempts it took until the exchanges told the bandwidth."""
    factors = []
    for attempt in range(1, ATTEMPTS + 1):
        result = execute(probe(scenario, sizes), ranks=ranks)
        assert result.trace is not None
        link = fit_link(result.trace)
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
    tables["run"] |= {"trace": True, "observations": 0, "until": "end"}
    return resolve(tables, "calibration")


def fit_gradient(kernels: pd.DataFrame) -> dict[str, Any]:
    """Mean and coefficient of variation of the gradients' durations, as a table `platform.gradient`."""
    number = kernels.groupby("rank").cumcount()
    kept = kernels[number >= WARM_UP]
    seconds = (kept["end_ns"] - kept["ready_ns"]).to_numpy() / 1e9
    mean = float(seconds.mean())
    cv = float(seconds.std() / mean)
    if cv < 1e-3:
        return {"distribution": "constant", "mean": mean}
    return {"distribution": "lognormal", "mean": mean, "cv": cv}


def fit_link(trace: pd.DataFrame) -> Link:
    """Least squares of the relative errors of the exchanges' durations, robust to the few that a scheduler delayed."""
    from scipy.optimize import least_squares

    start, peer_start, end, size = _exchanges(trace)
    taken = end - start

    def errors(log_parameters: Numbers) -> Numbers:
        latency, per_byte, overhead = np.exp(log_parameters)
        fitted = exchange_duration(start, peer_start, size, (latency, per_byte, overhead))
        residuals: Numbers = np.log(fitted / taken)
        return residuals

    first = np.log([2e-5, 1e-9, 1e-4])
    found = least_squares(
        errors, first, loss="soft_l1", f_scale=0.1, bounds=(np.log([1e-7, 1e-13, 1e-7]), np.log([1, 1e-3, 1]))
    )
    latency, per_byte, overhead = np.exp(found.x).tolist()
    residual = float(np.median(np.abs(np.expm1(errors(found.x)))))
    return Link(latency, 1 / per_byte, overhead, residual, _factor(np.asarray(found.jac), errors(found.x)))


def _factor(jacobian: Numbers, residuals: Numbers) -> float:
    """Two standard errors of the bandwidth's logarithm, as a factor.

    The covariance is s^2 (J^T J)^-1; a direction in which nothing changes has a large variance rather than none.
    """
    variance = float(residuals @ residuals) / max(len(residuals) - 3, 1)
    covariance = variance * np.linalg.inv(jacobian.T @ jacobian + 1e-9 * np.eye(3))
    return float(np.exp(min(2 * np.sqrt(covariance[1, 1]), 100.0)))


def exchange_duration(start: Numbers, peer_start: Numbers, size: Numbers, link: tuple[float, float, float]) -> Numbers:
    """Seconds from an end's issue to its end: max(t_b, t_a + L) + L + S/B + c - t_a, with link = (L, 1/B, c)."""
    latency, per_byte, overhead = link
    taken: Numbers = np.maximum(peer_start, start + latency) + latency + size * per_byte + overhead - start
    return taken


def _exchanges(trace: pd.DataFrame) -> tuple[Numbers, Numbers, Numbers, Numbers]:
    """Start, the peer's start, end (seconds) and size (bytes) of every end of an exchange."""
    rows = trace[trace["op"] == "Exchange"]
    mine = rows[["rank", "peer", "tag", "bytes", "start_ns", "end_ns"]]
    theirs = mine.rename(columns={"rank": "peer", "peer": "rank", "start_ns": "peer_start_ns"})
    both = mine.merge(theirs[["rank", "peer", "tag", "peer_start_ns"]], on=["rank", "peer", "tag"])
    names = ("start_ns", "peer_start_ns", "end_ns")
    start, peer_start, end = (both[name].to_numpy(dtype=np.float64) / 1e9 for name in names)
    return start, peer_start, end, both["bytes"].to_numpy(dtype=np.float64)


def _all_reduces(trace: pd.DataFrame) -> dict[str, float]:
    """Median seconds of an all-reduce, from the last rank's arrival, by size in bytes."""
    rows = trace[trace["op"] == "AllReduce"]
    taken = (rows["end_ns"] - rows["ready_ns"]) / 1e9
    medians = taken.groupby(rows["bytes"]).median()
    return {str(size): float(seconds) for size, seconds in zip(medians.index.tolist(), medians.tolist(), strict=True)}


def write_toml(platform: Mapping[str, Any], path: str | Path) -> Path:
    """Write a table [platform] as TOML, to be put into a scenario."""
    lines = ["[platform]"]
    for name, value in platform.items():
        lines.append(f"{name} = {_toml(value)}")
    target = Path(path)
    target.write_text("\n".join(lines) + "\n")
    return target


def _toml(value: object) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {_toml(each)}" for key, each in value.items()) + " }"
    return f'"{value}"' if isinstance(value, str) else repr(value)
