"""`twinclock draw`: what the ranks of a schedule do when, as a picture."""

from __future__ import annotations

from pathlib import Path

import click

from analysis.picture import SUFFIXES, draw_run
from schedules.result import Result, load_run
from schedules.scenario import load
from simulator.run import simulate
from twinclock.endings import bad_input, reading
from twinclock.options import PATH, Changes, changes_options, force_option, json_option, scenario_argument
from twinclock.printing.tables import print_json, print_written
from twinclock.progress import ProgressLine
from twinclock.targets import check_file

EXAMPLES = """\b
A scenario is simulated and drawn; of a run's directory the trace is drawn. A pipeline has a row
a rank and a box a step, with the number of its micro-batch: F forward, B and W backward for the
input and for the weights, D both in one. Any other schedule has computations above
communications.
\b
Examples:
  twinclock draw examples/pipeline.toml --out 1f1b.svg
  twinclock draw examples/pipeline.toml --set schedule.program=zb-h2 --out zb-h2.png
  twinclock draw examples/ring-gossip.toml --out timeline.svg
  twinclock draw runs/measured --out measured.svg
"""


@click.command(epilog=EXAMPLES)
@scenario_argument
@changes_options
@click.option("--out", type=PATH, required=True, metavar="FILE", help="The picture to write: FILE.svg or FILE.png.")
@force_option
@json_option
def draw(scenario: Path, changes: Changes, out: Path, is_forced: bool, as_json: bool) -> None:
    """Draw what the ranks of a scenario or a run do when."""
    if out.suffix.lower() not in SUFFIXES:
        raise bad_input(f"--out: expected a file that ends in {' or '.join(SUFFIXES)}, found {out}")
    with reading():
        check_file(out)
        run = _recorded(scenario, changes) if scenario.is_dir() else None
    if run is None:
        run = _simulated(scenario, changes, is_forced=is_forced)
    with reading():
        told = draw_run(run, out)
    if as_json:
        print_json({"title": told, "files": [out]})
        return
    click.echo(told)
    print_written([out])


def _recorded(directory: Path, changes: Changes) -> Result:
    """A run on disk, of which nothing can be changed any more."""
    if changes.overrides():
        raise bad_input(f"{directory}: expected a scenario beside --set, --platform and --seed, found a directory")
    return load_run(directory)


def _simulated(scenario: Path, changes: Changes, *, is_forced: bool) -> Result:
    resolved = load(scenario, {**changes.overrides(), "run.trace": True}, is_forced=is_forced)
    with ProgressLine("simulating") as progress:
        return simulate(resolved, watch=progress.watch)
