"""What every rank does at each of its cells, worked out from an order once a run: what it waits for and hands on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import chain, pairwise, takewhile
from typing import Any

from schedules.orders import Order, OrderError, Step, build, replicated, steps_of
from schedules.programs.pipelines.settings import in_order, options_of, workers_of

NOBODY = -1
"""Whom the first stage's activations, and the last one's gradients, come from and go to."""

FORWARD, BACKWARD = "forward", "backward"
"""The directions, of which each has channels of its own: what goes forward must not wait behind what goes back, where
messages are in order."""


def channel_of(direction: str, sender: int, receiver: int) -> str:
    """The channel of a message. In a V, in two chains, and round two ranks, what goes forward goes both ways between
    a pair: there each way has one, as a send waits behind a receive of its channel."""
    is_usual = (sender < receiver) == (direction == FORWARD)
    return direction if is_usual else f"{direction}-too"


# These two are no named tuples: their attributes are looked up three times as slowly.
@dataclass(slots=True, eq=False)
class Mail:
    """A message to a stage, as it is received.

    Attributes:
        peer: the rank that sends it.
        direction, channel: that of the data, and by which it comes.
        boundary: the number of the boundary that it crosses, counted from the first stage.
        tag: of the message, in the first iteration.
    """

    peer: int
    direction: str
    channel: str
    boundary: int
    tag: int


@dataclass(slots=True, eq=False)
class Part:
    """One step of a rank, and what it waits for and hands on.

    Attributes:
        kind: that of `schedules.orders.Step`.
        stage: of the model: copies of one stage in several chains have one number.
        micro_batch: of the order.
        key: of the step's stage and micro-batch: one number.
        posts: receives that begin before it.
        mail: the message that it waits for; None: what it needs is on the rank.
        has_input: whether it needs an activation or a gradient of another stage.
        direction: of the data.
        channel: by which its answer goes.
        target: the rank that its answer goes to: itself, another or `NOBODY`.
        needs: by what it finds that where it is on the rank.
        gives: by what its answer is found by the stage that it goes to.
        tag: of the message that its answer goes in, in the first iteration.
        leaves: the boundary that its answer crosses; -1: it stays.
    """

    kind: str
    stage: int
    micro_batch: int
    key: int
    posts: tuple[Mail, ...]
    mail: Mail | None
    has_input: bool
    direction: str
    channel: str
    target: int
    needs: tuple[str, int]
    gives: tuple[str, int]
    tag: int
    leaves: int


Cell = tuple[Part, ...]
"""What a rank does at a time: a step, or the two of a pair."""


class Tracks:
    """An order as its ranks walk it.

    Args:
        order: of one iteration or, without a flush, of the whole stream.
        ahead: how many receives of a channel are posted before the one that is needed.
    Attributes:
        ranks: the cells of every rank.
        num_stages: of the order: of two chains, those of both.
        holders: for every stage of the model, the ranks that hold a copy.
    """

    def __init__(self, order: Order, ahead: int) -> None:
        self.order, self._ahead = order, ahead
        self.num_stages = len(order.place)
        self._depth = {stage: depth for chain in order.chains for depth, stage in enumerate(chain)}
        self.holders = holders_of(order)
        self.ranks: list[tuple[Cell, ...]] = [self._track(rank) for rank in range(len(order.ranks))]

    @cached_property
    def warm_ups(self) -> list[int]:
        """By rank, with how many cells it begins that are forward passes alone, of what others begin with."""
        found = [sum(1 for _ in takewhile(_is_forward, cells)) for cells in self.ranks]
        is_new = True
        while is_new:
            is_new = False
            for rank, cells in enumerate(self.ranks):
                wanted = [(at, part.mail) for at in range(found[rank]) for part in cells[at] if part.mail is not None]
                late = (at for at, mail in wanted if self._sent[rank, mail] >= found[mail.peer])
                if (shorter := next(late, found[rank])) < found[rank]:
                    found[rank], is_new = shorter, True
        return found

    def early(self, rank: int) -> list[Mail]:
        """The messages that others send a rank in their warm-up and that it takes after its own."""
        later = chain.from_iterable(self.ranks[rank][self.warm_ups[rank] :])
        mails = [part.mail for part in later if part.mail is not None]
        return [mail for mail in mails if self._sent[rank, mail] < self.warm_ups[mail.peer]]

    @cached_property
    def _sent(self) -> dict[tuple[int, Mail], int]:
        """By receiving rank and message, after how many cells of its sender it is sent."""
        parts = (
            (rank, at, part) for rank, cells in enumerate(self.ranks) for at, cell in enumerate(cells) for part in cell
        )
        sent = {(rank, part.target, part.channel, part.tag): at for rank, at, part in parts if part.target != NOBODY}
        mails = ((rank, part.mail) for rank, cells in enumerate(self.ranks) for part in chain.from_iterable(cells))
        return {(rank, mail): sent[mail.peer, rank, mail.channel, mail.tag] for rank, mail in mails if mail is not None}

    def _track(self, rank: int) -> tuple[Cell, ...]:
        cells = [steps_of(cell) for cell in self.order.ranks[rank]]
        mails = {step: self._mail(rank, step) for step in chain.from_iterable(cells)}
        posted = self._posts(mails)
        return tuple(
            tuple(self._part(rank, step, mails[step], posted.get(step, ())) for step in cell) for cell in cells
        )

    def _part(self, rank: int, step: Step, mail: Mail | None, posts: tuple[Mail, ...]) -> Part:
        kind, stage, k = step
        order, depth = self.order, self._depth[stage]
        early, late = order.before(stage), order.after(stage)
        source, to = (early, late) if kind == "F" else (late, early)
        direction, target, leaves = FORWARD if kind == "F" else BACKWARD, NOBODY, -1
        if kind != "W" and to is not None:
            target, leaves = order.place[to], depth if kind == "F" else depth - 1
        return Part(
            kind,
            depth,
            k,
            self._key(stage, k),
            posts,
            mail,
            kind != "W" and source is not None,
            direction,
            channel_of(direction, rank, target),
            target,
            (direction, self._key(stage, k)),
            (direction, self._key(to or 0, k)),
            self._key(to or 0, k),
            leaves,
        )

    def _key(self, stage: int, micro_batch: int) -> int:
        return micro_batch * self.num_stages + stage

    def _mail(self, rank: int, step: Step) -> Mail | None:
        """The message that a step waits for."""
        kind, stage, k = step
        order, is_forward = self.order, kind == "F"
        source = None if kind == "W" else order.before(stage) if is_forward else order.after(stage)
        if source is None or order.place[source] == rank:
            return None
        boundary = self._depth[stage] - 1 if is_forward else self._depth[stage]
        peer, direction = order.place[source], FORWARD if is_forward else BACKWARD
        return Mail(peer, direction, channel_of(direction, peer, rank), boundary, self._key(stage, k))

    def _posts(self, mails: dict[Step, Mail | None]) -> dict[Step, tuple[Mail, ...]]:
        """Which receives begin before each step of a rank, whose messages are given in its order: those of its channel
        up to its own and so many more."""
        if not self._ahead:
            return {}
        lanes: dict[tuple[int, str], list[tuple[Step, Mail]]] = defaultdict(list)
        for step, mail in mails.items():
            if mail is not None:
                lanes[mail.peer, mail.channel].append((step, mail))
        posted: dict[Step, tuple[Mail, ...]] = defaultdict(tuple)
        first = next(iter(mails))
        for lane in lanes.values():
            its = [mail for _, mail in lane]
            posted[first] += tuple(its[: self._ahead])
            for number, (step, _) in enumerate(lane):
                posted[step] += tuple(its[number + self._ahead : number + self._ahead + 1])
        return posted


def _is_forward(cell: Cell) -> bool:
    return all(part.kind == "F" for part in cell)


def order_of(program: str, settings: Any, workers: int) -> Order:
    """The order of a program under its settings.

    Raises:
        ValueError: if it has none, with the key first.
    """
    return _built(program, workers_of(settings, workers), in_order(settings), options_of(settings), settings.replicas)


# Built once a run, and not once a rank; a few are kept, as a sweep goes through several.
@lru_cache(maxsize=4)
def _built(
    program: str, workers: int, micro_batches: int, options: tuple[tuple[str, Any], ...], replicas: int
) -> Order:
    said = dict(options)
    if "durations" in said:
        said["durations"] = dict(said["durations"])
    try:
        return replicated(build(program, workers, micro_batches, **said), replicas)
    except OrderError as error:  # of one that is written down: the others are possible
        raise OrderError(f"schedule.file: {error}") from None


def tracks_of(program: str, settings: Any, workers: int) -> Tracks:
    """Its order as ranks walk it."""
    given = program, workers_of(settings, workers), in_order(settings), options_of(settings), settings.replicas
    return _laid(*given, settings.ahead)


@lru_cache(maxsize=2)
def _laid(
    program: str, workers: int, micro_batches: int, options: tuple[tuple[str, Any], ...], replicas: int, ahead: int
) -> Tracks:
    return Tracks(_built(program, workers, micro_batches, options, replicas), ahead)


def holders_of(order: Order) -> list[tuple[int, ...]]:
    """For every stage of the model, the ranks that hold a copy."""
    return [tuple(sorted({order.place[each] for each in copies})) for copies in zip(*order.chains, strict=True)]


def edges_of(order: Order) -> Iterator[tuple[int, int]]:
    """The pairs of ranks that have something for each other: neighbours in a chain, and the copies of a stage."""
    for stages in order.chains:
        ranks = [order.place[stage] for stage in stages]
        yield from ((low, high) for low, high in pairwise(ranks) if low != high)
    for copies in zip(*order.chains, strict=True):
        ranks = sorted({order.place[stage] for stage in copies})
        yield from ((low, high) for low, high in pairwise(ranks))
