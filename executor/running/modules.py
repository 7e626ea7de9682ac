"""The user's own `torch.nn.Module` as a workload: `workload.module = "package.module:factory"`.

`factory(rank, num_workers, seed)` returns an object like `Training`. The module's parameters become one flat vector,
which the schedules exchange and average; the gradient is taken at the vector that was read when the `Compute` was
issued, whatever has been applied to the module's parameters since. `examples/user_module.py` is an example.
"""

from __future__ import annotations

import importlib
import inspect
import threading
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import torch
from torch.func import functional_call

from schedules.errors import ProgramError
from schedules.scenario import Scenario, ScenarioError
from schedules.training.vectors import tensors


class Training(Protocol):
    """What the user's factory returns.

    `num_batches` may be there, too: how many batches of this rank are one pass over its data.

    `evaluate(module) -> dict[str, float]` may be there, too: it is called once, after the run, with the final
    parameters.
    """

    module: torch.nn.Module
    """Its parameters must be the same on every rank: draw them from `seed` alone."""

    def batch(self, step: int) -> tuple[Any, Any]:
        """Inputs and targets of this rank's `step`-th gradient."""

    def loss(self, outputs: Any, targets: Any) -> torch.Tensor:
        """The loss to be differentiated: a scalar."""


class FlatModule:
    """A training as a function of one flat vector of parameters; stands where a problem of the numerics would.

    Args:
        training: the user's object.
        dtype, device: of parameters and gradients.
        rank: whose training it is; None: nobody's in particular.
    Attributes:
        tensors: where each lies in the flat vector, by its name in the module.
    """

    def __init__(
        self, training: Training, dtype: torch.dtype, device: torch.device, *, rank: int | None = None
    ) -> None:
        self._rank, self._lock = rank, threading.Lock()
        self._num_drawn = 1
        self.training = training
        self.module = training.module.to(device=device, dtype=dtype)
        self.device = device
        parameters = dict(self.module.named_parameters())
        self._names = list(parameters)
        self._shapes = [each.shape for each in parameters.values()]
        self._sizes = [each.numel() for each in parameters.values()]
        self.tensors = tensors({name: tuple(each.shape) for name, each in parameters.items()})
        if not parameters:
            raise ScenarioError("scenario: workload.module: expected a module with parameters, found none")
        # A copy: the module's own parameters are only where the final ones are put, for `evaluate`.
        self._initial = torch.cat([each.detach().reshape(-1) for each in parameters.values()])

    @property
    def num_params(self) -> int:
        """How many numbers the parameters are."""
        return sum(self._sizes)

    @property
    def num_batches(self) -> int:
        """Batches of one pass over the rank's data: see the function."""
        return num_batches(self.training, self._num_drawn)

    def initial(self, seed: int, rank: int = 0) -> torch.Tensor:
        """The parameters as the user's factory made them: [num_params]."""
        return self._initial

    def convert(self, x: torch.Tensor) -> torch.Tensor:
        """A copy of them."""
        return x.clone()

    def gradient(self, x: torch.Tensor, rank: int, step: int) -> torch.Tensor:
        """Gradient of the loss of one mini-batch at the parameters x: [num_params]. x is not written to."""
        if self._rank is not None and rank != self._rank:
            raise ProgramError(f"expected data of rank {self._rank}, whose own a module's batches are, found {rank}")
        leaf = x.detach().requires_grad_()  # the same memory, as a leaf to take the gradient at
        # One at a time: the call puts x into the one module that all engines' threads share, and its buffers change.
        with self._lock:
            self._num_drawn = max(self._num_drawn, step + 1)
            inputs, targets = self.batch(step)
            loss = self.training.loss(functional_call(self.module, self._parts(leaf), (inputs,)), targets)
            (gradient,) = torch.autograd.grad(loss, leaf)
        return gradient

    def batch(self, step: int) -> tuple[Any, Any]:
        """This rank's `step`-th batch, on the module's device."""
        inputs, targets = moved(self.training.batch(step), self.device)
        return inputs, targets

    def load(self, x: torch.Tensor) -> None:
        """Put the parameters x into the module."""
        with torch.no_grad():
            for name, part in self._parts(x).items():
                self.module.get_parameter(name).copy_(part)

    def evaluate(self, x: torch.Tensor) -> dict[str, float]:
        """What the user's object says of the parameters x, which are put into the module."""
        evaluate: Callable[[Any], Mapping[str, float]] | None = getattr(self.training, "evaluate", None)
        self.load(x)
        with torch.no_grad():
            return {} if evaluate is None else {name: float(value) for name, value in evaluate(self.module).items()}

    def _parts(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        """The parameters as views of x. One split, so that its derivative is one concatenation."""
        parts = zip(self._names, torch.split(x, self._sizes), self._shapes, strict=True)
        return {name: part.view(shape) for name, part, shape in parts}


def load_training(scenario: Scenario, rank: int) -> Training:
    """Call the user's factory.

    Raises:
        ScenarioError: if there is no such factory, or what it returns is no training.
    """
    training, place = load_factory(scenario, rank)
    missing = [each for each in ("module", "batch", "loss") if not hasattr(training, each)]
    if missing or not isinstance(training.module, torch.nn.Module):
        found = f"one without {', '.join(missing)}" if missing else f"a module of {type(training.module).__name__}"
        told = f"expected an object with module, batch and loss, found {found} ({place})"
        raise ScenarioError(f"scenario: workload.module = {scenario.workload.module!r}: {told}")
    found_training: Training = training
    return found_training


def load_factory(scenario: Scenario, rank: int) -> tuple[Any, str | None]:
    """What the user's factory returns, and the file that it is in.

    Raises:
        ScenarioError: if there is no such factory.
    """
    where, _, name = str(scenario.workload.module).partition(":")
    try:
        factory = getattr(importlib.import_module(where), name)
    except (ImportError, AttributeError) as error:
        told = f"expected an importable factory, found none ({error})"
        raise ScenarioError(f"scenario: workload.module = {scenario.workload.module!r}: {told}") from None
    training = factory(rank=rank, num_workers=scenario.topology.workers, seed=scenario.run.seed)
    return training, inspect.getsourcefile(factory)


def flat_module(scenario: Scenario, rank: int, device: torch.device) -> FlatModule:
    """The user's module, as a function of one flat vector."""
    return FlatModule(load_training(scenario, rank), getattr(torch, scenario.workload.dtype), device, rank=rank)


def num_batches(training: object, drawn: int) -> int:
    """Batches of one pass over the data: as the user's object says, else as many as were `drawn`.

    Raises:
        ScenarioError: if the object says what is no number of batches.
    """
    said = getattr(training, "num_batches", None)
    if said is None:
        return drawn
    if said.__class__ is not int or said < 1:
        told = f"expected num_batches, a whole number of at least 1, found {said!r}"
        raise ScenarioError(f"scenario: workload.module: {told}")
    return int(said)


def moved(value: Any, device: torch.device) -> Any:
    """A batch on a device: its tensors, in tuples and lists."""
    if isinstance(value, torch.Tensor):
        return value.to(device)
    if isinstance(value, tuple | list):
        return type(value)(moved(each, device) for each in value)
    return value
