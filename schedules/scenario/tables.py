"""The tables of a scenario beside [schedule] and [platform]: strict, in SI units, with defaults."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from schedules.settings import Count, NonNegative, Number, Positive, Table, Tables
from schedules.units import Bytes, Seconds


class TopologyTable(BaseModel):
    """Who talks to whom. Further keys are options of the graph's builder."""

    # No `Table`, which forbids further keys: the options' names are the builder's to know.
    model_config = ConfigDict(extra="allow", frozen=True, strict=True, use_attribute_docstrings=True)

    graph: str
    """Any name that `twinclock topologies` lists."""
    workers: Count
    weights: Literal["uniform", "neighbour"] = "uniform"
    """How the rate is spread: evenly over all edges, or by each worker over its neighbours."""


class WorkloadTable(Table):
    """What is trained: a problem with numbers, a size for timing alone, or the user's own module."""

    # It stands above what is checked beside it: pydantic goes in this order.
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
    options: Tables = Field(default={})
    """Of the problem."""

    @field_validator("module")
    @classmethod
    def _check_module(cls, module: str | None) -> str | None:
        if module is not None and not all(module.partition(":")):  # package, colon, factory: none is empty
            raise ValueError('expected a factory such as "package.module:factory"')
        return module

    @field_validator("module", "parameters")
    @classmethod
    def _check_alone(cls, value: str | int | None, info: ValidationInfo) -> str | int | None:
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
