"""The scenario: one file says everything.

TOML, strict: an unknown key, a wrong unit or an impossible value is one `ScenarioError` naming the key, what was
expected and what was found. `load` gives a resolved `Scenario`, in SI units, with every default filled in.
"""

from __future__ import annotations

import copy
import functools
import hashlib
import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from schedules.errors import ScenarioError, nearest
from schedules.platform.tables import PlatformTable
from schedules.settings import Count, NonNegative, Number, Positive, Table
from schedules.units import Bytes, Seconds

ITEM_SIZE = {"float16": 2, "bfloat16": 2, "float32": 4, "float64": 8}


class TopologyTable(BaseModel):
    """Who talks to whom. Further keys are options of the graph's builder."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True, use_attribute_docstrings=True)

    graph: str
    """Any name that `twinclock topologies` lists."""
    workers: Count
    weights: Literal["uniform", "neighbour"] = "uniform"
    """How the rate is spread: evenly over all edges, or by each worker over its neighbours."""


class WorkloadTable(Table):
    """What is trained: a problem with numbers, a size for timing alone, or the user's own module."""

    problem: str | None = None
    """With numbers: quadratic, logistic-regression or digits-mlp."""
    module: str | None = None
    """The user's own, "package.module:factory"."""
    parameters: Count | None = None
    """How many there are, for timing alone."""
    dtype: Literal["float16", "bfloat16", "float32", "float64"] = "float32"
    batch_size: Count = 32
    """Samples of one gradient."""
    activations: Bytes = 0.0
    """Bytes that the activations of one gradient take, for the accounts of memory."""
    options: dict[str, Any] = Field(default={})
    """Of the problem."""

    @field_validator("module")
    @classmethod
    def _check_module(cls, module: str | None) -> str | None:
        if module is not None and not all(module.partition(":")):
            raise ValueError('expected a factory such as "package.module:factory"')
        return module

    @field_validator("module", "parameters")
    @classmethod
    def _check_alone(cls, value: Any, info: ValidationInfo) -> Any:
        if value is not None and info.data.get("problem") is not None:
            raise ValueError("expected none beside workload.problem")
        return value

    @field_validator("dtype")
    @classmethod
    def _check_dtype(cls, dtype: str, info: ValidationInfo) -> str:
        if info.data.get("problem") is not None and dtype not in ("float32", "float64"):
            raise ValueError("expected 'float32' or 'float64' for a problem")
        return dtype

    @model_validator(mode="after")
    def _check_one(self) -> WorkloadTable:
        if self.problem is None and self.module is None and self.parameters is None:
            raise ValueError("expected one of the keys problem, parameters and module, found none of them")
        return self


class OptimizerTable(Table):
    """Stochastic gradient descent."""

    learning_rate: Positive = 0.1
    momentum: Annotated[Number, Field(ge=0, lt=1)] = 0.0
    weight_decay: NonNegative = 0.0
    nesterov: bool = False
    """Nesterov's variant of momentum."""
    schedule: Literal["constant", "step", "cosine"] = "constant"
    """How the learning rate changes over a worker's gradients."""
    warmup: Annotated[Number, Field(ge=0, lt=1)] = 0.0
    """Fraction of the steps with a linear warm-up."""

    @field_validator("nesterov")
    @classmethod
    def _check_nesterov(cls, nesterov: bool, info: ValidationInfo) -> bool:
        if nesterov and info.data.get("momentum") == 0:
            raise ValueError("expected optimizer.momentum above 0 beside it, found 0")
        return nesterov


class RunTable(Table):
    """How the run is kept."""

    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    trace: bool = True
    """Whether every operation is recorded."""
    numerics: bool = True
    """false: time a problem without computing it."""
    observations: Annotated[int, Field(ge=0, le=10_000)] = 20
    """How often loss and consensus distance are read out, in a numeric run."""
    until: Literal["end", "precision"] = "end"
    """end: until every worker has made its gradients; precision: a simulation goes on until its throughput is known."""
    precision: Annotated[Positive, Field(lt=1)] = 0.02
    """Width of throughput's 95 % confidence interval, relative to the mean, at which a simulation stops."""
    limit: Count = 100_000
    """Gradients per worker at which a simulation that goes on until a precision gives up."""


class ExecutionTable(Table):
    """How the executor runs it."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    backend: Literal["auto", "gloo", "nccl"] = "auto"
    compute: Literal["auto", "real", "paced"] = "auto"
    """real: kernels take what they take; paced: at least the platform's duration (a virtual GPU). auto: real where
    there are numbers, else paced."""
    timeout: Annotated[Seconds, Field(gt=0)] = 60.0
    """How long an operation may wait before the run is given up."""


class Scenario(Table):
    """A resolved scenario."""

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
        """One gradient time in seconds (1 s where gradients take no time)."""
        return self.platform.gradient.mean or 1.0

    @property
    def parameter_bytes(self) -> int | None:
        """Bytes of the parameters, where the scenario says how many there are."""
        count = self.num_parameters
        return None if count is None else count * ITEM_SIZE[self.workload.dtype]

    @functools.cached_property
    def num_parameters(self) -> int | None:
        """Number of parameters; None for a user's module without `workload.parameters`."""
        if self.workload.problem is None:
            return self.workload.parameters
        return int(build_problem(self).num_params)

    def tables(self) -> dict[str, Any]:
        """The resolved scenario as plain tables, SI units, every default filled in."""
        plain = self.model_dump(mode="json", exclude={"program", "schedule"})
        return {"schedule": {"program": self.program, **self.schedule.model_dump(mode="json")}, **plain}

    def fingerprint(self) -> str:
        """Hash of what must be equal between a run and its replay: everything but platform, execution and [run]'s way
        of keeping."""
        tables = self.tables()
        same = {key: tables[key] for key in ("schedule", "topology", "workload", "optimizer")}
        del same["workload"]["activations"]  # memory decides nothing
        deciding = {"seed", "numerics", "observations"}
        if self.run.until == "precision":
            deciding |= {"until", "precision", "limit"}
        same["run"] = self.run.model_dump(include=deciding)
        return hashlib.sha256(json.dumps(same, sort_keys=True).encode()).hexdigest()[:16]


def build_problem(scenario: Scenario, xp: Any = None, device: Any = None) -> Any:
    """The scenario's problem, with arrays of the namespace `xp` (numpy unless given).

    Raises:
        ValueError: for an unknown problem or a wrong option of it.
    """
    import numpy

    from schedules.training import problems

    workload = scenario.workload
    return problems.build_problem(
        str(workload.problem),
        num_workers=scenario.topology.workers,
        seed=scenario.run.seed,
        xp=xp or numpy,
        dtype=workload.dtype,
        device=device,
        batch_size=workload.batch_size,
        **workload.options,
    )


def load(source: str | Path | Mapping[str, Any], overrides: Mapping[str, Any] | None = None) -> Scenario:
    """Read a scenario from a file, or from tables of the same shape; a [sweep] is left out.

    Args:
        source: the file, or the tables.
        overrides: values by dotted key, such as `{"schedule.rate": 2}`.

    Raises:
        ScenarioError: naming the file and the key, what was expected, and what was found.
    """
    tables, where = read(source)
    for key, value in (overrides or {}).items():
        set_key(tables, key, value, where)
    tables.pop("sweep", None)
    return resolve(tables, where)


def read(source: str | Path | Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """The unresolved tables, and what to call them in messages."""
    if isinstance(source, Mapping):
        return copy.deepcopy(dict(source)), "scenario"
    path = Path(source)
    try:
        return tomllib.loads(path.read_text(encoding="utf-8")), str(path)
    except OSError as error:
        raise ScenarioError(f"{path}: expected a scenario file, found none ({error.strerror})") from None
    except UnicodeDecodeError:
        raise ScenarioError(f"{path}: expected a TOML file in UTF-8, found other bytes") from None
    except tomllib.TOMLDecodeError as error:
        raise ScenarioError(f"{path}: expected TOML, found an error: {error}") from None


def set_key(tables: dict[str, Any], key: str, value: Any, where: str = "scenario") -> None:
    """Set a dotted key, e.g. `schedule.rate`."""
    *names, last = key.split(".")
    if not names or not all((*names, last)):
        raise ScenarioError(f"{where}: expected a dotted key such as schedule.rate, found {key!r}")
    table = tables
    for name in names:
        table = table.setdefault(name, {})
        if not isinstance(table, dict):
            raise ScenarioError(f"{where}: {key}: expected {name} to be a table, found {table!r}")
    table[last] = value


def read_value(text: str) -> Any:
    """The value of `--set key=value`: TOML where it is TOML, else the text itself."""
    try:
        table = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    return table["value"] if len(table) == 1 else text


def resolve(tables: Mapping[str, Any], where: str = "scenario") -> Scenario:
    """Validate the tables and fill in every default."""
    from schedules import catalogue

    tables = dict(tables)
    _check_tables(tables, where)
    schedule = dict(tables.pop("schedule"))
    program = schedule.pop("program", None)
    if program is None:
        raise ScenarioError(f"{where}: schedule.program: expected one of {', '.join(catalogue.names())}; found none")
    try:
        entry = catalogue.find(program)
    except ValueError as error:
        raise ScenarioError(f"{where}: schedule.program: {error}") from None
    settings = _validated(entry.settings, schedule, where, prefix=("schedule",))
    scenario: Scenario = _validated(Scenario, {**tables, "program": program, "schedule": settings}, where)
    _check_topology(scenario, where)
    _check_network(scenario, where)
    _check_ranks(scenario, where)
    _check_problem(scenario, where)
    return scenario


def _check_tables(tables: Mapping[str, Any], where: str) -> None:
    known = ("schedule", "topology", "platform", "workload", "optimizer", "run", "execution")
    for name, table in tables.items():
        if name not in known:
            raise ScenarioError(f"{where}: unknown table [{name}]{nearest(name, known)}; accepted: {', '.join(known)}")
        if not isinstance(table, Mapping):
            raise ScenarioError(f"{where}: {name}: expected a table, found {table!r}")
    for name in known[:4]:
        if name not in tables:
            raise ScenarioError(f"{where}: expected a table [{name}], found none")


def _check_topology(scenario: Scenario, where: str) -> None:
    try:
        communication_graph(scenario)
    except ValueError as error:
        raise ScenarioError(f"{where}: topology: {error}") from None


def _check_problem(scenario: Scenario, where: str) -> None:
    if scenario.workload.problem is None:
        if scenario.workload.options:
            raise ScenarioError(f"{where}: workload.options: expected options of a problem, found no problem")
        return
    from schedules.training.problems import PROBLEMS

    if scenario.workload.problem not in PROBLEMS:
        hint = nearest(scenario.workload.problem, PROBLEMS)
        raise ScenarioError(
            f"{where}: workload.problem: expected one of {', '.join(PROBLEMS)}; "
            f"found {scenario.workload.problem!r}{hint}"
        )
    try:
        build_problem(scenario)
    except (ValueError, TypeError) as error:
        told = str(error).replace("num_workers", "topology.workers")
        raise ScenarioError(f"{where}: workload.options: {told}") from None


def _check_network(scenario: Scenario, where: str) -> None:
    if scenario.platform.network is None and scenario.platform.collectives.form == "flows":
        raise ScenarioError(f"{where}: platform.collectives.form: expected [platform.network] for flows, found none")
    try:
        physical_network(scenario)
    except (ValueError, OSError) as error:
        raise ScenarioError(f"{where}: platform.network: {error}") from None


def _check_ranks(scenario: Scenario, where: str) -> None:
    """Ranks that the platform names must be there."""
    workers, platform = scenario.topology.workers, scenario.platform
    if isinstance(platform.speed, list) and len(platform.speed) != workers:
        raise ScenarioError(f"{where}: platform.speed: expected {workers} numbers, found {len(platform.speed)}")
    named = {
        "platform.speed": [] if isinstance(platform.speed, list) else map(int, platform.speed),
        "platform.faults.outages": [each.rank for each in platform.faults.outages] if platform.faults else [],
        "platform.stragglers.ranks": platform.stragglers.ranks or [] if platform.stragglers else [],
    }
    for key, ranks in named.items():
        for rank in ranks:
            if rank >= workers:
                raise ScenarioError(f"{where}: {key}: expected ranks below {workers}, found {rank}")


def communication_graph(scenario: Scenario) -> Any:
    """The scenario's graph with its rates: a networkx.Graph with the edge attribute `rate`.

    Raises:
        ValueError: an unknown graph or option, an impossible size, or a rate on a graph without edges.
    """
    import topologies

    topology = scenario.topology
    graph = topologies.build(topology.graph, topology.workers, **(topology.model_extra or {}))
    rate = getattr(scenario.schedule, "rate", None)
    if rate is None:
        return graph
    if graph.number_of_edges() == 0:
        raise ValueError(f"expected a graph with edges for schedule.rate = {rate}, found {topology.graph} without any")
    return topologies.with_rates(graph, per_worker=rate, convention=topology.weights)


def physical_network(scenario: Scenario) -> Any:
    """The scenario's physical network (`topologies.physical`), or None where every pair has a link of its own.

    Raises:
        ValueError: an unknown network or option, an unreadable file, or too few places for the workers.
    """
    import topologies
    from topologies import files, physical

    table = scenario.platform.network
    if table is None:
        return None
    if table.file is not None:
        network = files.load(table.file)
        physical.check_network(network)
    else:
        options = {**(table.model_extra or {})}
        if table.kind == "dedicated":
            options["graph"] = communication_graph(scenario)
        network = topologies.build_network(str(table.kind), table.hosts or scenario.topology.workers, **options)
    places = len(table.placement or physical.places(network))
    if places < scenario.topology.workers:
        raise ValueError(f"expected places for {scenario.topology.workers} workers, found {places}")
    return network


def _validated(model: Any, values: Mapping[str, Any], where: str, prefix: tuple[str, ...] = ()) -> Any:
    try:
        return model.model_validate(values)
    except ValidationError as error:
        problem = error.errors()[0]
        key = ".".join((*prefix, *map(str, problem["loc"])))
        raise ScenarioError(f"{where}: {key}: {_message(problem, values, model)}") from None


_EXPECTED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "string_type": "text",
    "model_type": "a table",
    "dict_type": "a table",
    "list_type": "a list",
    "greater_than": "a number above {gt:g}",
    "greater_than_equal": "a number of at least {ge:g}",
    "less_than": "a number below {lt:.15g}",
    "less_than_equal": "a number of at most {le:g}",
    "literal_error": "{expected}",
}
"""What pydantic's kinds of errors mean in a scenario's words."""


def _message(problem: Any, values: Mapping[str, Any], model: Any) -> str:
    kind, path = problem["type"], problem["loc"]
    if kind == "extra_forbidden":
        known = _known_keys(model, path[:-1])
        return f"unknown key{nearest(path[-1], known)}; accepted: {', '.join(known)}"
    if kind == "missing":
        return "expected a value, found none"
    expected = str(problem["msg"]).removeprefix("Value error, ")
    if kind in _EXPECTED:
        expected = "expected " + _EXPECTED[kind].format(**problem.get("ctx", {}))
    if ", found " in expected:
        return expected
    found = _written(values, path, problem["input"])
    hint = nearest(str(found), problem["ctx"]["expected"].split("'")[1::2]) if kind == "literal_error" else ""
    return f"{expected}, found {_short(found)}{hint}"


def _written(values: Any, path: tuple[int | str, ...], default: object) -> object:
    """What stands in the scenario at that place: the user's own words, before units were read."""
    for name in path:
        if not isinstance(values, Mapping) or name not in values:
            return default
        values = values[name]
    return values


def _short(value: object) -> str:
    text = str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _known_keys(model: Any, path: tuple[int | str, ...]) -> list[str]:
    """The keys of the table at that place; a table of tables, such as [platform.kernels], has any names."""
    for name in path:
        field = getattr(model, "model_fields", {}).get(name)
        model = field.annotation if field is not None else (get_args(model) or (None,))[-1]
        if isinstance(model, UnionType):  # an optional table
            model = get_args(model)[0]
    return list(getattr(model, "model_fields", {}))
