"""From a scenario to workers and their programs: the same in both worlds."""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType

import networkx as nx

import topologies
from schedules import catalogue
from schedules.clocks import Clocks
from schedules.operations import Program, Until
from schedules.record.ledger import Account, Ledger
from schedules.scenario import Scenario, ScenarioError, build_problem
from schedules.training.kernels import Kernel, numeric_kernels
from schedules.training.numeric import NumericModel
from schedules.training.optimizers import SGD
from schedules.training.problems import Problem
from schedules.training.state import Model
from schedules.worker import Worker

OBSERVE = "observe"
"""The stream that reads out the parameters in a numeric run; it ends with its worker."""

TICKS_AHEAD = 64
"""How many ticks of an edge are drawn at a time, about, in a run that may be long."""


class Setup:
    """What all workers of a run have in common.

    Args:
        scenario: resolved.
        xp: array namespace of the numerics (numpy in the simulator, torch in the executor).
        device: where torch keeps them.
        is_recorded: whether a trace is kept.
    """

    def __init__(
        self, scenario: Scenario, *, xp: ModuleType | None = None, device: object = None, is_recorded: bool = True
    ) -> None:
        self.scenario = scenario
        self.schedule = catalogue.find(scenario.program)
        self.graph = scenario.graph
        self.settings, ahead = scenario.schedule, None
        if scenario.run.until == "precision":
            # The run stops when its throughput is known; this end is only for one that never gets there.
            self.settings = scenario.schedule.model_copy(update={"gradients": scenario.run.limit})
            ahead = _ahead(self.graph)
        self.clocks = Clocks(self.graph, scenario.run.seed, float(self.settings.gradients), ahead=ahead)
        self.ledger = Ledger(scenario.topology.workers, keeps_curve=is_recorded)
        self.ledger.activations = round(scenario.workload.activations)  # [workload] has it with a unit, so as a float
        self.is_recorded = is_recorded
        self.problem = self._problem(xp, device) if scenario.is_numeric else None
        # Without mixing, and with the same step for x and x~, A²CiD² is plain pairwise averaging (gossip.md, 2.4).
        self.eta, self.alpha_tilde = self._acceleration() if self.schedule.has_tilde else (0.0, 0.5)

    def worker(self, rank: int, model: Model | None = None) -> Worker:
        """One worker, ready to run. `model` replaces the scenario's own (the user's module)."""
        if model is None:
            model = self._numeric_model(rank) if self.problem is not None else self._timing_model(rank)
        self.ledger.memory.owns(
            rank,
            {
                "parameters": model.size,
                "optimizer": model.size if self.scenario.optimizer.momentum else 0,  # plain SGD keeps nothing
                "x-tilde": model.size if self.schedule.has_tilde else 0,
            },
        )
        return Worker(rank, model, self.clocks, settings=self.settings)

    def kernels(self, worker: Worker) -> Mapping[str, Kernel] | None:
        """What a worker's kernels compute; None in a timing-only run."""
        if self.problem is None:
            return None
        return numeric_kernels(self.problem, worker.model, worker.rank)

    def programs(self, worker: Worker) -> dict[str, Program]:
        """The programs of a worker by stream name, in the order in which they begin."""
        programs = dict(self.schedule.streams(worker))
        if worker.model.is_numeric and self.scenario.run.observations:
            period = self.scenario.schedule.gradients / self.scenario.run.observations
            programs[OBSERVE] = _observations(worker, self.scenario.run.observations, period)
        return programs

    def _problem(self, xp: ModuleType | None, device: object) -> Problem | None:
        """The scenario's own, which was checked; one with other arrays is built here."""
        return self.scenario.problem if xp is None else build_problem(self.scenario, xp, device)

    def _acceleration(self) -> tuple[float, float]:
        return topologies.a2cid2_parameters(topologies.chi_1(self.graph), topologies.chi_2(self.graph))

    def _timing_model(self, rank: int) -> Model:
        size = self.scenario.parameter_bytes
        if size is None:
            raise ScenarioError(
                f"scenario: workload.parameters: expected the number of parameters of {self.scenario.workload.module} "
                "(the simulator does not import it), found none"
            )
        return Model(size, Account(rank, self.ledger), is_recorded=self.is_recorded)

    def _numeric_model(self, rank: int) -> Model:
        assert self.problem is not None
        return NumericModel(
            x=self.problem.convert(self.problem.initial(self.scenario.run.seed)),
            optimizer=build_optimizer(self.scenario),
            account=Account(rank, self.ledger),
            is_recorded=self.is_recorded,
            eta=self.eta,
            alpha_tilde=self.alpha_tilde,
            has_tilde=self.schedule.has_tilde,
        )


def build_optimizer(scenario: Scenario) -> SGD:
    """The scenario's optimizer; its schedule runs over the worker's own gradients."""
    table = scenario.optimizer
    return SGD(
        learning_rate=table.learning_rate,
        momentum=table.momentum,
        weight_decay=table.weight_decay,
        nesterov=table.nesterov,
        schedule=table.schedule,
        warmup=table.warmup,
        total=scenario.schedule.gradients,
    )


def _ahead(graph: nx.Graph[int]) -> float:
    """Gradient times in which an edge ticks that often, on average."""
    rate = sum(rate for _, _, rate in graph.edges(data="rate", default=0.0))
    return TICKS_AHEAD * graph.number_of_edges() / rate if rate else TICKS_AHEAD


def _observations(worker: Worker, number: int, period: float) -> Program:
    """Read out the parameters at equal times; bounded, so that a run that is stuck comes to its end."""
    worker.model.observe(0, 0.0)
    for index in range(1, 10 * number + 1):
        _, time = yield Until(index * period)
        worker.model.observe(index, time)
