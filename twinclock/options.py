"""Options and arguments that several commands have."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

import click

from schedules.errors import ScenarioError
from schedules.scenario import located, read, read_setting
from twinclock.endings import bad_input

F = TypeVar("F", bound=Callable[..., None])

PATH = click.Path(path_type=Path)

STANDARD_OUTPUT = Path("-")
"""What `--out` says for it where a command can write there."""

replay_option = click.option(
    "--replay", type=PATH, metavar="DIR", help="Follow the trace of this run: its order, peers and arrivals."
)


force_option = click.option(
    "--force", "is_forced", is_flag=True, help="Go on where the estimate of memory and time is too large."
)


def scenario_argument(command: F) -> F:
    """The scenario's file, which every message about it names: what was read already knows it by no name."""

    @functools.wraps(command)
    def named(*arguments: Any, scenario: Path, **options: Any) -> None:
        try:
            command(*arguments, scenario=scenario, **options)
        except ScenarioError as error:
            raise ScenarioError(str(error).replace("scenario: ", f"{scenario}: ", 1)) from error

    return click.argument("scenario", type=PATH)(cast(F, named))


_QUIET = "twinclock.quiet"


def json_option(command: F) -> F:
    """`--json`, and beside it `--quiet`: nothing is printed but errors, and JSON if that is asked for."""

    @functools.wraps(command)
    def perhaps_quiet(*, quiet: bool, as_json: bool, **others: Any) -> None:
        click.get_current_context().meta[_QUIET] = quiet
        is_output = as_json or others.get("out") == STANDARD_OUTPUT
        with ExitStack() as stack:
            if quiet and not is_output:
                stack.enter_context(redirect_stdout(stack.enter_context(open(os.devnull, "w"))))
            command(as_json=as_json, **others)

    as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, for machines.")
    return as_json(
        click.option("--quiet", "-q", is_flag=True, help="Print nothing but errors.")(cast(F, perhaps_quiet))
    )


def is_quiet() -> bool:
    """Whether the command that runs was given `--quiet`: progress, too, is not shown then."""
    context = click.get_current_context(silent=True)
    return context is not None and bool(context.meta.get(_QUIET))


def jobs_option(command: F) -> F:
    """`--jobs N`: how many processes simulate at a time."""

    def checked(_: click.Context, __: click.Parameter, jobs: int) -> int:
        if jobs == 0 or jobs < -1:
            raise bad_input(f"--jobs: expected a number of processes, or -1 for one a core, found {jobs}")
        return jobs

    words = "Processes at a time. Default: one a core"
    return click.option("--jobs", type=int, default=-1, metavar="N", callback=checked, help=words)(command)


def settings_option(words: str) -> Callable[[F], F]:
    """`--set KEY=VALUE`, any number of times."""
    return click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help=words)


@dataclass(frozen=True)
class Changes:
    """What is to be changed in a scenario: `--platform FILE`, `--set KEY=VALUE` and `--seed N`, as they were given."""

    platform: Path | None
    settings: tuple[str, ...]
    seed: int | None

    def overrides(self) -> dict[str, object]:
        """The values by dotted key of a scenario; of the three options later ones win.

        Raises:
            Ending: if one cannot be read. Hence a command asks where its turn is, after the mistakes told before.
        """
        found = {**_platform(self.platform), **values(self.settings)}
        for key in found:
            if key.partition(".")[0] == "sweep":
                raise bad_input(f"--set {key}: expected a key outside of [sweep], found one of its own")
        return found if self.seed is None else {**found, "run.seed": self.seed}


def changes_options(command: Callable[..., None]) -> Callable[..., None]:
    """`--platform`, `--set` and `--seed`, which the command gets as one argument `changes`."""

    @functools.wraps(command)  # click takes the help from it, and the options that were put on the command before
    def with_changes(
        *, platform: Path | None, settings: tuple[str, ...], seed: int | None, **others: Path | str | int | None
    ) -> None:
        command(changes=Changes(platform, settings, seed), **others)

    platform = click.option(
        "--platform", type=PATH, metavar="FILE", help="Take [platform] from here (twinclock calibrate writes one)."
    )
    setting = settings_option("Change a key of the scenario, e.g. schedule.rate=2. Can be repeated.")
    seed = click.option("--seed", type=int, metavar="N", help="Short for --set run.seed=N")
    return platform(setting(seed(with_changes)))


def values(settings: Sequence[str]) -> dict[str, object]:
    """The values of `--set` by key."""
    return dict(map(read_setting, settings))


def _platform(file: Path | None) -> dict[str, object]:
    if file is None:
        return {}
    tables, where = read(file)
    tables = located(tables, file.parent, where)  # beside this file; what is not there may lie beside the scenario
    if not isinstance(tables.get("platform"), dict):
        raise bad_input(f"{file}: expected a table [platform], found none")
    # Key by key, so that what the file does not say stays as the scenario has it.
    return {f"platform.{key}": value for key, value in tables["platform"].items()}
