"""The calibration that would mend a prediction: what was fitted to both runs, and the table [platform] that says it."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping

from analysis.report.subject import Subject
from schedules.platform.durations import WHOLE
from schedules.platform.fits import Calibration, link_table
from schedules.platform.toml import platform_toml
from schedules.platform.transports import DEFAULT, TRANSPORTS
from schedules.record.quantities import MISSING, number, percent, relative_error, with_unit
from schedules.result import Result


def calibration_rows(shown: Subject) -> list[dict[str, str]]:
    """Name, simulated, measured and error of everything that was fitted to the measured run; none without one."""
    ours, theirs = (shown.calibrations.get(world) for world in ("simulated", "measured"))
    return [] if theirs is None else [*_kernel_rows(ours, theirs), *_link_rows(ours, theirs)]


def _kernel_rows(ours: Calibration | None, theirs: Calibration) -> Iterator[dict[str, str]]:
    for kernel, fit in theirs.kernels.items():
        same = None if ours is None else ours.kernels.get(kernel)
        yield _row(f"{kernel}, mean", same.mean_s if same else None, fit.mean_s, "s")
        yield _row(f"{kernel}, coefficient of variation", same.cv if same else None, fit.cv, "")
        slowest = min(same.speeds.values()) if same else None
        yield _row(f"{kernel}, speed of the slowest rank", slowest, min(fit.speeds.values()), "")


def _link_rows(ours: Calibration | None, theirs: Calibration) -> Iterator[dict[str, str]]:
    if (link := theirs.link) is None:
        return
    same = None if ours is None else ours.link
    if link.has_latency:
        yield _row("link latency", same.latency if same and same.has_latency else None, link.latency, "s")
    # An effective bandwidth contains what cannot be told apart from it.
    label = "link bandwidth" if link.has_latency else "effective link bandwidth"
    yield _row(label, same.bandwidth if same else None, link.bandwidth, "B/s")
    if theirs.transport.has_overhead:
        yield _row("message overhead", same.overhead if same else None, link.overhead, "s")
    yield _row("scatter about this fit", same.residual if same else None, link.residual, "")


def _row(name: str, simulated: float | None, measured: float, unit: str) -> dict[str, str]:
    simulated_text, measured_text = (
        MISSING if value is None else with_unit(value, unit) if unit else number(value, 3)
        for value in (simulated, measured)
    )
    error = percent(relative_error(simulated, measured))
    return {"name": name, "simulated": simulated_text, "measured": measured_text, "error": error}


def calibration_toml(shown: Subject) -> str:
    """The table [platform] of a scenario that assumes what was measured; laid over that of the runs shown."""
    found, platform = shown.calibrations["measured"], _platform(shown.runs["measured"])
    transport = str(platform.get("transport", DEFAULT))
    speeds = found.rank_speeds()
    # Laid over a scenario that has speeds, a table without any would leave these in force.
    says_speeds = bool(speeds) and (found.has_speeds or bool(platform.get("speed")))
    # The usual rank has speed 1: clocks tick in its gradient times, and one slow rank must not stretch them.
    usual = statistics.median(speeds.values()) if says_speeds else 1.0
    table = _kernel_tables(found, _distribution(next(iter(shown.runs.values()))), usual)
    if says_speeds:
        table["speed"] = {str(rank): speed / usual for rank, speed in speeds.items()}
    table["transport"] = transport
    comments = [f"{transport}: {TRANSPORTS[transport].words}."]
    if platform.get("network"):
        comments.append("The links are those of the network, and the overhead is that of the scenario.")
    elif (link := found.link) is not None:
        table |= link_table(link)
        comments += _what_is_contained(found)
    return platform_toml({key: _rounded(value) for key, value in table.items()}, comments)


def _kernel_tables(found: Calibration, distribution: str, speed: float) -> dict[str, object]:
    table: dict[str, object] = {}
    others = {}
    for kernel, fit in found.kernels.items():
        if kernel == WHOLE and not fit.stages:
            table["gradient"] = fit.tables(distribution, speed=speed)  # of the shape that was assumed
        else:
            others[kernel] = fit.tables(speed=speed)
    return {**table, "kernels": others} if others else table


def _what_is_contained(found: Calibration) -> Iterator[str]:
    link = found.link
    assert link is not None
    if not link.has_latency:
        sizes = "Messages of one size" if link.num_sizes == 1 else "Sizes do not tell the latency"
        yield f"{sizes}: the latency is contained in this bandwidth."
    elif found.transport.has_overhead and not link.overhead:
        yield "Messages of one size: the overhead is contained in this bandwidth."


def _rounded(value: object) -> object:
    """Six digits: more would be scatter, and hard to read."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, list):
        return [_rounded(each) for each in value]
    return {key: _rounded(each) for key, each in value.items()} if isinstance(value, Mapping) else value


def _platform(run: Result) -> Mapping[str, object]:
    platform = run.tables.get("platform")
    return platform if isinstance(platform, Mapping) else {}


def _distribution(run: Result) -> str:
    gradient = _platform(run).get("gradient")
    return str(gradient.get("distribution", "lognormal")) if isinstance(gradient, Mapping) else "lognormal"
