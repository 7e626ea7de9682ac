"""`twinclock simulate`: one simulation."""

from __future__ import annotations

from pathlib import Path

import click

from analysis.measures.explanation import explain_run
from schedules.runs.kept import keep_run, time_of_run
from schedules.scenario import load
from simulator.jobs.tables import has_jobs
from simulator.run import simulate as run
from twinclock.jobs import run_jobs
from twinclock.options import (
    PATH,
    Changes,
    changes_options,
    force_option,
    json_option,
    replay_option,
    scenario_argument,
)
from twinclock.printing.run_summary import show
from twinclock.progress import ProgressLine
from twinclock.targets import check_run_directory

EXAMPLES = """\b
Examples:
  twinclock simulate examples/ring-gossip.toml
  twinclock simulate examples/ring-gossip.toml --set schedule.rate=2 --seed 3
  twinclock simulate examples/ring-gossip.toml --json | jq .summary.gradients_per_s
  twinclock simulate examples/ring-gossip.toml --platform platform.toml --out runs/simulated
  twinclock simulate examples/ring-gossip.toml --replay runs/measured
\b
Several jobs on one network ([[job]] tables), each alone and all together:
  twinclock simulate examples/two-jobs.toml
  twinclock simulate examples/two-jobs.toml --set job.b.start="100 ms" --out runs/jobs
"""


@click.command(epilog=EXAMPLES)
@scenario_argument
@changes_options
@click.option("--out", type=PATH, metavar="DIR", help="Keep the run here; without it nothing is written.")
@replay_option
@force_option
@json_option
def simulate(
    scenario: Path, changes: Changes, out: Path | None, replay: Path | None, is_forced: bool, as_json: bool
) -> None:
    """Simulate one scenario and print what came of it, and why."""
    if has_jobs(scenario):
        run_jobs(scenario, changes, out, replay=replay, is_forced=is_forced, as_json=as_json)
        return
    resolved = load(scenario, changes.overrides(), is_forced=is_forced)
    replaced, found = check_run_directory(out), None if out is None else time_of_run(out)
    with ProgressLine("simulating") as progress:
        result = run(resolved, replay=replay, watch=progress.watch)
        explanation = explain_run(result)
    kept = out and keep_run(result, out, found=found)
    show(result, kept, as_json=as_json, explanation=explanation, replaced=replaced)
