"""What both rules of cyclic data parallelism share: the timetable, the ring of gradients, and the way of an update.

N workers, N stages. Worker i runs F of stages 0 to N - 1, then B of N - 1 to 0, micro-batch after micro-batch, and
begins 2 i time steps late. So each stage is with one worker at a time, and N (N + 1) / 2 of N^2 activations are alive.

* After its B of a stage worker i adds its part to the sum, and hands that to worker i + 1, who needs it 2 steps later.
* Worker N - 1 completes the sum, updates the stage, and sends it to all others.
* A worker takes an update up between two micro-batches, when its rule asks for it: F and B of one see one version.

Nobody waits for everybody, and there is no all-reduce.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Generator, Iterator, Mapping
from itertools import chain, combinations, pairwise
from typing import Any, Literal

from schedules import (
    ZERO,
    Array,
    Compute,
    Count,
    NonNegative,
    Operation,
    Payload,
    Program,
    Put,
    Receive,
    Send,
    State,
    Table,
    Take,
    Until,
    Worker,
    descend,
)
from schedules.programs.cyclic import turns
from schedules.programs.cyclic.turns import Turns
from schedules.programs.cyclic.under_way import ReceivedAhead, SentAhead

STATE = {"gradient": ZERO}

Delay = Callable[[int, int, int], int]
"""`delay(i, j, n)`: how many steps late worker i of n is with stage j, 0 or 1."""


class Settings(Table):
    """The keys of [schedule]."""

    gradients: Count
    """Training steps, and so gradients of a worker: an update is of one of each."""
    offset: NonNegative = 2
    """Time steps by which each worker begins later than the one before; a step is half of the longest F and B of one
    stage. 0: all begin together."""
    parameters: Literal["direct", "ring"] = "direct"
    """How an updated stage comes to all: from the worker that has updated it, or handed on from one to the next."""
    placement: Literal["workers", "stages"] = "workers"
    """workers: each holds all stages. stages: stage j of N is on N - j devices of its own, N (N + 1) / 2 in all, which
    micro-batches share."""
    ahead: Count = 2
    """Receives that are posted before the first of them is needed."""


def place(settings: Settings, workers: int) -> tuple[tuple[int, ...], ...]:
    """The ranks that hold each stage."""
    return turns.holders(settings.placement, workers)


def edges(settings: Settings, workers: int) -> set[tuple[int, int]]:
    """Who has something for whom: those that hold a stage, and on devices of their own those of the next one."""
    held = place(settings, workers)
    beside = (zip(low * workers, high * workers, strict=False) for low, high in pairwise(held))
    pairs = {*chain.from_iterable(combinations(ranks, 2) for ranks in held), *chain.from_iterable(beside)}
    return {(low, high) for low, high in pairs if low != high}


def kernels(settings: Settings, workers: int) -> tuple[str, ...]:
    """Those of a stage."""
    return "forward", "backward"


def shards(settings: Settings, workers: int) -> int:
    """The data are of N workers, on however many devices."""
    return turns.num_stages(settings.placement, workers)


def streams(worker: Worker, delay: Delay) -> Mapping[str, Program]:
    """The programs of a worker."""
    turn = Turns(worker.rank, place(worker.settings, worker.num_workers))
    worker.capacity("gradients", 3 * turn.num_stages)  # a slow ring holds no passes up
    for stage in turn.stages:
        worker.capacity(_updates(stage), 3)  # more are never under way: the next needs this worker's own part
    return {
        "compute": _passes(worker, turn, delay),
        "ring": _ring(worker, turn),
        "parameters": _parameters(worker, turn),
    }


# ------------------------------------------------------------------ the timetable


def _passes(worker: Worker, turn: Turns, delay: Delay) -> Program:
    """F of all stages upwards, B of all downwards, and so on without a pause."""
    n, stages, sends = turn.num_stages, turn.stages, SentAhead(limit=2)
    made: dict[tuple[int, int], list[Payload]] = defaultdict(list)  # what counts, by stage and step
    yield Until(_begin(worker, turn))
    for k in turn.micro_batches(worker.settings.gradients):
        (step, i), answer, forwards = divmod(k, n), None, {}
        for stage in stages:
            yield from _take_up(worker, stage, step - delay(i, stage, n), made)
            below = yield from _handed_over(worker, turn, (stage - 1, stage), k, answer)
            size = _boundary(worker, stage)
            answer, _ = yield Compute("forward", stage, k, inputs=below, size=size, data=(0, k))
            yield from _hand_on(turn, (stage, stage + 1), k, answer, sends)
            forwards[stage] = answer
            made[stage, step].append(answer.rest())
        for stage in reversed(stages):
            above = yield from _handed_over(worker, turn, (stage + 1, stage), k, answer)
            inputs, size = (forwards.pop(stage), *above), _boundary(worker, stage - 1)
            answer, _ = yield Compute("backward", stage, k, inputs=inputs, size=size, data=(0, k))
            yield from _hand_on(turn, (stage, stage - 1), k, answer, sends)
            yield Put("gradients", answer)
    for stage in stages:
        yield from _take_up(worker, stage, worker.settings.gradients, made)
    yield from sends.all()


def _take_up(worker: Worker, stage: int, version: int, made: dict[tuple[int, int], list[Payload]]) -> Program:
    """Wait until a stage has had so many updates; each counts the gradients of this rank that are in it."""
    model, rule = worker.stage(stage), adopt if worker.settings.placement == "workers" else step
    while model.version < version:
        new, _ = yield Take(_updates(stage))
        model.apply(rule, tuple(made.pop((stage, model.version))), new)


# ------------------------------------------------------------------ the ring of gradients, and the way of an update


def _ring(worker: Worker, turn: Turns) -> Program:
    """Add this worker's part of each stage's gradient to what comes from the one before, and hand the sum on."""
    n, sends = turn.num_stages, SentAhead(_most(turn))
    received = ReceivedAhead(_sums_to_come(worker, turn), worker.settings.ahead)
    kept: dict[int, Payload] = {}  # sums that go on here, where one device has all turns of a stage
    newest: dict[int, Payload] = {}
    yield from received.post()
    for k in turn.micro_batches(worker.settings.gradients):
        for stage in reversed(turn.stages):
            own, _ = yield Take("gradients")
            before = kept.pop(stage, None)
            if before is None and k % n > 0:
                before = yield from received.take()
            worker.stage(stage).change(accumulate, before, own.kept)
            if k % n == n - 1:
                newest[stage] = _updated(worker, stage, newest.get(stage), n)
                yield from _send_update(worker, turn, (stage, k), newest[stage], sends)
            elif turn.is_mine(stage, k + 1):
                kept[stage] = worker.stage(stage).payload(total)
            else:
                part, peer = worker.stage(stage).payload(total), turn.holder(stage, k + 1)
                yield from sends.start(Send(peer, part, _tag(turn, stage, k), "ring"))
    yield from sends.all()


def _sums_to_come(worker: Worker, turn: Turns) -> Iterator[Receive]:
    """The receives of the ring, in its order."""
    for k in turn.micro_batches(worker.settings.gradients):
        for stage in reversed(turn.stages):
            if k % turn.num_stages > 0 and not turn.is_mine(stage, k - 1):
                size = worker.stage(stage).size
                yield Receive(turn.holder(stage, k - 1), size, _tag(turn, stage, k - 1), "ring")


def _parameters(worker: Worker, turn: Turns) -> Program:
    """Take what others have updated to the passes of this worker, and hand it on where it goes round."""
    sends = SentAhead(_most(turn))
    received = ReceivedAhead(_updates_to_come(worker, turn), worker.settings.ahead)
    yield from received.post()
    for stage, k in _of_others(worker, turn):
        new = yield from received.take()
        following = turn.following(stage)[0]
        if worker.settings.parameters == "ring" and following != turn.holder(stage, k):
            yield from sends.start(Send(following, new, _tag(turn, stage, k), "parameters"))
        yield Put(_updates(stage), new)
    yield from sends.all()


def _send_update(worker: Worker, turn: Turns, whose: tuple[int, int], new: Payload, sends: SentAhead) -> Program:
    """To all that hold the stage, or to the first of them, who hands it on; and to this worker's own passes."""
    stage, k = whose
    following = turn.following(stage)
    for peer in following if worker.settings.parameters == "direct" else following[:1]:
        yield from sends.start(Send(peer, new, _tag(turn, stage, k), "parameters"))
    yield Put(_updates(stage), new)


def _updates_to_come(worker: Worker, turn: Turns) -> Iterator[Receive]:
    """The receives of updates, in the order in which they are made."""
    is_direct = worker.settings.parameters == "direct"
    for stage, k in _of_others(worker, turn):
        source = turn.holder(stage, k) if is_direct else turn.following(stage)[-1]
        yield Receive(source, worker.stage(stage).size, _tag(turn, stage, k), "parameters")


def _of_others(worker: Worker, turn: Turns) -> Iterator[tuple[int, int]]:
    """The updates that others make of this worker's stages: stage, and the micro-batch that completes it."""
    n = turn.num_stages
    for k in range(n - 1, worker.settings.gradients * n, n):
        yield from ((stage, k) for stage in reversed(turn.stages) if not turn.is_mine(stage, k))


def _most(turn: Turns) -> int:
    """Messages of a stream that can be under way: N parts of N stages in two steps, as the next step needs the first's
    to have arrived."""
    return 2 * turn.num_stages**2


def _tag(turn: Turns, stage: int, k: int) -> int:
    return turn.num_stages * k + stage


def _updates(stage: int) -> str:
    """The queue in which a stage's updates wait for the passes."""
    return f"updates-{stage}"


# ------------------------------------------------------------------ from stage to stage


def _handed_over(
    worker: Worker, turn: Turns, way: tuple[int, int], k: int, answer: Payload | None
) -> Generator[Operation, Any, tuple[Payload, ...]]:
    """What a stage is given by the one beside it: this worker's own last answer, or what another sends."""
    source, target = way
    if not 0 <= source < turn.num_stages:
        return ()
    if answer is not None and turn.is_mine(source, k):
        return (answer,)
    size, channel = _boundary(worker, min(way)), "forward" if source < target else "backward"
    received, _ = yield Receive(turn.holder(source, k), size, k, channel)
    return (received,)


def _hand_on(turn: Turns, way: tuple[int, int], k: int, answer: Payload, sends: SentAhead) -> Program:
    """Send an answer to the stage beside, where another has that."""
    source, target = way
    if 0 <= target < turn.num_stages and not turn.is_mine(target, k):
        channel = "forward" if source < target else "backward"
        yield from sends.start(Send(turn.holder(target, k), answer, k, channel))


def _boundary(worker: Worker, stage: int) -> int:
    """Bytes that go from a stage to the one above it, and back."""
    return worker.boundaries[stage] if 0 <= stage < len(worker.boundaries) else 0


def _begin(worker: Worker, turn: Turns) -> float:
    """When a worker begins, in gradient times. Devices of upper stages begin with what they are sent."""
    i, offset = turn.micro_batches(1)[0] if 0 in turn.stages else 0, worker.settings.offset
    if not i * offset:
        return 0.0
    times = [worker.mean_time("forward", j) + worker.mean_time("backward", j) for j in range(turn.num_stages)]
    return float(i * offset) * max(times) / 2


# ------------------------------------------------------------------ the rules


def accumulate(s: State, before: Array, own: Array) -> None:
    """The sum with one more part."""
    s.gradient = own if before is None else before + own


def total(s: State) -> Array:
    """The sum so far."""
    return s.gradient


def _updated(worker: Worker, stage: int, newest: Payload | None, n: int) -> Payload:
    """What is sent of a stage whose sum is whole: its new parameters.

    Devices of one stage complete it in turn. So each of them has an optimizer that is up to date, and is sent the mean.
    """
    model = worker.stage(stage)
    return model.payload(updated, newest, n) if worker.settings.placement == "workers" else model.payload(mean, n)


def updated(s: State, newest: Array, n: int) -> Array:
    """theta^{t+1} = theta^t + delta, of the mean of the n gradients."""
    theta = s.x if newest is None else newest
    return theta + s.optimizer.delta(theta, s.gradient / n)


def adopt(s: State, _: tuple[None, ...], theta: Array) -> None:
    """x <- theta."""
    s.x = theta


def mean(s: State, n: int) -> Array:
    """Of the n gradients."""
    return s.gradient / n


def step(s: State, _: tuple[None, ...], gradient: Array) -> None:
    """x <- x + delta."""
    descend(s, gradient)
