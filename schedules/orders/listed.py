"""Orders found by list scheduling under a cap of memory: `zb-1p`, `zb-2p`.

Whenever a rank is free, it takes the backward that has come; else a forward, while the memory and the limit of its
stage allow; else the gradient for the weights, if nothing else comes soon or the memory is full. Where memory is scarce
it may be better to take forwards first: both are tried. The limits grow along the pipeline, from the last stage to the
first: of stage i of p, ceil(slope (p - i)) + extra micro-batches between their forward and their backward. The best
over a small grid of slope, extra and patience (how soon is soon, in parts of a W), and of the fixed orders that meet
the cap, is taken: the one whose ranks have the shortest time from their own first step to their last, as the paper's
bubble rate has it. Source: Qi et al. 2024, "Zero Bubble Pipeline Parallelism" (arXiv:2401.10241), sections 3 and 5.3.

Memory is counted in the activations of a worker's whole part, M_B, which its stages share equally: F + M_B,
B + M_W - M_B, W - M_W.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from heapq import heappop, heappush
from itertools import accumulate, count, product
from typing import Final, NamedTuple

import numpy as np

from schedules.orders.order import Order, in_a_row
from schedules.orders.retime import retime
from schedules.orders.steps import Kind, Step, steps_of
from schedules.orders.straight import one_f_one_b, zb_h1, zb_h2

Durations = Mapping[str, Sequence[int]]
"""Nanoseconds of "F", "B" and "W", one a stage."""

SLOPES: Final = (1.0, 2.25, 1.5, 2.0, 1.25, 1.75, 2.5, 1.125, 2.125, 1.375, 1.625, 1.875, 2.375)
EXTRAS: Final = (0, -2, 2, -1, 1, 3, 4)
PATIENCES: Final = (0.25, 0.75, 0.0, 1.0, 0.5)
"""The coarse grid comes first: of a long pipeline, the search ends after `TRIED`."""

TRIED: Final = 800_000
"""Steps that are laid out in all trials, at most, but for the first trial: some three seconds."""

KINDS: Final[tuple[Kind, ...]] = ("F", "B", "W")

ROUNDING: Final = 1e-9
"""Of sums of memory, in M_B."""


@dataclass(frozen=True)
class Line:
    """What a pipeline does, and what it may hold.

    Attributes:
        place: the rank of every stage; all of them are one chain.
        forward, backward, weights: nanoseconds by stage.
        latency: nanoseconds to another rank.
        memory_cap: of every rank, in M_B.
        held: M_W in M_B: what a micro-batch holds between its B and its W.
    """

    place: tuple[int, ...]
    micro_batches: int
    forward: tuple[int, ...]
    backward: tuple[int, ...]
    weights: tuple[int, ...]
    latency: int
    memory_cap: float
    held: float

    @cached_property
    def workers(self) -> int:
        """The number of ranks."""
        return max(self.place) + 1

    @cached_property
    def stages(self) -> tuple[tuple[int, ...], ...]:
        """The stages of every rank, the last of the chain first: what it does frees memory sooner."""
        last_first = range(len(self.place) - 1, -1, -1)
        return tuple(tuple(s for s in last_first if self.place[s] == rank) for rank in range(self.workers))

    @cached_property
    def share(self) -> float:
        """M_B of one stage."""
        return 1 / len(self.stages[0])

    @cached_property
    def work(self) -> tuple[int, ...]:
        """Nanoseconds of all steps of a rank."""
        one = [sum(times) for times in zip(self.forward, self.backward, self.weights, strict=True)]
        return tuple(self.micro_batches * sum(one[s] for s in own) for own in self.stages)


class Rule(NamedTuple):
    """What a rank prefers.

    Attributes:
        prefer: of every rank, the kinds of its steps (0: F, 1: B) and their stages, the preferred first.
        limits: of every stage, the micro-batches between their F and their B, at most; at least 1.
        patience: a W waits for what comes within this part of it.
    """

    prefer: tuple[tuple[tuple[int, int], ...], ...]
    limits: tuple[int, ...]
    patience: float


class Trial:
    """One laying out of all steps, by a rule. This is the inner loop of the search: F, B and W are numbers here."""

    def __init__(self, line: Line, rule: Rule) -> None:
        self.line, self.rule = line, rule
        num_stages, num_ranks = len(line.place), line.workers
        self.length = (line.forward, line.backward, line.weights)
        self.done = ([0] * num_stages, [0] * num_stages, [0] * num_stages)
        self.arrived: tuple[list[list[int]], ...] = ([[] for _ in line.place], [[] for _ in line.place])
        self.arrived[0][0] = [0] * line.micro_batches
        self.later = [tuple(late for late in line.stages[line.place[s]] if late > s) for s in range(num_stages)]
        self.share, self.held = line.share, line.held * line.share
        self.memory, self.room = [0.0] * num_ranks, line.memory_cap + ROUNDING
        # Where M_W is above M_B, a backward needs memory, too: as much stays free for the next one.
        most = math.floor((self.room - max(0.0, self.held - self.share)) / self.share + ROUNDING)
        self.places_left = [most] * num_ranks
        self.first, self.free, self.left = [-1] * num_ranks, [0] * num_ranks, list(line.work)
        self.ranks: list[list[tuple[int, int]]] = [[] for _ in range(num_ranks)]
        self.calls = [(0, line.place[0])]

    def cost(self, bound: float) -> int | None:
        """Lay out: the longest time from a rank's first step to its last, in ns; None if it is not below the bound."""
        calls, free = self.calls, self.free
        while calls:
            now, rank = heappop(calls)
            if free[rank] > now:
                continue
            chosen = self._chosen(rank, now)
            if chosen is not None and not self._began(rank, chosen, now, bound):
                return None
        assert not any(self.left), "expected all steps to be laid out"
        return max(end - begin for end, begin in zip(free, self.first, strict=True))

    def _chosen(self, rank: int, now: int) -> tuple[int, int] | None:
        """The kind and the stage of what a free rank does; None where it waits."""
        coming = math.inf
        for choice in self.rule.prefer[rank]:
            kind, stage = choice
            arrived, number = self.arrived[kind][stage], self.done[kind][stage]
            if number < len(arrived) and arrived[number] < coming and self._fits(kind, stage, rank):
                if arrived[number] <= now:
                    return choice
                coming = arrived[number]
        _, backwards, weights = self.done
        for stage in self.line.stages[rank]:
            if weights[stage] < backwards[stage]:
                is_full = self.memory[rank] + self.share > self.room
                is_soon = coming < now + self.rule.patience * self.line.weights[stage]
                return None if is_soon and not is_full else (2, stage)
        return None

    def _fits(self, kind: int, stage: int, rank: int) -> bool:
        """Whether the memory and the limit allow a step, and leave a place for each later stage of this rank that has
        none: else the oldest micro-batch could wait for ever."""
        if kind:
            return self.memory[rank] + self.held - self.share <= self.room
        forwards, backwards, _ = self.done
        if forwards[stage] - backwards[stage] >= self.rule.limits[stage] or self.memory[rank] + self.share > self.room:
            return False
        kept_free = sum(forwards[late] == backwards[late] for late in self.later[stage])
        return self.places_left[rank] > kept_free

    def _began(self, rank: int, chosen: tuple[int, int], now: int, bound: float) -> bool:
        """Begin a step; False if the rank cannot be over before the bound any more."""
        kind, stage = chosen
        length = self.length[kind][stage]
        end = self.free[rank] = now + length
        if self.first[rank] < 0:
            self.first[rank] = now
        self.left[rank] -= length
        self.ranks[rank].append(chosen)
        self.done[kind][stage] += 1
        heappush(self.calls, (end, rank))
        if kind == 0:
            self.memory[rank] += self.share
            self.places_left[rank] -= 1
            is_last = stage + 1 == len(self.line.place)
            self._hand_on(1 if is_last else 0, rank, stage if is_last else stage + 1, end)
        elif kind == 1:
            self.memory[rank] += self.held - self.share
            self.places_left[rank] += 1
            if stage:
                self._hand_on(1, rank, stage - 1, end)
        else:
            self.memory[rank] -= self.held
        return end - self.first[rank] + self.left[rank] < bound

    def _hand_on(self, kind: int, rank: int, to: int, end: int) -> None:
        """What a step has made comes to a stage."""
        receiver = self.line.place[to]
        if receiver != rank:
            end += self.line.latency
            heappush(self.calls, (end, receiver))
        self.arrived[kind][to].append(end)

    def steps(self) -> list[list[Step]]:
        """What every rank does, one after the other."""
        numbers = {(kind, stage): count() for kind in range(3) for stage in range(len(self.line.place))}
        return [[Step(KINDS[each[0]], each[1], next(numbers[each])) for each in own] for own in self.ranks]


def best_of(line: Line, rules: Iterable[Rule], known: Iterable[Order] = ()) -> Order:
    """The best of what some rules lay out, and of some known orders that meet the cap."""
    best, least = None, math.inf
    for order in known:
        cost = cost_of(line, order) if peak_of(line, order) <= line.memory_cap + ROUNDING else math.inf
        if cost < least:
            best, least = order, cost
    tried = 0
    for rule in rules:
        if least == max(line.work) or tried > TRIED:
            break
        trial = Trial(line, rule)
        found = trial.cost(least)
        if found is not None:
            best, least = in_a_row(trial.steps(), line.place), found
        tried += sum(map(len, trial.ranks))
    assert best is not None, "expected the first rule to be finished"
    return best


def cost_of(line: Line, order: Order) -> float:
    """The longest time from a rank's first step to its last, in nanoseconds."""
    lengths = {"F": line.forward, "B": line.backward, "W": line.weights}
    steps = [step for own in order.ranks for step in own if isinstance(step, Step)]
    begin, end = retime(order, np.array([lengths[step.kind][step.stage] for step in steps]), line.latency)
    after = np.cumsum([len(own) for own in order.ranks])
    first = np.concatenate([[0], after[:-1]])
    return float((end[after - 1, 0] - begin[first, 0]).max())


def peak_of(line: Line, order: Order) -> float:
    """The most that a rank holds, in M_B."""
    change = {"F": line.share, "B": (line.held - 1) * line.share, "W": -line.held * line.share}
    steps = ([change[step.kind] for step in own if isinstance(step, Step)] for own in order.ranks)
    return max(max(accumulate(own)) for own in steps)


def slopes_of(line: Line) -> list[float]:
    """Those of the grid, and up to what fills the time until the first backward comes: (tF + tB + 2c) / tF."""
    longest = max(
        (forward + backward + 2 * line.latency) / max(1, forward)
        for forward, backward in zip(line.forward, line.backward, strict=True)
    )
    further = [longest * part for part in (1.0, 1.1, 0.8, 1.25, 0.65)]
    return [math.inf, *SLOPES, *(slope for slope in further if slope > max(SLOPES))]


def limits_of(line: Line, slope: float, extra: int) -> tuple[int, ...]:
    """ceil(slope (p - i)) + extra of every rank, from 1 to what could ever be between F and B: many slopes are one."""
    most = min(line.micro_batches, math.floor(line.memory_cap / line.share + ROUNDING))
    wanted = (slope * (line.workers - rank) for rank in range(line.workers))
    return tuple(max(1, math.ceil(min(most - extra, number)) + extra) for number in wanted)


def _rules(line: Line) -> Iterator[Rule]:
    """The grid, for one stage a rank: B first."""
    prefers = [tuple(((kind, i), (1 - kind, i)) for i in range(line.workers)) for kind in (1, 0)]
    seen = set()
    for patience, extra, slope, prefer in product(PATIENCES, EXTRAS, slopes_of(line), prefers):
        rule = Rule(prefer, limits_of(line, slope, extra), patience)
        if rule not in seen:
            seen.add(rule)
            yield rule


def line_of(
    place: Sequence[int],
    micro_batches: int,
    durations: Durations | None,
    latency: int,
    memory_cap: float,
    activations: tuple[float, float],
) -> Line:
    """A pipeline, looked through.

    Raises:
        ValueError: if no order meets the cap.
    """
    held = activations[1] / activations[0] if activations[0] else 0.0
    chunks = len(place) // (max(place) + 1)
    least = max(1.0, (chunks - 1 + held) / chunks)
    if not memory_cap >= least - ROUNDING:
        message = f"schedule.memory_cap: expected at least {least:g} (the least that is met), found {memory_cap:g}"
        raise ValueError(message)
    lengths = {kind: tuple(durations[kind]) if durations else (1,) * len(place) for kind in ("F", "B", "W")}
    return Line(tuple(place), micro_batches, lengths["F"], lengths["B"], lengths["W"], latency, float(memory_cap), held)


@lru_cache(maxsize=64)
def _found(line: Line) -> Order:
    """The best order of one stage a rank. A search is long, and a run builds its order more than once."""
    size = line.workers, line.micro_batches
    return best_of(line, _rules(line), (zb_h1(*size), zb_h2(*size), _in_two(one_f_one_b(*size))))


def _in_two(order: Order) -> Order:
    """Each D as a B and a W."""
    parts: dict[str, tuple[Kind, ...]] = {"F": ("F",), "D": ("B", "W")}
    steps = [[step for cell in own for step in steps_of(cell)] for own in order.ranks]
    return in_a_row([[Step(kind, *step[1:]) for step in own for kind in parts[step.kind]] for own in steps])


def zb_1p(
    workers: int,
    micro_batches: int,
    *,
    durations: Durations | None = None,
    latency: int = 0,
    memory_cap: float | None = None,
    activations: tuple[float, float] = (1.0, 1.0),
) -> Order:
    """The order found under a cap that is 1F1B's memory, unless another is said.

    Args:
        durations: nanoseconds of F, B and W by stage; all one without.
        latency: nanoseconds of a message.
        memory_cap: in M_B; p without.
        activations: M_B and M_W, in any unit.
    Raises:
        ValueError: if no order meets the cap.
    """
    cap = workers if memory_cap is None else memory_cap
    return _found(line_of(range(workers), micro_batches, durations, latency, cap, activations))


def zb_2p(
    workers: int,
    micro_batches: int,
    *,
    durations: Durations | None = None,
    latency: int = 0,
    memory_cap: float | None = None,
    activations: tuple[float, float] = (1.0, 1.0),
) -> Order:
    """As `zb_1p`, under twice 1F1B's memory unless another cap is said."""
    cap = 2 * workers if memory_cap is None else memory_cap
    return _found(line_of(range(workers), micro_batches, durations, latency, cap, activations))
