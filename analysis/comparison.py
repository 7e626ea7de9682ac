"""A simulation laid beside a measurement: the claim with its error and interval, and the tables behind it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from analysis.measures.intervals import Interval, throughput_interval
from analysis.measures.metrics import breakdown, gradient_completions, num_ranks, operation_table, span_ns, staleness
from schedules.platform.fits import Calibration, calibration
from schedules.platform.transports import transport_of
from schedules.record.quantities import number, percent, relative_error, resolved, with_unit
from schedules.record.rows import BOOKKEEPING

if TYPE_CHECKING:
    import pandas as pd

    from schedules.record.files import Tables
    from schedules.record.summary import Summary
    from schedules.result import Result

THROUGHPUT: Final = "gradients_per_s"
_QUANTITIES: Final = ("count", "duration_s", "transfer_s", "waiting_s", "bytes")


@dataclass(frozen=True)
class Comparison:
    """What a report says.

    Attributes:
        simulated, measured: the two runs.
        claim: one sentence: simulated, measured, error, interval.
        verdict: one sentence: whether the error is more than the scatter of the measurement.
        error: simulated / measured - 1 of the throughput (of the makespan where there are no gradients).
        interval: of the measured throughput, in gradients/s; None if the run is too short or too uneven for one.
        summary: columns key, simulated, measured, error; one row a number of either summary.
        operations: columns kind, quantity, simulated, measured, error.
        breakdowns: by world, as `metrics.breakdown`.
        staleness: by world, samples as `metrics.staleness`.
        distances: columns applied, simulated_mean, measured_mean, wasserstein_1 (versions), kolmogorov_smirnov.
        calibrations: by world, fitted to the traces; the measured one is what a simulation should assume.
        caveats: what a reader must know before believing the claim.
        settings: columns setting, simulated, measured: where the two scenarios differ.
        files: what was written; the report comes first. Empty before.
    """

    simulated: Result
    measured: Result
    claim: str
    verdict: str
    error: float | None
    interval: Interval | None
    summary: pd.DataFrame
    operations: pd.DataFrame
    breakdowns: dict[str, pd.DataFrame]
    staleness: dict[str, pd.DataFrame]
    distances: pd.DataFrame
    calibrations: dict[str, Calibration]
    settings: pd.DataFrame
    caveats: tuple[str, ...] = ()
    files: tuple[Path, ...] = ()

    @property
    def runs(self) -> dict[str, Result]:
        """The two runs by world."""
        return {"simulated": self.simulated, "measured": self.measured}


def contrast(simulated: Result, measured: Result) -> Comparison:
    """Lay two runs side by side. Nothing is written, and no caveats are raised yet.

    Raises:
        ValueError: if a table of either run cannot be read.
    """
    runs = {"simulated": simulated, "measured": measured}
    samples = {world: staleness(run.kept_trace) for world, run in runs.items()}
    interval = _interval(measured)
    return Comparison(
        simulated=simulated,
        measured=measured,
        claim=_claim(simulated.summary, measured.summary, interval),
        verdict=_verdict(simulated.summary, interval),
        error=relative_error(*(_value(run.summary, _headline(measured.summary)) for run in runs.values())),
        interval=interval,
        summary=summary_errors(simulated.summary, measured.summary),
        operations=operation_errors(simulated.kept_trace, measured.kept_trace),
        breakdowns={world: breakdown(run.kept_trace) for world, run in runs.items()},
        staleness=samples,
        distances=staleness_distances(samples["simulated"], samples["measured"]),
        calibrations={world: _calibration(run) for world, run in runs.items()},
        settings=setting_differences(simulated.tables, measured.tables),
    )


def _calibration(run: Result) -> Calibration:
    """Under the transport of the run's own scenario: it is there that what is fitted would be used."""
    return calibration(run.kept_trace, transport_of(run.tables.get("platform") or {}))


def _interval(run: Result) -> Interval | None:
    expected = run.summary.get("gradients")
    done = gradient_completions(run.kept_trace, expected if isinstance(expected, int) else None)
    begin, end = span_ns(run.kept_trace)
    return throughput_interval(done, end - begin, num_workers=num_ranks(run.kept_trace))


def _value(summary: Summary, key: str) -> float | None:
    value = summary.get(key)
    # A bool is an int in Python, and `precision_reached` cannot be off by some percent.
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _headline(measured: Summary) -> str:
    # A run that only communicates makes no gradients, and is judged by its length.
    return THROUGHPUT if (_value(measured, THROUGHPUT) or 0) > 0 else "makespan_s"


def _claim(simulated: Summary, measured: Summary, interval: Interval | None) -> str:
    ours, theirs = (_value(each, _headline(measured)) for each in (simulated, measured))
    if ours is None or theirs is None:
        return "One of the two summaries lacks both throughput and makespan: there is nothing to claim."
    error = percent(relative_error(ours, theirs))
    if _headline(measured) != THROUGHPUT:
        return f"Simulated makespan {with_unit(ours, 's')}, measured {with_unit(theirs, 's')} (error {error})."
    if interval is None:
        values = f"Simulated throughput {number(ours)} gradients/s, measured {number(theirs)}"
        return f"{values} (error {error}; the measured run is too short or too uneven for an interval)."
    half_width = (interval.high - interval.low) / 2
    one, other, low, high = resolved((ours, theirs, interval.low, interval.high), half_width)
    between = f"95 % interval of the measurement {low} to {high} from batch means"
    return f"Simulated throughput {one} gradients/s, measured {other} (error {error}, {between})."


def _verdict(simulated: Summary, interval: Interval | None) -> str:
    ours = _value(simulated, THROUGHPUT)
    if interval is None or ours is None:
        return "Without an interval nobody can say how much of the error is chance: measure a longer run."
    if ours in interval:
        return "The prediction lies inside the interval: this measurement cannot tell it from the truth."
    return "The prediction lies outside the interval: the error is more than the scatter within the run."


def summary_errors(simulated: Summary, measured: Summary) -> pd.DataFrame:
    """Every number of two summaries side by side.

    Returns:
        columns key, simulated, measured (NaN where a summary lacks it), error = simulated / measured - 1.
    """
    import pandas as pd

    keys = dict.fromkeys([*measured, *simulated])
    rows = [(key, _value(simulated, key), _value(measured, key)) for key in keys]
    kept = [
        (key, ours, theirs, relative_error(ours, theirs))
        for key, ours, theirs in rows
        if (ours, theirs) != (None, None)
    ]
    table = pd.DataFrame(kept, columns=["key", "simulated", "measured", "error"])
    # None is NaN, also where all are.
    return table.astype({"simulated": "float64", "measured": "float64", "error": "float64"})


def operation_errors(simulated: pd.DataFrame, measured: pd.DataFrame) -> pd.DataFrame:
    """Count, mean duration, transfer and waiting, and bytes of every kind of operation side by side.

    Args:
        simulated, measured: traces.
    Returns:
        columns kind, quantity, simulated, measured, error; kinds that take no time are left out, and so are quantities
        that are 0 in both.
    """
    import pandas as pd

    tables = [operation_table(trace) for trace in (simulated, measured)]
    kinds = sorted({*tables[0].index, *tables[1].index} - {*BOOKKEEPING})
    rows = [
        (kind, quantity, *values, relative_error(*values))
        for kind in kinds
        for quantity in _QUANTITIES
        if any(values := [float(t[quantity].get(kind, 0)) for t in tables])
    ]
    table = pd.DataFrame(rows, columns=["kind", "quantity", "simulated", "measured", "error"])
    return table.astype({"error": "float64"})


def staleness_distances(simulated: pd.DataFrame, measured: pd.DataFrame) -> pd.DataFrame:
    """How far the distributions of staleness, in versions, lie apart.

    The Wasserstein-1 distance is the area between the two distribution functions, in versions; the Kolmogorov-Smirnov
    distance is their largest difference, between 0 and 1.

    Args:
        simulated, measured: samples as `metrics.staleness` returns them.
    Returns:
        columns applied, simulated_mean, measured_mean, wasserstein_1, kolmogorov_smirnov; one row a kind of
        contribution that both runs have.
    """
    import pandas as pd
    from scipy import stats

    rows = []
    both = {*simulated["applied"]} & {*measured["applied"]}
    for applied in sorted(both, key=lambda applied: (applied != "gradient", applied)):
        ours, theirs = (each.loc[each["applied"] == applied, "versions"].to_numpy() for each in (simulated, measured))
        wasserstein = float(stats.wasserstein_distance(ours, theirs))
        # "asymp", since only the distance is looked at: the exact p-value beside it takes long for large samples.
        smirnov = stats.ks_2samp(ours, theirs, method="asymp").statistic
        rows.append((applied, float(ours.mean()), float(theirs.mean()), wasserstein, float(smirnov)))
    names = ["applied", "simulated_mean", "measured_mean", "wasserstein_1", "kolmogorov_smirnov"]
    return pd.DataFrame(rows, columns=names)


def setting_differences(simulated: Tables, measured: Tables) -> pd.DataFrame:
    """Where two scenarios differ: columns setting (`platform.link.latency`), simulated, measured, as text."""
    import pandas as pd

    ours, theirs = dict(leaves(simulated)), dict(leaves(measured))
    rows = [
        # As repr, which tells the text "1" from the number.
        (key, repr(ours[key]) if key in ours else "absent", repr(theirs[key]) if key in theirs else "absent")
        for key in dict.fromkeys([*ours, *theirs])
        if key not in ours or key not in theirs or ours[key] != theirs[key]
    ]
    return pd.DataFrame(rows, columns=["setting", "simulated", "measured"])


def leaves(table: Tables, prefix: str = "") -> Iterator[tuple[str, object]]:
    """The values of nested tables with their paths: `("platform.link.latency", 5e-5)`."""
    for key, value in table.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
