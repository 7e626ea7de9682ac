"""Streaming DiLoCo: an outer step of a fragment at a time, while the next steps are made.

After step t, of a fragment p of P with offset t_p = floor((p+1) H / P):

  (t - t_p) mod H = 0:        Delta_p = theta_p - x_p; its mean over the workers is begun
  (t - t_p - tau) mod H = 0:  m_p <- mu m_p + Delta_p;  theta_p <- theta_p - nu (Delta_p + mu m_p)
                              x_p <- alpha x_p + (1 - alpha) theta_p

The timetable follows from the settings: no message says whose turn it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from schedules import (
    Array,
    Compute,
    Count,
    Field,
    NonNegative,
    Number,
    Program,
    State,
    Table,
    ValidationInfo,
    Worker,
    descend,
    field_validator,
    part,
)
from schedules.programs import layered
from schedules.programs.averaging import NONE, Begun, Codec, arrived, begin, numbers
from schedules.programs.layered import Sending, joined
from schedules.programs.local import outer
from schedules.programs.local.outer import nesterov
from schedules.training.parts import layer

SOURCE = "Douillard et al. 2025, Streaming DiLoCo (arXiv:2501.18512), algorithm 2"
OURS = "the offsets floor((p+1) H / P), as torchft has them"
STALENESS = "no outer versions, of each fragment, but `overlap` steps"
IN_STEP, LAYERED, LENGTH = True, True, "steps"

STATE, read_out = outer.STATE, outer.read_out


class Settings(Table):
    """The keys of [schedule]."""

    steps: Count
    """Of every worker."""
    local_steps: Count
    """From one outer step of a fragment to its next: H."""
    fragments: Count = 1
    """P: as many parts has the model, of whole layers (workload.layers)."""
    pattern: Literal["strided", "sequential"] = "strided"
    """Which layers a fragment has: every P-th, or such that follow one another."""
    overlap: Annotated[int, Field(ge=0)] = 0
    """tau: steps that are made while a fragment's mean is on its way."""
    mixing: Annotated[Number, Field(ge=0, le=1)] = 0.0
    """alpha: how much of a worker's own fragment stays."""
    outer_learning_rate: NonNegative = 0.7
    """nu."""
    outer_momentum: Annotated[Number, Field(ge=0, lt=1)] = 0.9
    """mu, of Nesterov's kind."""
    codec: Codec = NONE
    """How what is sent is encoded."""

    @field_validator("overlap")
    @classmethod
    def _check_over(cls, overlap: int, info: ValidationInfo) -> int:
        if overlap >= info.data.get("local_steps", overlap + 1):
            raise ValueError(f"expected less than schedule.local_steps = {info.data['local_steps']}, found {overlap}")
        return overlap


def length(settings: Any, rank: int) -> int:
    """Steps of a worker."""
    return int(settings.steps)


def streams(worker: Worker) -> Mapping[str, Program]:
    """The programs of a worker."""
    return {"compute": steps(worker) if worker.layers is None else layered_steps(worker)}


def steps(worker: Worker) -> Program:
    """The algorithm of a worker."""
    model, settings = worker.model, worker.settings
    period, pieces = settings.local_steps, fragments(model.size, settings.fragments, settings)
    offsets, rates = offsets_of(settings), rates_of(settings)
    reducing: dict[int, Begun] = {}
    for t in range(1, settings.steps + 1):
        gradient, _ = yield Compute("gradient")
        model.apply(descend, gradient)
        for p, offset in enumerate(offsets):
            if (t - offset) % period == 0:
                size = sum(each.stop - each.start for each in pieces[p])
                delta = model.payload(change, pieces[p], size=size, to=f"fragment-{p}")
                reducing[p] = yield from begin(worker, delta, tag=p, pieces=pieces[p])
        for p, offset in enumerate(offsets):
            if (t - offset - settings.overlap) % period == 0 and p in reducing:
                (mean,) = yield from arrived(worker, [reducing.pop(p)])
                model.apply(outer_step, mean, pieces[p], *rates)
    for p, begun in reducing.items():  # what is on its way after the last step
        (mean,) = yield from arrived(worker, [begun])
        model.apply(outer_step, mean, pieces[p], *rates)


def layered_steps(worker: Worker) -> Program:
    """The same of a model in layers: a layer's share goes when its backward pass is done, and a fragment has its outer
    step before the forward pass of its first layer, when those after it have come, too."""
    model, settings = worker.model, worker.settings
    period, layers = settings.local_steps, members(worker.layers or 1, settings)
    pieces = fragments(model.size, worker.layers or 1, settings)
    offsets, rates = offsets_of(settings), rates_of(settings)
    due: dict[int, int] = {}  # by the first layer of each, the fragments that are waited for

    def to(layer: int) -> str | None:
        p = next(p for p, each in enumerate(layers) if layer in each)
        return f"fragment-{p}" if (t - offsets[p]) % period == 0 else None

    def wait(layer: int) -> Program:
        if layer in due:
            p = due.pop(layer)
            mean = yield from joined(worker, sending.begun.pop(f"fragment-{p}"))
            model.apply(outer_step, mean, pieces[p], *rates)

    sending = Sending(worker, to)
    for t in range(1, settings.steps + 1):
        is_begun = any((t - offset) % period == 0 for offset in offsets)
        yield from layered.step(worker, wait if due else None, sending if is_begun else None)
        for p, offset in enumerate(offsets):
            if (t - offset - settings.overlap) % period == 0 and f"fragment-{p}" in sending.begun:
                due[layers[p][0]] = p
    for target, begun in sending.begun.items():  # what is on its way after the last step
        mean = yield from joined(worker, begun)
        model.apply(outer_step, mean, pieces[int(target.partition("-")[2])], *rates)


def offsets_of(settings: Any) -> list[int]:
    """t_p of each fragment."""
    return [(p + 1) * settings.local_steps // settings.fragments for p in range(settings.fragments)]


def rates_of(settings: Any) -> tuple[float, float, float]:
    """nu, mu, alpha."""
    return settings.outer_learning_rate, settings.outer_momentum, settings.mixing


def members(num_layers: int, settings: Any) -> list[range]:
    """The layers of each fragment, ascending."""
    number = settings.fragments
    if settings.pattern == "strided":
        return [range(p, num_layers, number) for p in range(number)]
    cuts = (part(num_layers, p, number) for p in range(number))
    return [range(cut.start, cut.stop) for cut in cuts]


def fragments(size: int, num_layers: int, settings: Any) -> list[list[slice]]:
    """The bytes of each fragment, of a model of `size` bytes whose layers are of one size."""
    return [[layer(size, number, num_layers) for number in each] for each in members(num_layers, settings)]


def change(s: State, pieces: Sequence[slice]) -> Array:
    """Delta: what the worker's own steps have changed in a fragment, as a gradient."""
    return s.xp.concat([s.theta[each] - s.x[each] for each in numbers(s, pieces)])


def outer_step(s: State, delta: Array, pieces: Sequence[slice], rate: float, mu: float, alpha: float) -> None:
    """The outer step of a fragment, and what a worker goes on from."""
    x, theta, momentum, begin = s.x + 0, s.theta + 0, s.momentum + 0, 0  # new vectors, which may be written to
    for each in numbers(s, pieces):
        end = begin + each.stop - each.start
        theta[each], momentum[each] = nesterov(theta[each], momentum[each], delta[begin:end], rate, mu)
        x[each] = alpha * x[each] + (1 - alpha) * theta[each]
        begin = end
    s.x, s.theta, s.momentum = x, theta, momentum
