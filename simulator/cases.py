"""The cases of a sweep: every combination of the lists of [sweep], and a key that says what its numbers depend on."""

from __future__ import annotations

import copy
import functools
import hashlib
import itertools
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from schedules import catalogue
from schedules.errors import ScenarioError
from schedules.scenario import Scenario, read, resolve, set_key

Source = str | Path | Mapping[str, object]
"""A scenario's file, or tables of the same shape."""

SETTINGS = ("schedule.program", "topology.graph", "topology.workers", "schedule.rate", "run.seed")
"""Columns that a sweep's table has even where they do not vary; the swept keys follow."""

SOURCES = ("topologies", "schedules", "simulator")
"""The packages that decide a simulation's numbers."""


@dataclass(frozen=True)
class Case:
    """One combination of the lists of [sweep].

    Attributes:
        swept: the swept keys and their values.
        tables: the scenario's tables with these values.
        settings: columns of the table that say which case it is.
        key: hash of all that its numbers depend on.
    """

    swept: dict[str, object]
    tables: dict[str, object]
    settings: dict[str, object]
    key: str

    def __str__(self) -> str:
        return _named(self.swept)


def plan(source: Source, overrides: Mapping[str, object] | None = None) -> list[Case]:
    """All cases of a scenario's [sweep], in the order of its lists, the last key fastest. Every one is resolved.

    Raises:
        ScenarioError: if there is no [sweep], a value is no list, or the scenario of any case is wrong.
    """
    tables, where = read(source)
    lists = tables.pop("sweep", None)
    _check_lists(lists, overrides or {}, f"{where}: sweep")
    for key, value in (overrides or {}).items():
        set_key(tables, key, value, where)
    combinations = itertools.product(*lists.values())
    return [_case(tables, dict(zip(lists, values, strict=True)), where) for values in combinations]


def _check_lists(lists: object, overrides: Mapping[str, object], where: str) -> None:
    if not isinstance(lists, Mapping) or not lists:
        found = "none" if lists is None else repr(lists)
        raise ScenarioError(f'{where}: expected a table of lists such as "schedule.rate" = [1, 2], found {found}')
    for key, values in lists.items():
        # TOML takes a dotted key without quotes apart, into tables.
        if isinstance(values, Mapping):
            quoted = f'"{key}.{next(iter(values), "key")}"'
            raise ScenarioError(f"{where}.{key}: expected a list under a dotted key in quotes, {quoted}, found a table")
        if not isinstance(values, list | tuple) or not values:
            raise ScenarioError(f"{where}.{key}: expected a list with one value or more, found {values!r}")
        if key in overrides:
            raise ScenarioError(f"{where}.{key}: expected a key that is swept or set, found both")


def _case(tables: Mapping[str, object], swept: dict[str, object], where: str) -> Case:
    where = f"{where}: sweep case {_named(swept)}"
    # `set_key` writes into tables within tables, which all cases would share.
    case = copy.deepcopy(dict(tables))
    for key, value in swept.items():
        set_key(case, key, value, where)
    scenario = resolve(case, where)
    # Nobody would read a case's trace. It is left out of what is resolved already, so that a wrong `run.trace` is told.
    set_key(case, "run.trace", False)
    traceless = scenario.model_copy(update={"run": scenario.run.model_copy(update={"trace": False})})
    return Case(swept, case, _settings(scenario, swept), _key(traceless))


def _settings(scenario: Scenario, swept: Mapping[str, object]) -> dict[str, object]:
    tables = scenario.tables()
    found = {key: tables[key.split(".")[0]].get(key.split(".")[1]) for key in SETTINGS}
    standing = {key: value for key, value in found.items() if value is not None}
    return standing | {
        # As text: a list or a table has no place in a cell of a table.
        key: json.dumps(value) if isinstance(value, Mapping | list) else value
        for key, value in swept.items()
    }


def _named(swept: Mapping[str, object]) -> str:
    return ", ".join(f"{key} = {json.dumps(value, default=str)}" for key, value in swept.items())


def _key(scenario: Scenario) -> str:
    code = getattr(catalogue.find(scenario.program).streams, "__code__", None)
    program = [Path(code.co_filename)] if code is not None else []  # it may be the user's own
    # Sorted, since the order of keys in a file means nothing.
    told = [json.dumps(scenario.tables(), sort_keys=True), _version(), _digest(program)]
    return hashlib.sha256("\n".join(told).encode()).hexdigest()[:32]  # 128 bits of it tell any cases apart


# Every case asks for it, and it reads all sources.
@functools.cache
def _version() -> str:
    """The version, and a digest of the sources: in an editable installation they change without it."""
    root = Path(__file__).parent.parent
    # Sorted, or the file system would choose the order and with it the digest.
    sources = (file for package in SOURCES for file in sorted((root / package).rglob("*.py")))
    try:
        version = metadata.version("twinclock")
    except metadata.PackageNotFoundError:
        version = "uninstalled"
    return f"{version} {_digest(sources)}"


def _digest(files: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        # A program that was made by `exec`, or typed in, names a file that is none.
        digest.update(file.read_bytes() if file.is_file() else b"")
    return digest.hexdigest()
