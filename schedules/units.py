"""Reading quantities: "10 Gbit/s", "50 us", "44.7 MB". The one place where units are turned into SI.

A quantity is a number, a blank or none, and a unit of a table: nothing is evaluated. A plain number is SI already.

* Times are ps, ns, us (µs), ms, s, min, h, d, and their English words. `Ms` is none: whoever means milliseconds would
  get a time 10^9 times as long.
* Prefixes before bits, bytes and FLOP are read in either case, as a milli-bit is nothing: k, M, G, T, P, E are powers
  of 1,000 (also in KB), Ki, Mi, Gi, Ti, Pi, Ei powers of 1,024.
* `bit` and `byte` are read in any case. A single B is a byte, a single b a bit: GB/s and GBps are bytes, Gb/s and Gbps
  bits; gbps, too, by which nobody means bytes. `gb`, `mb/s` and the like are refused, as people mean either by them,
  and so is GBPS.
* FLOP are floating-point operations; as a rate FLOP/s, FLOPs/s or FLOPS.
"""

from __future__ import annotations

import math
import re
from typing import Annotated, Final

from pydantic import BeforeValidator, Field

EXAMPLES: Final = {
    "second": "50 us",
    "byte/second": "10 Gbit/s",
    "byte": "44.7 MB",
    "FLOP": "4.1 TFLOP",
    "FLOP/second": "312 TFLOP/s",
}

ACCEPTED: Final = {
    "second": "ns, us or µs, ms, s, min, h, d",
    "byte/second": "bit/s, kbit/s, Mbit/s, Gbit/s, Gb/s or Gbps, B/s, kB/s, MB/s, GB/s or GBps, KiB/s, MiB/s, GiB/s",
    "byte": "B, kB, MB, GB, TB, KiB, MiB, GiB, TiB, bit, kbit, Mbit, Gbit",
    "FLOP": "FLOP, MFLOP, GFLOP, TFLOP, PFLOP",
    "FLOP/second": "FLOP/s, MFLOP/s, GFLOP/s, TFLOP/s or TFLOPS, PFLOP/s",
}
"""The units that a message names, of those that are read."""

_NUMBER: Final = re.compile(
    r"([+-]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]+)?|inf|nan))\s*(.*)", re.IGNORECASE | re.DOTALL
)

_TIMES: Final = {
    **dict.fromkeys(("ps", "picosecond", "picoseconds"), 1e-12),
    **dict.fromkeys(("ns", "nsec", "nanosecond", "nanoseconds"), 1e-9),
    # The micro sign and the Greek letter look alike, and keyboards have either.
    **dict.fromkeys(
        ("us", "\N{MICRO SIGN}s", "\N{GREEK SMALL LETTER MU}s", "usec", "microsecond", "microseconds"), 1e-6
    ),
    **dict.fromkeys(("ms", "msec", "millisecond", "milliseconds"), 1e-3),
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1.0),
    **dict.fromkeys(("min", "mins", "minute", "minutes"), 60.0),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), 3600.0),
    **dict.fromkeys(("d", "day", "days"), 86400.0),
}
"""Seconds by unit, which is looked up in small letters."""

_DECIMAL: Final = ("k", "kilo"), ("m", "mega"), ("g", "giga"), ("t", "tera"), ("p", "peta"), ("e", "exa")
_BINARY: Final = ("ki", "kibi"), ("mi", "mebi"), ("gi", "gibi"), ("ti", "tebi"), ("pi", "pebi"), ("ei", "exbi")

_PREFIXES: Final = {
    "": 1.0,
    **{name: 1000.0**power for power, names in enumerate(_DECIMAL, 1) for name in names},
    **{name: 1024.0**power for power, names in enumerate(_BINARY, 1) for name in names},
}
"""Factors by prefix, in small letters."""

_AMOUNT: Final = re.compile(rf"({'|'.join(sorted(_PREFIXES, key=len, reverse=True))})(bits?|bytes?|b|flops?)", re.I)


_COUNTED: Final = {
    "second": (0.0, 1e9),
    "byte": (0.0, 1e18),
    "byte/second": (0.1, 1e18),
    "FLOP": (0.0, 1e30),
    "FLOP/second": (1.0, 1e24),
}
"""The least above zero and the largest of each unit. No machine has others, and what is made of these can be counted:
nanoseconds and bytes are integers of 64 bits."""


def quantity(value: object, unit: str) -> float:
    """A number or a text with a unit, in the given SI unit.

    Args:
        value: what the user wrote.
        unit: one of `EXAMPLES`.
    Raises:
        ValueError: if it is no quantity, of another dimension, or not finite.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):  # true would be read as 1
        raise ValueError(f'expected a quantity such as "{EXAMPLES[unit]}", or a plain number in {unit}')
    number = _read(value, unit) if isinstance(value, str) else _as_float(value)
    if not math.isfinite(number):
        raise ValueError(f'expected a finite quantity such as "{EXAMPLES[unit]}"')
    least, largest = _COUNTED[unit]
    if number > largest:
        raise ValueError(f"expected at most {largest:g} {unit}")
    if 0 < number < least:
        raise ValueError(f"expected at least {least:g} {unit}")
    return number


def _as_float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:  # a whole number that no float can be
        return math.inf


def _read(text: str, unit: str) -> float:
    match = _NUMBER.fullmatch(text.strip())
    if match is None:
        raise ValueError(f'expected a quantity such as "{EXAMPLES[unit]}" (with {ACCEPTED[unit]})')
    factor = _factor(match[2], unit)
    if factor is None:
        told = f'expected a quantity in {unit}, such as "{EXAMPLES[unit]}" (with {ACCEPTED[unit]}{_doubt(match[2])})'
        raise ValueError(told)
    return float(match[1]) * factor


def _factor(text: str, unit: str) -> float | None:
    """What one of the unit in the text is in the given SI unit; None if it is none of that dimension."""
    if unit == "second":
        return _time(text)
    kind, _, per_second = unit.partition("/")
    if not per_second:
        return _amount(text, kind)
    amount, stroke, time = (part.strip() for part in text.partition("/"))
    if not stroke:
        return _rate_in_one_word(text, kind)
    above, below = _amount(amount, kind), _time(time)
    return None if above is None or below is None else above / below


def _time(text: str) -> float | None:
    return None if text.startswith("M") and text[1:] in ("s", "S", "sec", "SEC") else _TIMES.get(text.lower())


def _rate_in_one_word(text: str, kind: str) -> float | None:
    """Gbps, GBps, TFLOPS."""
    if kind == "FLOP":
        return _amount(text, kind) if text.lower().endswith("flops") else None
    # "gbps" is bits: only in "gb/s" and "gb" is the small letter in doubt.
    return _amount(text.removesuffix("ps"), kind, is_small_bit=True) if text.endswith("ps") else None


def _amount(text: str, kind: str, *, is_small_bit: bool = False) -> float | None:
    """Bytes of a unit of data, or operations of one of those."""
    match = _AMOUNT.fullmatch(text)
    if match is None or match[2].lower().startswith("flop") != (kind == "FLOP"):
        return None
    if match[2] == "b" and text.islower() and not is_small_bit:
        return None
    is_bit = match[2] == "b" or match[2].lower().startswith("bit")
    return _PREFIXES[match[1].lower()] / (8 if is_bit else 1)


def _doubt(text: str) -> str:
    """What is said of units in which the case of a letter would have to decide."""
    amount = text.partition("/")[0].strip()
    match = re.fullmatch("([kmgtpe]?i?)b(ps)?", amount, re.IGNORECASE)
    if match is not None and (amount.islower() or amount.endswith("PS")):
        prefix, rate = match[1].capitalize(), "/s" if match[2] else ""
        return f"; {amount} may be bits or bytes: {prefix}bit{rate} or {prefix}B{rate}"
    return "; Ms may be meant as ms: ms or s" if text[:1] == "M" and text.lower() in ("ms", "msec") else ""


def _reader(unit: str) -> BeforeValidator:
    return BeforeValidator(lambda value: quantity(value, unit))


def _span(value: object) -> float | str:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError('expected a time such as "30 s", or a number of gradient times')
    number = quantity(value, "second")
    if number <= 0:
        raise ValueError('expected a time above 0, such as "30 s", or a number of gradient times above 0')
    return value if isinstance(value, str) else number


Seconds = Annotated[float, _reader("second"), Field(ge=0)]
BytesPerSecond = Annotated[float, _reader("byte/second"), Field(gt=0)]
Bytes = Annotated[float, _reader("byte"), Field(ge=0)]
Span = Annotated[float | str, BeforeValidator(_span)]
"""A number of gradient times, or a text with a unit: "30 s". The text is kept, as a plain number would mean the
other."""
Flop = Annotated[float, _reader("FLOP"), Field(ge=0)]
FlopPerSecond = Annotated[float, _reader("FLOP/second"), Field(gt=0)]
