"""What a first computation costs, before the start."""

import subprocess
import sys

import numpy as np
import torch

from executor.running.warmup import SLOW_IMPORT, warm_up
from schedules.training.problems import build_problem


class Counted:
    """A problem that counts its gradients."""

    def __init__(self):
        self.problem = build_problem("quadratic", num_workers=2, seed=0, xp=np, dtype="float64", batch_size=1)
        self.asked = []

    def initial(self, seed):
        return self.problem.initial(seed)

    def convert(self, x):
        return self.problem.convert(x)

    def gradient(self, x, rank, step):
        self.asked.append((rank, step))
        return self.problem.gradient(x, rank, step)


def test_one_gradient_is_taken_of_what_is_trained():
    counted = Counted()
    warm_up(counted, seed=3, rank=1, device=torch.device("cpu"))
    assert counted.asked == [(1, 0)]


CODE = f"""
import sys, torch
from executor.running.warmup import load, warm_up
assert {SLOW_IMPORT!r} not in sys.modules
warm_up(None, seed=0, rank=0, device=torch.device("cpu"))
before = set(sys.modules)
leaf = torch.ones(2, requires_grad=True)
torch.autograd.grad(leaf * leaf, leaf, grad_outputs=torch.ones(2))
assert set(sys.modules) == before, set(sys.modules) - before
"""


def test_without_anything_to_train_a_later_derivative_loads_nothing_more():
    """In a process of its own: here it is loaded already."""
    subprocess.run([sys.executable, "-c", CODE], check=True)
