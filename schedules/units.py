"""Reading quantities: "10 Gbit/s", "50 us", "44.7 MB". The one place where units are turned into SI.

A plain number is SI already. MB is 10^6 bytes, MiB is 2^20, Gbit is 10^9 bits. FLOP are floating-point operations;
FLOPS are those of a second.
"""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Annotated

from pydantic import BeforeValidator, Field

if TYPE_CHECKING:
    import pint

EXAMPLES = {
    "second": "50 us",
    "byte/second": "10 Gbit/s",
    "byte": "44.7 MB",
    "FLOP": "4.1 TFLOP",
    "FLOP/second": "312 TFLOP/s",
}


@functools.cache  # pint is slow to import and to set up, and plain numbers do without
def _registry() -> pint.UnitRegistry[float]:
    import pint

    registry: pint.UnitRegistry[float] = pint.UnitRegistry(cache_folder=None)
    registry.define("FLOP = [operation] = _ = FLOPs")  # a dimension of its own, so that bytes are none
    registry.define("FLOPS = FLOP / second")
    return registry


def quantity(value: object, unit: str) -> float:
    """A number or a text with a unit, in the given SI unit.

    Raises:
        ValueError: if it is no quantity, of another dimension, or not finite.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):  # true would be read as 1
        raise ValueError(f'expected a quantity such as "{EXAMPLES.get(unit, unit)}", or a plain number in {unit}')
    number = _read(value, unit) if isinstance(value, str) else float(value)
    if not math.isfinite(number):
        raise ValueError(f'expected a finite quantity such as "{EXAMPLES.get(unit, unit)}"')
    return number


def _read(text: str, unit: str) -> float:
    import pint

    try:
        return float(_registry().Quantity(text).to(unit).magnitude)
    except pint.DimensionalityError:
        raise ValueError(f'expected a quantity in {unit}, such as "{EXAMPLES.get(unit, unit)}"') from None
    except Exception:  # pint raises a different one for every way a text can be wrong
        raise ValueError(f'expected a quantity such as "{EXAMPLES.get(unit, unit)}"') from None


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
