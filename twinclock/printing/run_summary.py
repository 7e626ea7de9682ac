"""What is printed of one run, in either world."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from schedules.platform.transports import TRANSPORTS, transport_of, unlike_execution
from schedules.record.quantities import (
    QUANTITIES,
    WORK,
    WORK_PER_S,
    applies,
    beside_words,
    percent,
    quantity,
    resolved,
    units_of,
    with_unit,
)
from schedules.showing.views import graph_name
from schedules.training.coding import warnings_of
from twinclock.printing.explanation_lines import explanation_lines
from twinclock.printing.tables import print_json, print_table, print_written

if TYPE_CHECKING:
    from analysis.measures.explanation import Explanation
    from schedules.result import Result

KEEPING_UP = 0.95
"""Of the exchanges that clocks ask for so many are to be made: fewer are told, where chance does not explain it."""

STANDARD_ERRORS = 3


def show(
    result: Result,
    out: Path | None,
    *,
    as_json: bool,
    explanation: Explanation | None = None,
    replaced: Sequence[str] = (),
) -> None:
    """Print a run, perhaps why it took as long as it did, where it was written, and in the place of what."""
    used = sorted({str(each["backend"]) for each in result.info.get("ranks", ()) if "backend" in each})
    unlike = unlike_execution(result.tables["platform"], result.tables.get("execution", {}), used)
    coded = warnings_of(result.tables["schedule"], result.tables["platform"])
    told = unlike, _unused(result.tables["platform"]), result.summary.get("warning"), *coded
    warnings = [each for each in told if each]
    if as_json:
        more = {"replaced": list(replaced)} if replaced else {}
        more |= {"warnings": warnings} if warnings else {}
        print_json(record(result, out, explanation) | more)
        return
    click.echo(title(result))
    print_table([(f"  {name}", value) for name, value in (*_unit(result), *_end(result), *rows(result.summary))])
    for line in (*(f"warning: {warning}" for warning in warnings), falling_behind(result.summary)):
        if line:
            click.echo(line)
    if explanation is not None:
        click.echo("\n".join(explanation_lines(explanation)))
    if out is not None:
        print_written([out])
    for line in replaced:
        click.echo(f"  {line}")


def _unused(platform: Mapping[str, object]) -> str:
    """A warning where the platform has an efficiency that its transport has no use for; else nothing."""
    if platform.get("efficiency") is None or transport_of(platform).has_efficiency:
        return ""
    which = " or ".join(repr(name) for name, row in TRANSPORTS.items() if row.has_efficiency)
    return f"platform.efficiency changes nothing: expected transport = {which} beside it"


def record(result: Result, out: Path | None, explanation: Explanation | None = None) -> dict[str, object]:
    """The same for machines."""
    files = sorted(str(file) for file in out.iterdir()) if out is not None else []
    head = {"world": result.world, "seed": result.seed, "fingerprint": result.fingerprint}
    why = {} if explanation is None else {"explanation": explanation.record()}
    return {**head, "summary": result.summary, **why, "out": out, "files": files}


def title(result: Result) -> str:
    """One line: which schedule, where, in which world."""
    schedule, topology = result.tables["schedule"], result.tables["topology"]
    workers = f"{topology['workers']} worker{'s' * (topology['workers'] != 1)}"
    graph = graph_name(topology)  # a pipeline has none of its own: its order says who talks to whom
    where = f"{short_name(schedule['program'])} on {workers if graph == '?' else f'{graph}, {workers}'}"
    return ", ".join([where, *_counts(result.summary), f"seed {result.seed}, {result.world}"])


def _counts(summary: Mapping[str, Any]) -> list[str]:
    """How much was done: gradients, and what the schedule counts beside them or in their place."""
    gradients = [f"{summary['gradients']:,} gradients"] if summary["gradients"] else []
    return gradients + [f"{summary[WORK + unit]:,} {unit}" for unit in units_of(summary)]


def short_name(name: str) -> str:
    """A file without its place; any other name as it is."""
    return Path(name).name if Path(name).is_absolute() else name


def _unit(result: Result) -> list[tuple[str, str]]:
    """What one gradient time is, where that is not how long a gradient takes."""
    gradient = result.tables["platform"].get("gradient")
    if gradient is not None and gradient["mean"] > 0:
        return []
    why = "no platform.gradient" if gradient is None else "gradients take no time"
    return [("gradient time", f"{with_unit(result.gradient_s, 's')} ({why})")]


def _end(result: Result) -> list[tuple[str, str]]:
    """How the run ended, where that was not when every worker had made its own gradients; and what was asked of it."""
    run, made, parts = result.tables["run"], result.summary["gradients"], []
    if result.cut_ns is not None:
        parts.append(f"cut at {with_unit(result.cut_ns / 1e9, 's')}")
    if run.get("total") is not None:
        parts.append(f"{run['total']:,} gradient{'s' * (run['total'] != 1)} asked for, {made:,} made")
    if run.get("samples") is not None:
        drawn = made * result.tables["workload"]["batch_size"]
        parts.append(f"{run['samples']:,} sample{'s' * (run['samples'] != 1)} asked for, {drawn:,} drawn")
        if made and drawn != run["samples"]:
            parts.append("as all workers make whole steps")
    if parts and not made and result.cut_ns is None:
        parts.append("as the program computed no gradient")
    if apart := result.summary.get("steps_apart"):
        parts.append(f"replicas are up to {apart} step{'s' * (apart != 1)} apart")
    return [("end", ", ".join(parts))] if parts else []


def rows(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The lines of the table: those that everybody looks at, then whatever else the schedule says of itself."""
    values: dict[str, list[str]] = {"makespan": [], "throughput": []}
    for key, each in QUANTITIES.items():
        is_told = summary.get(key) is not None and applies(key, summary)
        if each.line and is_told and (key != "exchange_rate" or summary[key]):
            values.setdefault(each.line, []).append(f"{beside_words(key, summary[key])} {each.behind}".strip())
    made = [f"{beside_words(WORK_PER_S + unit, summary[WORK_PER_S + unit])} {unit}/s" for unit in units_of(summary)]
    values["throughput"] += made
    if "memory" in values:
        values["memory"][0] += _whose(summary["per_rank"]["peak_memory_bytes"])
    lines = [(line, ", ".join(parts)) for line, parts in values.items() if parts]
    if "precision_reached" in summary:
        after = 1 + list(values).index("throughput")
        lines.insert(after, ("steady throughput", _steady(summary)))
    others = [key for key, value in summary.items() if key not in QUANTITIES and isinstance(value, int | float)]
    others = [key for key in others if not key.startswith((WORK, WORK_PER_S))]
    return lines + [(key.replace("_", " "), quantity(key, summary[key])) for key in others]


def falling_behind(summary: Mapping[str, Any]) -> str:
    """What is said where fewer of the averagings that clocks ask for are made than chance explains; else nothing."""
    num_due = summary.get("exchanges_due", 0)
    num_answered = num_due - summary.get("backlog_exchanges", 0)
    # The number that is answered spreads as a Poisson variable does: by its square root.
    if num_answered + STANDARD_ERRORS * math.sqrt(num_answered) >= KEEPING_UP * num_due:
        return ""
    share = percent(num_answered / num_due, signed=False)
    return (
        f"the workers do not keep up with their clocks: {num_answered:,} of {num_due:,} exchanges that were due in the "
        f"window were made ({share}),\nso they average less often than schedule.rate says, and later"
    )


def _whose(peaks: Sequence[int]) -> str:
    return " of every rank" if min(peaks) == max(peaks) else f" (rank {peaks.index(max(peaks))})"


def _steady(summary: Mapping[str, Any]) -> str:
    """What a run until a precision found, and what it cost."""
    mean, low, high = (summary[f"throughput_{each}"] for each in ("mean", "low", "high"))
    parts = ["not known"]
    if low is not None and high is not None:
        # Further digits than the half width has say nothing.
        mean, low, high = resolved((mean, low, high), (high - low) / 2)
        parts = [f"{mean} gradients/s", f"95 % interval {low} to {high}"]
    parts += [] if summary["precision_reached"] else ["precision not reached"]
    parts += [] if summary["warm_up_s"] is None else [f"warm-up {quantity('warm_up_s', summary['warm_up_s'])} cut"]
    spells = summary.get("slow_spells")  # runs of before have none
    parts += [] if spells is None else [f"{spells:,} slow spells seen"]
    return ", ".join([*parts, f"{summary['events']:,} events"])
