"""A simulation laid beside a measurement: the claim with its error and interval, and the tables behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from analysis.claims import EXCHANGE_RATE, MAKESPAN, OF_GRADIENTS, Claim, headline, number_of
from analysis.deciding.ranking import Decision
from analysis.measures.intervals import (
    Difference,
    Interval,
    exchange_rate_difference,
    exchange_rate_interval,
    spread,
    throughput_difference,
    throughput_interval,
)
from analysis.measures.metrics import breakdown, staleness
from analysis.measures.progress import progress
from analysis.measures.under_way import under_way
from analysis.pairing import drew_alike
from analysis.pipelines.idle import Idle, idle_of
from analysis.repeats import middle
from analysis.tables import operation_errors, setting_differences, staleness_distances, summary_errors
from schedules.platform.fits import Calibration, calibration
from schedules.platform.transports import transport_of
from schedules.record.quantities import relative_error
from schedules.result import Result

if TYPE_CHECKING:
    import pandas as pd

    from schedules.record.summary import Summary

NULL: Final = "null"


@dataclass(frozen=True)
class Comparison:
    """What a report says.

    Where there is a null model, `summary` and `operations` have two columns more: `null`, its value, and `null_error`,
    the error without a network; `distances` has `null_mean`, `null_wasserstein_1` and `null_kolmogorov_smirnov`.

    Attributes:
        simulated, measured: the two runs; of repeated measurements the one in the middle.
        null: the simulation without a network, or None.
        headline: key of the summary: the number that is claimed.
        claim: simulated, measured, error, interval, error without a network.
        verdict: one sentence: whether the error is more than the scatter of the measurement.
        error: simulated / measured - 1 of the headline.
        null_error: the same of the null model.
        interval: of the measured headline within the one run; None if that is too short or too uneven for one.
        difference: simulated less measured, with its interval; None likewise.
        summary: columns key, simulated, measured, error; one row a number of either summary.
        operations: columns kind, quantity, simulated, measured, error.
        breakdowns: by world (the null model's under "null"), as `metrics.breakdown`.
        staleness: by world, samples as `metrics.staleness`.
        distances: columns applied, simulated_mean, measured_mean, wasserstein_1 (versions), kolmogorov_smirnov.
        calibrations: by world, fitted to the traces; the measured one is what a simulation should assume.
        settings: columns setting, simulated, measured: where the two scenarios differ.
        repeats: columns run, measured, error (and null_error): one row a measured run; none where there was one.
        spread: of repeated measurements: one sentence on how far they lie apart; "" where there was one.
        caveats: what a reader must know before believing the claim.
        decision: what was chosen of a sweep, and whether its ranking held; None where nothing was.
        idle: by world, the idle time of a pipeline's ranks in parts; none of another run.
        files: what was written; the report comes first. Empty before.
    """

    simulated: Result
    measured: Result
    null: Result | None
    headline: str
    claim: str
    verdict: str
    error: float | None
    null_error: float | None
    interval: Interval | None
    difference: Difference | None
    summary: pd.DataFrame
    operations: pd.DataFrame
    breakdowns: dict[str, pd.DataFrame]
    staleness: dict[str, pd.DataFrame]
    distances: pd.DataFrame
    calibrations: dict[str, Calibration]
    settings: pd.DataFrame
    repeats: pd.DataFrame
    spread: str = ""
    caveats: tuple[str, ...] = ()
    decision: Decision | None = None
    idle: dict[str, Idle] = field(default_factory=dict)
    files: tuple[Path, ...] = ()

    @property
    def runs(self) -> dict[str, Result]:
        """The two runs by world."""
        return {"simulated": self.simulated, "measured": self.measured}


def contrast(simulated: Result, measured: Result | Sequence[Result], null: Result | None = None) -> Comparison:
    """Lay two runs side by side. Nothing is written, and no caveats are raised yet.

    Args:
        simulated: the prediction.
        measured: a run, or several of one scenario: the one in the middle is shown, and the spread of all.
        null: the simulation without a network.
    Raises:
        ValueError: if a table of a run cannot be read.
    """
    repeats = (measured,) if isinstance(measured, Result) else tuple(measured)
    key = _headline(simulated, repeats[0])
    shown = middle(repeats, key)
    runs = {"simulated": simulated, "measured": shown}
    everyone = runs if null is None else {**runs, NULL: null}
    everything = {world: run.kept_trace for world, run in everyone.items()}
    samples = {world: staleness(trace) for world, trace in everything.items()}
    without = None if null is None else null.summary
    difference, interval = _difference(key, simulated, shown), _interval(key, shown)
    claim = Claim(key, simulated.summary, shown.summary, without, difference)
    values = {str(run.directory): number_of(run.summary, key) or 0.0 for run in repeats}
    return Comparison(
        simulated=simulated,
        measured=shown,
        null=null,
        headline=key,
        claim=claim.sentence(),
        verdict=claim.verdict(),
        error=claim.error,
        null_error=claim.null_error,
        interval=interval,
        difference=difference,
        summary=summary_errors(simulated.summary, shown.summary, without),
        operations=operation_errors(*everything.values()),
        breakdowns={world: breakdown(trace, under_way(everyone[world])) for world, trace in everything.items()},
        staleness={world: samples[world] for world in runs},
        distances=staleness_distances(*samples.values()),
        calibrations={world: _calibration(run) for world, run in runs.items()},
        settings=setting_differences(simulated.tables, shown.tables),
        repeats=_repeats(values, simulated.summary, without, key),
        spread=claim.repeated([*values.values()], spread([*values.values()]), interval),
        idle={world: found for world, run in runs.items() if (found := idle_of(run)) is not None},
    )


def _headline(simulated: Result, measured: Result) -> str:
    """Both must have it: one of an older version may not."""
    key = headline(measured.summary)
    if key not in OF_GRADIENTS:
        return key if number_of(simulated.summary, key) is not None else MAKESPAN
    return key if key != EXCHANGE_RATE or headline(simulated.summary) == key else "gradients_per_s"


def _calibration(run: Result) -> Calibration:
    """Under the transport of the run's own scenario: it is there that what is fitted would be used."""
    return calibration(run.kept_trace, transport_of(run.tables.get("platform") or {}))


def _interval(key: str, run: Result) -> Interval | None:
    of_run = exchange_rate_interval if key == EXCHANGE_RATE else throughput_interval
    return of_run(progress(run.kept_trace, run.summary)) if key in OF_GRADIENTS else None


def _difference(key: str, first: Result, second: Result) -> Difference | None:
    if key not in OF_GRADIENTS:
        return None
    between = exchange_rate_difference if key == EXCHANGE_RATE else throughput_difference
    runs = (progress(run.kept_trace, run.summary) for run in (first, second))
    return between(*runs, is_paired=drew_alike(first, second))


def _repeats(values: Mapping[str, float], simulated: Summary, null: Summary | None, key: str) -> pd.DataFrame:
    """One row a measured run: its number, and what the prediction and the null model were off by."""
    import pandas as pd

    predicted = {"error": simulated} | ({} if null is None else {"null_error": null})
    rows = [
        {"run": run, "measured": each}
        | {name: relative_error(number_of(summary, key), each) for name, summary in predicted.items()}
        for run, each in values.items()
    ]
    table = pd.DataFrame(rows, columns=["run", "measured", *predicted])
    return table if len(values) > 1 else table[:0]
