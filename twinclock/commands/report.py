"""`twinclock report`: the page of one run."""

from __future__ import annotations

from pathlib import Path

import click

from analysis import report_run
from schedules.record.whole import check_place
from twinclock.endings import reading
from twinclock.options import PATH, json_option
from twinclock.printing.tables import print_json, print_written

EXAMPLES = """\b
The page needs nothing else: summary, timeline, where the time went and why, memory,
staleness, and of a numeric run its learning curves. twinclock compare lays two side by side.
\b
Examples:
  twinclock report runs/simulated
  twinclock report runs/measured --out runs/page
"""


@click.command(epilog=EXAMPLES)
@click.argument("run", type=PATH, metavar="RUN")
@click.option("--out", type=PATH, default=Path("report"), metavar="DIR", help="Where to write. Default: report")
@json_option
def report(run: Path, out: Path, as_json: bool) -> None:
    """Write the page of one run, simulated or measured."""
    with reading():
        check_place(out, is_directory=True)
        told = report_run(run, out)
    if as_json:
        print_json({"claim": told.claim, "caveats": told.caveats, "files": told.files})
        return
    for line in (told.claim, *(f"- {caveat}" for caveat in told.caveats)):
        click.echo(line)
    print_written(told.files[:1])
    click.echo(f"  with {len(told.files) - 1} figures and tables beside it")
