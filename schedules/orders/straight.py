"""The pipelines with one stage a rank: with a flush, after which every micro-batch of an iteration has ended, and
without one, in which the micro-batches are one stream."""

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
    """As many forwards as there are stages from this one on, then a backward and a forward in turns.

    With a flush PipeDream-flush, without one PipeDream and, with two versions of the weights, PipeDream-2BW (Narayanan
    et al. 2021, arXiv:2006.09503).
    """

    def rank(i: int) -> Iterator[Step]:
        warm_up = min(micro_batches, workers - i)
        yield from (Step("F", i, k) for k in range(warm_up))
        for k in range(micro_batches):
            yield Step("D", i, k)
            if warm_up + k < micro_batches:
                yield Step("F", i, warm_up + k)

    return in_a_row([list(rank(i)) for i in range(workers)])


def zb_h1(workers: int, micro_batches: int) -> Order:
    """1F1B with its backward in two, whose second half waits, on later stages longer: the memory of 1F1B, a third of
    its bubble (Qi et al. 2024, arXiv:2401.10241, figure 3)."""
    return _handcrafted(workers, micro_batches, 1)


def zb_h2(workers: int, micro_batches: int) -> Order:
    """As ZB-H1, with forwards where that still waits: twice the memory, no bubble (arXiv:2401.10241, figure 3)."""
    return _handcrafted(workers, micro_batches, 2)


def _handcrafted(workers: int, micro_batches: int, h: int) -> Order:
    """ZB-H1 and ZB-H2: h (p - i) - (h - 1) forwards; then B, W of h i micro-batches ago and F in turns; then the Ws."""

    def rank(i: int) -> Iterator[Step]:
        warm_up = min(micro_batches, h * (workers - i) - (h - 1))
        yield from (Step("F", i, k) for k in range(warm_up))
        for k in range(micro_batches):
            yield Step("B", i, k)
            if k >= h * i:
                yield Step("W", i, k - h * i)
            if warm_up + k < micro_batches:
                yield Step("F", i, warm_up + k)
        yield from (Step("W", i, k) for k in range(max(0, micro_batches - h * i), micro_batches))

    return in_a_row([list(rank(i)) for i in range(workers)])


def delayed_gradients(workers: int, micro_batches: int, *, overlap_last: bool = False) -> Order:
    """All stages do a forward and a backward a tick: F of k at tick k + i, D at tick k + 2 (J - 1) - i, or one later if
    the last stage does D of k beside F of k + 1 (DDG, DSP, PipeMare; PETRA's accounting, arXiv:2406.02052, table 1)."""
    return _locked(workers, micro_batches, 1 if overlap_last else 0)


def petra(workers: int, micro_batches: int) -> Order:
    """2 (J - 1 - i) forwards, then a forward and a backward in turns (Rivaud et al. 2024, arXiv:2406.02052)."""
    return _locked(workers, micro_batches, 0)


def _locked(workers: int, micro_batches: int, more: int) -> Order:
    """What the lock of the rates leaves one engine: F of k is after D of k - 2 (J - 1 - i) - 1 - `more`."""

    def rank(i: int) -> Iterator[Step]:
        delay = 2 * (workers - 1 - i) + more
        yield from (Step("F", i, k) for k in range(min(delay, micro_batches)))
        for k in range(micro_batches):
            if delay + k < micro_batches:
                yield Step("F", i, delay + k)
            yield Step("D", i, k)

    return in_a_row([list(rank(i)) for i in range(workers)])
