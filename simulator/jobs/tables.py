"""The tables [[job]] of a scenario's file: what runs, on which hosts, and from when on.

A job is a scenario of its own, which could be simulated by itself: the file's tables, over them those of the file that
the job names, over them the job's own, key by key (`merging`). All jobs are on the file's [platform.network], each with
a placement of its own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import networkx as nx

from schedules.errors import ScenarioError, nearest
from schedules.platform.transports import TRANSPORTS
from schedules.scenario import Scenario, beside, located, place_of, read, resolve, set_key
from schedules.settings import Tables
from schedules.units import quantity
from simulator.jobs.merging import laid_over
from topologies.physical import places

Source = str | Path | Mapping[str, object]
"""A scenario's file, or tables of the same shape."""

Host = int | str
"""A node of the network; where a node has a label that no other has, it may be named by that, too."""

KEYS = ("name", "ranks", "start", "scenario")
TABLES = ("schedule", "topology", "platform", "workload", "optimizer", "run", "execution")

SHARED = "expected none, as all jobs share the [platform.network] of the file"

LATEST_S = 1e9
"""Of a start: ticks are nanoseconds, and integers of 64 bits."""


@dataclass(frozen=True)
class NetworkJob:
    """A run among others on one network.

    Attributes:
        name: its run directory has it, too.
        ranks: the host of each of its ranks, as the file names it.
        start_s: seconds after the network's time 0.
        scenario: resolved; its placement has the nodes of these hosts.
    """

    name: str
    ranks: tuple[Host, ...]
    start_s: float
    scenario: Scenario

    def nodes(self) -> dict[Host, Host]:
        """The node of every host that it has, and how the file names it."""
        network = self.scenario.platform.network
        assert network is not None
        return dict(zip(network.placement or (), self.ranks, strict=True))


def has_jobs(source: Source) -> bool:
    """Whether a scenario's file has jobs."""
    return "job" in read(source)[0]


def load_jobs(
    source: Source, overrides: Mapping[str, object] | None = None, *, is_forced: bool = False
) -> list[NetworkJob]:
    """The jobs of a scenario's file, each resolved.

    Args:
        source: the file, or tables of the same shape.
        overrides: values by dotted key, for all jobs; `job.NAME.KEY` is of one.
        is_forced: whether runs that this machine can hardly hold or finish are taken, too.
    Raises:
        ScenarioError: naming the file, the job and the key, what was expected, and what was found.
    """
    tables, where = read(source)
    said = _said(tables.pop("job", None), where)
    if "sweep" in tables:
        raise ScenarioError(f"{where}: sweep: expected none beside [[job]], found a table [sweep]")
    common, own = _split(overrides or {}, list(said), where)
    for key, value in common.items():
        set_key(tables, key, value, where)
    for name, changes in own.items():
        said[name] |= {key: changes.pop(key) for key in KEYS[1:] if key in changes}
    ranks = {name: _ranks(job, f"{where}: job {name}") for name, job in said.items()}
    place = beside(source)
    tables = located(tables, place, where)
    network = _network(tables, sum(map(len, ranks.values())), where)
    jobs = []
    for name, job in said.items():
        told = f"{where}: job {name}"
        merged = _changed(_merged(tables, job, place, told), common, own[name], told)
        merged = located(_placed(merged, network, ranks[name], told), place, told)  # of what was changed, too
        scenario = _checked(resolve(merged, told, is_forced=is_forced), told)
        jobs.append(NetworkJob(name, tuple(ranks[name]), _start(job, told), scenario))
    _check_together(jobs, where)
    return jobs


# ---- the tables [[job]], one by one


def _said(table: object, where: str) -> dict[str, Tables]:
    """The tables by name, in their order."""
    if not isinstance(table, list | tuple) or not table:
        found = "none" if table in (None, [], ()) else "a table" if isinstance(table, Mapping) else repr(table)
        raise ScenarioError(f"{where}: job: expected tables [[job]], found {found}")
    jobs: dict[str, Tables] = {}
    for number, job in enumerate(table, start=1):
        name = _name(job, f"{where}: job {number}")
        same = [each for each in jobs if each.lower() == name.lower()]  # directories of some machines are one then
        if same:
            raise ScenarioError(f"{where}: job {number}: name: expected another one than {same[0]!r}, found {name!r}")
        jobs[name] = dict(job)
        _check_keys(job, f"{where}: job {name}")
    return jobs


def _name(job: object, where: str) -> str:
    if not isinstance(job, Mapping):
        raise ScenarioError(f"{where}: expected a table [[job]], found {job!r}")
    name = job.get("name")
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", name):
        told = "expected text of letters, digits, - and _ (a directory is called so)"
        raise ScenarioError(f"{where}: name: {told}, found {'none' if name is None else repr(name)}")
    return name


def _check_keys(job: Mapping[str, object], where: str) -> None:
    known = (*KEYS, *TABLES)
    for key, value in job.items():
        if key not in known:
            raise ScenarioError(f"{where}: unknown key {key}{nearest(key, known)}; accepted: {', '.join(known)}")
        if key in TABLES and not isinstance(value, Mapping):
            raise ScenarioError(f"{where}: {key}: expected a table [job.{key}], found {value!r}")


def _ranks(job: Mapping[str, object], where: str) -> list[Host]:
    ranks = job.get("ranks")
    if isinstance(ranks, list | tuple) and ranks and all(each.__class__ in (int, str) for each in ranks):
        return list(ranks)
    found = "none" if ranks is None else repr(ranks)
    raise ScenarioError(f"{where}: ranks: expected a list of hosts of [platform.network], a rank each, found {found}")


def _start(job: Mapping[str, object], where: str) -> float:
    start = job.get("start", 0)
    try:
        seconds = quantity(start, "second")
    except ValueError as error:
        raise ScenarioError(f"{where}: start: {error}, found {start!r}") from None
    if not 0 <= seconds <= LATEST_S:
        raise ScenarioError(f"{where}: start: expected a time from 0 to {LATEST_S:.0e} s, found {start!r}")
    return seconds


def _split(overrides: Mapping[str, object], names: Sequence[str], where: str) -> tuple[Tables, dict[str, Tables]]:
    """The overrides of all jobs, and those of each."""
    common: Tables = {}
    own: dict[str, Tables] = {name: {} for name in names}
    for key, value in overrides.items():
        if not key.startswith("job.") and key != "job":
            common[key] = value
            continue
        _, _, rest = key.partition(".")
        name, _, last = rest.partition(".")
        if name not in own or not last:
            hint = nearest(name, names)
            raise ScenarioError(f"{where}: {key}: expected job.NAME.KEY of {', '.join(names)}, found {name!r}{hint}")
        own[name][last] = value
    return common, own


# ---- one network for all


def _network(tables: Mapping[str, Any], num_ranks: int, where: str) -> Tables:
    """The table that all jobs share, but for their placement."""
    platform = tables.get("platform")
    table = platform.get("network") if isinstance(platform, Mapping) else None
    if not isinstance(table, Mapping):
        found = "none" if table is None else repr(table)
        told = "expected a table, the physical network that all jobs are on"
        raise ScenarioError(f"{where}: platform.network: {told}, found {found}")
    if table.get("kind") == "dedicated":
        told = "expected a network whose links jobs can share, found 'dedicated'"
        raise ScenarioError(f"{where}: platform.network.kind: {told}")
    for key in ("placement", "routes"):
        if key in table:
            told = "expected none beside [[job]], where job.ranks says who is where"
            raise ScenarioError(f"{where}: platform.network.{key}: {told}, found {table[key]!r}")
    has_file = table.get("file") is not None
    return dict(table) if has_file or "hosts" in table else {**table, "hosts": num_ranks}


def _merged(tables: Tables, job: Mapping[str, Any], place: Path | None, where: str) -> Tables:
    """The tables of a job's scenario, as they were said."""
    own = located({name: job[name] for name in TABLES if name in job}, place, where)
    if "network" in own.get("platform", {}):
        raise ScenarioError(f"{where}: platform.network: {SHARED}, found a table")
    if "scenario" not in job:
        return laid_over(tables, own)
    named = job["scenario"]
    if not isinstance(named, str):
        raise ScenarioError(f"{where}: scenario: expected the name of a file, found {named!r}")
    file = Path(place_of(named, place, f"{where}: scenario"))
    try:
        found, inside = read(file)
    except ScenarioError as error:
        raise ScenarioError(f"{where}: scenario: {error}") from None
    if "job" in found:
        raise ScenarioError(f"{where}: scenario: expected a file of one scenario, found [[job]] tables in {inside}")
    found.pop("sweep", None)
    return laid_over(laid_over(tables, located(found, file.parent, inside)), own)


def _changed(tables: Tables, common: Tables, own: Tables, where: str) -> Tables:
    """The tables with the overrides of all jobs, and then with the job's own."""
    for key in own:
        if key.startswith("platform.network"):
            raise ScenarioError(f"{where}: platform.network: {SHARED}, found {key!r}")
    for key, value in {**common, **own}.items():
        set_key(tables, key, value, where)
    return tables


def _placed(tables: Tables, network: Tables, ranks: list[Host], where: str) -> Tables:
    """The tables with the shared network, and as many workers as there are ranks."""
    platform, topology = tables.get("platform"), tables.get("topology", {})
    if isinstance(platform, Mapping):
        tables["platform"] = {**platform, "network": {**network, "placement": ranks}}
    if isinstance(topology, Mapping):
        said = topology.get("workers", len(ranks))
        if said != len(ranks):
            raise ScenarioError(f"{where}: ranks: expected {said}, as topology.workers says, found {len(ranks)}")
        tables["topology"] = {**topology, "workers": len(ranks)}
    return tables


def _checked(scenario: Scenario, where: str) -> Scenario:
    """The scenario with its placement in nodes, whatever they were named by."""
    platform, network = scenario.platform, scenario.network
    assert network is not None
    assert platform.network is not None
    if scenario.run.until == "precision":
        told = "expected 'end', 'gradients' or 'time' of a job, found 'precision'"
        raise ScenarioError(f"{where}: run.until: {told}")
    if platform.collectives.form == "closed":
        told = "expected 'flows', as formulas share no links with other jobs, found 'closed'"
        raise ScenarioError(f"{where}: platform.collectives.form: {told}")
    nodes = [_node(network, each, where) for each in platform.network.placement or ()]
    table = platform.network.model_copy(update={"placement": nodes})
    return scenario.model_copy(update={"platform": platform.model_copy(update={"network": table})})


def _node(network: nx.Graph[Any], host: Host, where: str) -> Any:
    hosts = places(network)
    if host in hosts:
        return host
    labelled = [each for each in hosts if network.nodes[each].get("label") == host]
    if len(labelled) == 1:
        return labelled[0]
    if len(labelled) > 1:
        raise ScenarioError(f"{where}: ranks: expected a name of one host, found {host!r} of {len(labelled)}")
    known = ", ".join(map(repr, hosts[:8])) + (f", ... ({len(hosts)} in all)" if len(hosts) > 8 else "")
    hint = nearest(host, [str(each) for each in hosts])
    raise ScenarioError(f"{where}: ranks: expected hosts of the network ({known}), found {host!r}{hint}")


def _check_together(jobs: Sequence[NetworkJob], where: str) -> None:
    """Refuse jobs that cannot be on one network at a time."""
    owner: dict[Host, str] = {}
    first = TRANSPORTS[jobs[0].scenario.platform.transport]
    for job in jobs:
        for node, host in job.nodes().items():
            if node in owner:
                told = f"expected hosts that no other job has, found {host!r}, which job {owner[node]} has"
                raise ScenarioError(f"{where}: job {job.name}: ranks: {told}")
            owner[node] = job.name
        name = job.scenario.platform.transport
        its = TRANSPORTS[name]
        if (its.takes_bytes, its.has_latency) != (first.takes_bytes, first.has_latency):
            told = f"expected one under which links are as under {jobs[0].scenario.platform.transport!r}"
            raise ScenarioError(
                f"{where}: job {job.name}: platform.transport: {told} (job {jobs[0].name}), found {name!r}"
            )
