"""The pipelines with a flush that have one stage a rank: every micro-batch of an iteration ends before its update."""

from __future__ import annotations

from collections.abc import Iterator

from schedules.orders.order import Order, in_a_row
from schedules.orders.steps import Step


def gpipe(workers: int, micro_batches: int) -> Order:
    """All forwards, then all backwards, first in, first out (Huang et al. 2019, arXiv:1811.06965)."""

    def rank(i: int) -> Iterator[Step]:
        yield from (Step("F", i, k) for k in range(micro_batches))
        yield from (Step("D", i, k) for k in range(micro_batches))

    return in_a_row([list(rank(i)) for i in range(workers)])


def one_f_one_b(workers: int, micro_batches: int) -> Order:
    """As many forwards as there are stages from this one on, then a backward and a forward in turns (PipeDream-flush:
    Narayanan et al. 2021, arXiv:2006.09503)."""

    def rank(i: int) -> Iterator[Step]:
        warm_up = min(micro_batches, workers - i)
        yield from (Step("F", i, k) for k in range(warm_up))
        for k in range(micro_batches):
            yield Step("D", i, k)
            if warm_up + k < micro_batches:
                yield Step("F", i, warm_up + k)

    return in_a_row([list(rank(i)) for i in range(workers)])
