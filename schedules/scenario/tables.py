"""The tables of a scenario beside [schedule] and [platform]: strict, in SI units, with defaults."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationInfo,
    field_validator,
    model_validator,
)

from schedules.settings import Count, NonNegative, Number, Positive, Table, Tables
from schedules.training.tied import TiedTable
from schedules.units import Bytes, Seconds, Span, quantity
from topologies.files import SUFFIXES as GRAPH_FILES


def _is_list(value: object) -> str:
    return "list" if isinstance(value, list) else "number"


def _sum(value: object) -> object:
    """What the tensors of a list take together."""
    return sum(quantity(each, "byte") for each in value) if isinstance(value, list) else value


# So that of a wrong number no more is said than that it is no number.
_Sum = Annotated[Bytes, BeforeValidator(_sum)]
BytesOrList = Annotated[Annotated[Bytes, Tag("number")] | Annotated[list[_Sum], Tag("list")], Discriminator(_is_list)]
_Pair = Annotated[list[Bytes], Field(min_length=2, max_length=2)]
BytesOrPair = Annotated[Annotated[Bytes, Tag("number")] | Annotated[_Pair, Tag("list")], Discriminator(_is_list)]


class TopologyTable(BaseModel):
    """Who talks to whom. Further keys are options of the graph's builder."""

    # No `Table`, which forbids further keys: the options' names are the builder's to know.
    model_config = ConfigDict(extra="allow", frozen=True, strict=True, use_attribute_docstrings=True)

    graph: str | None = None
    """Any name that `twinclock topologies` lists; a pipeline needs none: its order says who talks to whom."""
    file: str | list[str] | None = None
    """Instead of a graph: a GraphML or JSON file of one, whose edges may have a `weight`; or a list of such files,
    which are there in turn."""
    count: Count | None = None
    """Of a family of random graphs: so many are drawn, and are there in turn."""
    period: Positive | None = None
    """For how long each of several graphs is there, in gradient times; unless said, as DADAO has it: 1 / chi_1 of
    L/|E|, the largest over the graphs."""
    workers: Count
    """As many as a file has nodes; beside one it may be left out."""
    weights: Literal["uniform", "neighbour", "optimal"] = "uniform"
    """How the rate is spread: evenly over all edges, or by each worker over its neighbours; where a file's edges have a
    weight (or a rate), in proportion to it. optimal: so that chi_1 chi_2 is least, whatever the weights."""

    @field_validator("graph")
    @classmethod
    def _check_suffix(cls, graph: str | None) -> str | None:
        if graph is not None and graph.endswith(GRAPH_FILES):
            raise ValueError("expected the name of a graph (a file is named by topology.file)")
        return graph

    @field_validator("file")
    @classmethod
    def _check_one(cls, file: str | list[str] | None, info: ValidationInfo) -> str | list[str] | None:
        if file is not None and info.data.get("graph") is not None:
            raise ValueError("expected none beside topology.graph")
        if file == []:
            raise ValueError("expected at least one file, found none")
        return file

    @property
    def num_graphs(self) -> int:
        """How many graphs there are in turn."""
        return len(self.file) if isinstance(self.file, list) else self.count or 1

    @field_validator("count")
    @classmethod
    def _check_drawn(cls, count: int | None, info: ValidationInfo) -> int | None:
        if count is not None and info.data.get("file") is not None:
            raise ValueError("expected none beside topology.file (a list of files is as many graphs)")
        return count

    @field_validator("period")
    @classmethod
    def _check_varies(cls, period: float | None, info: ValidationInfo) -> float | None:
        is_varying = info.data.get("count") is not None or isinstance(info.data.get("file"), list)
        if period is not None and not is_varying:
            raise ValueError("expected topology.count, or a list of files, beside it, found neither")
        return period

    @property
    def is_varying(self) -> bool:
        """Whether the graph changes with time."""
        return self.count is not None or isinstance(self.file, list)

    @model_validator(mode="after")
    def _check_some(self) -> TopologyTable:
        if self.file is not None and self.model_extra:
            raise ValueError(f"expected no options of a builder beside file, found {', '.join(self.model_extra)}")
        return self


class WorkloadTable(Table):
    """What is trained: a problem with numbers, a size for timing alone, or the user's own module."""

    # It stands above what is checked beside it: pydantic goes in this order.
    problem: str | None = None
    """With numbers: quadratic, logistic-regression or digits-mlp."""
    module: str | None = None
    """The user's own, "package.module:factory"."""
    split: Literal["cost"] | list[Count] | None = None
    """Of a module that is one Sequential, in a schedule with stages: the layers where stages begin, but for the first;
    or "cost": where the slowest stage is fastest, as measured on rank 0."""
    tied: list[TiedTable] = Field(default=[])
    """Parameters that stages share: their gradients are summed before a step."""
    parameters: Count | list[Count] | None = None
    """How many there are, for timing alone; or a list, one a stage. Beside a problem such a list cuts its vector."""
    tensors: str | None = None
    """Which there are, for timing alone: a CSV file with the columns name and shape ("64x3x3x3"), in their order."""
    dtype: Literal["float16", "bfloat16", "float32", "float64"] = "float32"
    master: Literal["float32"] | None = None
    """Beside half precision: the optimizer keeps the parameters, and its own state, in this dtype too."""
    batch_size: Count = 32
    """Samples of one gradient."""
    activations: BytesOrPair = 0.0
    """Bytes that the activations of one gradient take, for the accounts of memory. In a pipeline, of a micro-batch on a
    worker, for all its stages; a list of two: [after the forward pass, between the backward pass for the input and that
    for the weights]."""
    boundary: BytesOrList = 0.0
    """In a pipeline, bytes of a micro-batch that go from a stage to the next; or a list, one a boundary, of which each
    may be a list of its tensors: they go in one message."""
    layers: Count | None = None
    """Of the model, of one size each: a step then goes through them one by one, under `diloco`, `eager-diloco`,
    `streaming-diloco` (which makes fragments of them) and `all-reduce` with overlap = "layers"."""
    buffers: Literal["own", "average", "recompute"] = "average"
    """What a module keeps beside its parameters (batch norms' statistics), where these are read out: each rank's own;
    their average over the ranks; or taken anew at the final parameters, in one pass over each rank's data, and averaged
    over the batches: `num_batches` of the module's object, or as many as the rank has drawn. Of stages the first rank
    that holds one has its own; the pass is over the micro-batches of the run."""
    options: Tables = Field(default={})
    """Of the problem."""

    @field_validator("module")
    @classmethod
    def _check_module(cls, module: str | None) -> str | None:
        if module is not None and not all(module.partition(":")):  # package, colon, factory: none is empty
            raise ValueError('expected a factory such as "package.module:factory"')
        return module

    @field_validator("split")
    @classmethod
    def _check_split(cls, split: str | list[int] | None, info: ValidationInfo) -> str | list[int] | None:
        if split is not None and info.data.get("module") is None:
            raise ValueError("expected workload.module beside it, found none")
        if isinstance(split, list) and any(late <= early for early, late in pairwise([0, *split])):
            raise ValueError(f"expected where stages begin, ascending from 1, so that none is empty; found {split}")
        return split

    @field_validator("module", "parameters")
    @classmethod
    def _check_alone(cls, value: str | int | list[int] | None, info: ValidationInfo) -> str | int | list[int] | None:
        if value is not None and not isinstance(value, list) and info.data.get("problem") is not None:
            raise ValueError("expected none beside workload.problem")
        return value

    @field_validator("tensors")
    @classmethod
    def _check_tensors(cls, tensors: str | None, info: ValidationInfo) -> str | None:
        for other in ("problem", "module"):  # these know their own
            if tensors is not None and info.data.get(other) is not None:
                raise ValueError(f"expected none beside workload.{other}")
        return tensors

    @field_validator("dtype")
    @classmethod
    def _check_dtype(cls, dtype: str, info: ValidationInfo) -> str:
        if info.data.get("problem") is not None and dtype not in ("float32", "float64"):
            raise ValueError("expected 'float32' or 'float64' for a problem")
        return dtype

    @field_validator("master")
    @classmethod
    def _check_master(cls, master: str | None, info: ValidationInfo) -> str | None:
        dtype = info.data.get("dtype", "float16")  # one that is wrong is told by its own key
        if master is not None and dtype not in ("float16", "bfloat16"):
            raise ValueError(f"expected workload.dtype 'bfloat16' or 'float16' beside it, found {dtype!r}")
        return master

    @property
    def is_sized(self) -> bool:
        """Whether one of the keys is there from which the number of parameters follows."""
        return any(each is not None for each in (self.problem, self.module, self.parameters, self.tensors))


class OptimizerTable(Table):
    """What is done with a gradient."""

    # The name stands above what is checked beside it, and so does the schedule: pydantic goes in this order.
    name: Literal["sgd", "adamw"] = "sgd"
    """sgd: stochastic gradient descent; adamw: Adam with decoupled weight decay. As torch.optim has them."""
    learning_rate: Positive = 0.1
    momentum: Annotated[Number, Field(ge=0, lt=1)] = 0.0
    """Of sgd."""
    weight_decay: NonNegative = 0.0
    """With adamw it goes past the moments (torch's own default there is 0.01)."""
    no_decay: list[str] = Field(default=[])
    """Names of tensors that do not decay; patterns such as "*.bias"."""
    nesterov: bool = False
    """Nesterov's variant of momentum."""
    beta_1: Annotated[Number, Field(ge=0, lt=1)] = 0.9
    """Of adamw: share of the first moment that is kept at a step."""
    beta_2: Annotated[Number, Field(ge=0, lt=1)] = 0.999
    """Of adamw: that of the second moment."""
    eps: Positive = 1e-8
    """Of adamw: is added to the root of the second moment."""
    clip_norm: Positive | None = None
    """Largest norm of the whole model's gradient; a longer one is scaled to it."""
    schedule: Literal["constant", "step", "cosine"] = "constant"
    """How the learning rate changes over a worker's updates."""
    warmup: Annotated[Number, Field(ge=0, lt=1)] = 0.0
    """Fraction of the steps with a linear warm-up."""
    minimum: Annotated[Number, Field(ge=0, le=1)] = 0.0
    """Where a cosine ends, as a fraction of the learning rate."""

    @field_validator("momentum", "nesterov", "beta_1", "beta_2", "eps")
    @classmethod
    def _check_method(cls, value: float, info: ValidationInfo) -> float:
        """A resolved scenario has all keys, so the default is as good as none."""
        other = "adamw" if info.field_name in ("momentum", "nesterov") else "sgd"
        if info.data.get("name") == other and value != cls.model_fields[str(info.field_name)].default:
            raise ValueError(f"expected none beside optimizer.name = {other!r}")
        return value

    @field_validator("nesterov")
    @classmethod
    def _check_nesterov(cls, nesterov: bool, info: ValidationInfo) -> bool:
        if nesterov and info.data.get("momentum") == 0:
            raise ValueError("expected optimizer.momentum above 0 beside it, found 0")
        return nesterov

    @field_validator("minimum")
    @classmethod
    def _check_minimum(cls, minimum: float, info: ValidationInfo) -> float:
        if minimum and info.data.get("schedule", "cosine") != "cosine":
            raise ValueError(f"expected optimizer.schedule 'cosine' beside it, found {info.data['schedule']!r}")
        return minimum


class RunTable(Table):
    """How the run is kept."""

    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    trace: bool = True
    """Whether every operation is recorded."""
    ages: bool = False
    """Whether the summary says how old what workers know of each other is, with a trace or without."""
    numerics: bool = True
    """false: time a problem without computing it."""
    observations: Annotated[int, Field(ge=0, le=10_000)] = 20
    """How often loss and consensus distance are read out, in a numeric run."""
    until: Literal["end", "gradients", "time", "precision"] = "end"
    """end: until every worker has made its own gradients; gradients: until `total` are applied, by all together; time:
    for `duration`; precision: a simulation goes on until its throughput is known."""
    total: Count | None = None
    """Of gradients: how many are applied, by all workers, when the run is cut."""
    duration: Span | None = None
    """Of time: when the run is cut; "30 s", or a number of gradient times."""
    samples: Count | None = None
    """Samples of all workers, from which follows how long each works; of a run until its end."""
    precision: Annotated[Positive, Field(lt=1)] = 0.02
    """Width of throughput's 95 % confidence interval, relative to the mean, at which a simulation stops."""
    limit: Count = 100_000
    """Gradients per worker at which a simulation that goes on until a precision gives up."""

    @property
    def is_recorded(self) -> bool:
        """Whether operations are recorded, to be kept as a trace or to work something out of it."""
        return self.trace or self.ages

    @property
    def says_length(self) -> bool:
        """Whether the length of a schedule follows from these keys, whatever the schedule's own key says."""
        return self.until in ("gradients", "time") or self.samples is not None

    @field_validator("total", "duration", "samples")
    @classmethod
    def _check_end(cls, value: object, info: ValidationInfo) -> object:
        end, until = _END_OF[str(info.field_name)], info.data.get("until")
        if value is not None and until not in (end, None):
            raise ValueError(f"expected run.until = {end!r} beside it, found {until!r}")
        if value is None and until == end != "end":
            raise ValueError(f"expected one for run.until = {end!r}, found none")
        return value


_END_OF = {"total": "gradients", "duration": "time", "samples": "end"}
"""The end that a key of [run] belongs to."""


class ExecutionTable(Table):
    """How the executor runs it."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    backend: Literal["auto", "gloo", "nccl"] = "auto"
    compute: Literal["auto", "real", "paced"] = "auto"
    """real: kernels take what they take; paced: at least the platform's duration (a virtual GPU). auto: real where
    there are numbers, else paced."""
    timeout: Annotated[Seconds, Field(gt=0)] = 60.0
    """After how long a rank without a sign of life is told, and a run in which nothing moves and no kernel is under
    way; how long ranks that are there may take to connect. A single operation may wait longer."""
    patience: Annotated[Seconds, Field(gt=0)] | None = None
    """How long a single operation may wait for other ranks, from its own start; unless said, as long as it takes."""
