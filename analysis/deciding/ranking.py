"""Whether the simulation's ranking of two cases holds when both are executed, turn by turn."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Any, Final

from analysis.claims import EXCHANGE_RATE, LAG, THROUGHPUT, number_of
from analysis.deciding.choice import Choice, settled_consensus
from analysis.measures.intervals import Interval, spread
from schedules.record.files import MEASURED
from schedules.record.quantities import MISSING, beside_words, number, percent, with_unit

if TYPE_CHECKING:
    import pandas as pd

    from schedules.result import Result

SHOWN: Final = (THROUGHPUT, EXCHANGE_RATE, LAG, "staleness_mean")
CONSENSUS: Final = "consensus"


@dataclass(frozen=True)
class Ranking:
    """Two cases, the one that is faster in the simulation first.

    Attributes:
        first, second: what they are called.
        simulated: throughput of the first / that of the second - 1.
        measured: the same, the mean over rounds in which one was executed right after the other.
        interval: 95 % interval of that mean, from the spread between rounds; None of one round.
        num_rounds: how many.
    """

    first: str
    second: str
    simulated: float
    measured: float
    interval: Interval | None
    num_rounds: int

    def sentence(self) -> str:
        """Whether the ranking held, with both differences."""
        if self.simulated == 0:
            told = f"{self.first} and {self.second} are equally fast simulated"
        else:
            told = f"{self.first} before {self.second} by {percent(self.simulated, signed=False)} simulated"
        return f"{self.verdict()}: {told}, {percent(self.measured)} measured ({self._interval()}).{self._size()}"

    def verdict(self) -> str:
        """Held, did not hold, or cannot be told."""
        if self.simulated == 0:
            return "There is no ranking"
        if self.interval is None or 0 in self.interval:
            return "The ranking cannot be told from noise"
        return "The ranking held" if self.measured > 0 else "The ranking did not hold"

    def _size(self) -> str:
        """A ranking may hold though its difference is another one."""
        if self.interval is None or self.simulated == 0 or self.simulated in self.interval:
            return ""
        return " How large the difference is was not predicted: the interval does not hold the simulated one."

    def _interval(self) -> str:
        if self.interval is None:
            return "one execution of each, so no interval"
        low, high = percent(self.interval.low), percent(self.interval.high)
        return f"95 % interval {low} to {high} from {self.num_rounds} rounds"


def rank(
    names: tuple[str, str], simulated: tuple[float, float], measured: tuple[Sequence[float], Sequence[float]]
) -> Ranking:
    """Rank two cases by their throughput.

    Args:
        names: of the two.
        simulated: gradients/s of each.
        measured: gradients/s of each, a number a round; both have as many rounds.
    Raises:
        ValueError: if there is no round, or the two have not as many, or a throughput is not positive.
    """
    ours, theirs = measured
    if not ours or len(ours) != len(theirs):
        raise ValueError(f"rank: expected as many rounds of both, found {len(ours)} and {len(theirs)}")
    if not all(each > 0 for each in (*simulated, *ours, *theirs)):
        raise ValueError("rank: expected throughputs above 0")
    if simulated[1] > simulated[0]:
        return rank((names[1], names[0]), (simulated[1], simulated[0]), (theirs, ours))
    ratios = [our / their - 1 for our, their in zip(ours, theirs, strict=True)]
    mean = sum(ratios) / len(ratios)
    return Ranking(*names, simulated[0] / simulated[1] - 1, mean, spread(ratios), len(ratios))


@dataclass(frozen=True)
class Decision:
    """A choice, and what became of it.

    Attributes:
        choice: from the sweep.
        ranking: of the chosen case and its rival; None where there was no rival.
        table: columns case, world, and the numbers of `SHOWN` and `consensus`; measured ones are means.
    """

    choice: Choice
    ranking: Ranking | None
    table: pd.DataFrame

    def doubts(self) -> list[str]:
        """On what grounds of the rule the chosen case fails when it is executed, a sentence each."""
        chosen = self.choice.chosen
        own = self.table[(self.table["case"] == chosen.name) & (self.table["world"] == MEASURED)]
        return [told for row in own.to_dict("records") for told in _doubts(self.choice, row)]

    def rows(self) -> list[dict[str, str]]:
        """The table as people read it."""
        return [
            {str(key): _text(str(key), value) for key, value in row.items()} for row in self.table.to_dict("records")
        ]


def decision(choice: Choice, simulated: Mapping[str, Result], measured: Mapping[str, Sequence[Result]]) -> Decision:
    """Lay the executions of the chosen case and its rival beside their simulations.

    Args:
        choice: from the sweep.
        simulated, measured: by the candidates' names; measured runs in the order of their rounds.
    """
    import pandas as pd

    rows = [
        {"case": name, "world": world, **_means(runs)}
        for name in simulated
        for world, runs in (("simulated", [simulated[name]]), ("measured", measured[name]))
    ]
    ranking = None
    if choice.rival is not None:
        names = choice.chosen.name, choice.rival.name
        ours, theirs = (_speed(simulated[name]) for name in names)
        rounds = tuple([_speed(run) for run in measured[name]] for name in names)
        ranking = rank(names, (ours, theirs), (rounds[0], rounds[1]))
    return Decision(choice, ranking, pd.DataFrame(rows))


def _doubts(choice: Choice, measured: Mapping[Any, Any]) -> Iterator[str]:
    chosen, lag_s, distance = choice.chosen, measured[LAG], measured[CONSENSUS]
    if chosen.keeps_up and _is_told(chosen.lag_s) and _is_told(lag_s):
        # All workers together make so many a second: how many they are does not matter.
        late = lag_s / (chosen.gradient_s * chosen.gradients_per_s / measured[THROUGHPUT])
        if late > 1:
            yield (
                f"Executed, {chosen.name} does not keep up with its clocks: a lag of {with_unit(lag_s, 's', 3)}, "
                f"{number(late, 2)} gradients, where {with_unit(chosen.lag_s or 0.0, 's', 3)} was simulated."
            )
    if _is_told(distance) and distance > choice.limit:
        yield (
            f"Executed, its workers are not close: a consensus distance of {number(distance, 3)}, where "
            f"{number(chosen.consensus, 3)} was simulated and at most {number(choice.limit, 3)} asked for."
        )


def _is_told(value: float | None) -> bool:
    return value is not None and isfinite(value)


def _text(key: str, value: Any) -> str:
    if isinstance(value, str):
        return value
    if not _is_told(value):
        return MISSING
    return number(value, 3) if key == CONSENSUS else beside_words(key, value)


def _speed(run: Result) -> float:
    return number_of(run.summary, THROUGHPUT) or 0.0


def _means(runs: Sequence[Result]) -> dict[str, float | None]:
    values: dict[str, float | None] = {key: _mean([number_of(run.summary, key) for run in runs]) for key in SHOWN}
    return values | {CONSENSUS: _mean([_consensus(run.series, run.summary) for run in runs])}


def _consensus(series: pd.DataFrame | None, summary: Mapping[str, Any]) -> float | None:
    window_s = number_of(summary, "window_s")
    return None if window_s is None else settled_consensus(series, window_s)


def _mean(values: Sequence[float | None]) -> float | None:
    there = [each for each in values if each is not None]
    return sum(there) / len(there) if there else None
