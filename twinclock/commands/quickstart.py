"""`twinclock quickstart`: everything once, on this machine."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path

import click

from twinclock.options import PATH, is_quiet, json_option
from twinclock.printing.tables import print_json
from twinclock.quickstart_steps import CONTENDERS, ROUNDS, STEPS, Quickstart
from twinclock.targets import check_directory, check_run_directory

EXAMPLES = """\b
It takes about 80 seconds on two idle cores and longer on busy ones, needs no GPU and
no network, and leaves in DIR:
  platform.toml           what this machine was measured to do
  scenario.toml           what was swept and executed, to be changed and run again
  sweep/                  A²CiD² on three graphs, in two pairings, at three rates, simulated;
                          decision.png shows which one was chosen
  simulated/, measured/   the choice and its rival: simulated, and executed four times in turns
  report/report.html      why it was chosen, whether the ranking held, simulated beside measured,
                          and what a simulation without a network says
\b
Examples:
  twinclock quickstart
  twinclock quickstart --out runs/first
"""


@click.command(epilog=EXAMPLES)
@click.option("--out", type=PATH, default=Path("quickstart"), metavar="DIR", help="Default: quickstart")
@json_option
def quickstart(out: Path, as_json: bool) -> None:
    """Calibrate, sweep, choose, execute and compare: on this machine."""
    # Either file will do: a quickstart that was interrupted may have written the second one only.
    check_directory(out, ("scenario.toml", "platform.toml"))
    for name in ("report/null", *(f"simulated/{name}" for name in CONTENDERS), *_executions()):
        check_run_directory(out / name)
    begin = time.monotonic()
    _say("About 80 seconds on two idle cores, longer on busy ones.", as_json=as_json)
    with Quickstart(out) as started:
        for number, (words, step) in enumerate(STEPS, 1):
            _say(f"[{number}/{len(STEPS)}] {words}", as_json=as_json)
            since = time.monotonic()
            for line in step(started):
                _say(f"      {line}".rstrip(), as_json=as_json)
            _say(f"      ({time.monotonic() - since:.0f} s)", as_json=as_json)
    if as_json:
        print_json(_told(started))
    else:
        click.echo(f"Done in {time.monotonic() - begin:.0f} s. Now open {started.comparison.files[0]}")


def _executions() -> list[str]:
    return [f"measured/{name}/{turn}" for name in CONTENDERS for turn in range(1, ROUNDS + 1)]


def _say(line: str, *, as_json: bool) -> None:
    """Progress; beside JSON it goes to stderr."""
    if is_quiet():
        return
    click.echo(line, err=as_json)


def _told(started: Quickstart) -> dict[str, object]:
    comparison = started.comparison
    made = comparison.decision
    assert made is not None  # it was handed over
    chosen, rival = made.choice.chosen, made.choice.rival
    decided = {
        "chosen": chosen.settings,
        "rival": None if rival is None else rival.settings,
        "why": [made.choice.sentence(), *made.choice.reasons()],
        "doubts": made.doubts(),
        "ranking": None if made.ranking is None else {"told": made.ranking.sentence(), **asdict(made.ranking)},
    }
    told = {"claim": comparison.claim, "verdict": comparison.verdict, "error": comparison.error}
    return {
        **told,
        "decision": decided,
        "null_error": comparison.null_error,
        "platform": started.platform,
        "out": started.out,
        "files": comparison.files,
    }
