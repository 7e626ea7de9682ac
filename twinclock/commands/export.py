"""`twinclock export`: a run, or the order of a pipeline, in the formats of other tools."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import click

from analysis import export as exported
from analysis.exports.formats import DIRECTORIES, ORDERS
from schedules.record.whole import check_place
from twinclock.endings import bad_input, reading
from twinclock.options import PATH, STANDARD_OUTPUT, json_option
from twinclock.printing.tables import print_json, print_written
from twinclock.targets import check_file

NAMES = {
    "perfetto": "trace.perfetto.json",
    "graphml": "communication.graphml",
    "csv": "trace.csv",
    "events": "events.csv",
    "torch-csv": "order.csv",
    "tensorboard": "tensorboard",
}

EXAMPLES = """\b
Formats:
  perfetto     timeline for https://ui.perfetto.dev and chrome://tracing (JSON)
  graphml      who exchanged with whom, how often, for networkx, Gephi and yEd
  csv          the trace, one row an operation, times in nanoseconds
  events       its gradients and exchanges, which schedule.events of another
               scenario takes
  torch-csv    the order of a pipeline with a flush, compute_only, which torch's
               pipelines load; of a run, or of a scenario's file
  tensorboard  a directory of event files (needs: pip install tensorboard)
\b
Examples:
  twinclock export runs/measured --format perfetto
  twinclock export runs/measured --format csv --out trace.csv
  twinclock export runs/measured --format csv --out - | head
  twinclock export zero-bubble.toml --format torch-csv --out order.csv
"""


@click.command(epilog=EXAMPLES)
@click.argument("run_dir", metavar="RUN", type=PATH)
@click.option("--format", "format_", type=click.Choice(list(NAMES)), required=True, help="What to write.")
@click.option(
    "--out",
    type=PATH,
    metavar="PATH",
    help="The file or directory to write; - is the output. Default: in the run's directory, or the scenario's",
)
@json_option
def export(run_dir: Path, format_: str, out: Path | None, as_json: bool) -> None:
    """Write a run for Perfetto or TensorBoard, as a graph, or as CSV."""
    beside = run_dir.parent if format_ in ORDERS and run_dir.is_file() else run_dir
    target = out or beside / NAMES[format_]
    if target == STANDARD_OUTPUT:
        _to_output(run_dir, format_, as_json)
        return
    with reading():
        if format_ in DIRECTORIES:
            check_place(target, is_directory=True)
        else:
            check_file(target)
        written = exported(run_dir, format_, target)
    if as_json:
        print_json({"format": format_, "files": [written]})
    else:
        print_written([written])


def _to_output(run_dir: Path, format_: str, as_json: bool) -> None:
    if as_json:
        raise bad_input("--json: expected a file for --out beside it, found -, where the run itself is written")
    if format_ in DIRECTORIES:
        raise bad_input(f"--out: expected a directory for --format {format_}, found -")
    with TemporaryDirectory() as place, reading():
        written = exported(run_dir, format_, Path(place) / NAMES[format_])
        content = written.read_bytes()
    click.echo(content, nl=False)
