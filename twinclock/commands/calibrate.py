"""`twinclock calibrate`: what the simulator should assume of this machine."""

from __future__ import annotations

from pathlib import Path

import click

from executor.calibration.calibrate import check_has_links, measure
from executor.launching.limits import check_ranks
from schedules.platform.toml import write_platform
from schedules.record.whole import whole_file
from schedules.scenario import Scenario, load
from twinclock.options import PATH, Changes, changes_options, force_option, json_option
from twinclock.printing.platform_rows import platform_rows
from twinclock.printing.tables import print_json, print_table, print_written
from twinclock.progress import ProgressLine
from twinclock.targets import check_file

EXAMPLES = """\b
Without a SCENARIO, four processes train a small perceptron.
\b
Examples:
  twinclock calibrate
  twinclock calibrate examples/ring-gossip.toml --out runs/platform.toml
  twinclock simulate examples/ring-gossip.toml --platform runs/platform.toml
"""

DEFAULT = {
    "schedule": {"program": "gossip", "gradients": 1},
    "topology": {"graph": "complete", "workers": 4},
    "platform": {"gradient": {"mean": 0.001}},
    "workload": {"problem": "digits-mlp"},
}
"""What is calibrated where no scenario is given; the platform's own numbers do not count."""


@click.command(epilog=EXAMPLES)
@click.argument("scenario", type=PATH, required=False)
@changes_options
@click.option("--out", type=PATH, default=Path("platform.toml"), metavar="FILE", help="Default: platform.toml")
@force_option
@json_option
def calibrate(scenario: Path | None, changes: Changes, out: Path, is_forced: bool, as_json: bool) -> None:
    """Measure this machine and write a [platform] table."""
    resolved = load(scenario or DEFAULT, changes.overrides(), is_forced=is_forced)
    where = "scenario" if scenario is None else str(scenario)
    check_has_links(resolved, where)
    if not is_forced:
        check_ranks(resolved.topology.workers, where)
    check_file(out)  # before the measurement, which would be lost
    if not as_json:
        click.echo(_begin(resolved))
    with ProgressLine("calibrating"):
        measured = measure(resolved)
    with whole_file(out) as file:
        write_platform(measured.platform, file, measured.comments())
    if as_json:
        told = {"platform": measured.platform, "info": measured.info, "doubts": measured.doubts}
        print_json({**told, "files": [out]})
        return
    print_table([(f"  {name}", value) for name, value in platform_rows(measured.platform)])
    for doubt in measured.doubts:
        click.echo(f"in doubt: {doubt}", err=True)
    print_written([out])


def _begin(scenario: Scenario) -> str:
    workload = scenario.workload
    what = workload.problem or workload.module or f"{workload.parameters:,} parameters"
    return f"measuring {scenario.topology.workers} processes on this machine: {what}, batch size {workload.batch_size}"
