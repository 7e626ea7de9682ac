"""Who meets whom, when: what the pairwise schedules share. Source: gossip.md, sections 4.1 to 4.4.

* `edge-clock`, the theory: every edge has its own Poisson clock; both ends take their ticks in the one global order
  (time, edge), which cannot deadlock. The clocks stop when the slowest worker has made its gradients.
* `first-come`, the official code: a free worker is paired with a free neighbour, and a gradient step is released only
  when its quota of exchanges is done: c_m = max(c_{m-1} + 1, 1 + K_1 + ... + K_{m-1}), K ~ Poisson(rate).

Either way a worker that is done with its gradients goes on averaging until all are: else those that are slower would
find nobody to average with.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from itertools import chain, pairwise
from typing import Literal

from schedules import (
    Barrier,
    Compute,
    CountOfRank,
    Leave,
    Meet,
    Payload,
    Positive,
    Program,
    Put,
    Rule,
    StreamKey,
    Table,
    Take,
    Until,
    ValidationInfo,
    Worker,
    field_validator,
    model_validator,
    of_rank,
)

GRADIENT = Compute("gradient")  # operations are frozen, so one object serves all workers and steps

NONE_LEFT = -1.0  # no tick comes before 0; None means that a gradient may start at once
"""Follows the last start of a gradient."""

Step = Callable[[Worker, Payload, float], None]
"""Applies a gradient at a time (in gradient times)."""

Exchange = Callable[[Worker, int, int, float, float | None], Program]
"""One averaging with a peer: `(worker, peer, index of the meeting, time, due)`; `due` is the tick that it answers."""


class Settings(Table):
    """The keys of [schedule] for pairwise averaging."""

    gradients: CountOfRank
    """Gradients per worker, or a list of one a worker; with the poisson gradient clock their expected number."""
    rate: Positive = 1.0
    """Averagings that a worker takes part in per gradient of its own (so the network makes rate/2 per gradient)."""
    pairing: Literal["edge-clock", "first-come"] = "edge-clock"
    gradient_clock: Literal["free", "poisson"] = "free"
    """free: gradients run back to back; poisson: each starts at a tick of the worker's own Poisson clock of rate 1."""
    events: str | None = None
    """A CSV file of events (time, kind, i, j) in the place of both clocks: each worker has its own, and no others, one
    after the other. Then gradients are as many as it has."""

    @model_validator(mode="before")
    @classmethod
    def _start_by_list(cls, values: object) -> object:
        """A list says when gradients start, as a clock does, so nobody need say that they are not free."""
        if isinstance(values, Mapping) and values.get("events") is not None:
            return {"gradient_clock": "poisson", **values}
        return values

    @field_validator("events")
    @classmethod
    def _check_clocks(cls, events: str | None, info: ValidationInfo) -> str | None:
        other = other_than_clocks(info)
        if events is not None and other is not None:
            raise ValueError("expected {} = {!r}, or none, beside it, found {!r}".format(*other))
        return events


def other_than_clocks(info: ValidationInfo) -> tuple[str, str, str] | None:
    """The first key of a schedule by which not all of its events are ticks of clocks: what it would be, what it is."""
    for key, wanted in (("pairing", "edge-clock"), ("gradient_clock", "poisson")):
        if info.data.get(key, wanted) != wanted:
            return key, wanted, info.data[key]
    return None


def streams(worker: Worker, step: Step, exchange: Exchange, mix: Rule | None = None) -> Mapping[str, Program]:
    """The two programs of a worker: gradients, and averaging in the chosen pairing mode.

    `mix(s, time)`, if it is given, brings the parameters up to a tick at which a gradient is read.
    """
    if worker.settings.events is not None:
        return {"compute": one_after_the_other(worker, step, exchange, mix)}
    if worker.settings.pairing == "edge-clock":
        return {"compute": _gradients(worker, step, mix), "gossip": _edge_clock(worker, exchange)}
    return {"compute": _gradients_with_quota(worker, step, mix), "gossip": _first_come(worker, exchange)}


def one_after_the_other(
    worker: Worker, step: Step, exchange: Exchange, mix: Rule | None, go_on: Rule | None = None
) -> Program:
    """All events of a worker in their order, each at its own time however long it takes.

    So all together come to what instantaneous events come to; none waits in a circle, as the earliest that is not over
    always has its ends ready. `go_on(s, time)` is told the time of the event, or of the end, that is next.
    """
    for tick, peer, index in worker.clock("events"):
        yield from _at(worker, tick, mix, go_on)
        if peer < 0:
            gradient, _ = yield GRADIENT
            step(worker, gradient, tick)
        else:
            yield from _over_at(exchange(worker, peer, index, tick, tick), tick)
    if math.isfinite(worker.horizon):
        yield from _at(worker, worker.horizon, mix, go_on)  # all at one time, at which they are read out
    yield Barrier()


def _at(worker: Worker, time: float, mix: Rule | None, go_on: Rule | None) -> Program:
    """Be at a time, not at the answer's: that is of whole nanoseconds, or late."""
    if go_on is not None:
        worker.model.change(go_on, time)
    yield Until(time)
    if mix is not None:
        worker.model.change(mix, time)


def _over_at(program: Program, time: float) -> Program:
    """A program whose operations are all told to be over at one time."""
    with suppress(StopIteration):
        operation = next(program)
        while True:
            result, _ = yield operation
            operation = program.send((result, time))


def _gradients(worker: Worker, step: Step, mix: Rule | None) -> Program:
    for start in _gradient_starts(worker):
        if start is not None:
            yield from _tick(worker, start, mix)
        gradient, time = yield GRADIENT
        step(worker, gradient, time)
    yield Take("averaged")
    yield Barrier()


def _edge_clock(worker: Worker, exchange: Exchange) -> Program:
    for due, peer, index in worker.clock("edges"):
        _, now = yield Until(due)
        yield from exchange(worker, peer, index, now, due)
    yield Put("averaged")


def _gradients_with_quota(worker: Worker, step: Step, mix: Rule | None) -> Program:
    quota = worker.random(StreamKey.QUOTA, 1)  # apart from the gossip's, which is number 0
    number, due = 0, 1
    # In pairs, as a Poisson clock does not say how many ticks are left, and the last gradient must be known as such.
    for number, (start, following) in enumerate(pairwise(chain(_gradient_starts(worker), (NONE_LEFT,))), 1):
        if start is not None:
            yield from _tick(worker, start, mix)
        gradient, time = yield GRADIENT
        step(worker, gradient, time)
        is_last = following == NONE_LEFT
        if number >= due or is_last:
            yield Put("stepped", is_last)
            yield Take("released")
            due += 1 if worker.settings.rate >= 1 else int(quota.poisson(1 / worker.settings.rate))
    if number == 0:  # a Poisson clock may have no tick at all, and the gossip waits to be told
        yield Put("stepped", True)
        yield Take("released")
    yield Take("averaged")
    yield Barrier()


def _first_come(worker: Worker, exchange: Exchange) -> Program:
    quota = worker.random(StreamKey.QUOTA, 0)
    exchanges, due, is_last = 0, 1, False
    while not is_last:
        partner, time = yield Meet(worker.neighbours)
        if partner is not None:
            yield from exchange(worker, partner.peer, partner.meeting, time, None)
            exchanges += 1
        if partner is None or exchanges >= due:  # when nobody can come any more, no quota holds a gradient back
            is_last, _ = yield Take("stepped")
            yield Put("released")
            # Below one exchange a gradient it is the gradients that have a quota drawn (gossip.md, 4.2).
            due += 1 if worker.settings.rate < 1 else int(quota.poisson(worker.settings.rate))
    yield Leave()
    while True:  # it needs no more, and is met by those that do
        partner, time = yield Meet(worker.neighbours)
        if partner is None:
            break
        yield from exchange(worker, partner.peer, partner.meeting, time, None)
    yield Put("averaged")


def _gradient_starts(worker: Worker) -> Iterable[float | None]:
    """When each gradient may start; None: at once."""
    if worker.settings.gradient_clock == "poisson":
        return (time for time, _, _ in worker.clock("gradient"))
    return (None for _ in range(of_rank(worker.settings.gradients, worker.rank)))


def _tick(worker: Worker, start: float, mix: Rule | None) -> Program:
    """A gradient that starts at a tick is read from parameters that are mixed up to then (gossip.md, 2.3, step 2).

    Not so with free clocks: the official code reads what the last event has left, and mixes before it applies.
    """
    _, time = yield Until(start)
    if mix is not None:
        worker.model.change(mix, time)
