"""The pipelines with several stages a rank that go round: stage s is on rank s mod P."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from schedules.orders.order import Order, in_a_row
from schedules.orders.steps import Kind, Step


def looped_bfs(workers: int, micro_batches: int, *, chunks: int = 1) -> Order:
    """All forwards of a stage before those of the next; then all backwards, last in, first out, as torch has it
    (breadth first: Lamy-Poirier 2023, arXiv:2211.05953)."""

    def rank(r: int) -> Iterator[Step]:
        stages = range(r, chunks * workers, workers)
        yield from (Step("F", stage, k) for stage in stages for k in range(micro_batches))
        yield from (Step("D", stage, k) for stage in reversed(stages) for k in reversed(range(micro_batches)))

    return _round(workers, chunks, rank)


def interleaved_1f1b(workers: int, micro_batches: int, *, chunks: int = 1) -> Order:
    """1F1B over several stages a rank, in groups of P micro-batches (Narayanan et al. 2021, arXiv:2104.04473).

    Raises:
        ValueError: if the workers do not divide the micro-batches.
    """
    _check_groups(workers, micro_batches)

    def rank(r: int) -> Iterator[Step]:
        turns = _Turns(r, workers, chunks)
        steps = micro_batches * chunks
        warm_up = min(steps, (chunks - 1) * workers + 2 * (workers - 1 - r))
        yield from (turns.forward(n) for n in range(warm_up))
        for n in range(steps):
            if warm_up + n < steps:
                yield turns.forward(warm_up + n)
            yield turns.backward("D", n)

    return _round(workers, chunks, rank)


def interleaved_zb(workers: int, micro_batches: int, *, chunks: int = 1) -> Order:
    """Interleaved 1F1B with half its warm-up and its backward in two, whose second half waits for r others on rank r:
    torch's `ScheduleInterleavedZeroBubble`, after ZB-1p of arXiv:2401.10241.

    Raises:
        ValueError: if the workers do not divide the micro-batches.
    """
    _check_groups(workers, micro_batches)

    def rank(r: int) -> Iterator[Step]:
        turns = _Turns(r, workers, chunks)
        steps = micro_batches * chunks
        warm_up = min(steps, (chunks - 1) * workers + workers - 1 - r)
        yield from (turns.forward(n) for n in range(warm_up))
        for n in range(steps):
            if warm_up + n < steps:
                yield turns.forward(warm_up + n)
            yield turns.backward("B", n)
            if n >= r:
                yield turns.backward("W", n - r)
        yield from (turns.backward("W", n) for n in range(max(0, steps - r), steps))

    return _round(workers, chunks, rank)


class _Turns:
    """Whose turn it is on a rank: its stages go round, each with a whole group of P micro-batches.

    Args:
        rank: of `workers`, with `chunks` stages each.
    """

    def __init__(self, rank: int, workers: int, chunks: int) -> None:
        self.stages = range(rank, chunks * workers, workers)
        self.group = workers

    def forward(self, n: int) -> Step:
        """The n-th forward of the rank."""
        turn, k = divmod(n, self.group)
        turn_of_all, chunk = divmod(turn, len(self.stages))
        return Step("F", self.stages[chunk], turn_of_all * self.group + k)

    def backward(self, kind: Kind, n: int) -> Step:
        """The n-th backward of the rank: the last stage has the first turn."""
        turn, k = divmod(n, self.group)
        turn_of_all, chunk = divmod(turn, len(self.stages))
        return Step(kind, self.stages[-1 - chunk], turn_of_all * self.group + k)


def _check_groups(workers: int, micro_batches: int) -> None:
    """Refuse what is no number of whole groups; torch also takes groups of a little more, without a name in a paper."""
    if micro_batches % workers:
        raise ValueError(f"schedule.micro_batches: expected a multiple of workers = {workers}, found {micro_batches}")


def _round(workers: int, chunks: int, rank: Callable[[int], Iterator[Step]]) -> Order:
    """The order in which the stages go round the ranks `chunks` times."""
    return in_a_row([list(rank(r)) for r in range(workers)], [*range(workers)] * chunks)
