"""What was measured, as a simulation should assume it: how long kernels take, and the link (`link_fits`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from schedules.operations import Compute
from schedules.platform.link_fits import LinkEstimate, link_estimate, ready_ns
from schedules.platform.transports import Transport

if TYPE_CHECKING:
    import pandas as pd

LEAST_CV = 1e-3
"""Durations that scatter less are constant."""

LEAST_DIFFERENCE = 0.01
"""Ranks whose speeds differ less are equally fast."""


@dataclass(frozen=True)
class KernelFit:
    """How long a kernel runs.

    Attributes:
        kernel: its name.
        count: number of computations.
        mean_s: mean duration in seconds, over all ranks.
        cv: standard deviation over mean, of durations taken relative to the mean of their rank.
        spread: the same of all durations, so that ranks of different speeds count as scatter.
        speeds: by rank, mean duration over that of the rank: 0.5 is a rank that takes twice as long.
        counts: computations by rank.
        stages: mean duration in seconds by stage, where all computations have one; speeds are then relative to what
            their stages take, and scatter is about the mean of a rank and stage.
    """

    kernel: str
    count: int
    mean_s: float
    cv: float
    spread: float
    speeds: Mapping[int, float]
    counts: Mapping[int, int]
    stages: Mapping[int, float] = field(default_factory=dict)

    def tables(
        self, distribution: str = "lognormal", *, speed: float = 1.0
    ) -> dict[str, object] | list[dict[str, object]]:
        """Its durations as a scenario says them: one table, or a list of one a stage (0 s where none was computed).

        Args:
            speed: of the ranks whose durations they are to be, relative to the average.
        """
        if not self.stages:
            return duration_table(self.mean_s / speed, self.cv, distribution)
        means = [self.stages.get(stage, 0.0) / speed for stage in range(max(self.stages) + 1)]
        return [duration_table(mean, self.cv if mean else 0.0, distribution) for mean in means]


def kernel_fits(trace: pd.DataFrame, *, warm_up: int = 0) -> dict[str, KernelFit]:
    """What every kernel takes, by name. Time in the engine's queue is not counted.

    Args:
        trace: table with `schedules.record.trace.COLUMNS`.
        warm_up: how many of each rank's first computations of a kernel are left out.
    """
    rows = trace[trace["op"] == Compute.__name__]
    rows = rows[rows.groupby(["kernel", "rank"]).cumcount() >= warm_up]
    return {str(kernel): _kernel_fit(str(kernel), group) for kernel, group in rows.groupby("kernel", sort=True)}


def _kernel_fit(kernel: str, rows: pd.DataFrame) -> KernelFit:
    durations = (rows["end_ns"] - ready_ns(rows)) / 1e9
    mean = float(durations.mean())
    by_rank = durations.groupby(rows["rank"])
    means = by_rank.mean()
    ranks = [int(rank) for rank in means.index.tolist()]
    counts = dict(zip(ranks, by_rank.size().tolist(), strict=True))
    stages = _stages(rows, durations)
    if not bool((means > 0).all()):  # kernels that take no time have no speeds
        return KernelFit(kernel, len(rows), mean, 0.0, 0.0, dict.fromkeys(ranks, 1.0), counts, stages)
    alike = durations.groupby([rows["rank"], rows["stage"]] if stages else rows["rank"])
    relative = durations / alike.transform("mean")
    spare = max(1, len(rows) - alike.ngroups)  # degrees of freedom: each mean is fitted
    cv = float(np.sqrt(((relative - 1) ** 2).sum() / spare))
    spread = float(durations.std(ddof=0)) / mean
    expected = rows["stage"].map(stages).groupby(rows["rank"]).mean() if stages else mean
    speeds = dict(zip(ranks, (expected / means).tolist(), strict=True))
    return KernelFit(kernel, len(rows), mean, cv, spread, speeds, counts, stages)


def _stages(rows: pd.DataFrame, durations: pd.Series[float]) -> dict[int, float]:
    """Mean duration by stage; none where a computation has no stage."""
    if "stage" not in rows or bool((rows["stage"] < 0).any()):
        return {}
    means = durations.groupby(rows["stage"]).mean()
    return dict(zip(map(int, means.index.tolist()), map(float, means.tolist()), strict=True))


def duration_table(mean: float, cv: float, distribution: str = "lognormal") -> dict[str, object]:
    """A duration as a scenario says it: the distribution as it is where mean and cv tell it, else lognormal."""
    if distribution == "exponential":
        return {"distribution": distribution, "mean": mean}
    if cv < LEAST_CV:
        return {"distribution": "constant", "mean": mean}
    return {"distribution": distribution if distribution == "gamma" else "lognormal", "mean": mean, "cv": cv}


def link_table(link: LinkEstimate) -> dict[str, object]:
    """Its keys of a table [platform], beside `transport`."""
    return {"link": {"bandwidth": link.bandwidth, "latency": link.latency}, "overhead": link.overhead}


@dataclass(frozen=True)
class Calibration:
    """What a simulation of the same run should assume.

    Attributes:
        kernels: one fit a kernel.
        link: point-to-point messages; None if there are none.
        transport: under which the link was fitted.
    """

    kernels: Mapping[str, KernelFit]
    link: LinkEstimate | None
    transport: Transport

    def rank_speeds(self) -> dict[int, float]:
        """How fast each rank computes, over all kernels: the time that its computations take on average, by the time
        that they took."""
        expected: dict[int, float] = {}
        taken: dict[int, float] = {}
        for fit in self.kernels.values():
            for rank, speed in fit.speeds.items():
                count = fit.counts[rank]
                expected[rank] = expected.get(rank, 0.0) + count * fit.mean_s
                taken[rank] = taken.get(rank, 0.0) + count * fit.mean_s / speed
        return {rank: expected[rank] / taken[rank] for rank in sorted(taken) if taken[rank] > 0}

    @property
    def has_speeds(self) -> bool:
        """Whether ranks differ by more than the scatter of their durations explains: three standard errors, and 1 %."""
        return any(
            abs(speed - 1) > max(LEAST_DIFFERENCE, 3 * fit.cv / fit.counts[rank] ** 0.5)
            for fit in self.kernels.values()
            for rank, speed in fit.speeds.items()
            if fit.counts[rank] > 1  # one duration a rank has no scatter to be compared with
        )


def calibration(trace: pd.DataFrame, transport: Transport) -> Calibration:
    """Fit durations and messages of a trace."""
    return Calibration(kernel_fits(trace), link_estimate(trace, transport), transport)
