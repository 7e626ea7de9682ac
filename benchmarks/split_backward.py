"""What it costs to take a backward pass in two, for the inputs and for the weights, beside one pass.

python -m benchmarks.split_backward

Six times Linear(512) and Tanh, a batch of 256, as one stage in the middle of a pipeline. In one run, with the
repetitions interleaved: the whole pass (D), the two passes of `executor.stages.split_backward` (B, then W), and two
plain calls of `torch.autograd.grad` for inputs and for weights. Processor time of the thread, one thread of torch;
medians, and the middle half of the ratios of single repetitions.
"""

from __future__ import annotations

import json
import platform
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
from torch import nn

from executor.stages.split_backward import input_pass

LAYERS, WIDTH, BATCH, REPETITIONS = 6, 512, 256, 60
RESULT = Path(__file__).parent / "results" / "split_backward.json"

Pass = Callable[[torch.Tensor, torch.Tensor, Sequence[torch.Tensor], torch.Tensor], object]
"""(inputs, outputs, weights, gradient for the outputs)."""


def whole(inputs: torch.Tensor, outputs: torch.Tensor, weights: Sequence[torch.Tensor], given: torch.Tensor) -> None:
    torch.autograd.grad([outputs], [inputs, *weights], [given])


def in_two(inputs: torch.Tensor, outputs: torch.Tensor, weights: Sequence[torch.Tensor], given: torch.Tensor) -> None:
    _, rest = input_pass([outputs], [given], [inputs], weights)
    rest.gradients()


def plainly(inputs: torch.Tensor, outputs: torch.Tensor, weights: Sequence[torch.Tensor], given: torch.Tensor) -> None:
    torch.autograd.grad([outputs], [inputs], [given], retain_graph=True)
    torch.autograd.grad([outputs], weights, [given])


PASSES: dict[str, Pass] = {"whole": whole, "in_two": in_two, "plainly": plainly}


def measure(repetitions: int = REPETITIONS) -> dict[str, list[float]]:
    """Seconds of every repetition, by pass."""
    torch.manual_seed(0)
    module = nn.Sequential(*(layer for _ in range(LAYERS) for layer in (nn.Linear(WIDTH, WIDTH), nn.Tanh())))
    weights, given = list(module.parameters()), torch.randn(BATCH, WIDTH)
    taken: dict[str, list[float]] = {name: [] for name in PASSES}
    for _ in range(repetitions + 1):
        for name, run in PASSES.items():
            inputs = torch.randn(BATCH, WIDTH, requires_grad=True)
            outputs = module(inputs)
            begin = time.thread_time()
            run(inputs, outputs, weights, given)
            taken[name].append(time.thread_time() - begin)
    return {name: seconds[1:] for name, seconds in taken.items()}  # the first warms up


def main() -> None:
    torch.set_num_threads(1)
    taken = {name: np.array(seconds) for name, seconds in measure().items()}
    told: dict[str, object] = {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{platform.machine()}, {platform.system()}",
        "torch": torch.__version__,
        "stage": f"{LAYERS} x (Linear({WIDTH}), Tanh), batch {BATCH}, {REPETITIONS} repetitions, one thread",
        "whole_s": float(np.median(taken["whole"])),
    }
    for name in ("in_two", "plainly"):
        ratios = np.quantile(taken[name] / taken["whole"], [0.25, 0.75])
        told[name] = float(np.median(taken[name]) / np.median(taken["whole"]))
        told[f"{name}_middle_half"] = ratios.tolist()
        print(f"{name}: {told[name]:.3f} of the whole pass ({ratios[0]:.3f} to {ratios[1]:.3f})")
    if "--keep" in sys.argv:
        RESULT.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
