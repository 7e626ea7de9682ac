"""Options and arguments that several commands have."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from twinclock.endings import bad_input

F = TypeVar("F", bound=Callable[..., Any])

PATH = click.Path(path_type=Path)

scenario_argument = click.argument("scenario", type=PATH)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for machines.")
replay_option = click.option(
    "--replay", type=PATH, metavar="DIR", help="Follow the trace of this run: its order, peers and arrivals."
)


def settings_option(words: str) -> Callable[[F], F]:
    """`--set KEY=VALUE`, any number of times."""
    return click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help=words)


def changes(command: F) -> F:
    """`--platform FILE`, `--set KEY=VALUE` and `--seed N`: what is to be changed in a scenario."""
    platform = click.option(
        "--platform", type=PATH, metavar="FILE", help="Take [platform] from here (twinclock calibrate writes one)."
    )
    seed = click.option("--seed", type=int, metavar="N", help="Short for --set run.seed=N")
    setting = settings_option("Change a key of the scenario, e.g. schedule.rate=2. Can be repeated.")
    return platform(setting(seed(command)))


def values(settings: Sequence[str]) -> dict[str, Any]:
    """The values of `--set` by key."""
    from schedules.scenario import read_value

    found: dict[str, Any] = {}
    for setting in settings:
        key, sign, value = (part.strip() for part in setting.partition("="))
        if not sign or not key:
            raise bad_input(f"--set: expected KEY=VALUE, found {setting!r}")
        found[key] = read_value(value)
    return found


def overrides(platform: Path | None, settings: Sequence[str], seed: int | None) -> dict[str, Any]:
    """The values of `--platform`, `--set` and `--seed` by dotted key of a scenario; later ones win."""
    found = {**_platform(platform), **values(settings)}
    for key in found:
        if key.partition(".")[0] == "sweep":
            raise bad_input(f"--set {key}: expected a key outside of [sweep], found one of its own")
    return found if seed is None else {**found, "run.seed": seed}


def _platform(file: Path | None) -> dict[str, Any]:
    if file is None:
        return {}
    from schedules.scenario import read

    tables, _ = read(file)
    if not isinstance(tables.get("platform"), dict):
        raise bad_input(f"{file}: expected a table [platform], found none")
    return {f"platform.{key}": value for key, value in tables["platform"].items()}
