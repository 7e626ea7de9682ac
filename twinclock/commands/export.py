"""`twinclock export`: a run in the formats of other tools."""

from __future__ import annotations

from pathlib import Path

import click

from analysis import export as exported
from analysis.exports.formats import DIRECTORIES
from twinclock.endings import reading
from twinclock.options import PATH, json_option
from twinclock.printing.tables import print_json, print_written
from twinclock.targets import check_file, check_place

NAMES = {
    "perfetto": "trace.perfetto.json",
    "graphml": "communication.graphml",
    "csv": "trace.csv",
    "tensorboard": "tensorboard",
}

EXAMPLES = """\b
Formats:
  perfetto     timeline for https://ui.perfetto.dev and chrome://tracing (JSON)
  graphml      who exchanged with whom, how often, for networkx, Gephi and yEd
  csv          the trace, one row an operation, times in nanoseconds
  tensorboard  a directory of event files (needs: pip install tensorboard)
\b
Examples:
  twinclock export runs/measured --format perfetto
  twinclock export runs/measured --format csv --out trace.csv
"""


@click.command(epilog=EXAMPLES)
@click.argument("run_dir", type=PATH)
@click.option("--format", "format_", type=click.Choice(list(NAMES)), required=True, help="What to write.")
@click.option(
    "--out", type=PATH, metavar="PATH", help="The file or directory to write. Default: in the run's directory"
)
@json_option
def export(run_dir: Path, format_: str, out: Path | None, as_json: bool) -> None:
    """Write a run for Perfetto or TensorBoard, as a graph, or as CSV."""
    target = out or run_dir / NAMES[format_]
    with reading():
        (check_place if format_ in DIRECTORIES else check_file)(target)
        written = exported(run_dir, format_, target)
    if as_json:
        print_json({"format": format_, "files": [written]})
    else:
        print_written([written])
