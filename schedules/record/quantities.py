"""Numbers as people read them, and the words and the unit of every number of a summary.

`QUANTITIES` is the one place that names them: all tables, figures and reports ask here, and say only which they show.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import floor, isfinite, log10
from typing import TYPE_CHECKING, Final

from schedules.payload import KINDS
from schedules.record.words.quantity import BYTES, COUNT, PER_SECOND, SECONDS, SHARE, Quantity

if TYPE_CHECKING:
    import pandas as pd

MISSING: Final = "–"
_PREFIXES: Final = {9: "G", 6: "M", 3: "k", 0: "", -3: "m", -6: "µ", -9: "n"}
_LONG_TIMES: Final = ((3600, "h"), (60, "min"))
_LONG: Final = 120
"""From so many of the smaller unit on a time is told in the larger one: 119 s, 2 min, 119 min, 2 h."""
_SHARES: Final = ("utilization", "fraction", "bubble", "accuracy")

QUANTITIES: Final[Mapping[str, Quantity]] = {
    "makespan_s": Quantity("makespan", SECONDS, "makespan", axis="s"),
    "gradients": Quantity("gradients"),
    "gradients_dropped": Quantity("gradients in vain"),
    "gradients_dropped_s": Quantity("time of gradients in vain", SECONDS, axis="s"),
    "steps_apart": Quantity("steps apart"),
    "gradients_per_s": Quantity(
        "throughput", PER_SECOND, "throughput", "gradients/s", heading="gradients/s", axis="gradients/s"
    ),
    "samples_per_s": Quantity("throughput", PER_SECOND, "throughput", "samples/s", axis="samples/s"),
    "window_s": Quantity("window of throughput", SECONDS, "throughput", "window", axis="s"),
    "exchange_rate": Quantity(
        "exchange rate",
        COUNT,
        "averaging",
        "a worker and gradient",
        heading="exchanges/gradient",
        axis="per gradient",
    ),
    "exchanges_due": Quantity("exchanges due"),
    "backlog_exchanges": Quantity("exchanges behind", COUNT, "averaging", "ticks not answered", heading="behind"),
    "lag_mean_s": Quantity(
        "lag (mean)", SECONDS, "averaging", "lag (mean)", title="mean lag behind the clock", axis="s"
    ),
    "lag_p95_s": Quantity("lag (95 %)", SECONDS, "averaging", "(95 %)", title="lag, 95th percentile", axis="s"),
    "throughput_mean": Quantity("steady throughput (mean)", title="mean steady throughput", axis="gradients/s"),
    "throughput_low": Quantity("steady throughput (low)", title="steady throughput, low end", axis="gradients/s"),
    "throughput_high": Quantity("steady throughput (high)", title="steady throughput, high end", axis="gradients/s"),
    "precision_reached": Quantity("precision reached"),
    "warm_up_s": Quantity("warm-up", SECONDS, axis="s"),
    "batches": Quantity("batches"),
    "batch_s": Quantity("length of a batch", SECONDS, axis="s"),
    "slow_spells": Quantity("slow spells seen"),
    "events": Quantity("events"),
    "utilization_compute": Quantity(
        "computing", SHARE, "computing", "of the time", title="compute utilization", axis="%"
    ),
    "utilization_communication": Quantity(
        "communicating", SHARE, "communicating", "of the time", title="communication utilization", axis="%"
    ),
    "idle_fraction": Quantity("idle", SHARE, "idle", "of the time", title="idle", axis="%"),
    "bubble_rate": Quantity("bubble rate", SHARE, "bubble", "of the cost (Zero Bubble's rate)", axis="%"),
    "bubble_over_ideal": Quantity("bubble over ideal", SHARE, "bubble", "of the ideal time", axis="%"),
    "bubble_over_makespan": Quantity("bubble over makespan", SHARE, "bubble", "of the makespan", axis="%"),
    "cost_s": Quantity("cost", SECONDS, "bubble", "cost", title="longest time of a rank", axis="s"),
    "period_s": Quantity("period", SECONDS, "bubble", "a micro-batch", title="period of a micro-batch", axis="s"),
    "bytes_sent": Quantity("sent", BYTES, "sent", title="data sent", axis="B"),
    "exchanges": Quantity("exchanges", COUNT, "sent", "exchanges"),
    "peak_memory_bytes": Quantity("memory", BYTES, "memory", "at the peak", title="memory at the peak", axis="B"),
    "staleness_mean": Quantity(
        "staleness (mean)", COUNT, "staleness", "versions (mean)", "staleness", "mean staleness", "versions"
    ),
    "staleness_p95": Quantity(
        "staleness (95 %)", COUNT, "staleness", "(95 %)", title="staleness, 95th percentile", axis="versions"
    ),
    "staleness_max": Quantity(
        "staleness (max)", COUNT, "staleness", "(max)", title="highest staleness", axis="versions"
    ),
    **{
        f"staleness_mean.{kind}": Quantity(
            f"staleness of {kind}s (mean)", title=f"mean staleness of {kind}s", axis="versions"
        )
        for kind in KINDS
    },
    **{
        f"{kind}_age_steps_mean": Quantity(f"age of {kind}s (mean)", title=f"mean age of {kind}s", axis="local steps")
        for kind in ("change", "average")
    },
    **{
        f"{kind}_age_mean_s": Quantity(f"age of {kind}s (mean)", SECONDS, title=f"mean age of {kind}s", axis="s")
        for kind in ("change", "average")
    },
    "staleness_mean_s": Quantity("staleness (mean)", SECONDS, title="mean staleness", axis="s"),
    "staleness_max_s": Quantity("staleness (max)", SECONDS, title="highest staleness", axis="s"),
    "staleness_steps_mean": Quantity("staleness (mean)", title="mean staleness", axis="local steps"),
    "staleness_steps_max": Quantity("staleness (max)", title="highest staleness", axis="local steps"),
    "staleness_exchanges_mean": Quantity("staleness (mean)", title="mean staleness", axis="exchanges"),
    "staleness_exchanges_p95": Quantity("staleness (95 %)", title="staleness, 95th percentile", axis="exchanges"),
    "staleness_exchanges_max": Quantity("staleness (max)", title="highest staleness", axis="exchanges"),
    **{
        f"age_{short}{suffix}": Quantity(f"age of what is known ({told})", unit, title=title, axis=axis)
        for suffix, unit, axis in (("", COUNT, "gradients"), ("_s", SECONDS, "s"))
        for short, told, title in (
            ("mean", "mean", "mean age of what is known"),
            ("p50", "50 %", "age of what is known, median"),
            ("p95", "95 %", "age of what is known, 95th percentile"),
            ("max", "max", "highest age of what is known"),
        )
    },
    "age_unknown_fraction": Quantity("nothing known of", SHARE, title="others of whom nothing is known", axis="%"),
    "outages": Quantity("outages", COUNT, "outages"),
    "exchanges_lost": Quantity("exchanges lost", COUNT, "outages", "exchanges lost"),
    "away_s": Quantity("away", SECONDS, "outages", "away in all", axis="s"),
    "loss": Quantity("loss", COUNT, "loss", is_final=True),
    "accuracy": Quantity("accuracy", SHARE, "accuracy", axis="%", is_final=True),
    "consensus_distance": Quantity(
        "consensus distance",
        COUNT,
        "consensus distance",
        heading="consensus",
        axis="$\\Vert \\pi X \\Vert_F^2$",
        is_final=True,
    ),
}
"""The numbers of a summary by key, in the order in which people look at them."""

OF_SCHEDULES: Final = frozenset({"period_s"})
"""Those that a schedule's own `summary(run)` may say."""

WORK: Final = "work."
EQUAL_SAMPLES = "equal_samples"
"""An attribute of a sweep's table: whether `run.samples` says of all cases that they go over as many samples."""

WORK_PER_S: Final = "work_per_s."
"""How the keys begin that a summary has for a schedule's own units: `work.tokens`, `work_per_s.tokens`."""

_OF_GRADIENTS: Final = ("gradients", "samples_per_s", "window_s", "exchange_rate", "throughput_")

DETAILS: Final[Mapping[str, str]] = {
    "per_rank": "the same, rank by rank",
    "peak_memory_by_kind": "what the fullest rank holds at its peak",
    "staleness_by_target": "how stale what was applied to each target was",
    "ages": "how old what workers know of each other is",
    "collectives": "what collectives took",
    "stage_staleness": "versions of a stage written between a forward pass and the update by its gradient",
    "weight_versions": "how many versions of its parameters each stage keeps",
    "peak_activations": "the most bytes of activations that each rank holds",
    "bytes_per_link": "bytes of activations and gradients by pair of ranks",
    "failed": "why the run failed",
}
"""What a summary has beside numbers."""


def number(value: float, digits: int = 4) -> str:
    """A number with so many significant digits and no exponent: 0.01235, 312.4, 1,234,567."""
    if not isfinite(value):
        return MISSING
    decimals = max(0, digits - 1 - _magnitude(value))
    text = f"{value:,.{decimals}f}" if abs(value) < 1e15 and decimals < 12 else f"{value:.{digits - 1}e}"
    return text.rstrip("0").rstrip(".") if "." in text and "e" not in text else text  # the zeros of 1,200 say something


def with_unit(value: float, unit: str, digits: int = 4) -> str:
    """A number with an SI prefix: `with_unit(0.0123, "s")` is `12.3 ms`, bytes are in powers of 1000. Longer times are
    in minutes and hours: nobody counts in kiloseconds."""
    if not isfinite(value):
        return MISSING
    if unit == SECONDS and abs(value) >= 1:
        scale, unit = time_unit(abs(value))
        return f"{number(value / scale, digits)} {unit}"
    power = min(9, max(-9, 3 * (_magnitude(value) // 3))) if value else 0
    if unit == "B":
        power = max(power, 0)  # there are no millibytes
    return f"{number(value / 10**power, digits)} {_PREFIXES[power]}{unit}"


def time_unit(longest_s: float) -> tuple[int, str]:
    """In what times up to this one are told, from a second on: the seconds of a unit, and its name."""
    return next((each for each in _LONG_TIMES if longest_s >= _LONG * each[0] / 60), (1, SECONDS))


def percent(error: float | None, *, signed: bool = True) -> str:
    """A ratio in percent: 0.047 is `+4.7 %`, `+0.03 %` where the first decimal says nothing."""
    if error is None or not isfinite(error):
        return MISSING
    if error == 0:
        return "0 %"
    decimals = 2 if 0 < abs(error) < 0.01 else 1
    return f"{100 * error:{'+' if signed else ''}.{decimals}f} %"


def resolved(values: tuple[float, ...], half_width: float) -> tuple[str, ...]:
    """Numbers with as many decimals as an interval of this half-width justifies: two digits of it."""
    decimals = 1 - _magnitude(half_width) if half_width > 0 else 3 - _magnitude(values[0])
    return tuple(f"{value:,.{min(6, max(0, decimals))}f}" for value in values)


def sentence_of(key: str, value: float) -> str:
    """A summary's number as a sentence has it: `throughput 397.4 gradients/s`, `makespan 1.26 s`, `throughput 7,830
    tokens/s`."""
    if key.startswith(WORK_PER_S):
        return f"throughput {beside_words(key, value)} {words(key)}"
    found = QUANTITIES.get(key, Quantity(name_of(key)))
    unit = found.axis if found.unit in (COUNT, PER_SECOND) and not found.axis.startswith("$") else ""
    return f"{found.of_a_run} {beside_words(key, value)} {unit}".strip()


def quantity(key: str, value: float | None) -> str:
    """A summary's value with its unit: seconds, bytes, events a second, a share in percent."""
    if value is None or not isfinite(value):
        return MISSING
    unit = unit_of(key)
    if unit == SHARE:
        return percent(value, signed=False)
    if unit in (BYTES, SECONDS):
        return with_unit(value, unit)
    if unit == PER_SECOND:
        return f"{number(value)} /s"
    return f"{int(value):,}" if float(value).is_integer() else number(value)


def beside_words(key: str, value: float) -> str:
    """A summary's value where the words beside it say already what happens a second."""
    return number(value) if unit_of(key) == PER_SECOND else quantity(key, value)


def name_of(key: str) -> str:
    """A summary's key in words, where quantities stand one below the other; of a user's module the key's own words."""
    if key in QUANTITIES:
        return QUANTITIES[key].alone
    if key.startswith((WORK, WORK_PER_S)):
        return label(key) if key.startswith(WORK_PER_S) else words(key)
    return (key.removesuffix("_s") if unit_of(key) == SECONDS else key).replace("_", " ")


def words(key: str, *, is_heading: bool = False) -> str:
    """What a summary's key is called where its value stands beside it, or over its column."""
    if key.startswith(WORK_PER_S):
        return f"{key.removeprefix(WORK_PER_S)}/s"
    found = QUANTITIES.get(key)
    if found is None:
        return key.removeprefix(WORK)
    return found.heading or found.words if is_heading else found.words


def label(key: str) -> str:
    """What an axis of a summary's key is called."""
    if key.startswith(WORK_PER_S):
        return f"throughput ({words(key)})"
    return QUANTITIES[key].label if key in QUANTITIES else key


def units_of(summary: Mapping[str, object]) -> list[str]:
    """The units of its own that a run counts in."""
    return [key.removeprefix(WORK_PER_S) for key in summary if key.startswith(WORK_PER_S)]


def throughput(summary: Mapping[str, float]) -> str:
    """All that a run does in a second: `133.3 gradients/s, 7,830 tokens/s`."""
    gradients = {"gradients": summary["gradients_per_s"]} if applies("gradients_per_s", summary) else {}
    rates = gradients | {unit: summary[WORK_PER_S + unit] for unit in units_of(summary)}
    return ", ".join(f"{number(rate)} {unit}/s" for unit, rate in rates.items())


def applies(key: str, summary: Mapping[str, object]) -> bool:
    """Whether a number says something of a run: of one without gradients those of gradients do not.

    Args:
        summary: of the run; of several runs, the largest value of each.
    """
    if summary.get("gradients") != 0:  # older runs may not say so
        return True
    if key.startswith("staleness"):
        return any(each.startswith("staleness_mean.") and value is not None for each, value in summary.items())
    return not key.startswith(_OF_GRADIENTS)


def largest(table: pd.DataFrame) -> dict[str, object]:
    """The largest value of each column of numbers that has one, for `applies`."""
    return {str(key): value for key, value in table.max(numeric_only=True).dropna().items()}


def unit_of(key: str) -> str:
    """The unit of a summary's key; of one that is not in the table, as a user's module may have, read off its name."""
    if key in QUANTITIES:
        return QUANTITIES[key].unit
    if key.endswith("_per_s") or key.startswith(WORK_PER_S):
        return PER_SECOND
    if any(word in key for word in _SHARES):
        return SHARE
    if "bytes" in key or "memory" in key:
        return BYTES
    return SECONDS if key.endswith("_s") else COUNT


def relative_error(simulated: float | None, measured: float | None) -> float | None:
    """simulated / measured - 1; 0 if both are 0; None if it cannot be said."""
    if simulated is None or measured is None or not isfinite(simulated) or not isfinite(measured):
        return None
    if measured == 0:
        return 0.0 if simulated == 0 else None
    return simulated / measured - 1


def _magnitude(value: float) -> int:
    """The power of ten of the first digit."""
    return floor(log10(abs(value))) if value else 0
