"""From tables to a resolved scenario.

TOML, strict: an unknown key, a wrong unit or an impossible value is one `ScenarioError` naming the key, what was
expected and what was found. `load` gives a resolved `Scenario`, in SI units, with every default filled in.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from schedules import catalogue
from schedules.errors import ScenarioError
from schedules.scenario.ends import check_list, may_lack_length, with_list, with_share
from schedules.scenario.files import beside, read, set_key, with_counted, with_samples
from schedules.scenario.places import located
from schedules.scenario.refusals import check, check_tables, validated
from schedules.scenario.resolved import Scenario
from schedules.scenario.sizes import check_size
from schedules.scenario.stages.pipeline import with_order
from schedules.settings import Tables
from topologies import with_counted_rates
from topologies.files import text_of
from topologies.given import graph_of

Source = str | Path | Mapping[str, object] | Scenario
"""A scenario's file, tables of the same shape, or one that is resolved already."""


def load(source: Source, overrides: Mapping[str, object] | None = None, *, is_forced: bool = False) -> Scenario:
    """Read a scenario from a file, or from tables of the same shape; a [sweep] is left out.

    Args:
        source: the file, the tables, or a resolved scenario, which is handed back unless something is to be changed.
        overrides: values by dotted key, such as `{"schedule.rate": 2}`.
        is_forced: whether a run that this machine can hardly hold or finish is taken, too: see `sizes`.

    Raises:
        ScenarioError: naming the file and the key, what was expected, and what was found.
    """
    if isinstance(source, Scenario):
        if not overrides:
            return source
        source = source.said()
    tables, where = read(source)
    for key, value in (overrides or {}).items():
        set_key(tables, key, value, where)
    swept = tables.pop("sweep", {})
    if not isinstance(swept, Mapping):
        raise ScenarioError(f"{where}: sweep: expected a table, found {swept!r}")
    return resolve(located(tables, beside(source), where), where, is_forced=is_forced)


def resolve(tables: Mapping[str, object], where: str = "scenario", *, is_forced: bool = False) -> Scenario:
    """Validate the tables, whose files are `located`, and fill in every default; `is_forced` as for `load`."""
    check_tables(tables, where)
    rest: Tables = dict(tables)
    schedule = dict(rest.pop("schedule"))
    program = schedule.pop("program", None)  # first, as it says which keys the table may have
    if program is None:
        raise ScenarioError(f"{where}: schedule.program: expected one of {', '.join(catalogue.names())}; found none")
    try:
        found = catalogue.find(program)
    except ValueError as error:
        raise ScenarioError(f"{where}: schedule.program: {error}") from None
    key, is_said = found.length_key, True
    said = schedule.pop(key, None) if key is not None and isinstance(schedule.get("events"), str) else None
    if key is not None and (may_lack_length(rest.get("run")) or isinstance(schedule.get("events"), str)):
        is_said = key in schedule
        schedule.setdefault(key, 1)  # stands in until what it follows from is checked
    schedule = with_counted(schedule, where)
    settings = validated(found.settings, schedule, where, prefix=("schedule",))
    # Before the tables are checked, not within: a validator that opened files would do so for whoever builds a table.
    rest["platform"] = with_samples(rest["platform"], where)
    has_workers = "workers" in rest["topology"]
    rest["topology"] = _with_workers(rest["topology"], where)
    scenario = validated(Scenario, {**rest, "program": program, "schedule": settings}, where)
    if not has_workers:  # what follows was not said, and another file may follow later
        scenario.topology.model_fields_set.discard("workers")
    try:
        scenario = with_list(with_order(scenario), said)
    except ValueError as error:
        raise ScenarioError(f"{where}: {error}") from None
    check_size(scenario, where, is_forced=is_forced)  # before anything is built
    try:
        scenario = with_share(scenario, is_said=is_said)
    except ValueError as error:
        raise ScenarioError(f"{where}: run.until: {error}") from None
    check(scenario, where)
    try:
        check_list(scenario)
    except ValueError as error:
        raise ScenarioError(f"{where}: schedule.events: {error}") from None
    if getattr(scenario.schedule, "counted", None) is not None:
        try:
            with_counted_rates(scenario.graph, scenario.schedule.counted)
        except ValueError as error:
            raise ScenarioError(f"{where}: schedule.counted: {error}") from None
    return scenario


def _with_workers(topology: Mapping[str, object], where: str) -> Mapping[str, object]:
    """The table [topology] with as many workers as its file has nodes, where it does not say it."""
    file = topology.get("file")
    first = file[0] if isinstance(file, list) and file else file
    if not isinstance(first, str) or "workers" in topology or topology.get("graph") is not None:
        return topology
    try:
        return {**topology, "workers": len(graph_of(text_of(first), first))}
    except ValueError as error:
        raise ScenarioError(f"{where}: topology.file: {error}") from None
