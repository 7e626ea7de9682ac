"""What is printed of a comparison."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from analysis.claims import EXCHANGE_RATE, LAG
from schedules.record.quantities import WORK_PER_S, percent, quantity, words
from twinclock.printing.tables import print_written, table_lines

if TYPE_CHECKING:
    from analysis import Comparison

KEYS = (
    "makespan_s", "gradients_per_s", "utilization_compute", "utilization_communication", "idle_fraction", "bytes_sent",
    "exchanges", "staleness_mean", "staleness_p95", "loss", "accuracy", "consensus_distance",
)  # fmt: skip
"""Numbers of the summary that are shown."""

AVERAGING = (EXCHANGE_RATE, LAG)
"""Those that come first where they are what a prediction is judged by."""


def show_comparison(comparison: Comparison) -> None:
    """Print `comparison_lines` and the report's path."""
    for line in comparison_lines(comparison):
        click.echo(line)
    print_written(comparison.files[:1])
    click.echo(f"  with {len(comparison.files) - 1} figures and tables beside it")


def comparison_record(comparison: Comparison) -> dict[str, object]:
    """The same for machines."""
    difference = comparison.difference
    return {
        "claim": comparison.claim,
        "verdict": comparison.verdict,
        "headline": comparison.headline,
        "error": comparison.error,
        "null_error": comparison.null_error,
        "difference": None if difference is None else asdict(difference),
        "spread": comparison.spread,
        "repeats": comparison.repeats.to_dict("records"),
        "caveats": comparison.caveats,
        "summary": comparison.summary.to_dict("records"),
        "files": comparison.files,
    }


def comparison_lines(comparison: Comparison) -> list[str]:
    """The numbers side by side, the claim, and what to know before believing it."""
    summary = {row["key"]: row for row in comparison.summary.to_dict("records")}
    own = [key for key in summary if key.startswith(WORK_PER_S)]
    errors = {"error": "error"} | ({} if comparison.null is None else {"null_error": "without a network"})
    rows = [
        [
            words(key),
            *(quantity(key, summary[key][world]) for world in comparison.runs),
            *(percent(summary[key][error]) for error in errors),
        ]
        for key in (*(AVERAGING if comparison.headline == EXCHANGE_RATE else ()), *KEYS[:1], *own, *KEYS[1:])
        if key in summary
    ]
    table = table_lines(rows, header=("", *comparison.runs, *errors.values()), right=(1, 2, 3, 4))
    told = [comparison.claim, comparison.verdict, *([comparison.spread] if comparison.spread else [])]
    return [*table, "", *told, *(f"- {caveat}" for caveat in comparison.caveats)]
