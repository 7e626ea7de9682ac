"""What is printed of a comparison."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from schedules.record.quantities import percent, quantity
from twinclock.printing.tables import print_written, table_lines

if TYPE_CHECKING:
    from analysis import Comparison

KEYS = {
    "makespan_s": "makespan",
    "gradients_per_s": "throughput",
    "utilization_compute": "computing",
    "utilization_communication": "communicating",
    "idle_fraction": "idle",
    "bytes_sent": "sent",
    "exchanges": "exchanges",
    "staleness_mean": "staleness (mean)",
    "staleness_p95": "staleness (95 %)",
    "loss": "loss",
    "accuracy": "accuracy",
    "consensus_distance": "consensus distance",
}
"""Numbers of the summary that are shown, and what they are called."""


def show_comparison(comparison: Comparison) -> None:
    """Print `comparison_lines` and the report's path."""
    for line in comparison_lines(comparison):
        click.echo(line)
    print_written(comparison.files[:1])
    click.echo(f"  with {len(comparison.files) - 1} figures and tables beside it")


def comparison_lines(comparison: Comparison) -> list[str]:
    """The numbers side by side, the claim, and what to know before believing it."""
    summary = {row["key"]: row for row in comparison.summary.to_dict("records")}
    rows = [
        [name, *(quantity(key, summary[key][world]) for world in comparison.runs), percent(summary[key]["error"])]
        for key, name in KEYS.items()
        if key in summary
    ]
    table = table_lines(rows, header=("", *comparison.runs, "error"), right=(1, 2, 3))
    return [*table, "", comparison.claim, comparison.verdict, *(f"- {caveat}" for caveat in comparison.caveats)]
