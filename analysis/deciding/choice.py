"""Which case of a sweep to choose, by a rule that reads its table, and in a sentence that says why.

The rule, of cases that differ in throughput, lag, staleness and consensus:

1. A case keeps up if its exchanges come, on average, at most one gradient after their clocks' ticks. One that does not
   falls further and further behind: what it does is not what was asked for. (Without clocks there is no lag to keep.)
2. A case fits the machine that is to execute it if its ranks take at most two thirds of the time of its cores. Nothing
   is asked where each rank has cores of its own.
3. Of those that do both, a case is close if its consensus distance is at most the median of theirs.
4. Of these, the one with the most gradients a second is chosen; among those within 1 % of it the closest.

Its rival is the one that the same rule would choose next among those that are at least 5 % slower: a smaller
difference is hardly to be measured.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import nan
from statistics import median
from typing import TYPE_CHECKING, Any, Final

from schedules.record.quantities import number, percent, with_unit

if TYPE_CHECKING:
    import pandas as pd

TIE: Final = 0.01
"""Throughputs that differ by no more than this share are alike."""

APART: Final = 0.05
"""So much slower a rival is, if there is one."""

MOST_BUSY: Final = 2 / 3
"""Of the time of a machine's cores: at more, a thread that wants one waits for more than twice what it then takes (a
queue in which a share u is taken lets wait for u / (1 - u)), and a simulation knows nothing of these waits."""


@dataclass(frozen=True)
class Candidate:
    """A case of a sweep.

    Attributes:
        line: what it is, without numbers: "complete, edge-clock".
        step: the numbers that vary, as people read them: "rate 3".
        gradients_per_s: of all workers.
        consensus: distance of the workers while they train, see `settled_consensus`.
        staleness: mean, in versions.
        lag_s: mean time from a tick to the end of its exchange; None where nothing answers ticks.
        gradient_s: what a gradient of one worker takes, in seconds.
        settings: by dotted key, as a scenario takes them.
        busy: share of the cores' time that all ranks would take on the machine that is to execute it, above 1 where it
            has too few; None where that is not asked.
    """

    line: str
    step: str
    gradients_per_s: float
    consensus: float
    staleness: float
    lag_s: float | None
    gradient_s: float
    settings: Mapping[str, Any] = field(default_factory=dict, hash=False)
    busy: float | None = None

    @property
    def name(self) -> str:
        """Line and step: "complete, edge-clock, rate 3"."""
        return ", ".join(each for each in (self.line, self.step) if each)

    @property
    def lag_gradients(self) -> float:
        """The lag in gradients of one worker."""
        return 0.0 if self.lag_s is None else self.lag_s / self.gradient_s

    @property
    def keeps_up(self) -> bool:
        """Whether its exchanges are at most one gradient late, on average."""
        return self.lag_gradients <= 1

    @property
    def fits(self) -> bool:
        """Whether the cores of the machine that is to execute it are enough."""
        return self.busy is None or self.busy <= MOST_BUSY


@dataclass(frozen=True)
class Choice:
    """What the rule has chosen.

    Attributes:
        candidates: all, in the order of the table.
        steady: those that keep up and fit the machine; where none does, those that keep up; where none does, all.
        close: those of them whose consensus distance is at most `limit`.
        limit: the median of the consensus distances of `steady`.
        chosen: the choice.
        rival: the next one; None where there is no other candidate.
    """

    candidates: tuple[Candidate, ...]
    steady: tuple[Candidate, ...]
    close: tuple[Candidate, ...]
    limit: float
    chosen: Candidate
    rival: Candidate | None

    def sentence(self) -> str:
        """Which one to choose, and why."""
        chosen = self.chosen
        speed = f"{number(chosen.gradients_per_s)} gradients/s"
        if len(self.candidates) == 1:
            return f"Choose {chosen.name}: {speed}; there is no other case."
        which = f"{len(self.steady)} cases{self._that()}"
        return (
            f"Choose {chosen.name}: of the {which} {len(self.close)} keep their workers close (consensus distance at "
            f"most {number(self.limit, 3)}, the median), and of these it makes the most gradients{self._tied()}: "
            f"{speed}, at a consensus distance of {number(chosen.consensus, 3)}{self._at_a_lag()}."
        )

    def _that(self) -> str:
        """What those that are compared do."""
        fit = any(each.busy is not None for each in self.steady) and all(each.fits for each in self.steady)
        told = ["that keep up with their clocks"] * all(each.keeps_up for each in self.steady)
        told += ["fit this machine"] * fit
        return "".join(f" {each}" for each in (" and ".join(told),) if each)

    def _at_a_lag(self) -> str:
        lag = self.chosen.lag_s
        return "" if lag is None else f" and a lag of {with_unit(lag, 's', 3)}"

    def _tied(self) -> str:
        others = len(_tied(self.close)) - 1
        return f" (as many as {others} {'others' if others > 1 else 'other'}, but closer together)" if others else ""

    def reasons(self) -> list[str]:
        """Why not another: the fastest, the closest, those that do not keep up, those that need more cores; and the
        rival. A sentence each."""
        return [*self._fastest(), *self._closest(), *self._behind(), *self._beyond(), *self._rival()]

    def _fastest(self) -> Iterable[str]:
        fastest = _first(self.steady)
        more = fastest.gradients_per_s / self.chosen.gradients_per_s - 1
        if fastest is not self.chosen and more > TIE:
            yield (
                f"Faster: {fastest.name} makes {percent(more, signed=False)} more, but its consensus distance is "
                f"{number(fastest.consensus, 3)}."
            )

    def _closest(self) -> Iterable[str]:
        closest = min(self.steady, key=lambda each: each.consensus)
        if closest is not self.chosen and closest.consensus < self.chosen.consensus:
            less = 1 - closest.gradients_per_s / self.chosen.gradients_per_s
            cost = f"makes {percent(less, signed=False)} fewer gradients" if less > 0 else "makes as many gradients"
            yield f"Closer: {closest.name} has a consensus distance of {number(closest.consensus, 3)}, but {cost}."

    def _behind(self) -> Iterable[str]:
        behind = [each for each in self.candidates if not each.keeps_up]
        if behind:
            worst = max(behind, key=lambda each: each.lag_gradients)
            yield (
                f"Not kept up: {len(behind)} of {len(self.candidates)} cases fall behind their clocks, the most "
                f"{worst.name}, by {with_unit(worst.lag_s or 0.0, 's', 3)}, {number(worst.lag_gradients, 2)} gradients."
            )

    def _beyond(self) -> Iterable[str]:
        beyond = [(each.busy, each.name) for each in self.candidates if each.busy is not None and not each.fits]
        if beyond:
            busy, name = max(beyond)
            none = "" if self.chosen.fits else " The chosen one is among them, as no case that keeps up fits."
            yield (
                f"Too much for this machine: {len(beyond)} of {len(self.candidates)} cases would take more than "
                f"{percent(MOST_BUSY, signed=False)} of the time of its cores, the most {name}, "
                f"{percent(busy, signed=False)}: executed here, threads that wait for a core would hold them up, "
                f"which no simulation foretells.{none}"
            )

    def _rival(self) -> Iterable[str]:
        if self.rival is not None:
            more = self.rival.gradients_per_s / self.chosen.gradients_per_s - 1
            speed = f"{number(self.rival.gradients_per_s)} gradients/s ({percent(more)})"
            distance = f"at a consensus distance of {number(self.rival.consensus, 3)}"
            yield f"Its rival is {self.rival.name}: {speed}, {distance}."


def choose(candidates: Sequence[Candidate]) -> Choice:
    """Choose one by the rule above; of equals the first.

    Raises:
        ValueError: if there is none.
    """
    if not candidates:
        raise ValueError("choose: expected a case with throughput and consensus distance, found none")
    timely = tuple(each for each in candidates if each.keeps_up)
    steady = tuple(each for each in timely if each.fits) or timely or tuple(candidates)
    limit = median(each.consensus for each in steady)
    close = tuple(each for each in steady if each.consensus <= limit)
    chosen = _first(close)
    return Choice(tuple(candidates), steady, close, limit, chosen, _rival(chosen, (close, steady, candidates)))


def _first(candidates: Iterable[Candidate]) -> Candidate:
    """The closest of the fastest."""
    return min(_tied(candidates), key=lambda each: each.consensus)


def _tied(candidates: Iterable[Candidate]) -> list[Candidate]:
    """The fastest, and those that are as fast."""
    there = list(candidates)
    fastest = max(each.gradients_per_s for each in there)
    return [each for each in there if each.gradients_per_s >= (1 - TIE) * fastest]


def _rival(chosen: Candidate, pools: Sequence[Sequence[Candidate]]) -> Candidate | None:
    """The next one, of the narrowest pool that has one that is slower; else one that is as fast."""
    enough = (1 - APART) * chosen.gradients_per_s
    slower = ([each for each in pool if each.gradients_per_s <= enough] for pool in pools)
    others = ([each for each in pool if each is not chosen] for pool in pools)
    return next((_first(each) for each in (*slower, *others) if each), None)


def while_training(table: pd.DataFrame, series: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """A sweep's table with `settled_consensus` in the place of the consensus distance at the end.

    Args:
        table: as `simulator.sweep` returns it.
        series: settings, `time_s` and `consensus_distance` of all cases.
        keys: columns of settings that tell cases apart.
    """
    found = []
    for row in table.to_dict("records"):
        own = series[(series[list(keys)] == [row[key] for key in keys]).all(axis=1)]
        found.append(settled_consensus(own, row["window_s"]))
    return table.assign(consensus_distance=[nan if each is None else each for each in found])


def candidates_of(table: pd.DataFrame, keys: Sequence[str], num_workers: int) -> list[Candidate]:
    """The cases of a sweep that went well and have throughput and consensus.

    Args:
        table: as `while_training` returns it; a column `busy` is what candidates have of that name.
        keys: columns of settings that tell cases apart.
        num_workers: of every case.
    """
    good = table[(table["error"] == "") & (table["gradients_per_s"] > 0) & table["consensus_distance"].notna()]
    return [_candidate(row, {key: row[key] for key in keys}, num_workers) for row in good.to_dict("records")]


def _candidate(row: Mapping[Any, Any], settings: Mapping[str, object], num_workers: int) -> Candidate:
    lag, busy = row.get("lag_mean_s"), row.get("busy")
    names = [each for each in settings.values() if isinstance(each, str)]
    numbers = [
        f"{key.rpartition('.')[2]} {number(each)}" for key, each in settings.items() if isinstance(each, int | float)
    ]
    return Candidate(
        line=", ".join(names),
        step=", ".join(numbers),
        gradients_per_s=row["gradients_per_s"],
        consensus=row["consensus_distance"],
        staleness=row["staleness_mean"],
        lag_s=None if lag is None or lag != lag else lag,
        gradient_s=num_workers / row["gradients_per_s"],
        settings=dict(settings),
        busy=busy,
    )


def settled_consensus(series: pd.DataFrame | None, window_s: float) -> float | None:
    """The mean consensus distance over the second half of the window in which all workers compute.

    At the end of a run it says little: those that are done go on averaging until all are, and come together.

    Returns:
        None where nothing was observed there.
    """
    if series is None or "consensus_distance" not in series:
        return None
    inside = series[(series["time_s"] >= window_s / 2) & (series["time_s"] <= window_s)]["consensus_distance"].dropna()
    return float(inside.mean()) if len(inside) else None
