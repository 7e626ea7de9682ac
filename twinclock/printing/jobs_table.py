"""What is printed of jobs on one network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from analysis.measures.explanation import busiest_links
from schedules.record.quantities import WORK_PER_S, beside_words, percent, units_of, with_unit
from twinclock.printing.run_summary import title
from twinclock.printing.tables import print_table

if TYPE_CHECKING:
    from schedules.result import Result
    from simulator.jobs.runs import JobRun

HEADER = ("job", "ranks on", "start", "alone", "together", "loss", "throughput alone", "together")
SHOWN = 6
"""Hosts of a job, before the rest is a number."""
NUM_LINKS = 5


def show_jobs(runs: Sequence[JobRun]) -> None:
    """Print what each job is, a table of what it takes alone, beside the others, and loses; and the busiest links."""
    for run in runs:
        click.echo(f"job {run.job.name}: {title(run.together)}")
    print_table([_row(run) for run in runs], header=HEADER, right=range(2, len(HEADER)))
    if links := _links(runs[0].together):  # which are those of all
        print_table(links, header=("busiest links, all jobs together", "utilisation", "carried"), right=(1, 2))


def _links(run: Result) -> list[tuple[str, ...]]:
    found = [] if run.links is None else busiest_links(run.links, run.network)[:NUM_LINKS]
    return [
        (each["link"], percent(each["utilisation"], signed=False), with_unit(each["carried_bytes"], "B"))
        for each in found
    ]


def _row(run: JobRun) -> tuple[str, ...]:
    alone, together = (each.summary["makespan_s"] for each in (run.alone, run.together))
    loss = f"{with_unit(run.loss_s, 's')} ({percent(run.slowdown - 1)})"
    times = (with_unit(run.job.start_s, "s"), with_unit(alone, "s"), with_unit(together, "s"), loss)
    return (
        run.job.name,
        _hosts(run.job.ranks),
        *times,
        *(_throughput(each.summary) for each in (run.alone, run.together)),
    )


def _hosts(hosts: Sequence[int | str]) -> str:
    told = ", ".join(map(str, hosts[:SHOWN]))
    return told if len(hosts) <= SHOWN else f"{told}, ... ({len(hosts)})"


def _throughput(summary: dict[str, Any]) -> str:
    """In gradients, or in what the schedule counts in their place."""
    units = [] if summary["gradients"] else units_of(summary)
    made = [f"{beside_words(WORK_PER_S + unit, summary[WORK_PER_S + unit])} {unit}/s" for unit in units]
    return ", ".join(made) or f"{beside_words('gradients_per_s', summary['gradients_per_s'])} gradients/s"
