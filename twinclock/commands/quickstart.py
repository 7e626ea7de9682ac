"""`twinclock quickstart`: everything once, on this machine."""

from __future__ import annotations

import time
from pathlib import Path

import click

from twinclock.options import PATH, is_quiet, json_option
from twinclock.printing.tables import print_json
from twinclock.quickstart_steps import STEPS, Quickstart
from twinclock.targets import check_directory, check_run_directory

EXAMPLES = """\b
It takes about a minute, needs no GPU and no network, and leaves in DIR:
  platform.toml           what this machine was measured to do
  scenario.toml           what was simulated and executed, to be changed and run again
  sweep/                  A²CiD² and its baseline on three graphs at several rates, simulated
  measured/, simulated/   one of them executed with four processes, and its simulation
  report/report.html      the two side by side, and what a simulation without a network says
\b
Examples:
  twinclock quickstart
  twinclock quickstart --out runs/first
"""


@click.command(epilog=EXAMPLES)
@click.option("--out", type=PATH, default=Path("quickstart"), metavar="DIR", help="Default: quickstart")
@json_option
def quickstart(out: Path, as_json: bool) -> None:
    """Calibrate, simulate, execute and compare: all on this machine."""
    # Either file will do: a quickstart that was interrupted may have written the second one only.
    check_directory(out, ("scenario.toml", "platform.toml"))
    for name in ("measured", "simulated", "report/null"):
        check_run_directory(out / name)
    begin = time.monotonic()
    with Quickstart(out) as started:
        for number, (words, step) in enumerate(STEPS, 1):
            _say(f"[{number}/{len(STEPS)}] {words}", as_json=as_json)
            for line in step(started):
                _say(f"      {line}".rstrip(), as_json=as_json)
    if as_json:
        print_json(_told(started))
    else:
        click.echo(f"Done in {time.monotonic() - begin:.0f} s. Now open {started.comparison.files[0]}")


def _say(line: str, *, as_json: bool) -> None:
    """Progress; beside JSON it goes to stderr."""
    if is_quiet():
        return
    click.echo(line, err=as_json)


def _told(started: Quickstart) -> dict[str, object]:
    comparison = started.comparison
    told = {"claim": comparison.claim, "verdict": comparison.verdict, "error": comparison.error}
    return {
        **told,
        "null_error": comparison.null_error,
        "platform": started.platform,
        "out": started.out,
        "files": comparison.files,
    }
