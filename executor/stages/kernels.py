"""What a rank computes for each step of a pipeline, by the kernels' names.

| kernel | inputs | array | kept |
|---|---|---|---|
| `forward` | the message from the stage before, none of the first | that to the next stage | the graph (see below) |
| `reconstruct` | "inputs": what `forward` had got; "nothing": its answer, and the next stage's message | | the graph |
| `backward` | the graph's answer; the next stage's message, none of the last | to the stage before | the gradient |
| `backward-input` | as `backward` | the same | what is left to do |
| `backward-weight` | the answer of `backward-input` | | the gradient |

The gradient is that of the stage's parameters: [num_params]. What a forward pass keeps is the schedule's to say:

* "graph": the graph.
* "inputs": nothing itself; what had arrived the program keeps, and `reconstruct` makes the graph of it anew, at the
  parameters of that moment.
* "queue": likewise, but at the last stage, whose backward pass follows at once: there the graph.
* "nothing": nothing of a stage that has an inverse; of any other what had arrived; of the last, whose backward pass
  follows at once, the graph. The messages backward have a stage's outputs and the gradients for these, one behind the
  other. Buffers, such as the statistics of batch norms, follow `reconstruct` (at the last stage `forward`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import torch

from executor.stages.split_backward import WeightPass
from executor.stages.stage import Graph, Stage
from schedules.errors import MisuseError
from schedules.misuse.values import short
from schedules.operations import Payload
from schedules.training.kernels import Computed, Kernel, Kernels

Keeps = Literal["graph", "inputs", "queue", "nothing"]
"""What the forward pass of a micro-batch keeps for its backward pass."""

KEEPS: tuple[Keeps, ...] = ("graph", "inputs", "queue", "nothing")

Inputs = tuple[Payload, ...]


class Queued(NamedTuple):
    """What a stage without an inverse keeps under "nothing": what had arrived; of the first stage none."""

    stage: int
    message: torch.Tensor | None


class StageKernels:
    """The kernels of the stages that a rank holds.

    Args:
        stages: by the number that operations have.
        keeps: see above.
    """

    def __init__(self, stages: Mapping[int, Stage], keeps: Keeps = "graph") -> None:
        self._stages, self._keeps = stages, keeps

    def rows(self, activations: int = 0) -> Kernels:
        """The kernels by name.

        Args:
            activations: bytes that those of one micro-batch take, for the account of memory.
        """
        rows = (
            Kernel("forward", self._forward, kind="gradient", is_staged=True),
            Kernel("reconstruct", self._reconstruct, size=0, is_staged=True),
            Kernel("backward", self._backward, activations=activations, is_staged=True),
            Kernel("backward-input", self._backward_input, activations=activations, is_staged=True),
            Kernel("backward-weight", self._backward_weight, size=0, is_staged=True),
            Kernel("optimizer", _nothing, size=0, is_staged=True),
        )
        return {each.name: each for each in rows}

    def _forward(self, x: torch.Tensor, data: tuple[int, int], inputs: Inputs, number: int) -> Computed:
        stage, k = self._stages[number], data[1]
        arrived = _array(inputs, 0)
        if self._keeps == "graph" or (self._keeps in ("queue", "nothing") and stage.after is None):
            graph = stage.graph(x, k, arrived)
            return stage.message(graph), graph
        found = stage.forward(x, k, arrived, updates=self._keeps != "nothing")
        is_queued = self._keeps == "nothing" and not stage.is_reversible
        return stage.message(found), Queued(number, arrived) if is_queued else None

    def _reconstruct(self, x: torch.Tensor, data: tuple[int, int], inputs: Inputs, number: int) -> Computed:
        stage = self._stages[number]
        if self._keeps == "nothing" and stage.is_reversible:
            outputs, _ = _halves(_array(inputs, 1))
            arrived: torch.Tensor | None = stage.inverted(x, outputs)
        else:
            arrived = None if stage.before is None else _queued(inputs, number)
        return None, stage.graph(x, data[1], arrived, updates=self._keeps == "nothing")

    def _backward(self, _: torch.Tensor, __: tuple[int, int], inputs: Inputs, number: int) -> Computed:
        stage, graph = self._stages[number], _kept(inputs, Graph)
        message = self._message(graph, stage)
        found, gradient = stage.backward(graph, self._gradients(inputs))
        return message(found), gradient

    def _backward_input(self, _: torch.Tensor, __: tuple[int, int], inputs: Inputs, number: int) -> Computed:
        stage, graph = self._stages[number], _kept(inputs, Graph)
        message = self._message(graph, stage)
        found, rest = stage.backward_input(graph, self._gradients(inputs))
        return message(found), rest

    def _backward_weight(self, _: torch.Tensor, __: tuple[int, int], inputs: Inputs, number: int) -> Computed:
        return None, self._stages[number].backward_weight(_kept(inputs, WeightPass))

    def _gradients(self, inputs: Inputs) -> torch.Tensor | None:
        """Those for the outputs, in a message from the next stage."""
        arrived = _array(inputs, 1)
        return arrived if arrived is None or self._keeps != "nothing" else _halves(arrived)[1]

    def _message(self, graph: Graph, stage: Stage) -> Callable[[torch.Tensor | None], torch.Tensor | None]:
        """What makes the message to the stage before of the gradients for it; under "nothing" the inputs go first."""
        if self._keeps != "nothing" or stage.before is None:
            return lambda found: found
        own = stage.before.pack(list(graph.inputs))
        return lambda found: found if found is None else torch.cat((own, found))


def _nothing(_: torch.Tensor, __: tuple[int, int], ___: Inputs, ____: int) -> Computed:
    """An optimizer's step is a rule, between two operations: the kernel of that name only takes its time."""
    return None


def _halves(message: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
    if message is None:
        raise MisuseError("expected the outputs and the gradients for them as an input, found no array")
    middle = len(message) // 2
    return message[:middle], message[middle:]


def _array(inputs: Inputs, position: int) -> torch.Tensor | None:
    """The array of an input, where there is one."""
    if inputs is None or len(inputs) <= position or inputs[position] is None:
        return None
    array: torch.Tensor | None = inputs[position].array
    return array


def _queued(inputs: Inputs, number: int) -> torch.Tensor | None:
    """The message from which a stage is computed again."""
    kept = getattr(inputs[0], "kept", None) if inputs else None
    return kept.message if isinstance(kept, Queued) and kept.stage == number else _array(inputs, 0)


def _kept(inputs: Inputs, kind: type[Any]) -> Any:
    """What an earlier kernel of the stage has kept.

    Raises:
        MisuseError: if the first input is no answer of such a kernel.
    """
    kept = getattr(inputs[0], "kept", None) if inputs else None
    if not isinstance(kept, kind):
        raise MisuseError(f"expected as first input an answer that keeps a {kind.__name__}, found {short(inputs)}")
    return kept
