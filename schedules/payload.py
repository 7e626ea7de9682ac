"""What operations hand over and answer: payloads, partners, arrivals, handles; and how bytes are written."""

from __future__ import annotations

from typing import Any, Final, Literal, NamedTuple, get_args

from schedules.errors import MisuseError
from schedules.misuse.values import BYTES, short

Array = Any
"""A numpy array or a torch tensor, one-dimensional: the numerics are written for both alike."""


Kind = Literal["gradient", "average", "change"]
"""What a contribution is: a gradient, parameters to average with, or any other change of a vector."""

KINDS: Final[tuple[Kind, ...]] = get_args(Kind)

What = tuple[Kind, str, int]
"""What a payload is: its kind, its target, and how many gradients are in it. One object, as most payloads are alike."""

LONGEST_TARGET: Final = 48
"""Bytes of a target's name that the wire carries."""

CHANGE: Final[What] = ("change", "x", 0)
AVERAGE: Final[What] = ("average", "x", 0)
GRADIENT: Final[What] = ("gradient", "x", 1)


class Payload:
    """What is handed over: bytes, in a numeric run an array, and what they are.

    Attributes:
        size: bytes on the wire.
        array: [size / itemsize] one-dimensional, or None in a timing-only run. Not to be written to.
        version: version of the target that was read (-1: of none).
        step: gradient steps that the worker had made by then.
        read_ns: when it was read, on the world's clock.
        what: `kind`, `target` and `gradients` in one.
        kind: what it contributes.
        target: what it is a contribution to: "x", or a name of the program's own (a fragment, an outer vector).
        gradients: how many gradients are in it.
        number: a small integer of the program's own (stop, a step, a count); there in timing-only runs too.
        kept: what a kernel leaves on its rank (a graph, a weight gradient). It is never sent.
    Raises:
        MisuseError: if the array has other bytes than the payload says: what one transport would cut off another would
            pad.
    """

    __slots__ = ("array", "kept", "number", "read_ns", "size", "step", "version", "what")

    def __init__(
        self,
        size: int,
        array: Array = None,
        version: int = -1,
        step: int = -1,
        read_ns: int = -1,
        what: What = CHANGE,
    ) -> None:
        if size.__class__ is not int or size < 0:
            size = BYTES.of(size, "Payload: size")
        if array is not None and getattr(array, "nbytes", None) != size:
            raise MisuseError(f"expected an array of {size} bytes, as its payload says, found {_bytes_of(array)}")
        self.size = size
        self.array = array
        self.version = version
        self.step = step
        self.read_ns = read_ns
        self.what = what
        self.number = 0
        self.kept: Any = None

    @property
    def kind(self) -> Kind:
        """What it contributes."""
        return self.what[0]

    @property
    def target(self) -> str:
        """What it is a contribution to."""
        return self.what[1]

    @property
    def gradients(self) -> int:
        """How many gradients are in it."""
        return self.what[2]

    def rest(self) -> Payload:
        """The payload without its array: what it is, for a contribution whose numbers come in other payloads."""
        return self.with_array(self.size, None)

    def with_array(self, size: int, array: Array, what: What | None = None) -> Payload:
        """Other bytes that are the same contribution, or, with `what`, another that was read as it was."""
        made = Payload(size, array, self.version, self.step, self.read_ns, what or self.what)
        made.number = self.number
        return made

    def sent(self) -> Payload:
        """What another rank gets of it: all but what is kept."""
        return self if self.kept is None else self.with_array(self.size, self.array)

    def __eq__(self, other: object) -> bool:
        # What an operation's text has of it: so an operation that is printed and read again is equal to itself.
        return isinstance(other, Payload) and self.size == other.size

    def __hash__(self) -> int:
        return hash(self.size)

    def __repr__(self) -> str:
        return f"Payload({format_bytes(self.size)}, version={self.version})"


_new = object.__new__


def fresh(size: int, version: int, step: int, read_ns: int, what: What) -> Payload:
    """A payload without an array, of facts that are known to be right: `Payload(size, None, ...)` in half the time.

    A simulation makes two for every gradient, and a class that is called makes a tuple of what it is called with.
    """
    made = _new(Payload)
    made.size, made.array, made.version, made.step = size, None, version, step
    made.read_ns, made.what, made.number, made.kept = read_ns, what, 0, None
    return made


def _bytes_of(array: object) -> object:
    """How many bytes an array has, or what it is, where it is none."""
    return array.nbytes if hasattr(array, "nbytes") else short(array)


class Partner(NamedTuple):
    """The result of `Meet`: whom, and which meeting of this pair it is, counted from 0 (the same at both ends)."""

    peer: int
    meeting: int


class Arrivals(NamedTuple):
    """The result of `Await`: one result a handle (None where it has not arrived), and the positions that arrived."""

    results: tuple[Any, ...]
    arrived: tuple[int, ...]


class Handle:
    """A started operation. `index` counts the operations that this worker started; `running` belongs to the world."""

    __slots__ = ("index", "running")

    def __init__(self, index: int, running: Any = None) -> None:
        self.index = index
        self.running = running

    def __eq__(self, other: object) -> bool:
        # By what is printed of it, as with payloads: an `Await` that is printed and read again is equal to itself.
        return isinstance(other, Handle) and self.index == other.index

    def __hash__(self) -> int:
        return self.index

    def __repr__(self) -> str:
        return f"h{self.index}"


_UNITS = {"TB": 10**12, "GB": 10**9, "MB": 10**6, "kB": 10**3}


def format_bytes(size: int) -> str:
    """Bytes in the largest fitting decimal unit, exactly: 44695848 is `44.695848 MB`."""
    for unit, factor in _UNITS.items():
        if size >= factor:
            whole, part = divmod(size, factor)  # in whole numbers: a float has too few digits for large payloads
            digits = str(part).rjust(len(str(factor)) - 1, "0").rstrip("0")
            return f"{whole}.{digits} {unit}" if digits else f"{whole} {unit}"
    return f"{size} B"


def parse_bytes(text: str) -> int:
    """Inverse of `format_bytes`."""
    number, unit = text.split(" ")
    factor = _UNITS.get(unit, 1)
    whole, _, part = number.partition(".")
    return int(whole) * factor + int(part.ljust(len(str(factor)) - 1, "0") or "0")
