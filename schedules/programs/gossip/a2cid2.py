"""A²CiD²: gossip accelerated by a second copy x~ of the parameters that is mixed in continuously.

dx_i  = eta (x~_i - x_i) dt - gamma g_i dN_i - 1/2     (x_i - x_j) dM_ij
dx~_i = eta (x_i - x~_i) dt - gamma g_i dN_i - alpha~ (x_i - x_j) dM_ij

eta = 1 / (2 sqrt(chi_1 chi_2)), alpha~ = sqrt(chi_1 / chi_2) / 2. Both ends mix up to the time at which they send,
send the mixed x, and apply the difference of what was sent when it has arrived, mixed up to then: jumps use left
limits.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Literal

from schedules import (
    COPY,
    Array,
    Exchange,
    Field,
    Number,
    Payload,
    Program,
    State,
    ValidationInfo,
    Worker,
    field_validator,
)
from schedules.programs.gossip import pairing, ticks
from topologies import a2cid2_parameters, chi_1, chi_2, with_counted_rates

SOURCE = "A²CiD² (arXiv:2306.08289), and its official code, AdelNabli/ACiD"
STALENESS = (
    "of a gradient as many versions as averages ended while it was computed; of an average likewise, by gradients"
)
STATE = {"x_tilde": COPY}
SURVIVES_FAILURES = True
VARYING_GRAPHS = True


class Settings(pairing.Settings):
    """The keys of [schedule]."""

    flow: Literal["ticks", "wall"] = "wall"
    """wall: gradients run beside exchanges, and it mixes by the times at which they end. ticks: a worker takes the
    ticks of both its clocks in one order and mixes from tick to tick, so that latency delays and changes nothing; with
    edge clocks, and the poisson clock of gradients."""

    mixing_clock: Literal["common", "own"] = "common"
    """By whose time eta counts. common: the platform's gradient time. own: the worker's own mean gradient, as in the
    official code, so that a worker of twice the speed mixes twice as fast."""
    rates: Literal["asked", "measured"] = "asked"
    """Of which rates chi_1 and chi_2 are, which give eta and alpha~. asked: of the graph's, with `rate`. measured: of
    those that a former run had on each edge (fewer where exchanges are slower than their clocks, and unlike where
    whoever is free is met)."""
    trace: str | None = None
    """Of measured: the directory of that run, of either world."""
    counted: list[Annotated[list[Number], Field(min_length=3, max_length=3)]] | None = None
    """Of measured: what the trace comes to, [i, j, exchanges per gradient time] of each edge; or given itself."""

    @field_validator("flow")
    @classmethod
    def _check_flow(cls, flow: str, info: ValidationInfo) -> str:
        other = pairing.other_than_clocks(info)
        if flow == "ticks" and other is not None:
            raise ValueError("expected 'wall' beside {0} = {2!r} (ticks: {0} = {1!r})".format(*other))
        return flow

    @field_validator("trace", "counted")
    @classmethod
    def _check_rates(cls, value: object, info: ValidationInfo) -> object:
        if value is not None and info.data.get("rates") == "asked":
            raise ValueError("expected rates = 'measured' beside it, found 'asked'")
        is_last = info.field_name == "counted" and info.data.get("rates") == "measured"
        if is_last and (value is None) == (info.data.get("trace") is None):
            raise ValueError("expected one of trace and counted beside rates = 'measured'")
        return value


def streams(worker: Worker) -> Mapping[str, Program]:
    """The programs of a worker; it mixes before a gradient is read at a tick, too."""
    if worker.settings.flow == "ticks":
        return ticks.streams(worker, step, exchange, mix)
    return pairing.streams(worker, step, exchange, mix)


def step(worker: Worker, gradient: Payload, time: float) -> None:
    """Mix, then apply the same update to x and x~."""
    worker.model.change(mix, time)
    worker.model.apply(descend, gradient)


def exchange(worker: Worker, peer: int, index: int, time: float, due: float | None = None) -> Program:
    """Mix, send x, and let x jump by 1/2 and x~ by alpha~ of the difference."""
    model = worker.model
    model.change(mix, time)
    mine = model.outgoing()
    theirs, time = yield Exchange(peer, mine, index, due)
    model.change(mix, time)
    if theirs is not None:  # the peer has not failed
        model.apply(average, mine, theirs)


def read_out(s: State, time: float) -> Array:
    """x, mixed up to then."""
    mix(s, time)
    return s.x


def constants(worker: Worker) -> Mapping[str, float]:
    """The rate of mixing in 1/gradient time, the step of x~ at an exchange, and up to when they are mixed."""
    graph, counted = worker.graph, worker.settings.counted
    if counted is not None:  # the same on all workers, so that both ends of an exchange jump by one alpha~
        graph = with_counted_rates(graph, counted)
    eta, alpha_tilde = a2cid2_parameters(chi_1(graph), chi_2(graph))
    eta *= worker.speed if worker.settings.mixing_clock == "own" else 1.0
    return {"eta": eta, "alpha_tilde": alpha_tilde, **ticks.own_time(worker)}


def mix(s: State, time: float) -> None:
    """x += b (x~ - x), x~ -= b (x~ - x) with b = (1 - e^{-2 eta dt}) / 2; a time that is over mixes nothing."""
    time = min(time, s.until)
    if time > s.time:
        # 1 - exp loses its digits between close events.
        moved = -0.5 * math.expm1(-2 * s.eta * (time - s.time)) * (s.x_tilde - s.x)
        s.x, s.x_tilde, s.time = s.x + moved, s.x_tilde - moved, time


def descend(s: State, gradient: Array) -> None:
    """x += delta, x~ += delta, with the optimizer's delta at x."""
    change = s.optimizer.delta(s.x, gradient)
    s.x, s.x_tilde = s.x + change, s.x_tilde + change


def average(s: State, mine: Array, theirs: Array) -> None:
    """m = mine - theirs, the values that were sent;  x -= m / 2, x~ -= alpha~ m, as they are now."""
    m = mine - theirs
    s.x, s.x_tilde = s.x - 0.5 * m, s.x_tilde - s.alpha_tilde * m
