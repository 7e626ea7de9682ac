"""One run alone, of either world: what its page says and its figures show."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from analysis.claims import EXCHANGE_RATE, MAKESPAN, OF_GRADIENTS, THROUGHPUT, headline, number_of
from analysis.measures.intervals import exchange_rate_interval, throughput_interval
from analysis.measures.metrics import breakdown, span_ns, staleness
from analysis.measures.progress import progress
from analysis.measures.under_way import cut_remark, under_way
from analysis.pipelines.idle import Idle, idle_of
from analysis.tables import operations_of, summary_of
from schedules.platform.fits import Calibration, calibration
from schedules.platform.transports import transport_of
from schedules.record.files import MEASURED
from schedules.record.quantities import WORK_PER_S, percent, quantity, relative_error, sentence_of, units_of
from schedules.result import Result

if TYPE_CHECKING:
    import pandas as pd

_LENGTHS_DIFFER = 0.01


@dataclass(frozen=True)
class Alone:
    """A run with what is worked out of it; what needs a trace is empty without one.

    Attributes:
        run: of either world.
        claim: one sentence: how fast it was, and how long it took.
        summary: columns key and the run's world; one row a number.
        operations: columns kind, quantity and the run's world.
        breakdowns, staleness, calibrations: by the run's world, as those of a `Comparison`.
        caveats: what a reader must know of it.
        idle: by the run's world, the idle time of a pipeline's ranks in parts; none of another run.
        files: what was written; the report comes first. Empty before.
    """

    run: Result
    claim: str
    summary: pd.DataFrame
    operations: pd.DataFrame
    breakdowns: dict[str, pd.DataFrame]
    staleness: dict[str, pd.DataFrame]
    calibrations: dict[str, Calibration]
    caveats: tuple[str, ...] = ()
    idle: dict[str, Idle] = field(default_factory=dict)
    files: tuple[Path, ...] = ()

    @property
    def runs(self) -> dict[str, Result]:
        """The run by its world."""
        return {self.run.world: self.run}


def alone(run: Result) -> Alone:
    """Look at one run, in memory or on disk. Nothing is written.

    Raises:
        ValueError: if a file of a run on disk cannot be read.
    """
    trace = run.trace if run.trace is not None and len(run.trace) else None
    fitted = trace is not None and run.world == MEASURED  # what was assumed in a simulation is in its scenario
    transport = transport_of(run.tables.get("platform") or {})
    return Alone(
        run=run,
        claim=_claim(run, trace),
        summary=summary_of(run.world, run.summary),
        operations=operations_of(run.world, trace),
        breakdowns={} if trace is None else {run.world: breakdown(trace, under_way(run))},
        staleness={} if trace is None else {run.world: staleness(trace)},
        calibrations={run.world: calibration(trace, transport)} if fitted and trace is not None else {},
        caveats=tuple(_caveats(run, trace)),
        idle={} if (idle := idle_of(run)) is None else {run.world: idle},
    )


def _claim(run: Result, trace: pd.DataFrame | None) -> str:
    """Its numbers that decide, with an interval where it is long enough for one."""
    key = headline(run.summary)
    own = [WORK_PER_S + unit for unit in units_of(run.summary)]
    keys = [each for each in dict.fromkeys((key, THROUGHPUT, *own, MAKESPAN)) if number_of(run.summary, each)]
    told = [sentence_of(each, run.summary[each]) for each in keys]
    if not told:
        return "Its summary has neither throughput nor makespan."
    told[0] += _interval(key, run, trace)
    text = "; ".join(told)
    return f"{text[0].upper()}{text[1:]}."


def _interval(key: str, run: Result, trace: pd.DataFrame | None) -> str:
    if trace is None or key not in OF_GRADIENTS:
        return ""
    found = (exchange_rate_interval if key == EXCHANGE_RATE else throughput_interval)(progress(trace, run.summary))
    if found is None or not found.half_width:
        return ""
    return f" (95 % interval ±{percent(found.half_width / found.value, signed=False)} from batch means)"


def _caveats(run: Result, trace: pd.DataFrame | None) -> Iterator[str]:
    if failed := run.summary.get("failed") or run.info.get("failed"):
        yield f"The run failed: {failed}"
    if run.trace is not None and trace is None:
        yield "Nothing was done before the run's end: its trace has no row, so there is no timeline or critical path."
        return
    if trace is None:
        yield "The run kept no trace (run.trace = true keeps it): there is no timeline, and no critical path."
        return
    makespan = number_of(run.summary, MAKESPAN)
    begin, end = span_ns(trace, under_way(run))
    if remark := cut_remark(run):
        yield f"The run {remark}"
    error = relative_error((end - begin) / 1e9, makespan)
    if makespan is not None and error is not None and abs(error) > _LENGTHS_DIFFER:
        length = quantity(MAKESPAN, (end - begin) / 1e9)
        yield f"The trace ends after {length}, the summary says {quantity(MAKESPAN, makespan)}: shares are the trace's."
