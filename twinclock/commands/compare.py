"""`twinclock compare`: a report on how far a simulation was off."""

from __future__ import annotations

from pathlib import Path

import click

from analysis import compare as compared
from analysis.report.page import check_former
from schedules.record.whole import check_place
from schedules.result import load_run
from twinclock.endings import reading
from twinclock.null_model import NULL, null_model
from twinclock.options import PATH, json_option
from twinclock.printing.comparison_table import comparison_record, show_comparison
from twinclock.printing.tables import print_json
from twinclock.progress import ProgressLine
from twinclock.targets import check_run_directory

EXAMPLES = """\b
Beside every error stands the error without a network: that of the same simulation under the
transport "none", which is kept in DIR/null. What a prediction is worth is the difference.
\b
Examples:
  twinclock compare runs/simulated runs/measured
  twinclock compare runs/simulated runs/measured --out runs/report
\b
Several measured runs of one scenario (twinclock execute --repeats 5 --out runs/measured):
  twinclock compare runs/simulated runs/measured
"""


@click.command(epilog=EXAMPLES)
@click.argument("simulated", type=PATH, metavar="SIM_DIR")
@click.argument("measured", type=PATH, metavar="REAL_DIR")
@click.option("--out", type=PATH, default=Path("report"), metavar="DIR", help="Where to write. Default: report")
@click.option("--force", is_flag=True, help="Compare runs of different scenarios, too.")
@json_option
def compare(simulated: Path, measured: Path, out: Path, force: bool, as_json: bool) -> None:
    """Lay a simulation beside its execution: writes a report."""
    check_place(out, is_directory=True)
    check_run_directory(out / NULL)
    with reading():
        check_former(out)
        predicted = load_run(simulated)
    with ProgressLine("comparing"):
        null, why_not = null_model(predicted)
        with reading():
            comparison = compared(simulated, measured, out, null=null, force=force)
    kept = None if null is None else null.save(out / NULL)
    if as_json:
        print_json(comparison_record(comparison) | {"null": kept, "no_null": why_not})
        return
    show_comparison(comparison)
    click.echo(why_not if kept is None else f"  and the simulation without a network in {kept}")
