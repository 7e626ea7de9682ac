"""What a schedule says of the ranks of a run before it begins: how long each works, its role, and its stages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from schedules import catalogue
from schedules.catalogue import Schedule
from schedules.misuse.values import raised, short
from schedules.scenario.tables import TopologyTable

ROLES = ("worker", "server")


@dataclass(frozen=True)
class Plan:
    """The ranks of a run.

    Attributes:
        lengths: gradients of each worker, which bound its read-outs and its clocks.
        updates: steps of each worker's optimizer, the horizon of the learning rate.
        roles: "worker" or "server", by rank.
        stages: for every stage of the model the ranks that hold it; none where each holds the whole.
        num_shards: among how many the data of a problem are spread.
        units: what the schedule counts beside gradients: by unit, how many of it a kernel makes, by kernel.
        replicas: how many copies of the whole pipeline there are.
        is_pipeline: whether the schedule is a pipeline.
    """

    lengths: tuple[int, ...]
    updates: tuple[int, ...]
    roles: tuple[str, ...]
    stages: tuple[tuple[int, ...], ...] = ()
    units: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    num_shards: int = 1
    replicas: int = 1
    is_pipeline: bool = False

    def ranks(self, stage: int) -> tuple[int, ...]:
        """Those that hold a stage; without stages, all hold the whole, which is stage 0."""
        return self.stages[stage] if self.stages else tuple(range(len(self.lengths)))

    def chunks(self, rank: int) -> int:
        """How many stages of a pipeline share what a rank takes for its part: those that it holds, where each is there
        once. Of copies (DualPipe) a micro-batch passes one, so that a rank with k copies each of k stages does one."""
        return max(1, round(sum(self.replicas / len(ranks) for ranks in self.stages if rank in ranks)))

    @property
    def servers(self) -> tuple[int, ...]:
        """Those that are servers."""
        return tuple(rank for rank, role in enumerate(self.roles) if role == "server")

    def is_read_out(self, rank: int) -> bool:
        """Whether a rank's parameters are looked at: where there are servers, theirs alone."""
        return "server" not in self.roles or self.roles[rank] == "server"


def check_graph(schedule: Schedule, settings: Any, topology: TopologyTable) -> None:
    """Refuse a graph that changes with time where a schedule does not meet others by the ticks of its edges alone; and
    no graph at all, unless the schedule says itself who talks to whom.

    Raises:
        ValueError: with the key first.
    """
    if topology.graph is None and topology.file is None and schedule.edges is None:
        raise ValueError("topology.graph: expected a value, found none (nor a topology.file)")
    if not topology.is_varying:
        return
    if not schedule.is_varying:
        able = ", ".join(name for name in catalogue.names() if catalogue.find(name).is_varying)
        key, found = ("file", "a list") if topology.count is None else ("count", str(topology.count))
        told = (
            f"expected one graph for {schedule.name}, whose partners are the same throughout (several are for {able})"
        )
        raise ValueError(f"topology.{key}: {told}, found {found}")
    if getattr(settings, "pairing", "edge-clock") != "edge-clock":
        told = "expected 'edge-clock' on a graph that changes with time, where a parked worker's neighbours do not last"
        raise ValueError(f"schedule.pairing: {told}, found {settings.pairing!r}")


def plan(schedule: Schedule, settings: Any, num_workers: int) -> Plan:
    """What a schedule says of a run's ranks.

    Raises:
        ValueError: if it says what cannot be, naming the function.
    """
    if schedule.length is None:
        _check_numbers(schedule, settings.gradients, num_workers)
    lengths = (
        _counts("gradients", _gradients, settings, num_workers)
        if schedule.length is None
        else _counts("length", schedule.length, settings, num_workers)
    )
    updates = _counts("updates", schedule.updates, settings, num_workers) if schedule.updates else lengths
    roles = tuple(
        _asked("role", schedule.role, settings, rank) if schedule.role else "worker" for rank in range(num_workers)
    )
    for role in roles:
        if not isinstance(role, str) or role not in ROLES:
            raise ValueError(f"role: expected one of {', '.join(ROLES)}, found {role!r}")
    stages = (
        () if schedule.place is None else _stages(_asked("place", schedule.place, settings, num_workers), num_workers)
    )
    work = schedule.work
    units = {} if work is None else _units(_asked("work", lambda given, _: work(given), settings, 0))
    num_shards = _shards(schedule, settings, num_workers)
    replicas = getattr(settings, "replicas", 1) if schedule.is_pipeline else 1
    return Plan(lengths, updates, roles, stages, units, num_shards, replicas, schedule.is_pipeline)


def _shards(schedule: Schedule, settings: Any, num_workers: int) -> int:
    found = num_workers if schedule.shards is None else _asked("shards", schedule.shards, settings, num_workers)
    if found.__class__ is not int or found < 1:
        raise ValueError(f"shards: expected a whole number of at least 1, found {found!r}")
    return int(found)


def has_rate(settings: BaseModel) -> bool:
    """Whether edges have clocks: whether a schedule has a key `rate`. If it has no value, the graph says the rate."""
    return "rate" in type(settings).model_fields


def _check_numbers(schedule: Schedule, gradients: object, num_workers: int) -> None:
    """Of a list of one a worker: as many as there are workers, and equal where every rank makes the same steps."""
    if not isinstance(gradients, list | tuple):
        return
    if len(gradients) != num_workers:
        raise ValueError(f"gradients: expected a number for each of {num_workers} workers, found {len(gradients)}")
    if schedule.is_in_step and len(set(map(str, gradients))) > 1:
        told = f"expected one number for all ranks of {schedule.name}, which wait for each other at every step"
        raise ValueError(f"gradients: {told}, found {short(list(gradients))}: the others would wait for ever")


def _gradients(settings: Any, rank: int) -> int:
    """The key `gradients`: a number, or a list of one a worker."""
    found = settings.gradients
    if isinstance(found, list | tuple):
        found = found[rank]
    return found  # type: ignore[no-any-return]  # `_counts` looks at it


def _counts(name: str, counted: Callable[[Any, int], int], settings: Any, num_workers: int) -> tuple[int, ...]:
    found = tuple(_asked(name, counted, settings, rank) for rank in range(num_workers))
    for rank, each in enumerate(found):
        if isinstance(each, bool) or not isinstance(each, int) or each < 0:
            raise ValueError(f"{name}: expected a whole number of at least 0 for rank {rank}, found {each!r}")
    return found


def _asked(name: str, function: Callable[[Any, int], Any], settings: Any, number: int) -> Any:
    """What a function of the schedule answers.

    Raises:
        ValueError: if it raises: naming it and its line.
    """
    try:
        return function(settings, number)
    except Exception as error:
        if function is _gradients or is_keyed(error):
            raise
        raise ValueError(f"{name}: expected an answer, found an error ({raised(error)})") from None


def is_keyed(error: Exception) -> bool:
    """Whether an error of a schedule's says itself which key is wrong."""
    return isinstance(error, ValueError) and str(error).startswith(("schedule.", "topology."))


def _units(declared: Any) -> Mapping[str, Mapping[str, int]]:
    """What a schedule's `work` returns."""
    for unit, kernels in declared.items() if isinstance(declared, Mapping) else [("work", declared)]:
        is_right = isinstance(unit, str) and isinstance(kernels, Mapping) and kernels
        if not is_right or not all(isinstance(each, str) for each in kernels):
            told = 'how many of each unit a kernel makes, such as {"tokens": {"decode": 1}}'
            raise ValueError(f"work: expected {told}, found {short(declared)}")
        for kernel, number in kernels.items():
            if number.__class__ is not int or number < 1:
                raise ValueError(f"work: {unit}: expected a whole number of at least 1 for {kernel}, found {number!r}")
    return declared  # type: ignore[no-any-return]  # looked at above


def _stages(placed: Any, num_workers: int) -> tuple[tuple[int, ...], ...]:
    if not isinstance(placed, list | tuple):
        raise ValueError(f"place: expected a list of ranks, one entry a stage, found {short(placed)}")
    stages = tuple(tuple(each) if isinstance(each, tuple | list) else (each,) for each in placed)
    for stage, ranks in enumerate(stages):
        is_right = all(rank.__class__ is int and 0 <= rank < num_workers for rank in ranks)
        if not ranks or not is_right or len(set(ranks)) != len(ranks):
            raise ValueError(f"place: expected ranks from 0 to {num_workers - 1} for stage {stage}, found {ranks}")
    if not stages:
        raise ValueError("place: expected at least one stage, found none")
    return stages
