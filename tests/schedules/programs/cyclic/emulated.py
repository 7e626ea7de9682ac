"""The two rules in a loop, with none of the project's schedules: what the parameters must come to.

theta^{t+1} = theta^t - (gamma / N) sum_i grad f_i(u_i); u_i is theta^{t-1}, in v2 with the stages j of theta^t for
which i + j >= N - 1. Stage j of P parameters in N stages is [j P // N, (j + 1) P // N).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def parameters(rule: str, problem: Any, n: int, steps: int, rate: float, momentum: float = 0.0) -> NDArray[np.float64]:
    """float64 [num_params] after so many steps of plain gradient descent with momentum, from seed 0."""
    size = problem.num_params
    former = now = np.array(problem.initial(0))
    buffer = np.zeros(size)
    for t in range(steps):
        gradients = []
        for i in range(n):
            used = former.copy()
            for j in range(n):
                if rule == "v2" and i + j >= n - 1:
                    stage = slice(j * size // n, (j + 1) * size // n)
                    used[stage] = now[stage]
            gradients.append(problem.gradient(used, i, t))
        buffer = momentum * buffer + np.mean(gradients, axis=0)
        former, now = now, now - rate * buffer
    return now
