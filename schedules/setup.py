"""From a scenario to workers and their programs: the same in both worlds."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from itertools import accumulate
from types import ModuleType

import networkx as nx
import numpy as np
from array_api_compat import array_namespace
from numpy.typing import NDArray

from schedules import catalogue
from schedules.clocks import Clocks, edge_ticks, in_nanoseconds
from schedules.driving.asked import constants_of, streams_of
from schedules.errors import ProgramError
from schedules.listed.clocks import ListedClocks
from schedules.misuse.values import raised
from schedules.operations import Array, Program
from schedules.platform.durations import Durations
from schedules.record.ledger import Account, Ledger
from schedules.scenario import (
    Scenario,
    ScenarioError,
    activations,
    boundaries,
    build_optimizer,
    build_problem,
    cut,
    cuts,
    kernel_activations,
    learning_rate,
    listed_events,
    mean_time,
    num_moments,
    optimizer_bytes,
    run_settings,
    stage_parameters,
    ties,
)
from schedules.training.kernels import Kernels, Staged, data_parallel, staged
from schedules.training.model import Model
from schedules.training.optimizers import LearningRate, Optimizer
from schedules.training.parts import part
from schedules.training.problems.problem import Trained
from schedules.training.readout import LAST, ReadOuts, observations
from schedules.training.state import State
from schedules.training.vectors import COPY, GRADIENT, ITEM_SIZE, tensors_of
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
    Attributes:
        plan: what the schedule says of the ranks.
        vectors: what the workers keep beside x.
        cut: where the world ends the run; None: nowhere.
        read_outs: of every worker that was made, by rank, one a model of it; none in a timing-only run.
    """

    def __init__(
        self, scenario: Scenario, *, xp: ModuleType | None = None, device: object = None, is_recorded: bool = True
    ) -> None:
        self.scenario = scenario
        self.schedule = catalogue.find(scenario.program)
        self.graph, self.plan = scenario.graph, scenario.plan
        self.settings, self.cut = run_settings(scenario), cut(scenario)
        self.vectors = self.schedule.vectors_of(scenario.schedule)
        ahead, horizon = None, _horizon(scenario, self.plan.lengths)
        if self.cut is not None:
            ahead, horizon = _ahead(self.graph), math.inf
        elif scenario.run.until == "precision":
            # The run stops when its throughput is known; this end is only for one that never gets there.
            limits = [scenario.run.limit] * scenario.topology.workers
            ahead, horizon = _ahead(self.graph), _horizon(scenario, limits)
        lengths = None if ahead else [float(length) for length in self.plan.lengths]
        has_unit = scenario.platform.gradient is not None
        seed = scenario.run.seed
        self.clocks: Clocks | ListedClocks = (
            Clocks(self.graph, seed, horizon, lengths=lengths, ahead=ahead, has_unit=has_unit)
            if scenario.events is None
            else listed_clocks(scenario)
        )
        self.ledger = Ledger(scenario.topology.workers, keeps_curve=is_recorded)
        self.ledger.work.is_declared = bool(self.plan.units)
        self.is_recorded = is_recorded
        # The scenario's own, which was checked; one with other arrays is built here.
        self.problem = (
            (scenario.problem if xp is None else build_problem(scenario, xp, device)) if scenario.is_numeric else None
        )
        self.read_outs: dict[int, list[ReadOuts]] = {}
        # Alike for all workers: made once, as their making is a good part of a small run.
        self._moments, self._item_size = num_moments(scenario), ITEM_SIZE[scenario.workload.dtype]
        self._optimizer_bytes = optimizer_bytes(scenario, self._item_size)  # of one parameter
        self._rates: dict[int, LearningRate] = {}
        self._kernels: dict[int, Kernels] = {}  # of timing-only runs, by the bytes of their activations

    def worker(self, rank: int, module: Trained | Staged | None = None) -> Worker:
        """One worker, ready to run. `module` stands for the scenario's problem (the user's own)."""
        trained = module or self.problem
        account = Account(rank, self.ledger, is_recorded=self.is_recorded)
        sizes, plan = self._sizes(trained), self.plan
        models = {stage: self._model(sizes, account, stage) for stage in range(len(sizes)) if rank in plan.ranks(stage)}
        rate = self._learning_rate(plan.updates[rank])
        held = models if plan.stages else models[0]
        speed = self.scenario.platform.speed_of(rank)
        worker = Worker(rank, held, self.clocks, settings=self.settings, account=account, rate=rate, speed=speed)
        worker.moments = self._moments
        _hand(worker, self.scenario, sizes, module if module is not None and isinstance(module, Staged) else None)
        if trained is not None:
            self._fill(worker, trained, sizes)
            # Of a module, which may be large, only the end is looked at; and one stage alone has no loss.
            keeps = module is None and not plan.stages
            self.read_outs[rank] = [
                ReadOuts(each.state, self.schedule.read_out, keeps=keeps) for each in _models(worker) if each.state
            ]
        self._own(worker)
        return worker

    def kernels(self, worker: Worker, module: Trained | Staged | None = None) -> Kernels:
        """What a worker's kernels compute, by name; those of stages, without a module, what operations bring."""
        plan, size = self.plan, kernel_activations(self.scenario, worker.rank)
        if module is not None and isinstance(module, Staged):
            rows = module.kernels(size)
        else:
            trained, known = module or self.problem, self._kernels.get(size)
            if trained is not None or known is None:
                known = (
                    staged(size, trained, plan.num_shards)
                    if plan.stages
                    else data_parallel(trained, size, cuts(self.scenario, worker.rank))
                )
            if trained is None:
                self._kernels[size] = known
            rows = known
        self.ledger.activations = {name: each.activations for name, each in rows.items() if each.activations}
        return rows

    def durations(self, rank: int) -> Durations:
        """What draws how long the kernels of a worker take."""
        scenario = self.scenario
        return Durations(scenario.platform, scenario.run.seed, rank, cuts(scenario, rank))

    def programs(self, worker: Worker) -> dict[str, Program]:
        """The programs of a worker by stream name, in the order in which they begin."""
        programs = streams_of(self.schedule.streams, worker, self.scenario.program) or {"compute": _nothing()}
        number = self.scenario.run.observations
        read_outs = self.read_outs.get(worker.rank, [])
        if number and not self.plan.stages and read_outs and self.plan.is_read_out(worker.rank):
            length = max(self.plan.lengths[worker.rank], 1)
            period = (self.clocks.horizon if isinstance(self.clocks, ListedClocks) else length) / number
            programs[OBSERVE] = observations(read_outs[0], number, period)
        return programs

    def observe_end(self, rank: int, time: float) -> None:
        """Read out a worker's parameters at the end of the run, in gradient times.

        What goes by a list is read out when that ends, at one time for all, however late the worker came to its end.

        Raises:
            ProgramError: what the schedule's `read_out` raises, with its line.
        """
        time = self.clocks.horizon if isinstance(self.clocks, ListedClocks) else time
        for each in self.read_outs.get(rank, []):
            try:
                each.observe(LAST, time, is_kept=self.plan.is_read_out(rank))
            except Exception as error:
                raise ProgramError(f"{raised(error)} (in read_out, rank {rank})") from error

    def _sizes(self, trained: Trained | Staged | None) -> list[int]:
        """How many parameters each stage has, or the only model."""
        # Of nothing it is not asked: that takes a protocol 20 us, and all workers ask.
        if trained is not None and isinstance(trained, Staged):
            return list(trained.sizes)
        sizes = stage_parameters(self.scenario, None if trained is None else trained.num_params)
        if sizes is None and self.schedule.is_pipeline and self.scenario.workload.module is None:
            return [0] * len(self.plan.stages)  # whose times and messages are all that is asked for
        if sizes is None:
            raise ScenarioError(
                f"scenario: workload.parameters: expected the number of parameters of {self.scenario.workload.module} "
                "(the simulator does not import it), found none"
            )
        return sizes

    def _learning_rate(self, updates: int) -> LearningRate:
        if updates not in self._rates:
            self._rates[updates] = learning_rate(self.scenario, updates)
        return self._rates[updates]

    def _model(self, sizes: Sequence[int], account: Account, stage: int) -> Model:
        size = sizes[stage] * ITEM_SIZE[self.scenario.workload.dtype]
        tensors = tensors_of(self.scenario.tensors or {}, _held(sizes, stage))
        number, accumulates = stage if self.plan.stages else -1, GRADIENT in self.vectors
        return Model(size, account, stage=number, tensors=tensors, accumulates=accumulates)

    def _fill(self, worker: Worker, trained: Trained | Staged, sizes: Sequence[int]) -> None:
        """Give a worker's models their arrays."""
        constants = constants_of(self.schedule.constants, worker, self.scenario.program)
        seed, rank = self.scenario.run.seed, worker.rank
        whole: Array = None if isinstance(trained, Staged) else trained.convert(trained.initial(seed, rank))
        for model in _models(worker):
            held = _held(sizes, max(model.stage, 0))
            x = trained.initial_of(model.stage) if isinstance(trained, Staged) else whole[held]
            model.tensors = tensors_of(trained.tensors, held)
            model.state = State(
                x,
                self.vectors,
                constants=constants,
                part=self._place(worker, model),
                optimizer=self._optimizer(worker, model, trained, held),
                rank=worker.rank,
                num_workers=worker.num_workers,
                tensors=model.tensors,
                xp=array_namespace(x),
            )

    def _optimizer(self, worker: Worker, model: Model, trained: Trained | Staged, held: slice) -> Optimizer:
        """The optimizer of a model, which works on all of it, or on the rank's part."""
        part_of, index, count = self.schedule.optimizer, *self._place(worker, model)
        if part_of is not None and part_of.is_shard:
            own = part(held.stop - held.start, index, count)
            held = slice(held.start + own.start, held.start + own.stop)
        is_part = held != slice(0, trained.num_params)
        updates = self.plan.updates[worker.rank]
        return build_optimizer(self.scenario, updates=updates, tensors=trained.tensors, part=held if is_part else None)

    def _place(self, worker: Worker, model: Model) -> tuple[int, int]:
        """Which of how many holders of a model a worker is: its part of a vector that is shared among them."""
        ranks = self.plan.ranks(max(model.stage, 0))
        return ranks.index(worker.rank), len(ranks)

    def _own(self, worker: Worker) -> None:
        """Enter what a worker holds throughout the run."""
        item_size, held = self._item_size, {"parameters": 0, "optimizer": 0, "vectors": 0}
        for model in _models(worker):
            length, place = model.size // item_size, self._place(worker, model)
            held["parameters"] += model.size
            stepped = (self.schedule.optimizer or COPY).num_bytes(length, item_size, *place)
            held["optimizer"] += stepped // item_size * self._optimizer_bytes
            held["vectors"] += sum(each.num_bytes(length, item_size, *place) for each in self.vectors.values())
        self.ledger.memory.owns(worker.rank, held)


def listed_clocks(scenario: Scenario) -> ListedClocks:
    """The clocks of a scenario with a list of events."""
    return ListedClocks(scenario.graph, scenario.run.seed, *listed_events(scenario))


def exchange_ticks(scenario: Scenario) -> Callable[[int], NDArray[np.int64]]:
    """What tells the ticks of all edges up to a time, in nanoseconds as programs sleep to them, edge by edge."""
    gradient_ns = scenario.gradient_s * 1e9
    if scenario.events is None:
        return partial(edge_ticks, scenario.graph, scenario.run.seed, gradient_ns)
    ticks = in_nanoseconds(listed_clocks(scenario).exchange_times(), gradient_ns)
    return lambda until_ns: ticks[ticks <= until_ns]


def _hand(worker: Worker, scenario: Scenario, sizes: Sequence[int], module: Staged | None) -> None:
    """Tell a worker what its programs ask of the platform and of the workload; of a module, what it says itself."""
    worker.layers, worker.item_size = scenario.workload.layers, ITEM_SIZE[scenario.workload.dtype]
    worker.stage_sizes = tuple(size * worker.item_size for size in sizes)
    worker.mean_time = partial(mean_time, scenario, worker.rank)
    worker.kernels = frozenset(scenario.platform.kernels)
    if scenario.plan.stages:
        worker.boundaries = boundaries(scenario)
    if scenario.plan.is_pipeline:
        worker.activations, worker.ties = activations(scenario, worker.rank), ties(scenario)
    if worker.boundaries and scenario.is_numeric:  # of a problem: the parameters of the stages up to there
        worker.boundaries = tuple(accumulate(worker.stage_sizes[:-1]))
    if module is not None:
        worker.boundaries, worker.ties = tuple(module.boundaries), tuple(module.ties)


def _held(sizes: Sequence[int], stage: int) -> slice:
    """Where the parameters of a stage lie in those of the whole model."""
    begin = sum(sizes[:stage])
    return slice(begin, begin + sizes[stage])


def _horizon(scenario: Scenario, lengths: Sequence[int]) -> float:
    """Until when clocks tick, in gradient times: until the slowest worker has made its gradients."""
    return max(length / scenario.platform.speed_of(rank) for rank, length in enumerate(lengths))


def _ahead(graph: nx.Graph[int]) -> float:
    """Gradient times in which an edge ticks that often, on average."""
    rate = sum(rate for _, _, rate in graph.edges(data="rate", default=0.0))
    return TICKS_AHEAD * graph.number_of_edges() / rate if rate else TICKS_AHEAD


def _models(worker: Worker) -> list[Model]:
    """All models that a worker holds, by stage."""
    return [worker.model] if worker.stages is None else list(worker.stages.values())


def _nothing() -> Program:
    """The program of a worker that has none."""
    yield from ()
