"""How often the interval of `run.until = "precision"` holds the truth where slow spells are rare: of 100 seeds.

A rank is slow for 20 s in every 120 s, on average. The stopping rule is driven over what it would be told by a
simulation without a network and with equal gradients, worked out in one go: a test holds one beside the other. What is
true of gossip, whose gradients run back to back, is known in closed form: n / gradient x (1 - share of slow time x
(1 - 1 / slowdown)). For all-reduce it is the mean of long series of other seeds, known to 0.1 %.

    python -m benchmarks.steady_coverage --out benchmarks/results/steady_coverage.json
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from schedules.platform.computing import Stragglers
from schedules.platform.stragglers import Pace, pace
from schedules.record.origin import host, versions
from simulator.steady.precision import MIN_SAMPLES, Samples
from simulator.steady.rule import StoppingRule
from simulator.steady.spells import Spells
from simulator.steady.stopping import FIRST_LOOK, GROWTH

WIDTHS = (0.1, 0.05, 0.02)

MEAN_NORMAL, MEAN_SLOW = 100.0, 20.0

OTHER_SEEDS = range(1000, 1010)


@dataclass(frozen=True, slots=True)
class SpellCase:
    """A schedule whose ranks are slow now and then.

    Attributes:
        is_in_step: whether all wait for the slowest at every step.
        gradient_s: of a rank at full speed.
        end_s: what has not stopped until then goes on.
        ranks: that are ever slow.
    """

    is_in_step: bool
    workers: int
    slowdown: float
    gradient_s: float
    end_s: float
    ranks: tuple[int, ...] | None = None

    @property
    def table(self) -> Stragglers:
        ranks = None if self.ranks is None else list(self.ranks)
        return Stragglers(slowdown=self.slowdown, mean_normal=MEAN_NORMAL, mean_slow=MEAN_SLOW, ranks=ranks)

    def paces(self, seed: int) -> list[Pace]:
        return [pace(self.table, seed, rank) for rank in range(self.workers)]

    def samples(self, paces: list[Pace], end_s: float) -> Samples:
        """How long every n gradients of n workers take, in ns."""
        curves = [curve(each, self.slowdown, end_s) for each in paces]
        times = in_step(curves, self.gradient_s) if self.is_in_step else back_to_back(curves, self.gradient_s)
        return np.diff(times[times < end_s], prepend=0.0) * 1e9


CASES = {
    "gossip": SpellCase(False, 4, 2.0, 1.0, 200_000),
    "gossip, deep": SpellCase(False, 4, 5.0, 1.0, 300_000),
    "gossip, 100 ms": SpellCase(False, 8, 5.0, 0.1, 20_000),
    "gossip, one rank": SpellCase(False, 8, 5.0, 1.0, 60_000, (0,)),
    "all-reduce": SpellCase(True, 4, 2.0, 4.0, 600_000),
    "all-reduce, one rank": SpellCase(True, 8, 5.0, 4.0, 1_000_000, (0,)),
}

Curve = tuple[Samples, Samples]
"""Seconds, and what is done until then in seconds at full speed: straight lines between."""


def curve(paced: Pace, slowdown: float, end_s: float) -> Curve:
    changes = np.array(paced.slow_spells(int(end_s * 1.01e9)), dtype=float).ravel() / 1e9
    starts_slow = int(len(changes) > 0 and changes[0] == 0)
    times = np.concatenate(([0.0], changes[starts_slow:], [2 * end_s]))
    is_slow = (np.arange(len(times) - 1) + starts_slow) % 2 == 1
    done = np.concatenate(([0.0], np.cumsum(np.diff(times) / np.where(is_slow, slowdown, 1.0))))
    return times, done


def back_to_back(curves: list[Curve], gradient_s: float) -> Samples:
    """When every n-th gradient of n workers that wait for nobody is there."""
    ends = [np.interp(np.arange(gradient_s, done[-1], gradient_s), done, times) for times, done in curves]
    times: Samples = np.sort(np.concatenate(ends))[len(curves) - 1 :: len(curves)]
    return times


def in_step(curves: list[Curve], gradient_s: float) -> Samples:
    """When every step is over, which all begin together."""
    slowed = [(times.tolist(), done.tolist()) for times, done in curves if len(times) > 2]
    at, now, end, steps = [0] * len(slowed), 0.0, curves[0][0][-1] / 2, []
    while now < end:
        last = now + gradient_s
        for number, (times, done) in enumerate(slowed):
            place = at[number]
            while times[place + 1] <= now:
                place += 1
            at[number] = place
            share = (done[place + 1] - done[place]) / (times[place + 1] - times[place])
            goal = done[place] + (now - times[place]) * share + gradient_s
            while done[place + 1] < goal:
                place += 1
            share = (done[place + 1] - done[place]) / (times[place + 1] - times[place])
            last = max(last, times[place] + (goal - done[place]) / share)
        steps.append(now := last)
    return np.array(steps)


def truth(case: SpellCase) -> float:
    """Mean nanoseconds of n gradients."""
    if case.is_in_step:
        return float(np.concatenate([case.samples(case.paces(seed), 1e6) for seed in OTHER_SEEDS]).mean())
    share = MEAN_SLOW / (MEAN_NORMAL + MEAN_SLOW) * len(case.ranks or range(case.workers)) / case.workers
    return case.gradient_s * 1e9 / (1 - share * (1 - 1 / case.slowdown))


def looks(samples: Samples, gradient_s: float) -> Iterator[Samples]:
    """What is there at each look that is made."""
    ends, time = samples.cumsum(), FIRST_LOOK
    while time * gradient_s * 1e9 < ends[-1]:
        seen = samples[: np.searchsorted(ends, time * gradient_s * 1e9, side="right")]
        if len(seen) >= MIN_SAMPLES:
            yield seen
        time *= GROWTH


def stopped(case: SpellCase, width: float, seed: int, samples: Samples, known: float) -> dict[str, Any] | None:
    """What is known when the run stops; None if it goes on."""
    slow = case.paces(seed) if case.ranks is None else [case.paces(seed)[rank] for rank in case.ranks]
    rule = StoppingRule(width, Spells(case.table, slow))
    for seen in looks(samples, case.gradient_s):
        if rule.is_reached(seen):
            found, seconds = rule.estimate(seen), float(seen.sum() / 1e9)
            return {
                "is_held": found.low <= known <= found.high,
                "seconds": seconds,
                "slow_spells": rule.num_spells(seen, found),
                "batches": found.num_batches,
                "batch_s": found.mean * found.batch_size / 1e9,
                "width": (1 / found.low - 1 / found.high) * found.mean,
            }
    return None


def coverage(name: str, seeds: int) -> Iterator[dict[str, Any]]:
    """A row a width."""
    case = CASES[name]
    known = truth(case)
    series = [case.samples(case.paces(seed), case.end_s) for seed in range(seeds)]
    for width in WIDTHS:
        runs = [stopped(case, width, seed, samples, known) for seed, samples in enumerate(series)]
        reached = [run for run in runs if run is not None]
        keys = ("seconds", "slow_spells", "batches", "batch_s", "width")
        medians = {key: statistics.median(run[key] for run in reached) for key in keys} if reached else {}
        held = sum(run["is_held"] for run in reached)
        yield {"case": name, "precision": width, "stopped": len(reached), "held": held, "medians": medians}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--case", choices=CASES, action="append", help="only this one; may be given more than once")
    parser.add_argument("--out", help="write the figures to this JSON file")
    arguments = parser.parse_args()
    rows = []
    for name in arguments.case or CASES:
        for row in coverage(name, arguments.seeds):
            rows.append({**row, "seeds": arguments.seeds})
            medians = " ".join(f"{key} {value:.4g}" for key, value in row["medians"].items())
            told = f"{row['held']} of {row['stopped']} hold the truth, of {arguments.seeds} seeds"
            print(f"{name:>20} {row['precision']:>5}: {told}; medians: {medians}", flush=True)
        if arguments.out:
            write(arguments.out, rows)


def write(path: str, rows: list[dict[str, Any]]) -> None:
    """What is known by now, with where it comes from."""
    machine = {key: value for key, value in host().items() if key != "name"}
    command = f"python -m benchmarks.steady_coverage --out {path}"
    about = {"date": datetime.now(UTC).isoformat(timespec="seconds"), "command": command, **machine, **versions()}
    with open(path, "w", encoding="utf-8") as file:
        json.dump({"about": about, "coverage": rows}, file, indent=2)
        file.write("\n")


if __name__ == "__main__":
    main()
