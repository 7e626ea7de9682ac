"""What a report's page is made from: a comparison, or a run alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import pandas as pd

    from analysis.pipelines.idle import Idle
    from schedules.platform.fits import Calibration
    from schedules.result import Result


class Subject(Protocol):
    """What sections and their figures look at; `analysis.comparison.Comparison` and `analysis.alone.Alone` have it.

    Attributes:
        runs: by world; the simulated one first where there are two.
        breakdowns: by world, as `metrics.breakdown`; none of a run without a trace.
        staleness: by world, samples as `metrics.staleness`; none likewise.
        calibrations: by world, fitted to the traces; none likewise.
        idle: by world, the idle time of a pipeline's ranks in parts; none of another run.
    """

    @property
    def runs(self) -> Mapping[str, Result]: ...  # noqa: D102
    @property
    def breakdowns(self) -> Mapping[str, pd.DataFrame]: ...  # noqa: D102
    @property
    def staleness(self) -> Mapping[str, pd.DataFrame]: ...  # noqa: D102
    @property
    def calibrations(self) -> Mapping[str, Calibration]: ...  # noqa: D102
    @property
    def idle(self) -> Mapping[str, Idle]: ...  # noqa: D102
