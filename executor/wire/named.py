"""Which operations a schedule's programs name, as far as their code shows.

What a program will issue nobody knows before it runs; but what it can issue it names, in its own functions or in those
that they call. Nothing more than what is warmed up hangs on it: a report tells of what was not.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from types import CodeType, FunctionType, ModuleType

from schedules.operations import OPERATIONS, Operation


def named(function: object) -> frozenset[type[Operation]]:
    """The operations whose names a function holds, and those that it calls, in its own module or another."""
    found: set[type[Operation]] = set()
    seen: set[FunctionType] = set()
    left = list(_functions(function))
    while left:
        each = left.pop()
        if each in seen or not _knows_schedules(each):
            continue
        seen.add(each)
        names = set(_names(each.__code__))
        found |= {OPERATIONS[name] for name in names & OPERATIONS.keys()}
        values = [each.__globals__.get(name) for name in names]
        values += [vars(value).get(name) for value in values if isinstance(value, ModuleType) for name in names]
        values += _closed_over(each)
        left += [function for value in values for function in _functions(value)]
    return frozenset(found)


def _functions(value: object) -> Iterator[FunctionType]:
    """The functions that a value is or holds."""
    if isinstance(value, FunctionType):
        yield value
    elif isinstance(value, type) and not issubclass(value, Operation):
        yield from (each for each in vars(value).values() if isinstance(each, FunctionType))
    elif isinstance(value, dict):
        yield from (each for each in value.values() if isinstance(each, FunctionType))


def _closed_over(function: FunctionType) -> Iterator[object]:
    for cell in function.__closure__ or ():
        with suppress(ValueError):  # a name that is assigned later
            yield cell.cell_contents


def _knows_schedules(function: FunctionType) -> bool:
    """Whether its module takes something from `schedules`: what numpy calls need not be gone through."""
    values = list(function.__globals__.values())
    homes = (getattr(each, "__module__", None) or getattr(each, "__name__", "") for each in values)
    return any(str(home).startswith("schedules") for home in homes)


def _names(code: CodeType) -> Iterator[str]:
    """Of a function and of those inside it."""
    yield from code.co_names
    for each in code.co_consts:
        if isinstance(each, CodeType):
            yield from _names(each)
