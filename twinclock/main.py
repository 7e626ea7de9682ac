"""`twinclock`: the commands, and how they end."""

from __future__ import annotations

from typing import Any

import click

from twinclock.commands.calibrate import calibrate
from twinclock.commands.compare import compare
from twinclock.commands.execute import execute
from twinclock.commands.export import export
from twinclock.commands.quickstart import quickstart
from twinclock.commands.schedules import schedules
from twinclock.commands.simulate import simulate
from twinclock.commands.sweep import sweep
from twinclock.commands.topologies import topologies
from twinclock.endings import plain_endings

EPILOG = """\b
Where to begin:
  twinclock quickstart                         everything once, on this machine
  twinclock schedules                          what there is to run
  twinclock simulate examples/ring-gossip.toml
\b
Exit status: 0; 1 if a run failed; 2 if the input is wrong, in which case nothing is written."""


class Commands(click.Group):
    """Commands in the order of their listing, whose errors end in one line and an exit status."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, as people come to need them."""
        return list(self.commands)

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        """Read the options in front of the command."""
        with plain_endings():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command."""
        with plain_endings():
            return super().invoke(ctx)


def _version(ctx: click.Context, _: click.Parameter, is_asked: bool) -> None:
    if not is_asked:
        return
    from importlib import metadata

    try:
        click.echo(f"twinclock {metadata.version('twinclock')}")
    except metadata.PackageNotFoundError:
        click.echo("twinclock, not installed: run from its sources")
    ctx.exit()


SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


@click.group(cls=Commands, epilog=EPILOG, context_settings=SETTINGS)
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Print it.")
def main() -> None:
    """Simulate distributed-training schedules, execute them, and see how far apart they are."""


for command in (quickstart, simulate, sweep, execute, calibrate, compare, export, schedules, topologies):
    main.add_command(command)
