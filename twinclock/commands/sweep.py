"""`twinclock sweep`: every case of [sweep]."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from analysis.deciding.pareto import fastest_within, unbeaten
from schedules.units import quantity
from simulator.sweep import Sweep
from twinclock.endings import FAILED, Ending, bad_input, interrupted
from twinclock.options import (
    PATH,
    Changes,
    changes_options,
    force_option,
    is_quiet,
    jobs_option,
    json_option,
    scenario_argument,
)
from twinclock.printing.sweep_figures import draw
from twinclock.printing.sweep_table import show_table
from twinclock.printing.sweeps.pareto import limit_line, pareto_lines, write_unbeaten
from twinclock.printing.tables import print_json, print_written
from twinclock.targets import check_directory

if TYPE_CHECKING:
    import pandas as pd

EXAMPLES = """\b
The scenario says what varies; lists multiply:
  [sweep]
  "schedule.rate" = [0.5, 1, 2]
  "topology.graph" = ["ring", "complete"]
Keys that go together are tables, each multiplied with the lists:
  [[sweep.case]]
  "schedule.program" = "gossip"
  "optimizer.learning_rate" = 0.05
\b
Below the table stand the cases that no other beats in throughput, memory (of the worker that
holds most) and staleness: also in DIR/pareto.csv. With run.samples and a problem's numbers it is
loss, seconds, bytes, staleness and memory.
\b
Interrupted? The same command goes on where it was: finished cases are in DIR/cases.
\b
Examples:
  twinclock sweep examples/a2cid2-sweep.toml
  twinclock sweep examples/a2cid2-sweep.toml --jobs 4 --out runs/rates
  twinclock sweep examples/a2cid2-sweep.toml --memory-limit "40 GB"
  twinclock sweep examples/a2cid2-sweep.toml --dask tcp://10.0.0.1:8786
"""


def _bytes(_: click.Context, __: click.Parameter, text: str | None) -> float | None:
    """What `--memory-limit` says."""
    if text is None:
        return None
    try:
        found = quantity(text, "byte")
    except ValueError as error:
        raise bad_input(f"--memory-limit: {error}, found {text!r}") from None
    if found <= 0:
        raise bad_input(f'--memory-limit: expected more than nothing, such as "40 GB", found {text!r}')
    return found


@click.command(epilog=EXAMPLES)
@scenario_argument
@changes_options
@click.option("--out", type=PATH, metavar="DIR", help="Where to keep it. Default: runs/SCENARIO-sweep")
@jobs_option
@click.option(
    "--memory-limit", "limit", metavar="SIZE", callback=_bytes, help="Name the fastest case that fits, e.g. 40 GB."
)
@click.option("--dask", metavar="ADDRESS", help="Run on the workers of this Dask scheduler.")
@force_option
@json_option
def sweep(
    scenario: Path,
    changes: Changes,
    out: Path | None,
    jobs: int,
    limit: float | None,
    dask: str | None,
    is_forced: bool,
    as_json: bool,
) -> None:
    """Simulate every case of a scenario's [sweep], in parallel."""
    target = out or Path("runs") / f"{scenario.stem}-sweep"
    # Made before the directory is looked at: a mistake in the scenario is told first, as by the other commands.
    prepared = Sweep(scenario, target, overrides=changes.overrides(), is_forced=is_forced)
    check_directory(target, ("cases",))
    if not as_json:
        click.echo(_begin(prepared))
    table = _run(prepared, jobs, dask)
    pareto = write_unbeaten(table, [*prepared.swept], target)
    files = [*prepared.tables, *pareto, *draw(table, prepared.series(), target)]
    if as_json:
        counts = {"failed": len(prepared.errors), "impossible": len(prepared.cases) - len(prepared.possible)}
        choice: dict[str, object] = {"pareto": unbeaten(table).index.tolist()}
        if limit is not None:
            choice["best"] = next(iter(fastest_within(table, limit).index.tolist()), None)
        print_json({"out": target, "files": files, **counts, **choice, "cases": table.to_dict("records")})
    else:
        show_table(table, prepared.swept)
        for line in pareto_lines(table, prepared.swept):
            click.echo(line)
        if limit is not None:
            click.echo(limit_line(table, prepared.swept, limit))
        for line in _impossible(prepared):
            click.echo(line)
        print_written(files)
    if prepared.errors:
        raise Ending(_failures(prepared, table), FAILED)


def _begin(sweep: Sweep) -> str:
    finished = len(sweep.possible) - len(sweep.todo)
    return f"{len(sweep.cases)} cases" + (f", {finished} of them finished before" if finished else "")


def _impossible(sweep: Sweep) -> list[str]:
    found = [f"  {case}: {case.reason}" for case in sweep.cases if case.reason is not None]
    return [f"not run, as impossible: {len(found)} of {len(sweep.cases)} cases", *found] if found else []


def _run(sweep: Sweep, jobs: int, dask: str | None) -> pd.DataFrame:
    try:
        return sweep.run(jobs=jobs, dask=dask, progress=not is_quiet())
    except KeyboardInterrupt as error:
        kept = f"{len(sweep.records)} of {len(sweep.cases)} cases are finished and kept in {sweep.out / 'cases'}"
        raise interrupted(error, f"{kept}; the same command goes on") from None


def _failures(sweep: Sweep, table: pd.DataFrame) -> str:
    failed = [f"  {case}: {sweep.errors[case.key]}" for case in sweep.cases if case.key in sweep.errors]
    return f"{len(failed)} of {len(table)} cases failed:\n" + "\n".join(failed)
