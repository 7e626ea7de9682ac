"""Numbers as people read them: with SI prefixes, a sensible number of digits, and signs on errors."""

from __future__ import annotations

from math import floor, isfinite, log10
from typing import Final

MISSING: Final = "–"
_PREFIXES: Final = {9: "G", 6: "M", 3: "k", 0: "", -3: "m", -6: "µ", -9: "n"}
_SHARES: Final = ("utilization", "fraction", "bubble", "accuracy")


def number(value: float, digits: int = 4) -> str:
    """A number with so many significant digits and no exponent: 0.01235, 312.4, 1,234,567."""
    if not isfinite(value):
        return MISSING
    decimals = max(0, digits - 1 - _magnitude(value))
    text = f"{value:,.{decimals}f}" if abs(value) < 1e15 and decimals < 12 else f"{value:.{digits - 1}e}"
    return text.rstrip("0").rstrip(".") if "." in text and "e" not in text else text


def with_unit(value: float, unit: str, digits: int = 4) -> str:
    """A number with an SI prefix: `with_unit(0.0123, "s")` is `12.3 ms`, bytes are in powers of 1000."""
    if not isfinite(value):
        return MISSING
    power = min(9, max(-9, 3 * (_magnitude(value) // 3))) if value else 0
    if unit == "B":
        power = max(power, 0)
    return f"{number(value / 10**power, digits)} {_PREFIXES[power]}{unit}"


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


def quantity(key: str, value: float | None) -> str:
    """A summary's value with the unit that its key names: seconds, bytes, events a second, a share in percent."""
    if value is None or not isfinite(value):
        return MISSING
    if key.endswith("_per_s"):
        return f"{number(value)} /s"
    if any(word in key for word in _SHARES):
        return percent(value, signed=False)
    if "bytes" in key or "memory" in key:
        return with_unit(value, "B")
    if key.endswith("_s"):
        return with_unit(value, "s")
    return f"{int(value):,}" if float(value).is_integer() else number(value)


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
