"""A resolved scenario, and what it is about: its graph, its physical network and its problem, each built once."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping
from types import ModuleType
from typing import Any, Self

import networkx as nx
import numpy as np
from pydantic import BaseModel, ConfigDict

import topologies
from schedules import catalogue
from schedules.platform.tables import PlatformTable
from schedules.scenario.files import read_text
from schedules.scenario.plan import Plan, has_rate, plan
from schedules.scenario.tables import ExecutionTable, OptimizerTable, RunTable, TopologyTable, WorkloadTable
from schedules.settings import Table, Tables
from schedules.training import problems
from schedules.training.problems import Problem
from schedules.training.vectors import ITEM_SIZE, Tensor, parse_tensors
from topologies.checks import AnyGraph
from topologies.described import described
from topologies.event_lists import EventList, parse_events
from topologies.files import text_of
from topologies.given import Lacking, network_of, with_rates_of
from topologies.physical import places
from topologies.rates import spread, sufficient_rates

BUILT = ("events", "graph", "graph_text", "network", "network_text", "plan", "problem", "tensors", "tensors_text")
"""What a scenario builds at first use, and keeps."""


class Scenario(Table):
    """A resolved scenario."""

    # More methods than our classes have, because what follows from several tables has its one place here, and what is
    # built of them is built once.

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, arbitrary_types_allowed=True)

    program: str
    schedule: Any
    topology: TopologyTable
    platform: PlatformTable
    workload: WorkloadTable
    optimizer: OptimizerTable = OptimizerTable()
    run: RunTable = RunTable()
    execution: ExecutionTable = ExecutionTable()

    @property
    def is_numeric(self) -> bool:
        """Whether programs carry real arrays."""
        return self.workload.problem is not None and self.run.numerics

    @property
    def gradient_s(self) -> float:
        """One gradient time in seconds."""
        return self.platform.gradient_s

    @property
    def parameter_bytes(self) -> int | None:
        """Bytes of the parameters, where the scenario says how many there are."""
        count = self.num_parameters
        return None if count is None else count * ITEM_SIZE[self.workload.dtype]

    @property
    def num_parameters(self) -> int | None:
        """Number of parameters; None for a user's module without `workload.parameters`."""
        if self.problem is not None:
            return int(self.problem.num_params)
        if self.tensors is not None:
            return sum(each.size for each in self.tensors.values())
        found = self.workload.parameters
        return sum(found) if isinstance(found, list) else found

    @functools.cached_property
    def plan(self) -> Plan:
        """What the schedule says of the ranks: their lengths, roles and stages."""
        return plan(catalogue.find(self.program), self.schedule, self.topology.workers)

    @functools.cached_property
    def events(self) -> EventList | None:
        """The events that the schedule goes by, where it has a list.

        Raises:
            ValueError: if its file is none, with the line.
        """
        file = getattr(self.schedule, "events", None)
        return parse_events(read_text(file), file, self.topology.workers) if isinstance(file, str) else None

    @functools.cached_property
    def graph(self) -> nx.Graph[int]:
        """Who talks to whom, and how often: see `communication_graph`. Frozen, as all runs of the scenario share it."""
        graph = communication_graph(self)
        nx.freeze(graph)  # nodes and edges; networkx cannot freeze their attributes
        return graph

    @functools.cached_property
    def graph_text(self) -> str | list[str] | None:
        """The text of `topology.file`, or those of its list.

        Raises:
            ValueError: if one cannot be read.
        """
        file = self.topology.file
        return [text_of(each) for each in file] if isinstance(file, list) else file and text_of(file)

    @functools.cached_property
    def network_text(self) -> str | None:
        """The text of `platform.network.file`, likewise."""
        table = self.platform.network
        return None if table is None or table.file is None else text_of(table.file)

    @functools.cached_property
    def network(self) -> AnyGraph | None:
        """The wires: see `physical_network`. Frozen, as all runs of the scenario share it."""
        network = physical_network(self)
        if network is not None:
            nx.freeze(network)
        return network

    @functools.cached_property
    def problem(self) -> Problem | None:
        """What is trained, with arrays of numpy; None where there is no problem.

        It may be shared by runs: a gradient depends on nothing that was asked before.
        """
        return None if self.workload.problem is None else build_problem(self)

    @functools.cached_property
    def tensors(self) -> Mapping[str, Tensor] | None:
        """What the parameters consist of, by name, where it is known without a module.

        Raises:
            ValueError: if the file of `workload.tensors` is none.
        """
        if self.problem is not None:
            return self.problem.tensors
        return None if self.tensors_text is None else parse_tensors(self.tensors_text, str(self.workload.tensors))

    @functools.cached_property
    def tensors_text(self) -> str | None:
        """The text of the file of `workload.tensors`."""
        return None if self.workload.tensors is None else read_text(self.workload.tensors)

    # What is built goes into no copy: `model_copy` may give it other tables, which mean others, and a problem has
    # functions and modules, which can be neither copied nor pickled. The copy builds what it needs.

    def __copy__(self) -> Self:
        copied = super().__copy__()
        for name in BUILT:
            copied.__dict__.pop(name, None)
        return copied

    def __deepcopy__(self, memo: dict[int, object] | None = None) -> Self:
        return super(Scenario, self.__copy__()).__deepcopy__(memo)

    def __getstate__(self) -> dict[Any, Any]:
        return super(Scenario, self.__copy__()).__getstate__()

    def tables(self) -> Tables:
        """The resolved scenario as plain tables, SI units, every default filled in."""
        plain = self.model_dump(mode="json", exclude={"program", "schedule"})
        return {"schedule": {"program": self.program, **self.schedule.model_dump(mode="json")}, **plain}

    def said(self) -> Tables:
        """The keys that were given, as plain tables, SI units: without defaults, and without what follows from others.

        So what is laid over it meets what it would have met in the file.
        """
        plain = self.model_dump(mode="json", exclude={"program", "schedule"}, exclude_unset=True)
        return {
            "schedule": {"program": self.program, **self.schedule.model_dump(mode="json", exclude_unset=True)},
            **plain,
        }

    def deciding(self) -> Tables:
        """What must be equal between a run and its replay, as plain tables: the keys that differ from their defaults.

        So a key that is new changes nothing for those who do not set it. Platform and execution are not there, nor is
        [run]'s way of keeping.
        """
        run = {"seed", "numerics", "observations"}
        if self.run.until == "precision":
            run |= {"until", "precision", "limit"}  # they decide how many gradients are made
        elif self.run.until != "end":
            run |= {"until", "total", "duration"}
        run |= {"samples"}
        tables: dict[str, tuple[BaseModel, set[str] | None, set[str] | None]] = {
            "schedule": (self.schedule, None, None),
            "topology": (self.topology, None, None),
            "workload": (self.workload, None, {"activations"}),  # memory decides nothing
            "optimizer": (self.optimizer, None, None),
            "run": (self.run, run, None),
        }
        told = {
            name: table.model_dump(mode="json", include=include, exclude=exclude, exclude_defaults=True)
            for name, (table, include, exclude) in tables.items()
        }
        if self.run.says_length:
            told["schedule"].pop(str(catalogue.find(self.program).length_key), None)  # it follows from these
        return {**told, "schedule": {"program": self.program, **told["schedule"]}}

    def fingerprint(self) -> str:
        """Hash of what must be equal between a run and its replay: `deciding`, with the text of a schedule of the
        user's own, and of the files of events, a graph and tensors in the place of their names: where one lies decides
        nothing. A module that is trained counts by its name: simulations do without it."""
        told, own = self.deciding(), catalogue.own_text(self.program)
        if own is not None:
            told["schedule"]["program"] = own
        if self.tensors_text is not None:
            told["workload"]["tensors"] = self.tensors_text
        if self.graph_text is not None:
            told["topology"]["file"] = self.graph_text
        if (order := getattr(self.schedule, "text", None)) is not None:
            told["schedule"]["file"] = order
        if self.events is not None:
            told["schedule"]["events"] = self.events.text
        return digest(told)


def digest(tables: Tables) -> str:
    """Hash of plain tables, whatever the order of their keys."""
    return hashlib.sha256(json.dumps(tables, sort_keys=True).encode()).hexdigest()[:16]


def communication_graph(scenario: Scenario) -> nx.Graph[int]:
    """The scenario's graph with its rates: a networkx.Graph with the edge attribute `rate`.

    Where a schedule's key `rate` has no value, they are the least with which 2 chi_1 chi_2 <= 1.

    Raises:
        ValueError: an unknown graph or option, an unreadable file, an impossible size, or a rate on a graph without
            edges.
    """
    is_sufficient = has_rate(scenario.schedule) and scenario.schedule.rate is None
    graph = _rated_graph(scenario, 1.0 if is_sufficient else getattr(scenario.schedule, "rate", None))
    return sufficient_rates(graph) if is_sufficient else graph


def _rated_graph(scenario: Scenario, rate: float | None) -> nx.Graph[int]:
    topology, text = scenario.topology, scenario.graph_text
    if topology.graph is None and topology.file is None:
        return _own_graph(scenario)
    options, turns = topology.model_extra or {}, (topology.count, topology.period)
    graph = described(topology.workers, topology.graph, options, topology.file, text, *turns)
    if topology.file is not None:
        return with_rates_of(graph, topology.file, 1.0 if rate is None else rate, topology.weights)
    if rate is None:
        return graph
    if graph.number_of_edges() == 0 and len(graph) > 1:
        raise ValueError(f"expected a graph with edges for schedule.rate = {rate}, found {topology.graph} without any")
    return spread(graph, rate, topology.weights)


def _own_graph(scenario: Scenario) -> nx.Graph[int]:
    """The graph of a schedule that says itself who talks to whom."""
    edges, workers = catalogue.find(scenario.program).edges, scenario.topology.workers
    if edges is None:  # told by its key, where graphs are checked
        raise ValueError(f"expected a graph for {scenario.program}, found none")
    graph: nx.Graph[int] = nx.Graph()
    graph.add_nodes_from(range(workers))
    graph.add_edges_from(sorted(edges(scenario.schedule, workers)))
    return graph


def physical_network(scenario: Scenario) -> AnyGraph | None:
    """The scenario's physical network (`topologies.physical`), or None where every pair has a link of its own.

    Raises:
        ValueError: an unknown network or option, an unreadable file, or too few places for the workers.
    """
    table, workers = scenario.platform.network, scenario.topology.workers
    if table is None:
        return None
    if table.file is not None:
        lacking = Lacking(kind=table.kind, **(table.model_extra or {}))
        network = network_of(str(scenario.network_text), table.file, lacking)
    else:
        options = {**(table.model_extra or {})}
        if table.kind == "dedicated":  # it follows the graph, which no key of a table can be
            options["graph"] = scenario.graph
        network = topologies.build_network(str(table.kind), table.hosts or workers, **options)
    num_places = len(table.placement or places(network))
    if num_places < workers:
        raise ValueError(f"expected places for {workers} workers, found {num_places}")
    return network


def build_problem(scenario: Scenario, xp: ModuleType | None = None, device: object = None) -> Problem:
    """The scenario's problem, with arrays of the namespace `xp` (numpy unless given).

    Raises:
        ValueError: for an unknown problem or a wrong option of it.
    """
    workload = scenario.workload
    return problems.build_problem(
        str(workload.problem),
        num_workers=scenario.plan.num_shards,
        seed=scenario.run.seed,
        xp=xp or np,
        dtype=workload.dtype,
        device=device,
        batch_size=workload.batch_size,
        **workload.options,
    )
