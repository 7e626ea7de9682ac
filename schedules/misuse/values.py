"""Sorts of values that a program hands over: which are meant, and the message of any other.

Each has a condition that its usual values fulfil, as source text: `schedules.operations` writes it into constructors,
where it costs a comparison of types. Whatever does not fulfil it is read by `Sort.of`, which takes its time: there
numpy's numbers become Python's, and what is not meant is refused.
"""

from __future__ import annotations

import math
import operator
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from schedules.errors import MisuseError

OURS = Path(__file__).parents[1]
"""Where the contract's own files are."""

LARGEST = 2**63
"""Whole numbers of a trace and of the wire lie below it, and from its negative on."""


def short(value: object) -> str:
    """A value as messages show it."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


T = TypeVar("T")


def raised(error: BaseException) -> str:
    """An error of a user's file: where it was raised, and what it says."""
    if isinstance(error, SyntaxError):
        return f"{error.filename}:{error.lineno}: {error.msg}"
    frames = traceback.extract_tb(error.__traceback__)
    # A message of ours names what was called wrong: the line that calls is the user's.
    theirs = [each for each in frames if not Path(each.filename).is_relative_to(OURS)] or frames
    told = str(error) if isinstance(error, MisuseError) else f"{type(error).__name__}: {error}"
    return f"{theirs[-1].filename}:{theirs[-1].lineno}: {theirs[-1].line}: {told}" if theirs else told


class Sort(NamedTuple):
    """One sort of values.

    Attributes:
        told: as in "expected ...".
        read: the value as it is meant; a TypeError or ValueError for any other.
        quick: condition of the usual values, with `{0}` for the name of the variable; none: all are read.
    """

    told: str
    read: Callable[[Any], Any]
    quick: str = "False"

    def of(self, value: object, where: str) -> Any:
        """The value as it is meant.

        Raises:
            MisuseError: if it is of another sort; it begins with `where`.
        """
        try:
            return self.read(value)
        except (TypeError, ValueError):
            raise MisuseError(f"{where}: expected {self.told}, found {short(value)}") from None


def or_none(sort: Sort) -> Sort:
    """That sort, or None."""
    return Sort(
        f"{sort.told}, or None",
        lambda value: None if value is None else sort.read(value),
        f"({{0}} is None or {sort.quick})",
    )


def whole_number(value: object) -> int:
    """A whole number of 64 bits, whatever library it is of; True and False are none."""
    if isinstance(value, bool):
        raise TypeError
    number = operator.index(value)  # type: ignore[arg-type]
    return _where(number, -LARGEST <= number < LARGEST)


def between(least: int, most: int) -> Callable[[Any], int]:
    """Reads whole numbers of a range, both ends included."""

    def read(value: object) -> int:
        number = whole_number(value)
        return _where(number, least <= number <= most)

    return read


count = between(0, LARGEST - 1)
"""Reads a whole number that is not negative."""


def number(value: object) -> float:
    """A number that is finite."""
    if isinstance(value, bool | str | bytes):  # which `float` reads
        raise TypeError
    found = float(value)  # type: ignore[arg-type]
    return _where(found, math.isfinite(found))


def text(value: object) -> str:
    """A text."""
    if not isinstance(value, str):
        raise TypeError
    return value


def many(read: Callable[[Any], Any], length: int | None = None) -> Callable[[Any], tuple[Any, ...]]:
    """Reads several, in a tuple or list, or whatever else goes through them."""

    def read_all(values: Iterable[Any]) -> tuple[Any, ...]:
        if isinstance(values, str | bytes):
            raise TypeError
        found = tuple(map(read, values))
        return _where(found, length is None or len(found) == length)

    return read_all


def an(kind: type) -> Callable[[Any], Any]:
    """Reads what is of a class, or of one that is derived from it."""

    def read(value: object) -> object:
        if not isinstance(value, kind):
            raise TypeError
        return value

    return read


def derived_from(kind: type) -> Callable[[Any], Any]:
    """Reads a class that is derived from another."""
    return lambda value: _where(value, isinstance(value, type) and issubclass(value, kind))


def function(value: object) -> object:
    """What can be called."""
    if not callable(value):
        raise TypeError
    return value


def one_of(*words: str) -> Callable[[Any], Any]:
    """Reads one of these words."""
    return lambda value: _where(value, isinstance(value, str) and value in words)


def _where(value: T, is_meant: bool) -> T:
    if not is_meant:
        raise ValueError
    return value


WHOLE = Sort("a whole number", whole_number, "{0}.__class__ is int")
COUNT = Sort("a whole number of at least 0", count, "({0}.__class__ is int and {0} >= 0)")
BYTES = Sort("how many bytes, a whole number of at least 0", count, COUNT.quick)
RANK = Sort("a rank, a whole number", whole_number, WHOLE.quick)
TIME = Sort("a time, a finite number of gradient times", number, "({0}.__class__ is float and 0.0 <= {0} < _infinity)")
NAME = Sort("a name", text, "{0}.__class__ is str")
RANKS = Sort("a tuple of ranks, whole numbers", many(whole_number))
FUNCTION = Sort("a function", function)
