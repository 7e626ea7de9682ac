"""When ranks are away: failures and joins, at given times or at random."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from heapq import merge
from typing import Annotated

from pydantic import Field, ValidationInfo, field_validator

from schedules.clocks import StreamKey, stream
from schedules.settings import Table
from schedules.units import Seconds

Rank = Annotated[int, Field(ge=0)]
Mean = Annotated[Seconds, Field(gt=0)]

NEVER = math.inf

Interval = tuple[float, float]
"""Away from one time until another, in seconds."""


class Outage(Table):
    """A rank that is away from one time to another. From 0 on it is a rank that joins late."""

    rank: Rank
    at: Seconds
    back: Seconds | None = None
    """Left out, it never comes back."""

    @field_validator("back")
    @classmethod
    def _check_order(cls, back: float | None, info: ValidationInfo) -> float | None:
        at = info.data.get("at")
        if back is not None and at is not None and back <= at:
            raise ValueError(f"expected a time after platform.faults.outages.at = {at:g}")
        return back


class Faults(Table):
    """Ranks that fail and come back."""

    outages: list[Outage] = Field(default=[])  # no list is shared: pydantic copies defaults
    """At given times: { rank = 3, at = "10 s", back = "40 s" }; at = 0 is a rank that joins late."""
    mean_time_to_failure: Mean | None = None
    """Of one rank, in seconds: failures at random, exponential."""
    mean_time_to_repair: Mean | None = None
    """Until a rank that failed at random is back, exponential; left out, it never is."""
    detection: Seconds = 0.0
    """Until the others notice."""

    @field_validator("mean_time_to_repair")
    @classmethod
    def _check_beside(cls, mean: float | None, info: ValidationInfo) -> float | None:
        if mean is not None and info.data.get("mean_time_to_failure") is None:
            raise ValueError("expected platform.faults.mean_time_to_failure beside it")
        return mean


def outages(table: Faults, seed: int, rank: int) -> Iterator[Interval]:
    """When a rank is away, as disjoint intervals (from, until) in seconds, ascending; until `NEVER`: for good.

    What all `CAUSES` say together; random outages may have no end.
    """
    begin, until = -1.0, -1.0  # no interval yet, as all begin at 0 or later
    for start, end in merge(*(cause(table, seed, rank) for cause in CAUSES)):  # lazily: a cause may go on for ever
        if start > until:  # those that touch are one
            if until >= 0:
                yield begin, until
            begin, until = start, end
        else:
            until = max(until, end)
        if until == NEVER:
            break
    if until >= 0:
        yield begin, until


def given(table: Faults, seed: int, rank: int) -> Iterator[Interval]:
    """At given times."""
    yield from sorted(
        (each.at, NEVER if each.back is None else each.back) for each in table.outages if each.rank == rank
    )


def drawn(table: Faults, seed: int, rank: int) -> Iterator[Interval]:
    """At random: up for an exponential time, away for another, and so on."""
    generator = stream(seed, StreamKey.FAILURE, rank)
    now = 0.0
    while table.mean_time_to_failure is not None:  # never, or for ever: whoever asks stops at his end
        begin = now + generator.exponential(table.mean_time_to_failure)
        if table.mean_time_to_repair is None:
            yield begin, NEVER
            return
        now = begin + generator.exponential(table.mean_time_to_repair)
        yield begin, now


CAUSES: tuple[Callable[[Faults, int, int], Iterator[Interval]], ...] = (
    given,
    drawn,
)
"""What takes a rank away: (table, seed, rank) -> intervals, ascending. A further one is a row here and its keys in
`Faults`."""
