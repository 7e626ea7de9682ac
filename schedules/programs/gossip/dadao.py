"""DADAO: decentralised optimisation with two independent Poisson clocks, accelerated in both.

Six vectors a worker, the parameters x first. Between a worker's events, with s = sqrt(nu / L) and nu = mu / 2:

dx = eta (x~ - x) dt        dy  = alpha (y~ - y) dt               dz  = alpha (z~ - z) dt
dx~ = eta (x - x~) dt       dy~ = -theta (nu x~ + y + z) dt       dz~ = alpha~ (z - z~) dt

At a gradient g of worker i:        h = g - nu x - y~;  x -= gamma h;  x~ -= gamma~ h;  y~ += (delta + delta~) h
At an exchange of an edge (i, j):   m = (y + z)_i - (y + z)_j;  z_i -= beta m;  z~_i -= beta~ m;  j the opposite

It tends to the minimum of the sum of the f_i, each mu-strongly convex and L-smooth, if 2 chi_1 chi_2 <= 1. There is no
learning rate: [optimizer] changes nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from scipy.linalg import expm

from schedules import ZERO, Array, Exchange, Payload, Positive, Program, State, ValidationInfo, Worker, field_validator
from schedules.programs.gossip import pairing, ticks
from topologies import chi_1, sufficient_rate

SOURCE = "DADAO (arXiv:2208.00779, version 1), and its official code, AdelNabli/DADAO"
STALENESS = "none at the clock's own time; by wall time as that of a2cid2"
STATE = {"x_tilde": ZERO, "y": ZERO, "y_tilde": ZERO, "z": ZERO, "z_tilde": ZERO}
SURVIVES_FAILURES = True
VARYING_GRAPHS = True


class Settings(pairing.Settings):
    """The keys of [schedule]."""

    smoothness: Positive
    """L: no f_i has a larger curvature."""
    mu: Positive
    """No f_i has a smaller curvature."""
    rate: Positive | None = None  # type: ignore[assignment]
    """Exchanges that a worker takes part in per gradient of its own; unless given the least of the theorem, with which
    2 chi_1 chi_2 = 1: 2 lambda_mix / n."""
    pairing: Literal["edge-clock"] = "edge-clock"
    """The theory's alone: every edge has its own Poisson clock."""
    gradient_clock: Literal["poisson"] = "poisson"
    """The theory's alone: gradients start at ticks of the worker's own Poisson clock, `gradients` of them expected."""
    flow: Literal["ticks", "wall"] = "ticks"
    """ticks: a worker takes the ticks of both its clocks in one order and flows from tick to tick, so that latency
    delays and changes nothing. wall: gradients run beside exchanges, and it flows by the times at which they end."""

    @field_validator("mu")
    @classmethod
    def _check_mu(cls, mu: float, info: ValidationInfo) -> float:
        if mu > info.data.get("smoothness", math.inf):
            raise ValueError(f"expected at most smoothness = {info.data['smoothness']:g}")
        return mu


def streams(worker: Worker) -> Mapping[str, Program]:
    """The programs of a worker."""
    if worker.settings.flow == "ticks":
        return ticks.streams(worker, step, exchange, flow)
    return pairing.streams(worker, step, exchange, flow)


def step(worker: Worker, gradient: Payload, time: float) -> None:
    """Flow, then let x, x~ and y~ jump by a gradient that was read when it started."""
    worker.model.change(flow, time)
    worker.model.apply(descend, gradient)


def exchange(worker: Worker, peer: int, index: int, time: float, due: float | None = None) -> Program:
    """Flow, send y + z, and let z and z~ jump by the difference."""
    model = worker.model
    model.change(flow, time)
    mine = model.payload(message, to="z", kind="average")
    theirs, time = yield Exchange(peer, mine, index, due)
    model.change(flow, time)
    if theirs is not None:  # the peer has not failed
        model.apply(average, mine, theirs)


def read_out(s: State, time: float) -> Array:
    """x, flowed up to then."""
    flow(s, time)
    return s.x


def constants(worker: Worker) -> Mapping[str, Any]:
    """All from mu, L and the graph's chi_1: rates of the flow in 1/gradient time, and steps."""
    nu, smoothness = worker.settings.mu / 2, worker.settings.smoothness
    s = math.sqrt(nu / smoothness)
    alpha, theta, eta = s / 4, 1 / (2 * s), s / 8  # alpha~ = eta~ = eta
    return {
        "nu": nu,
        "gamma": 1 / (4 * smoothness),
        "gamma_tilde": 1 / (4 * math.sqrt(smoothness * nu)),
        "delta": s / 4,
        "delta_tilde": 1.0,
        "beta": 0.5,
        "beta_tilde": 2 * chi_1(worker.graph) / s,
        "rates": np.array([  # of the flow: x, x~, y, y~, z, z~
            [-eta, eta, 0, 0, 0, 0],
            [eta, -eta, 0, 0, 0, 0],
            [0, 0, -alpha, alpha, 0, 0],
            [0, -theta * nu, -theta, 0, -theta, 0],
            [0, 0, 0, 0, -alpha, alpha],
            [0, 0, 0, 0, eta, -eta],
        ]),
        **ticks.own_time(worker),
    }  # fmt: skip


def flow(s: State, time: float) -> None:
    """The linear flow up to a time, exactly: one exponential of the matrix of its rates."""
    time = min(time, s.until)
    if time > s.time:
        moves = s.xp.asarray(expm((time - s.time) * s.rates), dtype=s.x.dtype, device=s.x.device)
        s.x, s.x_tilde, s.y, s.y_tilde, s.z, s.z_tilde = moves @ s.xp.stack(
            (s.x, s.x_tilde, s.y, s.y_tilde, s.z, s.z_tilde)
        )
        s.time = time


def descend(s: State, gradient: Array) -> None:
    """h = g - nu x - y~;  x -= gamma h, x~ -= gamma~ h, y~ += (delta + delta~) h, as they are now."""
    h = gradient - s.nu * s.x - s.y_tilde
    s.x, s.x_tilde = s.x - s.gamma * h, s.x_tilde - s.gamma_tilde * h
    s.y_tilde = s.y_tilde + (s.delta + s.delta_tilde) * h


def message(s: State) -> Array:
    """y + z, all that is sent."""
    return s.y + s.z


def average(s: State, mine: Array, theirs: Array) -> None:
    """m = mine - theirs, the values that were sent;  z -= beta m, z~ -= beta~ m, as they are now."""
    m = mine - theirs
    s.z, s.z_tilde = s.z - s.beta * m, s.z_tilde - s.beta_tilde * m


def summary(run: Any) -> Mapping[str, Any]:
    """Whether the exchanges are as many as the theorem asks for; nothing in a timing-only run, which has no numbers."""
    rate = run.scenario.schedule.rate
    if rate is None or not run.scenario.is_numeric:
        return {}
    least = sufficient_rate(run.scenario.graph)
    if rate >= least * (1 - 1e-9):
        return {}
    told = f"schedule.rate = {rate:g} is below {least:g}, the least of DADAO's theorem on this graph: it may diverge"
    return {"warning": told}
