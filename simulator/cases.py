"""The cases of a sweep: what [sweep] says to try, and a key for each that says what its numbers depend on.

Lists under dotted keys multiply. `[[sweep.case]]` are tables of dotted keys whose values go together; each is
multiplied with the lists. `sweep.impossible` says what becomes of a combination that makes no scenario: unless it does,
one that is impossible is listed, and a value that is wrong by itself refuses the sweep.
"""

from __future__ import annotations

import copy
import functools
import hashlib
import itertools
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from schedules import catalogue
from schedules.errors import ScenarioError, WrongValueError, nearest
from schedules.record.quantities import with_unit
from schedules.scenario import Scenario, beside, located, read, renamed, resolve, set_key
from schedules.scenario.sizes import LONGEST_S

Source = str | Path | Mapping[str, object]
"""A scenario's file, or tables of the same shape."""

SETTINGS = ("schedule.program", "topology.graph", "topology.workers", "schedule.rate", "run.seed")
"""Columns that a sweep's table has even where they do not vary; the swept keys follow."""

SOURCES = ("topologies", "schedules", "simulator")
"""The packages that decide a simulation's numbers."""


@dataclass(frozen=True)
class Case:
    """One combination of what [sweep] has.

    Attributes:
        swept: the swept keys and their values.
        tables: the scenario's tables with these values.
        settings: columns of the table that say which case it is.
        key: hash of all that its numbers depend on; "" of one that is impossible.
        reason: why it is impossible; None: it is not.
        is_mistake: whether the reason is a value that is wrong by itself, or a name that looks misspelt.
    """

    swept: dict[str, object]
    tables: dict[str, object]
    settings: dict[str, object]
    key: str
    reason: str | None = None
    is_mistake: bool = False

    def __str__(self) -> str:
        return _named(self.swept)


CASE, IMPOSSIBLE = "case", "impossible"

SECONDS_A_CASE, BYTES_A_CASE = 0.02, 50_000
"""To resolve one (examples/a2cid2-sweep.toml on two cores, 2026-11-30: 21 ms), and an allowance for what is kept."""
"""The keys of [sweep] that are no lists: tables of keys that go together, and what becomes of impossible cases."""


@dataclass(frozen=True)
class Swept:
    """A table [sweep], checked as far as it can be without its scenarios.

    Attributes:
        lists: values by dotted key.
        groups: dotted keys that go together, and their values; one that is empty where there is no [[sweep.case]].
        then: what becomes of a case that is impossible: "refuse" (all of them), "list", or None where it is not said:
            a mistake refuses them all, and what cannot be combined is listed.
    """

    lists: dict[str, Sequence[object]]
    groups: list[dict[str, object]]
    then: str | None

    def combinations(self) -> Iterator[dict[str, object]]:
        """Every group with every combination of the lists, the last list fastest."""
        for group, values in itertools.product(self.groups, itertools.product(*self.lists.values())):
            yield {**group, **dict(zip(self.lists, values, strict=True))}


def plan(source: Source, overrides: Mapping[str, object] | None = None, *, is_forced: bool = False) -> list[Case]:
    """All cases of a scenario's [sweep]: those of its first [[sweep.case]] first, the last list fastest.

    Every one is resolved.

    Raises:
        ScenarioError: if there is no [sweep], it says what cannot be, a value is wrong by itself, or all cases are
            impossible; where `sweep.impossible` is "refuse" if one is, where it is "list" only if all are.
    """
    tables, where = read(source)
    swept = _read_sweep(tables.pop("sweep", None), overrides or {}, f"{where}: sweep")
    for key, value in (overrides or {}).items():
        set_key(tables, key, value, where)
    if not is_forced:
        _check_number(swept, where)
    place, is_refused = beside(source), swept.then == "refuse"
    cases = [
        _case(tables, each, where, place=place, is_refused=is_refused, is_forced=is_forced)
        for each in swept.combinations()
    ]
    if swept.then is None:
        _check_mistakes(cases, where)
    if all(case.reason is not None for case in cases):
        raise ScenarioError(
            f"{where}: sweep: expected a case that is possible, found none; {cases[0]}: {cases[0].reason}"
        )
    return cases


def _check_mistakes(cases: Sequence[Case], where: str) -> None:
    """Refuse a value that is possible in no case, and is wrong by itself: hours later it would still be."""
    possible = {item for case in cases if case.reason is None for item in _items(case)}
    wrong = {
        number: found
        for number, case in enumerate(cases)
        if case.is_mistake
        and (found := set(_items(case)) - possible)
        and any(_is_of(key, case.reason or "") for key, _ in found)
    }
    if wrong:  # of several the one in which the least else is impossible: its reason is the value's own
        case = cases[min(wrong, key=lambda number: len(wrong[number]))]
        raise ScenarioError(f"{where}: sweep case {case}: {case.reason}")


def _items(case: Case) -> list[tuple[str, str]]:
    """Its swept keys with their values, as text: a value may be a table."""
    return [(key, json.dumps(value, default=str)) for key, value in case.swept.items()]


def _is_of(key: str, reason: str) -> bool:
    """Whether a reason begins with a swept key; the builder of a graph names its options behind the table."""
    table, _, option = key.partition(".")
    return reason.startswith((f"{key}: ", f"{key}.", f"{table}: {option}: "))


def _check_number(swept: Swept, where: str) -> None:
    """Refuse more cases than could be resolved within an hour: none of them would have begun."""
    number = len(swept.groups) * math.prod(map(len, swept.lists.values()))
    seconds, memory = number * SECONDS_A_CASE, number * BYTES_A_CASE
    if seconds > LONGEST_S:
        told = f"found {number:,}: about {with_unit(memory, 'B', 2)} of memory and {seconds / 3600:,.1f} h to read them"
        most = round(LONGEST_S / SECONDS_A_CASE)
        raise ScenarioError(f"{where}: sweep: expected at most {most:,} cases, {told}; --force goes on")


# ---- the table [sweep]


def _read_sweep(table: object, overrides: Mapping[str, object], where: str) -> Swept:
    if not isinstance(table, Mapping) or not set(table) - {IMPOSSIBLE}:
        found = "none" if table is None else repr(table)
        raise ScenarioError(f'{where}: expected a table of lists such as "schedule.rate" = [1, 2], found {found}')
    lists = {key: values for key, values in table.items() if key not in (CASE, IMPOSSIBLE)}
    groups, then = table.get(CASE, [{}]), table.get(IMPOSSIBLE)
    if IMPOSSIBLE in table and then not in ("refuse", "list"):
        raise ScenarioError(f"{where}.{IMPOSSIBLE}: expected 'refuse' or 'list', found {then!r}")
    _check_lists(lists, overrides, where)
    if CASE in table:
        _check_groups(groups, overrides, where)
    for group in groups:
        _check_overlap([*overrides, *group, *lists], where)
    return Swept(lists, list(groups), then)


def _check_lists(lists: Mapping[str, object], overrides: Mapping[str, object], where: str) -> None:
    for key, values in lists.items():
        _check_key(key, values, "a list", where)
        if not isinstance(values, list | tuple) or not values:
            raise ScenarioError(f"{where}.{key}: expected a list with one value or more, found {values!r}")
        if key in overrides:
            raise ScenarioError(f"{where}.{key}: expected a key that is swept or set, found both")


def _check_groups(groups: object, overrides: Mapping[str, object], where: str) -> None:
    if not isinstance(groups, list | tuple) or not groups:
        found = "a table" if isinstance(groups, Mapping) else repr(groups)
        raise ScenarioError(f"{where}.{CASE}: expected tables [[sweep.{CASE}]], found {found}")
    for number, group in enumerate(groups, start=1):
        label = f"{where}.{CASE} {number}"
        if not isinstance(group, Mapping) or not group:
            found = repr(group)
            raise ScenarioError(f'{label}: expected a table of keys such as "schedule.rate" = 2, found {found}')
        for key, value in group.items():
            _check_key(key, value, "a value", label)
            if key in overrides:
                raise ScenarioError(f"{label}.{key}: expected a key that is swept or set, found both")


def _check_key(key: str, value: object, kind: str, where: str) -> None:
    if all(str(key).split(".")) and "." in str(key):
        if kind == "a list" and isinstance(value, Mapping):
            raise ScenarioError(f"{where}.{key}: expected a list, found a table")
        return
    # TOML takes a dotted key without quotes apart, into tables.
    if isinstance(value, Mapping):
        quoted = f'"{key}.{next(iter(value), "key")}"'
        raise ScenarioError(f"{where}.{key}: expected {kind} under a dotted key in quotes, {quoted}, found a table")
    hint = nearest(str(key), (CASE, IMPOSSIBLE))
    raise ScenarioError(f"{where}: expected a dotted key such as schedule.rate, found {key!r}{hint}")


def _check_overlap(keys: Sequence[str], where: str) -> None:
    """Of the keys in the order in which they are set: none may take back what one before it said."""
    for earlier, later in itertools.combinations(keys, 2):
        if earlier == later:
            raise ScenarioError(f"{where}.{later}: expected a key of a list or of [[sweep.{CASE}]], found it in both")
        if earlier.startswith(f"{later}."):
            raise ScenarioError(f"{where}.{later}: expected a key beside {earlier}, found one that holds it")


# ---- one case


def _case(
    tables: Mapping[str, object],
    swept: dict[str, object],
    where: str,
    *,
    place: Path | None,
    is_refused: bool,
    is_forced: bool = False,
) -> Case:
    where = f"{where}: sweep case {_named(swept)}"
    # `set_key` writes into tables within tables, which all cases would share.
    case = copy.deepcopy(dict(tables))
    try:
        for key, value in swept.items():
            set_key(case, key, value, where)
        said, case = case, located(case, place, where)
        scenario = resolve(case, where, is_forced=is_forced)
    except ScenarioError as error:
        if is_refused:
            raise
        is_mistake = isinstance(error, WrongValueError) or "(did you mean " in str(error)
        return Case(swept, case, _settings(case, swept), "", str(error).removeprefix(f"{where}: "), is_mistake)
    # Nobody would read a case's trace. It is left out of what is resolved already, so that a wrong `run.trace` is told.
    set_key(case, "run.trace", False)
    traceless = scenario.model_copy(update={"run": scenario.run.model_copy(update={"trace": False})})
    told = renamed(scenario.tables(), lambda key, name: str(_value(said, key) or name))  # files as they were named
    return Case(swept, case, _settings(told, swept), _key(traceless))


def _settings(tables: Mapping[str, object], swept: Mapping[str, object]) -> dict[str, object]:
    found = {key: _value(tables, key) for key in SETTINGS}
    standing = {key: value for key, value in found.items() if value is not None}
    return standing | {
        # As text: a list or a table has no place in a cell of a table.
        key: json.dumps(value) if isinstance(value, Mapping | list) else value
        for key, value in swept.items()
    }


def _value(tables: Mapping[str, object], key: str) -> object:
    """What stands under a dotted key; None if nothing does."""
    name, _, last = key.partition(".")
    table = tables.get(name)
    return table.get(last) if isinstance(table, Mapping) else None


def _named(swept: Mapping[str, object]) -> str:
    return ", ".join(f"{key} = {json.dumps(value, default=str)}" for key, value in swept.items())


def _key(scenario: Scenario) -> str:
    code = getattr(catalogue.find(scenario.program).streams, "__code__", None)
    program = [Path(code.co_filename)] if code is not None else []  # it may be the user's own
    # Sorted, since the order of keys in a file means nothing.
    # A file that it names counts by what is in it, and not by where it lies.
    tables = renamed(scenario.tables(), lambda _, name: _digest([Path(name)]))
    told = [json.dumps(tables, sort_keys=True), _version(), _digest(program)]
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
