"""One stage of the user's model, as a function of one flat vector of its parameters.

What a stage computes holds nothing but its module: it is told the parameters, the number of the micro-batch, and what
has arrived. A graph keeps the parameters that it was made with: so the backward pass of a micro-batch is taken at
those of its forward pass, whatever has been applied since, until the graph goes with it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch

from executor.running.modules import moved
from executor.stages.boundaries import Boundary
from executor.stages.split_backward import WeightPass, input_pass
from executor.stages.vector_module import VectorModule
from schedules.errors import ProgramError


class TwoEnds(Protocol):
    """The two ends of a pipeline, as the user's object has them."""

    def batch(self, step: int) -> tuple[Any, Any]:
        """Inputs and targets of a micro-batch."""

    def loss(self, outputs: Any, targets: Any) -> torch.Tensor:
        """The loss to be differentiated: a scalar."""


@dataclass
class Graph:
    """What the forward pass of a micro-batch leaves for its backward pass.

    Attributes:
        inputs: what has arrived; those of the first stage are not among them.
        outputs: what goes on; of the last stage its loss.
        weights: the parameters, leaves of the graph.
    """

    inputs: Sequence[torch.Tensor]
    outputs: Sequence[torch.Tensor]
    weights: Sequence[torch.Tensor]
    is_used: bool = field(default=False, init=False)

    def used(self) -> Graph:
        """The graph, to go through it once.

        Raises:
            ProgramError: if somebody has.
        """
        if self.is_used:
            raise ProgramError("expected a graph to be gone through once, found a second backward pass")
        self.is_used = True
        return self

    def drop(self) -> None:
        """Keep nothing of it, whoever still holds it."""
        self.inputs, self.outputs, self.weights = (), (), ()


class Stage:
    """One stage.

    Args:
        number: of the model's.
        module: what it computes.
        ends: batches and the loss.
        before, after: its boundaries; None: it is the first, the last.
        like: a tensor of the dtype and on the device of its parameters.
        entry: what the first stage takes of a batch, as far as its inverse gives it.
        seed: of what it draws; None: it draws nothing.
        is_in_place: whether it writes to what it takes.
    """

    def __init__(
        self,
        number: int,
        module: torch.nn.Module,
        ends: TwoEnds,
        *,
        before: Boundary | None,
        after: Boundary | None,
        like: torch.Tensor,
        entry: Boundary | None = None,
        seed: int | None = None,
        is_in_place: bool = False,
    ) -> None:
        self.number, self.module, self.before, self.after = number, module, before, after
        self.device, self._ends, self._is_in_place = like.device, ends, is_in_place
        self._entry = before if entry is None else entry
        self._vector = VectorModule(module, like, None if seed is None else (seed, number))

    @property
    def initial(self) -> torch.Tensor:
        """The parameters as the module has them: a new vector, [num_params]."""
        return self._vector.initial()

    @property
    def is_reversible(self) -> bool:
        """Whether it has an inverse."""
        return callable(getattr(self.module, "inverse", None))

    # ------------------------------------------------------------------ passes

    def graph(self, x: torch.Tensor, k: int, arrived: torch.Tensor | None, *, updates: bool = True) -> Graph:
        """The forward pass of micro-batch k, with its graph.

        Args:
            x: its parameters, [num_params].
            arrived: the message from the stage before it; none at the first, which takes its batch.
            updates: whether the module's buffers, such as the statistics of batch norms, follow.
        """
        weights = [each.requires_grad_() for each in self._vector.parts(x)]
        needs_gradient = self.before is not None
        leaves = [each.requires_grad_(needs_gradient and each.is_floating_point()) for each in self._inputs(arrived)]
        with torch.enable_grad():
            outputs = self._outputs(weights, k, leaves, updates=updates)
        return Graph(leaves, outputs, weights)

    def forward(self, x: torch.Tensor, k: int, arrived: torch.Tensor | None, *, updates: bool = True) -> Graph:
        """The forward pass without a graph."""
        inputs = self._inputs(arrived)
        with torch.no_grad():
            outputs = self._outputs(self._vector.parts(x), k, inputs, updates=updates)
        return Graph(inputs, outputs, ())

    def message(self, graph: Graph) -> torch.Tensor | None:
        """What goes to the next stage; nothing of the last."""
        return None if self.after is None else self.after.pack(graph.outputs)

    def inverted(self, x: torch.Tensor, outputs: torch.Tensor) -> torch.Tensor:
        """What its inverse makes of a message that it has sent: the message that it had got. No buffer changes."""
        assert self._entry is not None
        assert self.after is not None
        with torch.no_grad():
            found = self._vector.call(self._vector.parts(x), self.after.value(self.after.unpack(outputs)), inverse=True)
        with self._told("its inverse"):
            return self._entry.pack(self._entry.check(found))

    def backward(self, graph: Graph, arrived: torch.Tensor | None) -> tuple[torch.Tensor | None, torch.Tensor]:
        """The whole backward pass: the message to the stage before it, and the gradient of its parameters.

        Args:
            arrived: the gradients for what went to the next stage; None: of the loss, 1.
        """
        outputs, gradients = self._started(graph.used(), arrived)
        inputs = [each for each in graph.inputs if each.requires_grad]
        leaves = [*inputs, *graph.weights]
        found: Sequence[torch.Tensor | None] = [None] * len(leaves)
        if outputs and leaves:
            found = torch.autograd.grad(outputs, leaves, gradients, allow_unused=True)
        answer = self._for_inputs(graph, found[: len(inputs)]), self._vector.flat(found[len(inputs) :], graph.weights)
        graph.drop()
        return answer

    def backward_input(self, graph: Graph, arrived: torch.Tensor | None) -> tuple[torch.Tensor | None, WeightPass]:
        """The backward pass for what had arrived, and what is left to do for the parameters."""
        outputs, gradients = self._started(graph.used(), arrived)
        inputs = [each for each in graph.inputs if each.requires_grad]
        found, rest = input_pass(outputs, gradients, inputs, graph.weights)
        answer = self._for_inputs(graph, found), rest
        graph.drop()
        return answer

    def backward_weight(self, rest: WeightPass) -> torch.Tensor:
        """The gradient of its parameters, after `backward_input`: [num_params]."""
        weights = rest.weights
        return self._vector.flat(rest.gradients(), weights)

    # ------------------------------------------------------------------ parts of these

    def _outputs(
        self, weights: Sequence[torch.Tensor], k: int, inputs: Sequence[torch.Tensor], *, updates: bool
    ) -> list[torch.Tensor]:
        """What goes on, or the loss."""
        is_first, is_last = self.before is None, self.after is None
        batch = moved(self._ends.batch(k), self.device) if is_first or is_last else (None, None)
        if self._is_in_place:  # what has arrived may be kept, and a leaf of the graph cannot be written to
            inputs = [each.clone() for each in inputs]
        value = self._entry.value(inputs) if inputs and self._entry is not None else batch[0]
        with self._vector.drawing(k):
            outputs = self._vector.call(weights, value, updates=updates)
            if is_last:
                return [self._ends.loss(outputs, batch[1])]
        assert self.after is not None
        with self._told(f"micro-batch {k}"):
            return self.after.check(outputs)

    def _inputs(self, arrived: torch.Tensor | None) -> list[torch.Tensor]:
        """The tensors of a message; none of none."""
        if arrived is None or self._entry is None:
            return []
        return [each.detach() for each in self._entry.unpack(arrived)]

    def _started(
        self, graph: Graph, arrived: torch.Tensor | None
    ) -> tuple[list[torch.Tensor], list[torch.Tensor] | None]:
        """Where a backward pass begins, with what."""
        if self.after is None:
            return [each for each in graph.outputs if each.requires_grad], None
        assert arrived is not None
        given = zip(graph.outputs, self.after.unpack(arrived), strict=True)
        pairs = [(output, gradient) for output, gradient in given if output.requires_grad]
        return [output for output, _ in pairs], [gradient for _, gradient in pairs]

    def _for_inputs(self, graph: Graph, found: Sequence[torch.Tensor | None]) -> torch.Tensor | None:
        """The message to the stage before: as long as the one from it, with zeros where there is no gradient."""
        if self.before is None:
            return None
        gradients = iter(found)
        filled = [(next(gradients) if each.requires_grad else None, each) for each in graph.inputs]
        return self.before.pack([torch.zeros_like(each) if found is None else found for found, each in filled])

    @contextmanager
    def _told(self, where: str) -> Iterator[None]:
        try:
            yield
        except ProgramError as error:
            raise ProgramError(f"stage {self.number}, {where}: {error}") from None
