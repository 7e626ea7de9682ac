"""A module as a function of one flat vector of its parameters, which several engines may call at once."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch.func import functional_call

from executor.stages.boundaries import Value

_DRAWING = threading.Lock()
"""Held while a stage draws random numbers: torch has one generator for all threads."""


class VectorModule:
    """A module as a function of one flat vector of its parameters.

    Args:
        like: a tensor of the dtype and on the device of its parameters.
        seed: of what it draws: a number for itself; None: it draws nothing.
    """

    def __init__(self, module: torch.nn.Module, like: torch.Tensor, seed: tuple[int, int] | None = None) -> None:
        self.module, self._like, self._seed = module, like, seed
        parameters = dict(module.named_parameters())
        self._names = [f"module.{name}" for name in parameters]
        self._shapes = [each.shape for each in parameters.values()]
        self._sizes = [each.numel() for each in parameters.values()]
        self._called: dict[int, _Called] = {}
        self._lock = threading.Lock()

    def initial(self) -> torch.Tensor:
        """The parameters as the module has them: a new vector, [num_params]."""
        return torch.cat([self._like, *(each.detach().reshape(-1) for each in self.module.parameters())])

    def parts(self, x: torch.Tensor) -> list[torch.Tensor]:
        """The parameters as views of x, each a leaf."""
        parts = zip(torch.split(x.detach(), self._sizes), self._shapes, strict=True)
        return [part.view(shape).detach() for part, shape in parts]

    def flat(self, gradients: Sequence[torch.Tensor | None], weights: Sequence[torch.Tensor]) -> torch.Tensor:
        """One vector of gradients for the parts, zeros for those that are None: [num_params]."""
        pairs = zip(gradients, weights, strict=True)
        parts = [(torch.zeros_like(weight) if found is None else found).reshape(-1) for found, weight in pairs]
        return torch.cat(parts) if parts else self._like.new_empty(0)

    def call(
        self, weights: Sequence[torch.Tensor], value: Value, *, updates: bool = False, inverse: bool = False
    ) -> Value:
        """What the module, or its inverse, makes of a value.

        Args:
            weights: its parts.
            updates: whether its buffers, such as the statistics of batch norms, follow; else they stay as they are.
        """
        called = self._called.get(threading.get_ident()) or self._own()
        given = dict(zip(self._names, weights, strict=True))
        if not updates:  # what the call changes are copies
            given |= {name: each.clone() for name, each in called.named_buffers()}
        return functional_call(called, given, (value, inverse))

    @contextmanager
    def drawing(self, k: int) -> Iterator[None]:
        """Draw what is a function of the seed and the micro-batch: the same when it is computed again."""
        if self._seed is None:
            yield
            return
        device = self._like.device
        with _DRAWING, torch.random.fork_rng([device] if device.type == "cuda" else []):
            torch.manual_seed(hash((*self._seed, k)) % 2**63)
            yield

    def _own(self) -> _Called:
        """The module of this thread: a call puts the parameters into it while it runs, so two engines need two."""
        with self._lock:
            own = _sharing(self.module) if self._called else self.module
            return self._called.setdefault(threading.get_ident(), _Called(own))


class _Called(torch.nn.Module):
    """A module, or its inverse, as one that `functional_call` can call."""

    def __init__(self, module: torch.nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, value: Value, inverse: bool) -> Value:
        called: Callable[[Value], Value] = self.module.inverse if inverse else self.module  # type: ignore[assignment]
        return called(value)


def _sharing(module: torch.nn.Module) -> torch.nn.Module:
    """A copy of a module that has the same tensors."""
    return copy.deepcopy(module, {id(each): each for each in (*module.parameters(), *module.buffers())})
