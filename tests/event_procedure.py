"""The event procedure of A²CiD² (papers/gossip.md, 2.3), written anew: an oracle for runs with instantaneous events."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

Events = Iterable[tuple[float, str, int, int | None]]
"""Time in gradient times, "gradient" or "exchange", i and j."""


def play(
    starts: NDArray[np.float64],
    events: Events,
    until: float,
    *,
    eta: float | NDArray[np.float64],
    alpha_tilde: float,
    update: Callable[[NDArray[np.float64], int, int], NDArray[np.float64]] | None = None,
) -> NDArray[np.float64]:
    """Every worker's x after the events, mixed up to `until`; `update(x, worker, number)` is what a gradient adds.

    `eta` is of all, or of each worker.
    """
    x, x_tilde = starts.copy(), starts.copy()
    etas = np.broadcast_to(eta, len(x))
    last, number = np.zeros(len(x)), [0] * len(x)

    def mix(i: int, time: float) -> None:
        q = np.exp(-2 * etas[i] * (time - last[i]))
        x[i], x_tilde[i] = ((1 + q) * x[i] + (1 - q) * x_tilde[i]) / 2, ((1 - q) * x[i] + (1 + q) * x_tilde[i]) / 2
        last[i] = time

    for time, kind, i, j in events:
        mix(i, time)
        if kind == "exchange":
            assert j is not None
            mix(j, time)
            m = x[i] - x[j]
            x[i], x[j], x_tilde[i], x_tilde[j] = (
                x[i] - m / 2,
                x[j] + m / 2,
                x_tilde[i] - alpha_tilde * m,
                x_tilde[j] + alpha_tilde * m,
            )
        elif update is not None:
            change = update(x[i], i, number[i])
            x[i], x_tilde[i], number[i] = x[i] + change, x_tilde[i] + change, number[i] + 1
    for i in range(len(x)):
        mix(i, until)
    return x
