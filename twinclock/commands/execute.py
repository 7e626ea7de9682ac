"""`twinclock execute`: the same schedule for real, on this machine."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import click

from executor.launching.launch import execute as run
from executor.launching.limits import check_ranks
from schedules.scenario import load
from twinclock.endings import bad_input
from twinclock.options import (
    PATH,
    Changes,
    changes_options,
    force_option,
    is_quiet,
    json_option,
    replay_option,
    scenario_argument,
)
from twinclock.printing.run_summary import show
from twinclock.progress import ProgressLine
from twinclock.repeats import execute_repeatedly
from twinclock.targets import check_repeats_directory, check_run_directory

EXAMPLES = """\b
Examples:
  twinclock execute examples/ring-gossip.toml
  twinclock execute examples/ring-gossip.toml --set topology.workers=4 --out runs/measured
  twinclock execute examples/ring-gossip.toml --replay runs/simulated
\b
Five times, to see how far runs lie apart (twinclock compare takes such a directory):
  twinclock execute examples/ring-gossip.toml --repeats 5 --out runs/measured
\b
On a cluster:
  torchrun --nnodes 2 --nproc-per-node 8 ... -m executor examples/ring-gossip.toml
"""


@click.command(epilog=EXAMPLES)
@scenario_argument
@changes_options
@click.option("--out", type=PATH, metavar="DIR", help="Where to keep the run. Default: a new directory in runs/")
@click.option("--repeats", type=int, metavar="N", help="Run it N times, one after the other, in DIR/1 to DIR/N.")
@replay_option
@force_option
@json_option
def execute(
    scenario: Path,
    changes: Changes,
    out: Path | None,
    repeats: int | None,
    replay: Path | None,
    is_forced: bool,
    as_json: bool,
) -> None:
    """Run one scenario for real on this machine."""
    if repeats is not None and repeats < 1:
        raise bad_input(f"--repeats: expected a number of runs, 1 or more, found {repeats}")
    resolved = load(scenario, changes.overrides(), is_forced=is_forced)
    if not is_forced:
        check_ranks(resolved.topology.workers, str(scenario))
    # With the time in its name: a run of the same name would be replaced, and a measured one cannot be had again.
    target = out or Path("runs") / f"{scenario.stem}-{datetime.now():%Y%m%d-%H%M%S}"
    if repeats is not None:
        replaced = check_repeats_directory(target)
        for line in () if is_quiet() else replaced:
            click.echo(f"to be {line}", err=True)  # now, as it is replaced when the first run is done
        with ProgressLine(f"executing {repeats} times"):
            execute_repeatedly(run, resolved, target, num_runs=repeats, replay=replay, as_json=as_json)
        return
    replaced = check_run_directory(target)
    with ProgressLine(f"executing on {resolved.topology.workers} ranks"):
        result = run(resolved, out=target, replay=replay)
    show(result, target, as_json=as_json, replaced=replaced)
