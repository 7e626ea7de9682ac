"""Running until the throughput of the steady state is known: `run.until = "precision"`.

A sample is the time that n gradients of all n workers together take, so a synchronous step is one sample however many
workers it has, and no clock has to be tuned. The run is looked at when it has lasted 1.5 times as long as at the last
look: looking often would stop it when the interval happens to be narrow, and the interval would hold the answer less
often than it says.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any, NoReturn

import numpy as np

from schedules.scenario import RunTable, ScenarioError
from simulator.steady.precision import MIN_SAMPLES, Estimate, Samples
from simulator.steady.rule import StoppingRule
from simulator.steady.spells import Spells
from simulator.world import World

FIRST_LOOK = 1e-3
"""When, in gradient times: however fast a step is, not many are simulated for nothing."""

GROWTH = 1.5

MANY = 1_000
"""Operations a worker in which a program with gradients computes one, and gradients in which it applies some."""


class Steady:
    """Stops a world as soon as its throughput is known well enough.

    Args:
        world: about to run.
        table: the precision to be reached, and the limit of gradients per worker.
        spells: the slow ones of the platform, if it has any.
    Attributes:
        is_reached: whether the precision is reached, and the run was stopped for it.
    """

    def __init__(self, world: World, table: RunTable, spells: Spells | None = None) -> None:
        self.world = world
        self.table = table
        self.rule = StoppingRule(table.precision, spells)
        self.is_reached = self._has_gradients = False
        self._num_at_once = 0
        world.ledger.contributions.listen(self._hear)
        self._look_at(FIRST_LOOK)

    def summary(self) -> dict[str, Any]:
        """The steady throughput in gradients/s, its 95 % interval, what this rests on, and what it cost."""
        samples = self._samples()
        found = self.rule.estimate(samples) if len(samples) else None
        rates = (None, None, None) if found is None else self._rates(found)
        return {
            **dict(zip(("throughput_mean", "throughput_low", "throughput_high"), rates, strict=True)),
            "precision_reached": self.is_reached,
            "warm_up_s": float(samples[: found.warm_up].sum() / 1e9) if found is not None else None,
            "batches": found.num_batches if found is not None else 0,
            "batch_s": found.mean * found.batch_size / 1e9 if found is not None else None,
            "slow_spells": self.rule.num_spells(samples, found) if found is not None else None,
            "events": self.world.course.num_events,
        }

    def check_end(self) -> None:
        """The run is over.

        Raises:
            ScenarioError: if it has applied no gradient, or all in no time.
        """
        if self._takes_no_time:
            told = "expected gradients that take time for run.until = 'precision', which is that of their throughput"
            raise ScenarioError(f"scenario: run.until: {told}, found {self._num_at_once:,} in no time")
        if not self.world.ledger.contributions.num_gradients:
            self._refuse("none")

    @property
    def _takes_no_time(self) -> bool:
        return self._num_at_once > MANY * len(self.world.crews)

    def _hear(self, gradients: int) -> None:
        """Gradients were applied before any time has passed: where none ever does, nobody would look again."""
        self._num_at_once += gradients
        if self._takes_no_time:
            # Not now: what this segment goes on to issue would be queued after that.
            self.world.events.call_first(partial(self.world.course.stop, 0))

    def _check_gradients(self) -> None:
        """A run without gradients never gets to know its throughput: told at once, not at its limit.

        Raises:
            ScenarioError: if nothing like one was seen in its first operations.
        """
        ledger, workers = self.world.ledger, len(self.world.crews)
        if self._has_gradients or ledger.contributions.num_gradients:
            self._has_gradients = True
            return
        ledger.fold()
        kernels, done = int(ledger.ended.recent[3].sum()), len(ledger.work.packed) // 32 + ledger.num_transfers
        if done > MANY * workers and not kernels:
            self._refuse(f"none in its first {done:,} operations")
        if kernels > MANY * workers:
            self._refuse(f"none, but {kernels:,} that were computed")

    def _refuse(self, found: str) -> NoReturn:
        told = (
            "expected a program that applies gradients for run.until = 'precision', which is that of their throughput"
        )
        raise ScenarioError(f"scenario: run.until: {told}, found {found}")

    def _look_at(self, time: float) -> None:
        self.world.course.watch(time, lambda now: self._look(now, time))

    def _look(self, now: int, time: float) -> None:
        world = self.world
        world.ledger.contributions.listen(None)
        self._check_gradients()
        # With fewer no estimate is settled: not worth making.
        if world.ledger.contributions.num_gradients >= MIN_SAMPLES * len(world.crews):
            self.is_reached = self.rule.is_reached(self._samples())
        if self.is_reached:
            world.course.stop(now)
        else:
            self._look_at(time * GROWTH)

    def _rates(self, found: Estimate) -> tuple[float | None, ...]:
        """Throughput and its interval in gradients/s, from those of the time that n gradients take in ns."""
        nanoseconds = len(self.world.crews) * 1e9
        # High before low: the longest time is the least rate.
        rates = [nanoseconds / each if each > 0 else math.inf for each in (found.mean, found.high, found.low)]
        return tuple(rate if math.isfinite(rate) else None for rate in rates)

    def _samples(self) -> Samples:
        """How long every n gradients took, until a worker has made all that it may: float64 [num_samples], ns."""
        applied = self.world.ledger.contributions.applied()
        rank, now = (np.repeat(each, applied.gradients) for each in (applied.rank, applied.at_ns))
        num_workers, limit = len(self.world.crews), self.table.limit
        # From then on fewer workers compute than before: that is not the steady state.
        full = np.flatnonzero(np.bincount(rank, minlength=num_workers) >= limit)
        until = min((now[rank == each][limit - 1] for each in full), default=now[-1:].max(initial=0))
        now = now[: np.searchsorted(now, until, side="right")]  # the ledger's order is that of time
        return np.diff(now[num_workers - 1 :: num_workers], prepend=0).astype(np.float64)
