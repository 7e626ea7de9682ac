"""Numbers with intervals, and the calibration that would mend a prediction: durations, latency, bandwidth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from analysis.measures.metrics import with_parts
from schedules.record.kinds import COMPUTE
from schedules.record.quantities import number

if TYPE_CHECKING:
    import pandas as pd

MAX_BATCHES = 20
MIN_BATCHES = 5
_MIN_SIZE_RATIO = 1.5


@dataclass(frozen=True)
class Interval:
    """A number with its confidence interval.

    Attributes:
        value, low, high: in the same unit.
        num_batches: the number of batches behind it.
    """

    value: float
    low: float
    high: float
    num_batches: int

    def __contains__(self, number: float) -> bool:
        return self.low <= number <= self.high


def throughput_interval(
    completions_ns: ArrayLike, makespan_ns: int, *, num_workers: int = 1, level: float = 0.95
) -> Interval | None:
    """Throughput with its interval from batch means.

    The run up to the last of its N gradients is cut into k batches of equally many; T_j is the time a gradient in batch
    j, s^2 the sample variance of the T_j. With T = makespan / N, the interval T +- t_{k-1} s / sqrt(k) (Student) is
    turned into gradients per second: what comes after the last gradient counts in the value, but is no scatter. k is
    20, or half the rounds in a shorter run.

    Args:
        completions_ns: [num_gradients], when gradients were done, ascending, in nanoseconds since the begin.
        makespan_ns: end of the run.
        num_workers: batches hold a multiple of this many gradients, so that rounds in step are not cut.
        level: of confidence.
    Returns:
        gradients per second, or None where fewer than five batches of two rounds can be made, or where they scatter so
        much that T may be 0.
    Source: Law & Kelton, Simulation Modeling and Analysis, section 9.5.3; k after Schmeiser, Operations Research 1982.
    """
    from scipy import stats

    done = np.asarray(completions_ns, dtype=np.int64)
    num_batches = min(MAX_BATCHES, len(done) // num_workers // 2)
    if num_batches < MIN_BATCHES:
        return None
    cuts = np.linspace(0, len(done) // num_workers, num_batches + 1).round().astype(np.int64) * num_workers
    cuts[-1] = len(done)
    bounds = np.concatenate(([0], done[cuts[1:] - 1]))
    times = np.diff(bounds) / np.diff(cuts) / 1e9
    mean = makespan_ns / len(done) / 1e9
    half = float(stats.t.ppf(0.5 + level / 2, num_batches - 1) * times.std(ddof=1) / np.sqrt(num_batches))
    return Interval(1 / mean, 1 / (mean + half), 1 / (mean - half), num_batches) if half < mean else None


@dataclass(frozen=True)
class DurationFit:
    """How long a kernel runs.

    Attributes:
        kernel: its name.
        count: number of computations.
        mean_s: mean duration in seconds, over all ranks.
        cv: standard deviation over mean, of durations taken relative to the mean of their rank.
        speeds: [num_ranks] mean duration over that of the rank: 0.5 is a rank that takes twice as long.
    """

    kernel: str
    count: int
    mean_s: float
    cv: float
    speeds: tuple[float, ...]


def duration_fits(trace: pd.DataFrame) -> dict[str, DurationFit]:
    """What every kernel takes, by name. Time in the engine's queue is not counted."""
    rows = with_parts(trace[trace["op"] == COMPUTE])
    return {str(kernel): _duration_fit(str(kernel), group) for kernel, group in rows.groupby("kernel", sort=True)}


def _duration_fit(kernel: str, rows: pd.DataFrame) -> DurationFit:
    durations = rows["transfer_ns"] / 1e9
    by_rank = durations.groupby(rows["rank"])
    means: Any = by_rank.mean()
    is_positive = bool((means > 0).all())
    relative = durations / by_rank.transform("mean") if is_positive else durations * 0
    spare = max(1, len(rows) - len(means))
    cv = float(np.sqrt(((relative - 1) ** 2).sum() / spare)) if is_positive else 0.0
    mean = float(durations.mean())
    speeds = tuple((mean / means).tolist()) if is_positive else (1.0,) * len(means)
    return DurationFit(kernel, len(rows), mean, cv, speeds)


@dataclass(frozen=True)
class LinkFit:
    """What a transfer takes: latency + bytes / bandwidth.

    Attributes:
        num_transfers: how many were measured.
        num_sizes: of how many sizes.
        latency_s: in seconds; None if sizes do not vary enough to tell it from the bandwidth.
        bandwidth: bytes/s; without latency it is the effective one, bytes over time.
        residual: root mean square of (measured - fitted) / mean measured.
    """

    num_transfers: int
    num_sizes: int
    latency_s: float | None
    bandwidth: float
    residual: float


def link_fit(sizes: ArrayLike, seconds: ArrayLike) -> LinkFit | None:
    """Fit latency alpha and bandwidth 1/beta to transfers: t = alpha + beta bytes, least squares.

    Where sizes vary by less than a factor of 1.5, or the fit gives a negative alpha or a beta that is not positive,
    only the effective bandwidth sum(bytes) / sum(t) is given.

    Args:
        sizes: [num_transfers] bytes; those of 0 bytes are left out.
        seconds: [num_transfers] seconds from the last participant's arrival to the end.
    Returns:
        the fit; None if no time was measured or no bytes were moved.
    Raises:
        ValueError: if the lengths differ.
    """
    amounts, times = np.asarray(sizes, dtype=np.float64), np.asarray(seconds, dtype=np.float64)
    if amounts.shape != times.shape:
        raise ValueError(f"link_fit: expected as many sizes as times, found {amounts.shape} and {times.shape}")
    amounts, times = amounts[amounts > 0], times[amounts > 0]
    if not times.sum() > 0:
        return None
    latency, bandwidth = _alpha_beta(amounts, times)
    fitted = (latency or 0.0) + amounts / bandwidth
    residual = float(np.sqrt(np.mean((times - fitted) ** 2)) / times.mean())
    return LinkFit(len(times), len(np.unique(amounts)), latency, bandwidth, residual)


def _alpha_beta(amounts: Any, times: Any) -> tuple[float | None, float]:
    """Latency and bandwidth, or None and the effective bandwidth."""
    from scipy import stats

    if amounts.max() >= _MIN_SIZE_RATIO * amounts.min():
        line: Any = stats.linregress(amounts, times)
        if line.slope > 0 and line.intercept >= 0:
            return float(line.intercept), float(1 / line.slope)
    return None, float(amounts.sum() / times.sum())


@dataclass(frozen=True)
class Calibration:
    """What a simulation of the same run should assume.

    Attributes:
        kernels: one fit a kernel.
        link: point-to-point transfers; None if there are none.
    """

    kernels: dict[str, DurationFit]
    link: LinkFit | None


def calibration(trace: pd.DataFrame) -> Calibration:
    """Fit durations and point-to-point transfers of a trace.

    A transfer is told by its exchange or its receive: a send is over when its bytes are in a buffer (gloo).
    """
    rows = with_parts(trace[trace["op"].isin(_received(trace))])
    return Calibration(duration_fits(trace), link_fit(rows["bytes"].to_numpy(), rows["transfer_ns"].to_numpy() / 1e9))


def _received(trace: pd.DataFrame) -> Sequence[str]:
    kinds = ("Exchange", "Receive")
    return kinds if trace["op"].isin(kinds).any() else ("Send",)


def platform_toml(calibration: Calibration, distribution: str = "lognormal") -> str:
    """The `[platform]` table of a scenario that assumes what was measured.

    Args:
        calibration: fitted to a measured trace.
        distribution: of gradient durations; the fit gives their mean and cv only.
    """
    lines = ["[platform]"]
    for kernel, fit in calibration.kernels.items():
        duration = f'mean = "{_plain(fit.mean_s * 1e3)} ms", cv = {_plain(fit.cv)}'
        if kernel == "gradient":
            lines.append(f'gradient = {{ distribution = "{distribution}", {duration} }}')
        else:
            lines.append(f"# {kernel}: {duration}")
    if (link := calibration.link) is not None:
        bandwidth = f'bandwidth = "{_plain(link.bandwidth * 8 / 1e6)} Mbit/s"'
        if link.latency_s is None:
            lines.append("# Messages of one size: the latency is contained in this bandwidth.")
        lines.append(f'link = {{ {bandwidth}, latency = "{_plain((link.latency_s or 0) * 1e6)} us" }}')
    return "\n".join(lines) + "\n"


def _plain(value: float) -> str:
    return number(value).replace(",", "")
