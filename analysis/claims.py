"""What is claimed of a prediction, in sentences: the number that decides, its error, and what the error is worth."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from analysis.measures.intervals import Difference, Interval
from schedules.record.quantities import (
    WORK_PER_S,
    number,
    percent,
    relative_error,
    resolved,
    units_of,
    with_unit,
    words,
)

THROUGHPUT: Final = "gradients_per_s"
EXCHANGE_RATE: Final = "exchange_rate"
MAKESPAN: Final = "makespan_s"
LAG: Final = "lag_mean_s"

OF_GRADIENTS: Final = (THROUGHPUT, EXCHANGE_RATE)
"""The numbers that have an interval within a run: batches are of its gradients."""

_UNITS: Final = {THROUGHPUT: "gradients/s", EXCHANGE_RATE: "exchanges a gradient"}
_WORDS: Final = {EXCHANGE_RATE: "exchange rate"}


def headline(summary: Mapping[str, Any]) -> str:
    """The key of the number that a prediction is judged by.

    That is the throughput; but where exchanges answer the ticks of clocks, gradients wait for no network, and the
    exchange rate says what the network did. A run that makes no gradients is judged by the throughput in the first
    unit of its own, and one that has none by its length.
    """
    if not number_of(summary, THROUGHPUT):
        own = (WORK_PER_S + unit for unit in units_of(summary))
        return next((key for key in own if number_of(summary, key)), MAKESPAN)
    return EXCHANGE_RATE if number_of(summary, EXCHANGE_RATE) and number_of(summary, LAG) is not None else THROUGHPUT


def number_of(summary: Mapping[str, Any], key: str) -> float | None:
    """A number of a summary; None where it has none."""
    found = summary.get(key)
    # A bool is an int in Python, and `precision_reached` cannot be off by some percent.
    return float(found) if isinstance(found, int | float) and not isinstance(found, bool) else None


@dataclass(frozen=True)
class Claim:
    """What sentences are made of.

    Attributes:
        key: of the summary: the number that is claimed.
        simulated, measured: summaries.
        null: the summary of the null model: the simulation without a network; None: there was none.
        difference: simulated less measured, with its interval; None where a run is too short or too uneven for one.
    """

    key: str
    simulated: Mapping[str, Any]
    measured: Mapping[str, Any]
    null: Mapping[str, Any] | None = None
    difference: Difference | None = None

    @property
    def error(self) -> float | None:
        """simulated / measured - 1."""
        return self._error(self.simulated, self.key)

    @property
    def null_error(self) -> float | None:
        """The same without a network."""
        return None if self.null is None else self._error(self.null, self.key)

    def _error(self, summary: Mapping[str, Any], key: str) -> float | None:
        return relative_error(number_of(summary, key), number_of(self.measured, key))

    def sentence(self) -> str:
        """Simulated, measured, error, interval, and the error without a network; of an exchange rate the lag, too."""
        ours, theirs = (number_of(summary, self.key) for summary in (self.simulated, self.measured))
        if ours is None or theirs is None:
            return "One of the two summaries lacks both throughput and makespan: there is nothing to claim."
        if self.key == MAKESPAN:
            return (
                f"Simulated makespan {with_unit(ours, 's')}, measured {with_unit(theirs, 's')} "
                f"(error {percent(self.error)}{self._without(self.key)})."
            )
        # Further digits than half the interval has say nothing.
        half = self.difference.half_width if self.difference is not None else 0.0
        one, other = resolved((ours, theirs), half) if half > 0 else (number(ours), number(theirs))
        told = f"Simulated {_WORDS.get(self.key, 'throughput')} {one}{_unit(self.key)}, measured {other}"
        rest = f"error {percent(self.error)}{self._interval(theirs)}{self._without(self.key)}"
        return f"{told} ({rest}).{self._lag()}"

    def _interval(self, measured: float) -> str:
        found = self.difference
        if self.key not in OF_GRADIENTS:
            return ""
        if found is None:
            return "; the measured run is too short or too uneven for an interval"
        if found.is_zero or self.error == 0:
            return ": the difference is exactly 0"
        source = f"{found.num_batches} paired differences" if found.is_paired else "batch means"
        low, high = (percent(each / measured) for each in (found.low, found.high))
        return f", 95 % interval of the error {low} to {high} from {source}"

    def _without(self, key: str) -> str:
        """The error without a network, and whether the prediction is any better."""
        if self.null is None:
            return ""
        without, error = self._error(self.null, key), self._error(self.simulated, key)
        told = f"; error without a network {percent(without)}"
        if without is None or error is None or key == LAG:
            return told
        gain = abs(without) - abs(error)
        if gain <= 0:
            return f"{told}: the prediction adds nothing to that"
        if gain <= self._half_width():
            return f"{told}: what the prediction adds to that is less than this measurement can tell"
        return told

    def _half_width(self) -> float:
        """Of the interval of the error."""
        measured = number_of(self.measured, self.key)
        return self.difference.half_width / measured if self.difference is not None and measured else 0.0

    def _lag(self) -> str:
        if self.key != EXCHANGE_RATE:
            return ""
        ours, theirs = (number_of(summary, LAG) for summary in (self.simulated, self.measured))
        if ours is None or theirs is None:
            return ""
        return (
            f" Their lag behind the clocks: simulated {with_unit(ours, 's')}, measured {with_unit(theirs, 's')} "
            f"(error {percent(relative_error(ours, theirs))}{self._without(LAG)})."
        )

    def repeated(self, values: Sequence[float], between: Interval | None, within: Interval | None) -> str:
        """How far repeated measurements lie apart, beside the interval within the one shown; "" of one.

        Args:
            values: of each run.
            between: of the mean of the runs.
            within: of the run that is shown.
        """
        if between is None:
            return ""
        inside = "too short for one" if within is None else f"±{_share(within.half_width, within)}"
        error, null_error = (
            relative_error(number_of(each, self.key), between.value) for each in (self.simulated, self.null or {})
        )
        without = "" if self.null is None else f", without a network {percent(null_error)}"
        return (
            f"{spread_sentence(self.key, values, between)}, by the interval within the one shown to {inside}. "
            f"Against the mean the error is {percent(error)}{without}."
        )

    def verdict(self) -> str:
        """Whether the error is more than chance."""
        found = self.difference
        if self.key not in OF_GRADIENTS:
            return "One run has no interval for this: only repeated measurements say how much of the error is chance."
        if found is None:
            return "Without an interval nobody can say how much of the error is chance: measure a longer run."
        if found.is_zero or self.error == 0:
            return "The difference is exactly 0: the prediction and the measurement are the same."
        if found.is_paired:
            return _verdict_of_pairs(found)
        if found.low <= 0 <= found.high:
            return "The prediction lies inside the interval: this measurement cannot tell it from the truth."
        return "The prediction lies outside the interval: the error is more than the scatter within the runs."


def _verdict_of_pairs(found: Difference) -> str:
    if found.is_one_sided:
        sign = "lower" if found.num_below else "higher"
        one_sided = f"All {found.num_batches} paired differences have one sign (simulated {sign})"
        return f"{one_sided}: the error is no chance, however small it is."
    if found.low <= 0 <= found.high:
        return "The interval of paired differences holds 0: this measurement cannot tell the prediction from the truth."
    return "The interval of paired differences does not hold 0: the error is more than the scatter within the runs."


def spread_sentence(key: str, values: Sequence[float], between: Interval | None) -> str:
    """How far repeated runs lie apart; "" of one run.

    Args:
        key: of the number.
        values: of each run.
        between: of the mean of the runs.
    """
    if between is None:
        return ""
    low, high = (_of_runs(key, each) for each in (min(values), max(values)))
    mean = f"mean {_of_runs(key, between.value)} (95 % interval of the mean ±{_share(between.half_width, between)})"
    of_one = between.half_width * math.sqrt(len(values))
    return (
        f"Measured {len(values)} times: {low} to {high}{_unit(key)}, {mean}; by the spread between runs "
        f"a single one is known to ±{_share(of_one, between)}"
    )


def _unit(key: str) -> str:
    if key.startswith(WORK_PER_S):
        return f" {words(key)}"
    return f" {_UNITS[key]}" if key in _UNITS else ""


def _of_runs(key: str, each: float) -> str:
    return with_unit(each, "s") if key == MAKESPAN else number(each)


def _share(half_width: float, interval: Interval) -> str:
    return percent(half_width / interval.value if interval.value else 0.0, signed=False)
