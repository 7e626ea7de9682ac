"""`twinclock`: the commands, and how they end."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import click

from twinclock.endings import Ending, check_streams, orderly_signals, plain_endings

EPILOG = """\b
Where to begin:
  twinclock quickstart                         everything once, on this machine
  twinclock schedules                          what there is to run
  twinclock simulate examples/ring-gossip.toml
\b
Exit status: 0; 1 if a run failed; 2 if the input is wrong, in which case nothing is written; 130 and 143
if it was interrupted or terminated."""


class Listed(NamedTuple):
    """What is known of a command before it is imported: its line in the listing, and `module:attribute`."""

    line: str
    place: str


COMMANDS = {
    "quickstart": Listed(
        "Calibrate, sweep, choose, execute and compare: on this machine.",
        "twinclock.commands.quickstart:quickstart",
    ),
    "simulate": Listed(
        "Simulate one scenario and print what came of it, and why.",
        "twinclock.commands.simulate:simulate",
    ),
    "sweep": Listed(
        "Simulate every case of a scenario's [sweep], in parallel.",
        "twinclock.commands.sweep:sweep",
    ),
    "execute": Listed(
        "Run one scenario for real on this machine.",
        "twinclock.commands.execute:execute",
    ),
    "calibrate": Listed(
        "Measure this machine and write a [platform] table.",
        "twinclock.commands.calibrate:calibrate",
    ),
    "compare": Listed(
        "Lay a simulation beside its execution: writes a report.",
        "twinclock.commands.compare:compare",
    ),
    "report": Listed(
        "Write the page of one run, simulated or measured.",
        "twinclock.commands.report:report",
    ),
    "draw": Listed(
        "Draw what the ranks of a scenario or a run do when.",
        "twinclock.commands.draw:draw",
    ),
    "export": Listed(
        "Write a run for Perfetto or TensorBoard, as a graph, or as CSV.",
        "twinclock.commands.export:export",
    ),
    "schedules": Listed(
        "List the schedules, or describe one and its keys.",
        "twinclock.commands.schedules:schedules",
    ),
    "topologies": Listed(
        "List graphs and networks, or show the numbers of one.",
        "twinclock.commands.topologies:topologies",
    ),
    "paper": Listed(
        "Make a table of a paper from scenarios, or list the tables.",
        "twinclock.commands.paper:paper",
    ),
}
"""The commands in the order of their listing, as people come to need them."""


class Loading(Mapping[str, click.Command]):
    """The commands by name; each is imported when it is looked up. Names alone import nothing."""

    def __getitem__(self, name: str) -> click.Command:
        module, _, attribute = COMMANDS[name].place.partition(":")
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)


class Commands(click.Group):
    """Commands in the order of their listing, whose errors end in one line and an exit status."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, as people come to need them."""
        return list(self.commands)  # click would sort them by name

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The listing of `--help`, from the table: click's own looks every command up, which takes a second."""
        limit = formatter.width - 6 - max(map(len, COMMANDS))  # as click cuts lines off in a narrow terminal
        lines = [(name, click.Command(name, help=listed.line)) for name, listed in COMMANDS.items()]
        with formatter.section("Commands"):
            formatter.write_dl([(name, command.get_short_help_str(limit)) for name, command in lines])

    def main(self, args: Sequence[str] | None = None, *others: Any, **options: Any) -> Any:
        """The command line."""
        given = sys.argv[1:] if args is None else args
        try:
            check_streams(is_quiet="--quiet" in given or "-q" in given)
        except Ending as ending:  # click is not there yet, which would show it
            ending.show()
            sys.exit(ending.exit_code)
        with orderly_signals():
            return super().main(args, *others, **options)

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: object
    ) -> click.Context:
        """Read the options in front of the command."""
        # Here only the group's own options are read; those of the command are, when it is invoked.
        with plain_endings():
            return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> object:
        """Run a command."""
        with plain_endings():
            return super().invoke(ctx)


def _version(ctx: click.Context, _: click.Parameter, is_asked: bool) -> None:
    if not is_asked:
        return
    from importlib import metadata  # as slow as all the rest of `--help`

    try:
        click.echo(f"twinclock {metadata.version('twinclock')}")
    except metadata.PackageNotFoundError:
        click.echo("twinclock, not installed: run from its sources")
    ctx.exit()


SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


@click.group(cls=Commands, commands=Loading(), epilog=EPILOG, context_settings=SETTINGS)
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Print it.")
def main() -> None:
    """Simulate distributed-training schedules, execute them, and see how far apart they are."""
