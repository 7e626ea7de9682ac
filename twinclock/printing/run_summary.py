"""What is printed of one run, in either world."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from schedules.record.quantities import number, quantity, resolved
from twinclock.printing.explanation_lines import explanation_lines
from twinclock.printing.tables import print_json, print_table, print_written

if TYPE_CHECKING:
    from analysis.measures.explanation import Explanation
    from schedules.result import Result

ROWS: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = (
    ("makespan", (("makespan_s", ""),)),
    ("throughput", (("gradients_per_s", "gradients/s"), ("samples_per_s", "samples/s"))),
    ("computing", (("utilization_compute", "of the time"),)),
    ("communicating", (("utilization_communication", "of the time"),)),
    ("idle", (("idle_fraction", "of the time"),)),
    ("sent", (("bytes_sent", ""), ("exchanges", "exchanges"))),
    ("memory", (("peak_memory_bytes", "at the peak"),)),
    ("staleness", (("staleness_mean", "versions (mean)"), ("staleness_p95", "(95 %)"), ("staleness_max", "(max)"))),
    ("outages", (("outages", ""), ("exchanges_lost", "exchanges lost"), ("away_s", "away in all"))),
    ("loss", (("loss", ""),)),
    ("accuracy", (("accuracy", ""),)),
    ("consensus distance", (("consensus_distance", ""),)),
)
"""A line a row: what it is called, and the keys of the summary with the words behind their values."""

STALENESS = {"staleness_steps_mean", "staleness_steps_max", "staleness_mean_s", "staleness_max_s"}
STEADY = {
    "throughput_mean", "throughput_low", "throughput_high", "precision_reached", "warm_up_s", "batches", "events",
}  # fmt: skip
IMPLIED = {"gradients", "per_rank", *STALENESS, *STEADY}
"""Keys that are in `--json` and in the files only."""


def show(result: Result, out: Path | None, *, as_json: bool, explanation: Explanation | None = None) -> None:
    """Print a run, perhaps why it took as long as it did, and where it was written."""
    if as_json:
        files = sorted(str(file) for file in out.iterdir()) if out is not None else []
        head = {"world": result.world, "seed": result.scenario.run.seed, "fingerprint": result.scenario.fingerprint()}
        why = {} if explanation is None else {"explanation": explanation.record()}
        print_json({**head, "summary": result.summary, **why, "out": out, "files": files})
        return
    click.echo(title(result))
    print_table([(f"  {name}", value) for name, value in rows(result.summary)])
    if explanation is not None:
        click.echo("\n".join(explanation_lines(explanation)))
    if out is not None:
        print_written([out])


def title(result: Result) -> str:
    """One line: which schedule, where, in which world."""
    scenario = result.scenario
    topology = scenario.topology
    return (
        f"{scenario.program} on {topology.graph}, {topology.workers} workers, "
        f"{result.summary['gradients']:,} gradients, seed {scenario.run.seed}, {result.world}"
    )


def rows(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The lines of the table: those that everybody looks at, then whatever else the schedule says of itself."""
    lines = []
    for name, parts in ROWS:
        values = [f"{_told(key, summary[key])} {words}".strip() for key, words in parts if summary.get(key) is not None]
        if name == "memory" and values:
            values[0] += _whose(summary["per_rank"]["peak_memory_bytes"])
        if values:
            lines.append((name, ", ".join(values)))
        if name == "throughput" and "precision_reached" in summary:
            lines.append(("steady throughput", _steady(summary)))
    known = IMPLIED | {key for _, parts in ROWS for key, _ in parts}
    others = [key for key, value in summary.items() if key not in known and isinstance(value, int | float)]
    return lines + [(key.replace("_", " "), quantity(key, summary[key])) for key in others]


def _whose(peaks: Sequence[int]) -> str:
    return " of every rank" if min(peaks) == max(peaks) else f" (rank {peaks.index(max(peaks))})"


def _steady(summary: Mapping[str, Any]) -> str:
    """What a run until a precision found, and what it cost."""
    mean, low, high = (summary[f"throughput_{each}"] for each in ("mean", "low", "high"))
    parts = ["not known"]
    if low is not None and high is not None:
        mean, low, high = resolved((mean, low, high), (high - low) / 2)
        parts = [f"{mean} gradients/s", f"95 % interval {low} to {high}"]
    parts += [] if summary["precision_reached"] else ["precision not reached"]
    parts += [] if summary["warm_up_s"] is None else [f"warm-up {quantity('warm_up_s', summary['warm_up_s'])} cut"]
    return ", ".join([*parts, f"{summary['events']:,} events"])


def _told(key: str, value: float) -> str:
    return number(value) if key.endswith("_per_s") else quantity(key, value)
