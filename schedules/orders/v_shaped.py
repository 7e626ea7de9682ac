"""The pipelines with two stages a rank that go there and back: stages r and 2 P - 1 - r are on rank r."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from schedules.orders.order import Order, in_a_row
from schedules.orders.steps import Cell, Kind, Pair, Step


def zb_v(workers: int, micro_batches: int, *, chunks: int = 2) -> Order:
    """No bubble where F, B and W of all stages are as long, with the memory of 1F1B (Qi et al. 2024, arXiv:2401.10241,
    section 6, in the fixed order of torch's `ScheduleZBVZeroBubble`).

    It is the order of at least 2 P - 1 micro-batches, without those that there are not.

    Raises:
        ValueError: if there are to be other chunks than two.
    """
    two_stages(chunks)
    enough = max(2 * workers - 1, micro_batches)

    def rank(r: int) -> Iterator[Step]:
        near, far = _Stage(r), _Stage(2 * workers - 1 - r)
        yield from (near.next("F") for _ in range(2 * (workers - r) - 1))
        for _ in range(r):
            yield from (far.next("F"), near.next("F"))
        for _ in range(workers - r):
            yield from (far.next("F"), far.next("B"), far.next("W"))
        for n in range(enough - workers):
            if 2 * workers - r - 1 + n < enough:
                yield near.next("F")
            yield from (near.next("B"), near.next("W"))
            yield from (far.next("F"), far.next("B"), far.next("W"))
        for _ in range(r):
            yield from (near.next("B"), far.next("B"))
        for _ in range(workers - r):
            yield from (near.next("B"), near.next("W"))
        yield from (far.next("W") for _ in range(r))
        yield from (near.next("W") for _ in range(r))

    ranks = [[step for step in rank(r) if step.micro_batch < micro_batches] for r in range(workers)]
    return in_a_row(ranks, there_and_back(workers))


def dualpipe_v(workers: int, micro_batches: int, *, chunks: int = 2) -> Order:
    """DualPipe "cut in half": both directions are halves of one model (torch's `ScheduleDualPipeV`).

    Raises:
        ValueError: if there are fewer micro-batches than stages, or to be other chunks than two.
    """
    two_stages(chunks)
    if micro_batches < 2 * workers:
        raise ValueError(
            f"schedule.micro_batches: expected at least 2 x workers = {2 * workers}, found {micro_batches}"
        )
    stages = [(_Stage(r), _Stage(2 * workers - 1 - r)) for r in range(workers)]
    ranks = [list(_both_ways(r, workers, micro_batches, *both)) for r, both in enumerate(stages)]
    return in_a_row(ranks, there_and_back(workers))


def dualpipe(workers: int, micro_batches: int) -> Order:
    """Two copies of the pipeline in opposite directions, each with half of the micro-batches (DeepSeek-V3,
    arXiv:2412.19437; the steps of github.com/deepseek-ai/DualPipe).

    Stage i of the second copy is stage P + i, on rank P - 1 - i.

    Raises:
        ValueError: if the workers or micro-batches are odd, or there are fewer than 2 P of these.
    """
    if workers % 2:
        raise ValueError(f"topology.workers: expected an even number, found {workers}")
    if micro_batches % 2 or micro_batches < 2 * workers:
        raise ValueError(
            f"schedule.micro_batches: expected an even number, of at least 2 x workers = {2 * workers}, "
            f"found {micro_batches}"
        )
    half, each = workers // 2, micro_batches // 2

    def rank(r: int) -> Iterator[Cell]:
        there, back = _Stage(r), _Stage(2 * workers - 1 - r, first=each)
        if r < half:
            return _both_ways(r, half, each, there, back)
        return _both_ways(workers - 1 - r, half, each, back, there)

    ranks = tuple(tuple(rank(r)) for r in range(workers))
    return Order(ranks, there_and_back(workers), (tuple(range(workers)), tuple(range(workers, 2 * workers))))


def _both_ways(r: int, half: int, each: int, near: _Stage, far: _Stage) -> Iterator[Cell]:
    """DualPipe's eight steps on rank r of `half` before the turn, whose `near` stage comes first of its two.

    Args:
        each: micro-batches of each of the two stages.
    """
    rest, parted = half - r - 1, _Parted()
    for _ in range(2 * rest):
        yield near.next("F")
    for _ in range(r + 1):
        yield from (near.next("F"), far.next("F"))
    for _ in range(rest):
        yield from (parted.backward(far), parted.weights(), far.next("F"))
    for n in range(each - 2 * half + r + 1):
        if n == 0 and rest == 0:  # not together: it would only lengthen the bubble
            yield from (near.next("F"), far.next("D"))
        else:
            yield Pair(near.next("F"), far.next("D"))
        yield Pair(far.next("F"), near.next("D"))
    for _ in range(rest):
        yield far.next("D")
        yield Pair(far.next("F"), near.next("D"))
    for n in range(2 * (r + 1)):
        stage = near if n % 2 else far
        yield stage.next("D") if n < r + 1 else parted.backward(stage)
    for _ in range(rest):
        yield from (parted.weights(), parted.backward(near))
    for _ in range(r + 1):
        yield parted.weights()


class _Stage:
    """A stage, whose steps of each kind have the micro-batches one after the other.

    Args:
        number: of the stage.
        first: its first micro-batch.
    """

    def __init__(self, number: int, first: int = 0) -> None:
        self.number = number
        self._next = Counter(F=first, B=first, W=first)

    def next(self, kind: Kind) -> Step:
        """The next step of a kind; D is the next B and W."""
        micro_batch = self._next["B" if kind == "D" else kind]
        for each in "BW" if kind == "D" else kind:
            self._next[each] += 1
        return Step(kind, self.number, micro_batch)


class _Parted:
    """The backwards of a rank that are in two parts, whose Ws come first in, first out, whichever stage's they are."""

    def __init__(self) -> None:
        self._waiting: list[Step] = []

    def backward(self, stage: _Stage) -> Step:
        """The first part, of the stage's next micro-batch."""
        step = stage.next("B")
        self._waiting.append(Step("W", *step[1:]))
        return step

    def weights(self) -> Step:
        """The second part that has waited longest."""
        return self._waiting.pop(0)


def there_and_back(workers: int) -> tuple[int, ...]:
    """The rank of every stage of a V: the last rank has the two in the middle, the first one the first and the last."""
    return (*range(workers), *reversed(range(workers)))


def two_stages(chunks: int) -> None:
    """A V has two stages a rank; 1 is what the key is where nobody says it.

    Raises:
        ValueError: if there are to be more.
    """
    if chunks not in (1, 2):
        raise ValueError(f"schedule.chunks: expected 2, which a V has, found {chunks}")
