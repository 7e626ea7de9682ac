"""What a reader must know before believing a comparison: found by rule, from the comparison itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import isfinite
from typing import Final

from analysis.claims import OF_GRADIENTS, THROUGHPUT
from analysis.comparison import Comparison
from analysis.measures.first_operations import first_operations
from analysis.measures.metrics import span_ns
from analysis.measures.under_way import cut_remark, under_way
from analysis.report.rows import Record
from schedules.record.quantities import QUANTITIES, number, percent, quantity, relative_error, with_unit
from schedules.record.rows import COMPUTE, POINT_TO_POINT, TRANSFERS

TRANSFER_TOLERANCE: Final = 0.10
COMPUTE_TOLERANCE: Final = 0.05
COUNT_TOLERANCE: Final = 0.02
LOSS_TOLERANCE: Final = 0.05
SMIRNOV_TOLERANCE: Final = 0.10
CV_TOLERANCE: Final = 0.05
INTERVAL_TOLERANCE: Final = 0.10
MAKESPAN_TOLERANCE: Final = 0.01
BUSY_SHARE: Final = 0.6
"""Of the cores' time: from there on it decides what is measured."""
_FLOOR_S: Final = 20e-6
"""Mean transfers that differ by less than this many seconds are not worth a remark."""


def caveats(comparison: Comparison) -> tuple[str, ...]:
    """All remarks on a comparison, those on whether it is fair at all first."""
    return tuple(sentence for rule in _RULES for sentence in rule(comparison))


def _fingerprints(comparison: Comparison) -> Iterator[str]:
    if comparison.simulated.fingerprint != comparison.measured.fingerprint:
        yield "The two runs are of different scenarios (their fingerprints differ); this comparison was forced."


def _worlds(comparison: Comparison) -> Iterator[str]:
    for role, run in comparison.runs.items():
        if run.world != role:
            yield f"The run shown as {role} was {run.world}; this comparison was forced."


def _warnings(comparison: Comparison) -> Iterator[str]:
    """What the schedule's own summary warns of, once for both runs."""
    told = [run.summary.get("warning") for run in comparison.runs.values()]
    yield from dict.fromkeys(f"{each[:1].upper()}{each[1:]}." for each in told if isinstance(each, str))


def _gradient_times(comparison: Comparison) -> Iterator[str]:
    ours, theirs = comparison.simulated.gradient_s, comparison.measured.gradient_s
    if ours != theirs:
        yield (
            f"The clocks of the two runs differ: one gradient time is {with_unit(ours, 's')} in the simulation and "
            f"{with_unit(theirs, 's')} in the measurement. Ticks come at different seconds, and rates are not the same."
        )


def _seeds(comparison: Comparison) -> Iterator[str]:
    ours, theirs = (run.seed for run in comparison.runs.values())
    if ours != theirs:
        yield f"The seeds differ ({ours} simulated, {theirs} measured): the two runs had different ticks and data."


def _interval(comparison: Comparison) -> Iterator[str]:
    interval = comparison.interval
    if comparison.headline not in OF_GRADIENTS:
        return
    if interval is None:
        yield "The measured run is too short or too uneven for an interval (it takes ten gradients a worker)."
    elif (width := interval.half_width / interval.value) > INTERVAL_TOLERANCE:
        words = QUANTITIES[comparison.headline].words
        yield f"The measured {words} is known to ±{percent(width, signed=False)} only: measure a longer run."


def _counted_gradients(comparison: Comparison) -> Iterator[str]:
    summary = comparison.measured.summary
    told = summary.get(THROUGHPUT)
    if "window_s" not in summary:  # of an older version, which counted up to the makespan: there is nothing to compare
        return
    if comparison.headline != THROUGHPUT or comparison.interval is None or not isinstance(told, int | float):
        return
    error = relative_error(comparison.interval.value, told)
    if error is not None and abs(error) > MAKESPAN_TOLERANCE:
        yield (
            f"The measured trace holds {number(comparison.interval.value)} gradients/s, its summary says "
            f"{number(told)}: the interval is that of the trace."
        )


def _trace_lengths(comparison: Comparison) -> Iterator[str]:
    for world, run in comparison.runs.items():
        begin, end = span_ns(run.kept_trace, under_way(run))
        makespan = run.summary["makespan_s"]
        error = relative_error((end - begin) / 1e9, makespan)
        if error is not None and abs(error) > MAKESPAN_TOLERANCE:
            yield (
                f"The {world} trace ends after {with_unit((end - begin) / 1e9, 's')}, its summary says "
                f"{with_unit(makespan, 's')}: shares of the makespan and the interval are of the trace."
            )


def _cores(comparison: Comparison) -> Iterator[str]:
    info = comparison.measured.info
    ranks, cores = len(info.get("ranks") or ()), (info.get("host") or {}).get("cores")
    hosts = {each.get("host") for each in info.get("ranks") or ()}
    if len(hosts) == 1 and cores and ranks > cores:
        yield cores_sentence(ranks, cores)


def _cores_time(comparison: Comparison) -> Iterator[str]:
    """What a run's processes took of their machine, where all were on one."""
    info, makespan = comparison.measured.info, comparison.measured.summary["makespan_s"]
    ranks, cores = info.get("ranks") or (), (info.get("host") or {}).get("cores")
    took = [each.get("cpu_s") for each in ranks]
    if len({each.get("host") for each in ranks}) != 1 or not cores or not makespan or None in took:
        return
    share = sum(took) / (makespan * cores)
    if share >= BUSY_SHARE:
        yield (
            f"The ranks took {percent(share, signed=False)} of the time of this machine's cores (CPU time over wall "
            f"time, measured): they held each other up, and it cannot stand for a cluster, whose ranks have cores of "
            f"their own."
        )


def cores_sentence(num_ranks: int, num_cores: int) -> str:
    """What figures mean where ranks share cores."""
    return (
        f"{num_ranks} ranks shared {num_cores} {'cores' if num_cores > 1 else 'core'}: transfers, lags and idle time "
        f"are partly those of processes that wait for a core, not of a network. Runs of this machine can be compared "
        f"with one another; a cluster has other numbers."
    )


def _cuts(comparison: Comparison) -> Iterator[str]:
    told = {world: cut_remark(run) for world, run in comparison.runs.items()}
    if told["simulated"] == told["measured"] != "":
        yield f"Both runs {told['simulated'].replace('was cut', 'were cut')}"
        return
    yield from (f"The {world} run {remark}" for world, remark in told.items() if remark)


def _operation_rows(comparison: Comparison, name: str) -> Iterator[Record]:
    for row in comparison.operations.to_dict("records"):
        if row["quantity"] == name:
            yield row


def _counts(comparison: Comparison) -> Iterator[str]:
    for row in _operation_rows(comparison, "count"):
        is_counted = str(row["kind"]).split()[0] in (COMPUTE, *TRANSFERS)
        error = row["error"] if isfinite(row["error"]) else float("inf")  # one world has none: as unlike as can be
        if is_counted and abs(error) > COUNT_TOLERANCE:
            yield (
                f"{row['kind']}: {row['simulated']:,.0f} simulated, {row['measured']:,.0f} measured; the two runs did "
                f"not do the same work."
            )


def _transfers(comparison: Comparison) -> Iterator[str]:
    for row in _operation_rows(comparison, "transfer_s"):
        is_compute = str(row["kind"]).startswith(COMPUTE)
        tolerance = COMPUTE_TOLERANCE if is_compute else TRANSFER_TOLERANCE
        difference = abs(row["simulated"] - row["measured"])
        if isfinite(row["error"]) and abs(row["error"]) > tolerance and difference > _FLOOR_S:
            what = "computing time" if is_compute else "transfer time"
            yield (
                f"{row['kind']}: mean {what} {with_unit(row['simulated'], 's')} simulated, "
                f"{with_unit(row['measured'], 's')} measured ({percent(row['error'])}, more than "
                f"{100 * tolerance:g} %); calibrate the platform."
            )


def _scatter(comparison: Comparison) -> Iterator[str]:
    simulated = comparison.calibrations["simulated"].kernels
    for kernel, measured in comparison.calibrations["measured"].kernels.items():
        if kernel in simulated and abs(simulated[kernel].cv - measured.cv) > CV_TOLERANCE:
            yield (
                f"Compute {kernel}: durations scatter by {percent(simulated[kernel].cv, signed=False)} simulated, "
                f"{percent(measured.cv, signed=False)} measured; a busy host or a wrong distribution."
            )


def _staleness(comparison: Comparison) -> Iterator[str]:
    for row in comparison.distances.to_dict("records"):
        if row["kolmogorov_smirnov"] > SMIRNOV_TOLERANCE:
            yield (
                f"Staleness of {row['applied']} contributions differs: mean {number(row['simulated_mean'], 3)} "
                f"simulated, {number(row['measured_mean'], 3)} measured (Kolmogorov-Smirnov distance "
                f"{number(row['kolmogorov_smirnov'], 2)}, more than {SMIRNOV_TOLERANCE})."
            )


def _first_operations(comparison: Comparison) -> Iterator[str]:
    for each in first_operations(comparison.measured.kept_trace):
        if each.longest_s - each.median_s > _FLOOR_S:
            places = "edges" if each.kind in POINT_TO_POINT else "groups"
            yield (
                f"{each.kind}: the first operation stands out ({places}: {each.number}), by up to "
                f"{number(each.longest_s / each.median_s, 2)} times the median of its kind and size "
                f"({with_unit(each.longest_s, 's')} for {with_unit(each.median_s, 's')}): what it needed was not warm, "
                f"and a short run is slower for it."
            )


def _losses(comparison: Comparison) -> Iterator[str]:
    for row in comparison.summary.to_dict("records"):
        if row["key"] in ("loss", "accuracy") and isfinite(row["error"]) and abs(row["error"]) > LOSS_TOLERANCE:
            yield (
                f"{QUANTITIES[row['key']].of_a_run.capitalize()}: {quantity(row['key'], row['simulated'])} simulated, "
                f"{quantity(row['key'], row['measured'])} measured."
            )


_RULES: Final[tuple[Callable[[Comparison], Iterator[str]], ...]] = (
    _fingerprints,
    _worlds,
    _warnings,
    _gradient_times,
    _seeds,
    _cores,
    _cores_time,
    _interval,
    _counted_gradients,
    _trace_lengths,
    _cuts,
    _counts,
    _transfers,
    _first_operations,
    _scatter,
    _staleness,
    _losses,
)
