"""What a run has done by when: the gradients of each rank and the ends of exchanges, up to the window's end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from analysis.measures.metrics import gradients_of_ranks, span_ns

if TYPE_CHECKING:
    import pandas as pd

Times = NDArray[np.int64]


@dataclass(frozen=True)
class Progress:
    """The counted events of a run, in nanoseconds since its begin.

    Attributes:
        gradients: of each rank that made any in the window, when they were done: int64 [num_gradients], ascending.
        exchanges: when ends of exchanges were over: int64 [num_ends], ascending. An exchange has two.
        window_ns: end of the window that throughput is told of.
    """

    gradients: Mapping[int, Times]
    exchanges: Times
    window_ns: int

    @property
    def num_gradients(self) -> int:
        """Of all ranks."""
        return sum(map(len, self.gradients.values()))

    @property
    def exchange_rate(self) -> float:
        """Exchanges that a worker takes part in per gradient: ends of exchanges over gradients."""
        return len(self.exchanges) / self.num_gradients

    @property
    def throughput(self) -> float:
        """The sum over ranks of their gradients over the time of the last of them, in gradients/s."""
        return sum(len(done) / (int(done[-1]) / 1e9) for done in self.gradients.values() if done[-1] > 0)

    def until(self, window_ns: int) -> Progress:
        """What was done in an earlier window."""
        gradients = {rank: done[done <= window_ns] for rank, done in self.gradients.items()}
        there = {rank: done for rank, done in gradients.items() if len(done)}
        return Progress(there, self.exchanges[self.exchanges <= window_ns], window_ns)


def progress(trace: pd.DataFrame, summary: Mapping[str, Any]) -> Progress:
    """What a run has done up to the end of the window that its summary tells: up to its end where that tells none, as
    those of older versions."""
    begin, end = span_ns(trace)
    expected, window_s = summary.get("gradients"), summary.get("window_s")
    found = gradients_of_ranks(trace, expected if isinstance(expected, int) else None)
    exchanges = trace.loc[trace["op"] == "Exchange", "end_ns"].to_numpy(dtype=np.int64) - begin
    window_end = end if window_s is None else round(window_s * 1e9)
    return Progress(found, np.sort(exchanges), end - begin).until(window_end - begin)
