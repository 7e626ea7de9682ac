"""The backward pass in two: first the gradient for the inputs, later that for the weights, at little more than the
cost of one pass.

Of the graph of a stage, the trunk is what lies on the ways from its outputs to its inputs; the weights hang on it by
twigs. The first pass goes down the trunk and keeps what arrives where a twig begins. The second begins there, and runs
each such operation for its twigs alone: so nothing of the trunk is computed twice. (Two passes for inputs and for
weights, each from the outputs on, go down the trunk twice.)

A weight that is used at several places of the trunk is reached from all of them, and from one of them through the
others, too. Its places are then run together, and at each is put in force what had arrived there: the whole gradient.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.autograd.graph import GradientEdge, Node, get_gradient_edge

Gradients = list[torch.Tensor | None]


@dataclass
class Twigs:
    """Weights, and the operations on the trunk that they hang on.

    Attributes:
        mask: which weights, a bit for each.
        arrived: the gradients that have arrived at these operations, by operation and number of its output.
    """

    mask: int
    arrived: dict[Node, dict[int, torch.Tensor]] = field(default_factory=dict)


@dataclass
class WeightPass:
    """What the second pass needs: it holds the graph until then.

    Attributes:
        outputs: of the stage, which keep the graph.
        weights: the leaves of the graph.
    """

    outputs: Sequence[torch.Tensor]
    weights: Sequence[torch.Tensor]
    twigs: list[Twigs]

    def gradients(self) -> Gradients:
        """Gradients of the weights, None where there are none. To be asked for once: the graph goes with it."""
        found: Gradients = [None] * len(self.weights)
        # Those with several operations run through the trunk between them, which may be other twigs' own: first.
        for each in sorted(self.twigs, key=lambda twigs: len(twigs.arrived) == 1):
            numbers = [number for number in range(len(self.weights)) if each.mask >> number & 1]
            for number, gradient in zip(numbers, _run(each, [self.weights[n] for n in numbers]), strict=True):
                found[number] = gradient
        self.twigs, self.outputs = [], []
        return found


def input_pass(
    outputs: Sequence[torch.Tensor],
    gradients: Sequence[torch.Tensor] | None,
    inputs: Sequence[torch.Tensor],
    weights: Sequence[torch.Tensor],
) -> tuple[Gradients, WeightPass]:
    """The gradients for the inputs, and what is left to do for those of the weights.

    Args:
        outputs: that need a gradient.
        gradients: for them; None: of a loss, 1.
        inputs, weights: leaves of the graph. Without inputs the trunk is what several weights are reached by.
    """
    graph = _Graph(outputs, inputs, weights)
    wanted = [GradientEdge(node, number) for node in graph.joints for number in sorted(graph.reached[node])]
    if not inputs and not wanted:
        return [], WeightPass(outputs, weights, [])
    given = None if gradients is None else list(gradients)
    asked: Any = [*inputs, *wanted]  # tensors and edges, which torch takes together; its types do not say so
    found = torch.autograd.grad(outputs, asked, given, retain_graph=True, allow_unused=True)
    arrived: dict[Node, dict[int, torch.Tensor]] = defaultdict(dict)
    for edge, gradient in zip(wanted, found[len(inputs) :], strict=True):
        if gradient is not None:
            arrived[edge.node][edge.output_nr] = gradient
    return list(found[: len(inputs)]), WeightPass(outputs, weights, _grouped(graph.joints, arrived))


class _Graph:
    """Which weights hang on which operations.

    Attributes:
        reached: of each operation the numbers of its outputs by which it is reached.
        joints: the operations where twigs begin, and which weights are on these, a bit for each.
    """

    def __init__(
        self, outputs: Sequence[torch.Tensor], inputs: Sequence[torch.Tensor], weights: Sequence[torch.Tensor]
    ) -> None:
        self.reached: dict[Node, set[int]] = defaultdict(set)
        self._leaves = {get_gradient_edge(each).node: 1 << number for number, each in enumerate(weights)}
        self._input_bit = 1 << len(weights) if inputs else 0
        self._leaves |= {get_gradient_edge(each).node: self._input_bit for each in inputs}
        self._masks: dict[Node, int] = {}
        roots = [get_gradient_edge(each) for each in outputs]
        for root in roots:
            self.reached[root.node].add(root.output_nr)
            self._visit(root.node)
        self.joints: dict[Node, int] = {}
        for node in self._masks:
            self._join(node)
        for root in roots:  # an output that hangs on weights alone
            if not self._is_trunk(root.node) and self._masks[root.node]:
                self.joints[root.node] = self._masks[root.node]

    def _visit(self, root: Node) -> None:
        """Find what is reached from each operation below: those below one are found before it."""
        stack = [(root, False)]
        while stack:
            node, is_below_known = stack.pop()
            if node in self._masks:
                continue
            if node in self._leaves:
                self._masks[node] = self._leaves[node]
                continue
            below = [(each, number) for each, number in node.next_functions if each is not None]
            if is_below_known:
                mask = 0
                for each, number in below:
                    mask |= self._masks[each]
                    self.reached[each].add(number)
                self._masks[node] = mask
            else:
                stack.append((node, True))
                stack.extend((each, False) for each, _ in below)

    def _is_trunk(self, node: Node) -> bool:
        mask = self._masks[node]
        if self._input_bit:
            return bool(mask & self._input_bit)
        return bool(mask & (mask - 1))  # more than one bit

    def _join(self, node: Node) -> None:
        """Enter an operation of the trunk on which weights hang."""
        if not self._is_trunk(node) or node in self._leaves:
            return
        mask = 0
        for each, _ in node.next_functions:
            if each is not None and not self._is_trunk(each):
                mask |= self._masks[each]
        if mask:
            self.joints[node] = mask


def _grouped(joints: dict[Node, int], arrived: dict[Node, dict[int, torch.Tensor]]) -> list[Twigs]:
    """The operations, those together that have a weight in common."""
    groups: list[Twigs] = []
    for node, gradients in arrived.items():
        made = Twigs(joints[node], {node: gradients})
        for other in [each for each in groups if each.mask & made.mask]:
            groups.remove(other)
            made = Twigs(made.mask | other.mask, other.arrived | made.arrived)
        groups.append(made)
    return groups


def _run(twigs: Twigs, weights: Sequence[torch.Tensor]) -> tuple[torch.Tensor | None, ...]:
    """The gradients of the weights of some twigs."""
    edges = [(GradientEdge(node, n), each) for node, found in twigs.arrived.items() for n, each in found.items()]
    roots, gradients = [edge for edge, _ in edges], [each for _, each in edges]
    hooks, is_wide = [], len(twigs.arrived) > 1
    if is_wide:
        hooks = [node.register_prehook(_Put(found)) for node, found in twigs.arrived.items()]
    try:
        return torch.autograd.grad(roots, weights, gradients, retain_graph=is_wide, allow_unused=True)
    finally:
        for each in hooks:
            each.remove()


class _Put:
    """Put in force, before an operation is run, what had arrived at it: more may come from those above it."""

    def __init__(self, arrived: dict[int, torch.Tensor]) -> None:
        self._arrived = arrived

    def __call__(self, gradients: tuple[torch.Tensor | None, ...]) -> tuple[torch.Tensor | None, ...]:
        return tuple(self._arrived.get(number, each) for number, each in enumerate(gradients))
