"""What is printed of one run, in either world."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from schedules.record.quantities import QUANTITIES, beside_words, quantity, resolved, with_unit
from twinclock.printing.explanation_lines import explanation_lines
from twinclock.printing.tables import print_json, print_table, print_written

if TYPE_CHECKING:
    from analysis.measures.explanation import Explanation
    from schedules.result import Result


def show(result: Result, out: Path | None, *, as_json: bool, explanation: Explanation | None = None) -> None:
    """Print a run, perhaps why it took as long as it did, and where it was written."""
    if as_json:
        files = sorted(str(file) for file in out.iterdir()) if out is not None else []
        head = {"world": result.world, "seed": result.seed, "fingerprint": result.fingerprint}
        why = {} if explanation is None else {"explanation": explanation.record()}
        print_json({**head, "summary": result.summary, **why, "out": out, "files": files})
        return
    click.echo(title(result))
    print_table([(f"  {name}", value) for name, value in (*_unit(result), *rows(result.summary))])
    if explanation is not None:
        click.echo("\n".join(explanation_lines(explanation)))
    if out is not None:
        print_written([out])


def title(result: Result) -> str:
    """One line: which schedule, where, in which world."""
    schedule, topology = result.tables["schedule"], result.tables["topology"]
    return (
        f"{schedule['program']} on {topology['graph']}, {topology['workers']} workers, "
        f"{result.summary['gradients']:,} gradients, seed {result.seed}, {result.world}"
    )


def _unit(result: Result) -> list[tuple[str, str]]:
    """What one gradient time is, where that is not how long a gradient takes."""
    gradient = result.tables["platform"].get("gradient")
    if gradient is not None and gradient["mean"] > 0:
        return []
    why = "no platform.gradient" if gradient is None else "gradients take no time"
    return [("gradient time", f"{with_unit(result.gradient_s, 's')} ({why})")]


def rows(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The lines of the table: those that everybody looks at, then whatever else the schedule says of itself."""
    values: dict[str, list[str]] = {}
    for key, each in QUANTITIES.items():
        if each.line and summary.get(key) is not None:
            values.setdefault(each.line, []).append(f"{beside_words(key, summary[key])} {each.behind}".strip())
    if "memory" in values:
        values["memory"][0] += _whose(summary["per_rank"]["peak_memory_bytes"])
    lines = [(line, ", ".join(parts)) for line, parts in values.items()]
    if "precision_reached" in summary:
        after = 1 + list(values).index("throughput")
        lines.insert(after, ("steady throughput", _steady(summary)))
    others = [key for key, value in summary.items() if key not in QUANTITIES and isinstance(value, int | float)]
    return lines + [(key.replace("_", " "), quantity(key, summary[key])) for key in others]


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
