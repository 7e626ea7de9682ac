"""The keys of [schedule]: each program has those that mean something to it."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, NamedTuple, Self

from pydantic import PrivateAttr

from schedules import Count, Field, Positive, Table, ValidationInfo, field_validator


class Pipelined(Table):
    """Of every pipeline."""

    micro_batches: Count
    """Of one iteration, on each of the replicas."""
    iterations: Count = 1
    replicas: Count = 1
    """Copies of the pipeline, each on as many workers: copy q of d has the workers from q n/d on. Of the run's
    micro-batches it has the q-th, the (q+d)-th and so on; the copies of a stage step by the mean of their gradients."""
    ahead: Annotated[int, Field(ge=0)] = 2
    """How many receives of a channel are posted before the one that is needed; with platform.transport = "latency",
    where it makes no difference, none."""


class Flushed(Pipelined):
    """Of every pipeline that ends an iteration before its parameters change."""

    of_the_order: ClassVar[tuple[str, ...]] = ()
    """Keys that its builder asks for, beside the number of micro-batches."""

    iterations: Count = 1
    """After each all stages step, with the mean of its micro-batches' gradients."""
    checkpoint: bool = False
    """Keep a stage's inputs only, and compute it again before its backward pass."""
    optimizer_sync: Literal["none", "barrier", "post-validation"] = "none"
    """How far the steps of the stages wait for each other: not at all; for the norm of the whole gradient; or each is
    made at once, and looked at when that norm has come, in the next iteration's warm-up."""


class Chunked(Flushed):
    """Of those with several stages a worker, dealt out in turns: the first p, then the next p."""

    of_the_order: ClassVar[tuple[str, ...]] = ("chunks",)

    chunks: Count = 1
    """Stages of a worker."""


class Folded(Flushed):
    """Of those in the shape of a V: worker r has the stages r and 2p - 1 - r."""

    chunks: Literal[2] = 2
    """Stages of a worker."""


class Streamed(Pipelined):
    """Of every pipeline without a flush: its micro-batches are one stream."""

    of_the_order: ClassVar[tuple[str, ...]] = ()

    iterations: Count = 1
    """The stream has the micro-batches of all."""
    accumulate: Count = 1
    """Micro-batches of one update, on each stage of each replica; they divide the stream."""

    @field_validator("accumulate")
    @classmethod
    def _check_divides(cls, accumulate: int, info: ValidationInfo) -> int:
        stream = info.data.get("micro_batches", 0) * info.data.get("iterations", 0)
        if stream % accumulate:
            raise ValueError(f"expected a divisor of the {stream} micro-batches of the stream, found {accumulate}")
        return accumulate


class PipeDream(Streamed):
    """Of PipeDream."""

    vertical_sync: bool = False
    """All stages see the version that the first one saw of a micro-batch; else each the newest."""

    @field_validator("vertical_sync")
    @classmethod
    def _check_alone(cls, vertical_sync: bool, info: ValidationInfo) -> bool:
        if vertical_sync and info.data.get("accumulate", 1) > 1:
            raise ValueError(f"expected schedule.accumulate = 1 beside it, found {info.data['accumulate']}")
        return vertical_sync


class TwoEngines(Streamed):
    """Of those in which every stage does a forward and a backward pass a tick."""

    engines: Annotated[int, Field(ge=1, le=2)] = 1
    """Streams of a rank: 2 does forward and backward passes beside each other."""


class Delayed(TwoEngines):
    """Of delayed gradients."""

    of_the_order = ("overlap_last",)

    overlap_last: bool = False
    """The last stage has two engines, too, so that all gradients are a tick later."""
    checkpoint: bool = False
    """Keep a stage's inputs only, and compute it again, with the newest parameters, before its backward pass."""

    @field_validator("overlap_last")
    @classmethod
    def _check_engines(cls, overlap_last: bool, info: ValidationInfo) -> bool:
        if overlap_last and info.data.get("engines", 2) != 2:
            raise ValueError(f"expected schedule.engines = 2 beside it, found {info.data['engines']}")
        return overlap_last


class Petra(TwoEngines):
    """Of PETRA."""

    buffered: list[Annotated[int, Field(ge=0)]] = Field(default=[])
    """Stages that are not reversible: they keep their inputs."""


class Costs(NamedTuple):
    """What the platform and the workload say of steps, for orders that are found by it.

    Attributes:
        durations: nanoseconds of "F", "B" and "W", one a stage.
        latency: nanoseconds of a message.
        activations: M_B and M_W.
    """

    durations: tuple[tuple[str, tuple[int, ...]], ...]
    latency: int
    activations: tuple[float, float]


class Capped(Flushed):
    """Of those that are found under a cap of memory, by the times of their steps."""

    of_the_order: ClassVar[tuple[str, ...]] = ("memory_cap",)
    chunks_of_a_worker: ClassVar[int] = 1

    memory_cap: Positive | None = None
    """Of every worker, in the activations of a micro-batch on it (M_B). Left out: p; of zb-2p 2p, of v-half and v-min a
    half and a third of p, to whole micro-batches."""
    _costs: Costs | None = PrivateAttr(default=None)

    def with_costs(self, costs: Costs | None) -> Self:
        """The same, whose order is found by these; None: all steps take the same."""
        found = self.model_copy()
        found._costs = costs
        return found


class CappedV(Capped):
    """Of those among them with two stages a worker, in the shape of a V."""

    chunks_of_a_worker: ClassVar[int] = 2


class FromFile(Flushed):
    """Of an order that is written down."""

    of_the_order: ClassVar[tuple[str, ...]] = ("file",)

    file: str
    """CSV, a row a worker: torch's compute-only format, or cells as the zero-bubble repository prints them."""
    _text: str | None = PrivateAttr(default=None)

    def with_text(self, text: str) -> Self:
        """The same, with what its file has."""
        found = self.model_copy()
        found._text = text
        return found

    @property
    def text(self) -> str | None:
        """What its file has, once it is read."""
        return self._text


def workers_of(settings: Any, workers: int) -> int:
    """How many workers a replica has.

    Raises:
        ValueError: if they are not the same number each.
    """
    if workers % settings.replicas:
        raise ValueError(f"schedule.replicas: expected a divisor of the {workers} workers, found {settings.replicas}")
    return int(workers // settings.replicas)


def in_order(settings: Any) -> int:
    """How many micro-batches the order of a replica has: those of an iteration or, without a flush, of the whole
    stream."""
    return int(settings.micro_batches * (settings.iterations if isinstance(settings, Streamed) else 1))


def options_of(settings: Any) -> tuple[tuple[str, Any], ...]:
    """What the builder of an order is told beside the numbers of workers and micro-batches."""
    said = {key: getattr(settings, key) for key in settings.of_the_order}
    if isinstance(settings, Capped) and settings._costs is not None:
        said |= settings._costs._asdict()
    if isinstance(settings, FromFile):
        said |= {"text": settings.text}
    return tuple(said.items())
