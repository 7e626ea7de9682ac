"""`twinclock compare`: a report on how far a simulation was off."""

from __future__ import annotations

from pathlib import Path

import click

from analysis import compare as compared
from twinclock.endings import reading
from twinclock.options import PATH, json_option
from twinclock.printing.comparison_table import show_comparison
from twinclock.printing.tables import print_json
from twinclock.targets import check_place

EXAMPLES = """\b
Examples:
  twinclock compare runs/simulated runs/measured
  twinclock compare runs/simulated runs/measured --out runs/report
"""


@click.command(epilog=EXAMPLES)
@click.argument("simulated", type=PATH, metavar="SIM_DIR")
@click.argument("measured", type=PATH, metavar="REAL_DIR")
@click.option("--out", type=PATH, default=Path("report"), metavar="DIR", help="Where to write. Default: report")
@click.option("--force", is_flag=True, help="Compare runs of different scenarios, too.")
@json_option
def compare(simulated: Path, measured: Path, out: Path, force: bool, as_json: bool) -> None:
    """Lay a simulation beside its execution: writes a report."""
    check_place(out)
    with reading():
        comparison = compared(simulated, measured, out, force=force)
    if as_json:
        told = {"claim": comparison.claim, "verdict": comparison.verdict, "error": comparison.error}
        summary = comparison.summary.to_dict("records")
        print_json({**told, "caveats": comparison.caveats, "summary": summary, "files": comparison.files})
        return
    show_comparison(comparison)
