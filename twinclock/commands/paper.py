"""`twinclock paper`: a paper's table, from scenarios."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from schedules.errors import ScenarioError
from schedules.settings import Table
from twinclock.endings import bad_input, interrupted, reading
from twinclock.options import PATH, jobs_option, json_option, settings_option, values
from twinclock.paper_tables import catalogue
from twinclock.paper_tables.catalogue import PaperTable
from twinclock.paper_tables.cells import Row
from twinclock.paper_tables.inputs import InputRows, changed, read_inputs
from twinclock.paper_tables.keeping import SIMULATIONS, TABLE, keep
from twinclock.paper_tables.lines import paper_lines
from twinclock.paper_tables.published import flat, read_published
from twinclock.paper_tables.seeds import TableSweep
from twinclock.printing.setting_docs import setting_docs, shown
from twinclock.printing.tables import print_json, print_written
from twinclock.progress import ProgressLine
from twinclock.targets import check_directory

EXAMPLES = """\b
Beside ours stands what was published, or is exact. --out says which command gives a number again.
\b
Examples:
  twinclock paper                                    all tables
  twinclock paper synchronous-exponential            one, beside what was published
  twinclock paper a2cid2-doubling --small            a quick look at one
  twinclock paper a2cid2-doubling --out runs/table   with a figure; goes on if interrupted
  twinclock paper synchronous-exponential --set gradients=20000 --inputs mine.csv --json
"""


@click.command(epilog=EXAMPLES)
@click.argument("name", required=False)
@settings_option("A column of the inputs, in all rows, e.g. seed=3. Can be repeated.")
@click.option("--inputs", type=PATH, metavar="FILE.csv", help="Your own rows, with the columns of the inputs.")
@click.option("--small", is_flag=True, help="Fewer or shorter rows, for a quick look.")
@click.option("--out", type=PATH, metavar="DIR", help="Keep the table, its figure and the scenarios of its numbers.")
@jobs_option
@json_option
def paper(
    name: str | None,
    settings: tuple[str, ...],
    inputs: Path | None,
    small: bool,
    out: Path | None,
    jobs: int,
    as_json: bool,
) -> None:
    """Make a table of a paper from scenarios, or list the tables."""
    if name is None:
        if settings or inputs or small or out:
            raise bad_input("paper: expected the NAME of a table beside these options, found none")
        _list(as_json)
        return
    with reading():
        table = catalogue.find(name)
        chosen = changed(_inputs(table, inputs, small), values(settings))
    if out is not None:
        check_directory(out, (TABLE, SIMULATIONS))
    rows = InputRows(chosen)
    try:
        found = _rows(table, rows, out, jobs)
    except ScenarioError as error:
        raise rows.refused(error, table.name if inputs is None else str(inputs)) from None
    _show(table, found, out, as_json)


def _list(as_json: bool) -> None:
    tables = [catalogue.find(each) for each in catalogue.names()]
    if as_json:
        print_json([{**_said(each), "inputs": [row.model_dump() for row in each.inputs]} for each in tables])
        return
    for each in tables:
        click.echo(f"{each.name}\n  {each.summary}\n  Source: {each.source}\n  Inputs: {_columns(each)}\n")
    click.echo("twinclock paper NAME makes one.")


def _said(table: PaperTable) -> dict[str, object]:
    return {"name": table.name, "summary": table.summary, "source": table.source}


def _columns(table: PaperTable) -> str:
    docs = setting_docs(table.columns)
    return ", ".join(each.name if each.is_required else f"{each.name} = {shown(each.default)}" for each in docs)


def _inputs(table: PaperTable, file: Path | None, is_small: bool) -> Sequence[Table]:
    if file is not None and is_small:
        raise bad_input("--small: expected none beside --inputs, whose rows say how large the table is")
    if file is not None:
        return read_inputs(file, table.columns)
    return table.inputs if not is_small or table.small is None else table.small


def _rows(table: PaperTable, chosen: Sequence[Table], out: Path | None, jobs: int) -> list[Row]:
    with ProgressLine("simulating") as progress, _place(out) as place:
        sweep = TableSweep(table.ours(chosen), place)
        progress.watch(sweep.seen)
        try:
            return sweep.run(jobs)
        except KeyboardInterrupt as error:
            seen = sweep.seen()
            kept = "" if out is None or seen is None else f"{seen.num_done} of {seen.num_all} runs are kept in {place}"
            raise interrupted(error, f"{kept}; the same command goes on" if kept else "") from None


@contextmanager
def _place(out: Path | None) -> Iterator[Path]:
    """The directory of the runs."""
    if out is not None:
        yield out / SIMULATIONS
        return
    with TemporaryDirectory(prefix="twinclock-") as found:
        yield Path(found)


def _show(table: PaperTable, rows: list[Row], out: Path | None, as_json: bool) -> None:
    published = read_published(table.name)
    columns = [flat(row, published.beside(row)) for row in rows]
    files = [] if out is None else keep(out, rows, columns, None if table.figure is None else table.figure(rows))
    if as_json:
        known = published.source or None
        print_json({**_said(table), "published": known, "rows": columns, "out": out, "files": files})
        return
    for line in paper_lines(table, rows, columns, published.source):
        click.echo(line)
    print_written(files)
