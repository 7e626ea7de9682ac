"""Models with arrays, outside any run, and the events that may happen to them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from array_api_compat import array_namespace
from numpy.typing import NDArray

from schedules.operations import Payload
from schedules.payload import GRADIENT
from schedules.programs.gossip import a2cid2, pairwise
from schedules.record.ledger import Account
from schedules.training.model import Model
from schedules.training.optimizers import Optimizer, sgd
from schedules.training.state import State, descend
from schedules.training.vectors import COPY, Vectors

Vector = NDArray[np.float64]
Convert = Callable[[Any], Any]


def tensor(values: Any) -> torch.Tensor:
    """Like `numpy.array`: a list of floats is float64, and nobody else has the memory."""
    return torch.asarray(np.array(values))


ARRAYS = pytest.mark.parametrize("convert", [np.array, tensor], ids=["numpy", "torch"])


def model(
    x: Any,
    optimizer: Optimizer | None = None,
    *,
    vectors: Vectors | None = None,
    constants: Mapping[str, Any] | None = None,
    account: Account | None = None,
) -> Model:
    """A model of one worker with x and these vectors; its optimizer's learning rate is 1 unless one is given."""
    made = State(
        x, vectors or {}, constants=constants or {}, optimizer=optimizer or sgd(1.0), rank=0, num_workers=1,
        tensors={}, xp=array_namespace(x),
    )  # fmt: skip
    return Model(x.nbytes, account or Account(), state=made)


def accelerated(
    x: Any,
    optimizer: Optimizer | None = None,
    *,
    eta: float = 0.0,
    alpha_tilde: float = 0.5,
    x_tilde: Any = None,
    account: Account | None = None,
) -> Model:
    """A model of A²CiD²; `x_tilde` is x unless it is given."""
    constants = {"eta": eta, "alpha_tilde": alpha_tilde, "time": 0.0, "until": math.inf}
    found = model(x, optimizer, vectors={"x_tilde": COPY}, constants=constants, account=account)
    if x_tilde is not None:
        state(found).x_tilde = x_tilde
    return found


def state(of: Model) -> State:
    """What rules see of a model that has arrays."""
    assert of.state is not None
    return of.state


def gradient(values: Any, of: Model) -> Payload:
    """A gradient that was read now."""
    return Payload(of.size, values, of.version, of.steps, 0, GRADIENT)


def stacked(models: Sequence[Model]) -> Vector:
    """x of each: float64 [num_workers, num_params]."""
    return np.stack([np.asarray(state(each).x) for each in models])


def exchange(first: Model, second: Model, time: float = 0.0) -> None:
    """The specification's order: mix both, send the mixed values, jump by their difference."""
    mix(first, time)
    mix(second, time)
    one, two = first.outgoing(), second.outgoing()
    for each, mine, theirs in ((first, one, two), (second, two, one)):
        each.apply(a2cid2.average if "x_tilde" in state(each).vectors() else pairwise.average, mine, theirs)


def mix(of: Model, time: float) -> None:
    """Up to a time, where there is something to mix with."""
    if "x_tilde" in state(of).vectors():
        of.change(a2cid2.mix, time)


def step(of: Model, values: Any) -> None:
    """One gradient step, by the rule of the schedule that the model is of."""
    of.apply(a2cid2.descend if "x_tilde" in state(of).vectors() else descend, gradient(values, of))


def begin_at(of: Model, x: Vector) -> None:
    """Have a run begin at another x, of any length; all vectors are copies of it."""
    found = state(of)
    vectors = {name: x.copy() for name in found.vectors()}
    found.__dict__.update(vectors, _watched={name: (array, 0) for name, array in vectors.items()})
    of.size = x.nbytes
