"""The backward pass in two does no product of matrices twice."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile

from executor.stages.split_backward import input_pass


def test_two_passes_multiply_as_often_as_one() -> None:
    """Of six layers: six products for the inputs, six for the weights. Two passes from the outputs on make 17."""
    module = nn.Sequential(*(layer for _ in range(6) for layer in (nn.Linear(8, 8), nn.Tanh())))
    weights, given = list(module.parameters()), torch.randn(4, 8)

    def products(run: Callable[[torch.Tensor, torch.Tensor], object]) -> int:
        inputs = torch.randn(4, 8, requires_grad=True)
        outputs = module(inputs)
        with profile(activities=[ProfilerActivity.CPU]) as profiled:
            run(inputs, outputs)
        return sum(each.name == "aten::mm" for each in profiled.events())

    def plainly(inputs: torch.Tensor, outputs: torch.Tensor) -> None:
        torch.autograd.grad([outputs], [inputs], [given], retain_graph=True)
        torch.autograd.grad([outputs], weights, [given])

    assert products(lambda inputs, outputs: torch.autograd.grad([outputs], [inputs, *weights], [given])) == 12
    assert products(lambda inputs, outputs: input_pass([outputs], [given], [inputs], weights)) == 6
    assert products(lambda inputs, outputs: input_pass([outputs], [given], [inputs], weights)[1].gradients()) == 12
    assert products(plainly) == 17
