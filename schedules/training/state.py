"""What an update rule sees of a worker, and what it may not do.

A rule is a plain function `rule(s, *arguments)` beside its program. Vectors are replaced, never written in place:
whoever holds the array that a computation started from holds the version that it read, whatever has been applied
since. numpy refuses such a write itself; torch counts the writes to a tensor, and they are looked at after every rule.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from types import GeneratorType
from typing import Any

import numpy as np

from schedules.errors import MisuseError, nearest
from schedules.misuse.values import short
from schedules.misuse.writes import CLOSELY, Guarded, Watched, enclosed
from schedules.misuse.writes import writes as _writes
from schedules.operations import Array, Payload
from schedules.training.vectors import Vectors

Rule = Callable[..., Any]
"""An update rule: `rule(s, *arguments)`, payloads arriving as arrays."""

_OWN = ("optimizer", "rank", "num_workers", "tensors", "xp")
_HIDDEN = ("_watched", "_calls")


class State:
    """What a rule sees as `s`: the vectors by name, what the schedule's `constants(worker)` returned, and

    Attributes:
        x: the parameters: [num_params].
        optimizer: of this worker alone.
        xp: the array API namespace of x.
        rank, num_workers: which worker, of how many.
        tensors: name, shape and offset of each tensor in x, by name.
    Raises:
        MisuseError: for a name that there is not, or a vector of another shape or dtype.
    """

    def __init__(
        self, x: Array, vectors: Vectors, *, constants: Mapping[str, Any], part: tuple[int, int] = (0, 1), **own: Any
    ) -> None:
        started = {name: each.initial(x, *part) for name, each in vectors.items()}
        if not isinstance(constants, Mapping):
            raise MisuseError(f"constants: expected a dict by name, found {short(constants)}")
        for name in constants:
            if name in started or not is_free(name):
                raise MisuseError(f"constants: expected names that are not taken, found {name!r}")
        vectors_of_all = {"x": x, **started}
        watched = {name: (sealed(array), _writes(array)) for name, array in vectors_of_all.items()}
        self.__dict__.update(own, **vectors_of_all, **constants, _watched=watched, _calls={})

    def __setattr__(self, name: str, value: object) -> None:
        """Replace a vector, or a constant."""
        names = self.__dict__
        if name not in names or name in _OWN:
            raise MisuseError(self._told(name))
        watched = names["_watched"]
        if name in watched:
            old: Any = names[name]
            if value is old:  # `s.x -= g` writes in place, and then sets s.x to itself
                return
            if isinstance(value, np.ndarray) and value.dtype is old.dtype and value.shape == old.shape:
                # As below, for most: rules replace vectors at every event.
                value.setflags(write=False)
                watched[name] = value, 0
            else:
                _check_like(name, old, value)
                watched[name] = sealed(value), _writes(value)
        names[name] = value

    def __getattr__(self, name: str) -> Any:
        """Called for what there is not."""
        if name.startswith("__"):  # Python asks whether there are such
            raise AttributeError(name)
        raise MisuseError(self._told(name))

    def _told(self, name: str) -> str:
        """What is said of a name that there is not."""
        # Those of its own are there, but not to be replaced.
        hidden = (*_HIDDEN, *_OWN) if name in _OWN else _HIDDEN
        known = {**self._watched, **self.__dict__}  # the vectors first
        names = [each for each in known if each not in hidden]
        return f"s.{name}: expected one of {', '.join(names)}, found {name!r}{nearest(name, names)}"

    def __copy__(self) -> State:
        """A shallow one: it has the same vectors, and what replaces them there replaces nothing here."""
        copied = object.__new__(State)
        copied.__dict__.update(self.__dict__, _watched={**self._watched})
        return copied

    def view(self, name: str, of: str = "x") -> Array:
        """One tensor of a vector that is as long as x, by its name and in its shape; to be read."""
        if not isinstance(name, str) or name not in self.tensors:
            raise MisuseError(f"expected a tensor's name, found {name!r}{nearest(name, self.tensors)}")
        tensor = self.tensors[name]
        return self.xp.reshape(getattr(self, of)[tensor.offset : tensor.offset + tensor.size], tensor.shape)

    def vectors(self) -> dict[str, Array]:
        """The vectors by name, x among them."""
        return {name: array for name, (array, _) in self._watched.items()}

    def run(self, rule: Rule, arguments: Iterable[object]) -> Any:
        """Apply a rule, its payloads as arrays; returns what it returns.

        Raises:
            MisuseError: if it is handed what is not for rules, writes in place, or is a program; it is named.
        """
        plain = [_plain(each, rule) for each in arguments]
        watch = None if self.x.__class__ is np.ndarray else self._watch(rule, plain)
        try:
            result = rule(self, *plain)
        except ValueError as error:
            if "read-only" not in str(error):  # numpy's words for a write in place
                raise
            raise MisuseError(_written(rule, _culprit(self, rule, plain))) from error
        except TypeError:
            if not callable(rule):
                raise MisuseError(f"expected a rule, a function of the state, found {short(rule)}") from None
            raise
        if result is not None and isinstance(result, GeneratorType):
            raise MisuseError(f"rule {_name(rule)}: expected a plain function, found one that yields")
        if watch is not None and (written := watch.written(self._held())):
            raise MisuseError(_written(rule, written))
        return result

    def _watch(self, rule: Rule, arguments: list[Any]) -> Guarded:
        """What a rule is not to write to, before it is called: what it replaces, too."""
        found = [*((name, each, _writes(each)) for name, each in _named(arguments)), *self._held()]
        found += ((name, each, _writes(each)) for name, each in enclosed(rule))
        code = getattr(rule, "__code__", rule)
        self._calls[code] = self._calls.get(code, 0) + 1
        return Guarded(found, is_close=self._calls[code] <= CLOSELY)

    def _held(self) -> list[Watched]:
        """The vectors as they are now."""
        return [(f"s.{name}", *watched) for name, watched in self._watched.items()]


RESERVED = frozenset({"x", *_OWN, *(name for name in vars(State) if not name.startswith("_"))})
"""Names of the state that no vector and no constant may have; those that begin with an underscore are taken, too."""


def is_free(name: object) -> bool:
    """Whether a vector or a constant may have the name."""
    return isinstance(name, str) and name.isidentifier() and name not in RESERVED and not name.startswith("_")


def sealed(array: Array) -> Array:
    """The array itself, which cannot be written to any more where its library can say so."""
    if isinstance(array, np.ndarray):
        array.setflags(write=False)
    return array


def _plain(value: Any, rule: Rule) -> Any:
    """A rule's argument: a payload's array, a tuple of them; numbers, slices and the like as they are."""
    kind = value.__class__
    if kind is Payload:
        return sealed(value.array)
    if kind is float or kind is int:
        return value
    if isinstance(value, tuple | list):
        return tuple(_plain(each, rule) for each in value)
    if hasattr(value, "account"):  # a worker, or its model: what a rule did with them no world would know
        found = type(value).__name__.lower()
        raise MisuseError(f"rule {_name(rule)}: expected numbers, payloads and slices as arguments, found a {found}")
    return value


def _named(arguments: Iterable[object]) -> Iterator[tuple[str, Array]]:
    """The arrays among a rule's arguments, with names for people."""
    for number, each in enumerate(arguments, 1):
        yield from ((f"argument {number}", array) for array in _arrays(each))


def _arrays(value: object) -> Iterator[Array]:
    if isinstance(value, tuple):
        for each in value:
            yield from _arrays(each)
    elif hasattr(value, "dtype"):
        yield value


def _check_like(name: str, old: Array, new: Any) -> None:
    if hasattr(new, "dtype") and new.shape == old.shape and new.dtype == old.dtype:
        return
    # Only now: a dtype's text costs as much as a small rule, and a rule replaces vectors at every event.
    found = f"{tuple(new.shape)} of {new.dtype}" if hasattr(new, "dtype") else repr(new)
    raise MisuseError(f"s.{name}: expected an array {tuple(old.shape)} of {old.dtype}, found {found}")


def _culprit(state: State, rule: Rule, arguments: list[Any]) -> str:
    """Which array a rule writes to: it is tried again on others, which may be written to."""
    draw = np.random.default_rng(0)  # of other numbers: what is written may be what was there
    given = {name: _like(array, draw) for name, array in state.vectors().items()}
    others = [_like(each, draw) for each in arguments]
    tried = [(f"s.{name}", array, array.copy()) for name, array in given.items()]
    tried += [(name, array, array.copy()) for name, array in _named(others)]
    trial = copy.copy(state)
    trial.__dict__.update(given, optimizer=copy.copy(state.optimizer))
    with suppress(Exception):  # it may write to yet another array, or have no answer to such numbers
        rule(trial, *others)
    written = [name for name, array, was in tried if not np.array_equal(array, was)]
    replaced = [f"s.{name}" for name, array in given.items() if trial.__dict__[name] is not array]
    return written[0] if written else " or ".join(replaced) or "an array that was handed out"


def _like(value: Any, draw: np.random.Generator) -> Any:
    """Arrays of random numbers in the place of a rule's; the rest as it is."""
    if isinstance(value, tuple):
        return tuple(_like(each, draw) for each in value)
    return np.asarray(draw.random(value.shape), dtype=value.dtype) if isinstance(value, np.ndarray) else value


def _written(rule: Rule, name: str) -> str:
    return f"rule {_name(rule)}: expected {name} to be replaced, found it written in place"


def _name(rule: Rule) -> str:
    return getattr(rule, "__name__", repr(rule))


# ------------------------------------------------------------------ rules that many schedules share


def descend(s: State, gradient: Array) -> None:
    """x <- x + delta: one step of the optimizer."""
    s.x = s.x + s.optimizer.delta(s.x, gradient)
