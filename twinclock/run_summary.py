"""What is printed of one run, in either world."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from twinclock.printing import print_json, print_table, print_written

if TYPE_CHECKING:
    from schedules.result import Result

ROWS: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = (
    ("makespan", (("makespan_s", ""),)),
    ("throughput", (("gradients_per_s", "gradients/s"), ("samples_per_s", "samples/s"))),
    ("computing", (("utilization_compute", "of the time"),)),
    ("communicating", (("utilization_communication", "of the time"),)),
    ("idle", (("idle_fraction", "of the time"),)),
    ("sent", (("bytes_sent", ""), ("exchanges", "exchanges"))),
    ("staleness", (("staleness_mean", "versions (mean)"), ("staleness_p95", "(95 %)"), ("staleness_max", "(max)"))),
    ("loss", (("loss", ""),)),
    ("accuracy", (("accuracy", ""),)),
    ("consensus distance", (("consensus_distance", ""),)),
)
"""A line a row: what it is called, and the keys of the summary with the words behind their values."""

STALENESS = {"staleness_steps_mean", "staleness_steps_max", "staleness_mean_s", "staleness_max_s"}
IMPLIED = {"gradients", "per_rank", *STALENESS}
"""Keys that are in `--json` and in the files only."""


def show(result: Result, out: Path | None, *, as_json: bool) -> None:
    """Print a run and where it was written."""
    if as_json:
        files = sorted(str(file) for file in out.iterdir()) if out is not None else []
        head = {"world": result.world, "seed": result.scenario.run.seed, "fingerprint": result.scenario.fingerprint()}
        print_json({**head, "summary": result.summary, "out": out, "files": files})
        return
    click.echo(title(result))
    print_table([(f"  {name}", value) for name, value in rows(result.summary)])
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
    from analysis.quantities import quantity

    lines = []
    for name, parts in ROWS:
        values = [f"{_told(key, summary[key])} {words}".strip() for key, words in parts if summary.get(key) is not None]
        if values:
            lines.append((name, ", ".join(values)))
    known = IMPLIED | {key for _, parts in ROWS for key, _ in parts}
    others = [key for key, value in summary.items() if key not in known and isinstance(value, int | float)]
    return lines + [(key.replace("_", " "), quantity(key, summary[key])) for key in others]


def _told(key: str, value: float) -> str:
    from analysis.quantities import number, quantity

    return number(value) if key.endswith("_per_s") else quantity(key, value)
