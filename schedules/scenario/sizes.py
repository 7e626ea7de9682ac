"""How large a run is, before anything of it is built: operations, memory and time, roughly, and what no run can count.

Estimates are meant to be right within a factor of three or so: they tell a slip of the finger from a large run.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from schedules import catalogue
from schedules.errors import ScenarioError, TooLargeError
from schedules.record.quantities import with_unit
from schedules.scenario.plan import has_rate
from schedules.scenario.stages.shares import num_layers
from schedules.training.vectors import ITEM_SIZE
from schedules.units import quantity

if TYPE_CHECKING:
    from schedules.platform.tables import NetworkTable
    from schedules.scenario.resolved import Scenario

SECONDS_AN_OPERATION = 5e-6
"""Of a simulation: 2.2 to 5.3 us on two cores (benchmarks/results/gossip_speed.json, 2026-11-21; 64, 1024 workers)."""
BYTES_AN_OPERATION = 250
"""In the ledger and in what is queued; measured with gossip on a ring of 64, 512,000 operations, 2026-11-30: 260."""
BYTES_A_ROW = 800
"""Of a trace, beside that, while its table is made; measured likewise: 820."""
SECONDS_A_ROW = 5e-6
"""Of a trace and its table, likewise (the same benchmark: 1.8 us for the row alone)."""
BYTES_A_WORKER = 30_000
BYTES_AN_EDGE = 1_000
"""Of a networkx graph with rates, and of its clock."""
SECONDS_A_WORKER = 1e-3
SECONDS_AN_EDGE = 2e-5
SECONDS_A_GRAPH = 1e-3
"""Of each of several that there are in turn, beside its edges; measured with 1,000 random graphs of 6 workers,
2026-12-01: 0.8 ms and 1.7 ms."""
BYTES_A_HOST = 4_000
SECONDS_A_HOST = 1e-4
"""Of a physical network with its links; measured on racks of 10,000 and 40,000 hosts, 2026-11-30: 4.0 kB, 86 us."""
BYTES_A_TICK = 250
"""Of a clock that is drawn to the end of the run: the number, and what both ends make of it."""
SECONDS_A_NUMBER = 1e-9
"""Of arithmetic on one number of a gradient."""
GRADIENTS_OF_A_PRECISION = 2_000
"""About so many a worker are made until a throughput is known (`simulator.steady`: 640 are the least)."""
OPERATIONS_OF_A_MICRO_BATCH = 7
"""On a stage: forward, backward (or its two halves), and what comes and goes for both."""

LONGEST_S = 3600.0
"""A run that is estimated to take longer asks for --force."""
SHARE_OF_MEMORY = 0.9
LARGEST = 2.0**62
"""Nanoseconds and bytes are integers of 64 bits."""

_EDGES = {
    "complete": lambda n: n * (n - 1) / 2,
    "exponential": lambda n: n * math.log2(max(n, 2)),
    "hypercube": lambda n: n * math.log2(max(n, 2)) / 2,
    "erdos_renyi": lambda n: n * n / 4,
    "barbell": lambda n: n * n / 4,
    "random_geometric": lambda n: n * n / 8,
}
"""Edges of the families that have more than a few a worker, by their number of workers."""

LARGEST_SPECTRUM = 1_000
"""Of so many workers the graph is built where its spectrum says the rate; of more it would take long to refuse a run,
and the rate of a star, the least of all but dense graphs, stands for it."""


class Size(NamedTuple):
    """What a run asks of the machine.

    Attributes:
        operations: of all workers.
        memory: bytes.
        seconds: how long the simulation takes.
    """

    operations: float
    memory: float
    seconds: float

    def __str__(self) -> str:
        if not math.isfinite(self.operations):
            return "more operations than can be counted"
        return f"about {with_unit(self.memory, 'B', 2)} of memory and {_duration(self.seconds)}"


def estimate(scenario: Scenario) -> Size:
    """Of a simulation of the scenario; nothing is built for it."""
    graphs = scenario.topology.num_graphs
    workers, length = float(scenario.topology.workers), gradients_of(scenario)
    edges = num_edges(scenario)
    rate = _rate(scenario)
    operations = workers * length * _operations_of_a_gradient(scenario, rate, 2 * edges / workers)
    ticks = rate * workers * (GRADIENTS_OF_A_PRECISION if math.isinf(length) else length) / 2
    rows = operations if scenario.run.is_recorded else 0.0
    numbers = _numbers(scenario)
    hosts = _num_hosts(scenario)
    memory = (
        BYTES_A_WORKER * workers
        + BYTES_A_HOST * hosts
        + BYTES_AN_EDGE * edges
        + BYTES_AN_OPERATION * operations
        + BYTES_A_ROW * rows
        + BYTES_A_TICK * ticks
        + numbers * ITEM_SIZE[scenario.workload.dtype] * workers * (6 + scenario.run.observations)
    )
    seconds = (
        SECONDS_A_WORKER * workers
        + SECONDS_A_HOST * hosts
        + SECONDS_A_GRAPH * (graphs if graphs > 1 else 0)
        + SECONDS_AN_EDGE * edges
        + SECONDS_AN_OPERATION * operations
        + SECONDS_A_ROW * rows
        + SECONDS_A_NUMBER * numbers * workers * length
    )
    return Size(operations, memory, seconds)


def check_size(scenario: Scenario, where: str, *, is_forced: bool = False) -> None:
    """Refuse what this machine can hardly hold or finish, unless it is forced; and what no run can count.

    Raises:
        ScenarioError: one line, with the key or an estimate.
    """
    size, memory = estimate(scenario), machine_memory()
    if not is_forced and (size.memory > SHARE_OF_MEMORY * memory or size.seconds > LONGEST_S):
        topology, length = scenario.topology, gradients_of(scenario)
        hosts = _num_hosts(scenario)
        run = f"{topology.workers:,} workers, {length:,.0f} gradients each, {size.operations:.2g} operations"
        run += f", {hosts:,} hosts" if hosts else ""
        run += f", rate {rate:g}" if (rate := _rate(scenario)) > 1 else ""
        run += f", {topology.num_graphs:,} graphs" if topology.num_graphs > 1 else ""
        told = f"expected a run for this machine ({with_unit(memory, 'B', 2)}) and an hour, found one of {size} ({run})"
        raise TooLargeError(where, told)
    for key, told, value in _counted(scenario):
        if value >= LARGEST / 4:  # sums of several must have room, too
            raise ScenarioError(f"{where}: {key}: expected what 64 bits can count, found {told}")


def machine_memory() -> float:
    """Bytes of this machine; infinite where it does not say."""
    try:
        return float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (ValueError, OSError, AttributeError):
        return math.inf


def gradients_of(scenario: Scenario) -> float:
    """Gradients of a worker, on average and roughly: what the schedule says, or what follows from the run's end."""
    run, workers = scenario.run, scenario.topology.workers
    if run.until == "precision":
        return float(min(GRADIENTS_OF_A_PRECISION, run.limit))
    if run.until == "time" and run.duration is not None:
        seconds = quantity(run.duration, "second") if isinstance(run.duration, str) else None
        return seconds / scenario.gradient_s if seconds is not None else float(run.duration)
    if run.total is not None or run.samples is not None:
        total = run.total or (run.samples or 1) / scenario.workload.batch_size
        return max(1.0, total / workers)
    found = getattr(scenario.schedule, "gradients", None)
    if isinstance(found, list | tuple):
        return sum(found) / max(len(found), 1)
    if isinstance(found, int):
        return float(found)
    schedule = catalogue.find(scenario.program)
    try:
        return float(schedule.length(scenario.schedule, 0)) if schedule.length is not None else 1.0
    except Exception:  # whatever a user's function may raise is told with its name, when the run is planned
        return 1.0


def _rate(scenario: Scenario) -> float:
    """Averagings of a worker per gradient, where the schedule has any."""
    if not has_rate(scenario.schedule) or scenario.schedule.rate is not None:
        return float(getattr(scenario.schedule, "rate", 0.0))
    workers = scenario.topology.workers
    if workers > LARGEST_SPECTRUM:
        return 2.0
    try:
        rates = (data["rate"] for _, _, data in scenario.graph.edges(data=True))
        return float(2 * sum(rates) / workers)
    except ValueError:  # told by its key, where graphs are checked
        return 0.0


def _num_hosts(scenario: Scenario) -> int:
    """Of the physical network, where the scenario says how many."""
    network = scenario.platform.network
    return 0 if network is None else network.hosts or 0


def num_edges(scenario: Scenario) -> float:
    """Edges of the communication graph, roughly; of graphs in turn, of all together."""
    if scenario.topology.graph is None and scenario.topology.file is None:
        return 2.0 * scenario.topology.workers  # of an order, which takes as long to build as it has steps
    if scenario.topology.graph is None:  # a file, which has been read already
        try:
            return float(scenario.graph.number_of_edges())
        except ValueError:  # told by its key, where graphs are checked
            return 0.0
    workers, name = float(scenario.topology.workers), scenario.topology.graph.lower().replace("-", "_")
    options = scenario.topology.model_extra or {}
    degree = next((options[key] for key in ("k", "degree") if isinstance(options.get(key), int)), 4)
    edges = float(_EDGES[name](workers)) if name in _EDGES else workers * degree / 2
    return edges * scenario.topology.num_graphs


def _operations_of_a_gradient(scenario: Scenario, rate: float, degree: float) -> float:
    schedule: Any = scenario.schedule
    if catalogue.find(scenario.program).is_pipeline:
        return OPERATIONS_OF_A_MICRO_BATCH * float(getattr(schedule, "chunks", 1)) / getattr(schedule, "replicas", 1)
    if has_rate(scenario.schedule):
        return 1.0 + 2 * rate
    if scenario.program == "d-psgd":
        return 2 + 2 * degree / float(schedule.accumulate)
    if layers := num_layers(scenario):
        return 3.0 * layers
    if getattr(schedule, "overlap", None) is True and _parameters(scenario):
        size = _parameters(scenario) * ITEM_SIZE[scenario.workload.dtype]
        return 2 + 3 * max(1.0, size / max(8.0, float(schedule.bucket_size)))
    return 2


def _parameters(scenario: Scenario) -> float:
    found = scenario.workload.parameters
    return float(sum(found) if isinstance(found, list) else found or 0)


def _numbers(scenario: Scenario) -> float:
    """Parameters of a run with arrays, where the scenario alone says how many there are."""
    if not scenario.is_numeric:
        return 0.0
    found: Any = scenario.workload.options.get("dimension", 0)
    return float(found) if isinstance(found, int) else 0.0


def _counted(scenario: Scenario) -> Iterator[tuple[str, str, float]]:
    """What is counted in nanoseconds or bytes: key, words, and how much of it there is in the run."""
    platform, length = scenario.platform, gradients_of(scenario)
    size = _parameters(scenario) * ITEM_SIZE[scenario.workload.dtype]
    operations = scenario.topology.workers * length * (1 + _rate(scenario))
    if size * operations >= LARGEST / 4:
        yield "workload.parameters", f"{with_unit(size, 'B', 3)} in {operations:.2g} messages", size * operations
    times = {
        "platform.link.latency": ("a latency", platform.link.latency),
        "platform.overhead": ("", platform.overhead),
    }
    if platform.gradient is not None:
        times["platform.gradient"] = "a gradient", platform.gradient.mean
    if platform.network is None:
        times["platform.link.bandwidth"] = "a message", (size or 1.0) / platform.link.bandwidth
    else:
        times |= dict(_links(platform.network, size or 1.0))
    for key, (what, seconds) in times.items():
        told = f"{what} of {_duration(seconds)}, {length:,.0f} times".strip()
        yield key, told, seconds * 1e9 * length


def _links(network: NetworkTable, size: float) -> Iterator[tuple[str, tuple[str, float]]]:
    """What a message of so many bytes takes on each kind of link that the table names, by its key."""
    for name, value in (network.model_extra or {}).items():
        if not isinstance(value, int | float) or value <= 0:
            continue  # of a file, "coordinates"; what no link can have is told where the network is built
        if name.endswith("bandwidth"):
            yield f"platform.network.{name}", ("a message", size / value)
        elif name.endswith("latency"):
            yield f"platform.network.{name}", ("a latency", float(value))


def _duration(seconds: float) -> str:
    """Seconds, minutes, hours, days or years."""
    for unit, length in (("years", 31_557_600.0), ("days", 86_400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * length:
            number = seconds / length
            return f"{number:.2g} {unit}" if number >= 1e6 else f"{number:,.0f} {unit}"
    return with_unit(seconds, "s", 2)
