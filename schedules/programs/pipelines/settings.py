"""The keys of [schedule]: each program has those that mean something to it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from schedules import Count, Field, Table

_OF_THE_ORDER = ("chunks", "memory_cap")
"""Keys that decide the order, beside the number of micro-batches."""


class Flushed(Table):
    """Of every pipeline that ends an iteration before its parameters change."""

    micro_batches: Count
    """Of one iteration."""
    iterations: Count = 1
    """After each all stages step, with the mean of its micro-batches' gradients."""
    checkpoint: bool = False
    """Keep a stage's inputs only, and compute it again before its backward pass."""
    ahead: Annotated[int, Field(ge=0)] = 2
    """How many receives of a channel are posted before the one that is needed; with platform.transport = "latency",
    where it makes no difference, none."""


class Chunked(Flushed):
    """Of those with several stages a worker, dealt out in turns: the first p, then the next p."""

    chunks: Count = 1
    """Stages of a worker."""


class Folded(Flushed):
    """Of those in the shape of a V: worker r has the stages r and 2p - 1 - r."""

    chunks: Literal[2] = 2
    """Stages of a worker."""


def options_of(settings: Any) -> tuple[tuple[str, Any], ...]:
    """What the builder of an order is told beside the numbers of workers and micro-batches."""
    return tuple((key, getattr(settings, key)) for key in _OF_THE_ORDER if key in type(settings).model_fields)
