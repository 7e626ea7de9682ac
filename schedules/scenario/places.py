"""Where the files are that a scenario names: beside the scenario first, then where one stands.

What is found is named from the root on, so that the resolved scenario, which is kept with a run, names the same file
wherever it is read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from schedules.errors import ScenarioError
from schedules.settings import Tables

Rename = Callable[[str, str], str]
"""(key, name of a file) -> another name."""


def located(tables: Mapping[str, Any], beside: Path | None, where: str) -> Tables:
    """The tables with the place of every file that they name; one that is nowhere keeps its name, for its reader to
    refuse.

    Args:
        tables: of a scenario, not checked yet; they stay as they are.
        beside: the directory of the scenario's file; None: it has none.
        where: what to call the scenario in errors.
    Raises:
        ScenarioError: if a name is one file beside the scenario, and another where one stands; both are told.
    """
    return renamed(tables, lambda key, name: place_of(name, beside, f"{where}: {key}"))


def place_of(name: str, beside: Path | None, where: str) -> str:
    """The place of one file, as `located` finds it; its key in `where`."""
    if not name or Path(name).is_absolute():
        return name
    found = [
        each for each in (*(() if beside is None else (beside.absolute() / name,)), Path.cwd() / name) if each.exists()
    ]
    if len(found) == 2 and not found[0].samefile(found[1]):
        told = f"{found[0]} (beside the scenario) and {found[1]} (where you stand)"
        raise ScenarioError(f"{where}: expected one file {name!r}, found two: {told}; name one by its whole path")
    return str(found[0]) if found else name


def renamed(tables: Mapping[str, Any], rename: Rename) -> Tables:
    """The tables with another name of every file that they name: of the program, the events, the graph, the network,
    the tensors, and the traces of rates and durations."""
    found: Tables = {key: dict(table) if isinstance(table, Mapping) else table for key, table in tables.items()}
    for table, key in (
        ("schedule", "events"),
        ("schedule", "trace"),
        ("schedule", "file"),
        ("topology", "file"),
        ("workload", "tensors"),
    ):
        _rename(found.get(table), key, table, rename)
    if _is_file(found.get("schedule")):
        _rename(found["schedule"], "program", "schedule", rename)
    platform = found.get("platform")
    if isinstance(platform, dict):
        _rename_platform(platform, rename)
    return found


def _is_file(schedule: object) -> bool:
    """Whether the program is one: else it is a name of ours, or a module."""
    return isinstance(schedule, dict) and str(schedule.get("program")).endswith(".py")


def _rename_platform(platform: Tables, rename: Rename) -> None:
    for key, name in (("network", "file"), ("gradient", "trace")):
        if isinstance(platform.get(key), Mapping):
            platform[key] = dict(platform[key])
            _rename(platform[key], name, f"platform.{key}", rename)
    kernels = platform.get("kernels")
    if isinstance(kernels, Mapping):
        platform["kernels"] = {
            name: _kernel(each, f"platform.kernels.{name}", rename) for name, each in kernels.items()
        }


def _kernel(durations: object, where: str, rename: Rename) -> object:
    """A kernel's durations: one, or a list of one a stage."""
    if isinstance(durations, list):
        return [_kernel(each, f"{where}.{stage}", rename) for stage, each in enumerate(durations)]
    if isinstance(durations, Mapping):
        durations = dict(durations)
        _rename(durations, "trace", where, rename)
    return durations


def _rename(table: object, key: str, where: str, rename: Rename) -> None:
    found = table.get(key) if isinstance(table, dict) else None
    if isinstance(table, dict) and isinstance(found, str):
        table[key] = rename(f"{where}.{key}", found)
    if isinstance(table, dict) and isinstance(found, list):  # of files that are there in turn
        table[key] = [rename(f"{where}.{key}", each) if isinstance(each, str) else each for each in found]
