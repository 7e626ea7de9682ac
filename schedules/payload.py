"""What operations hand over and answer: payloads, partners, arrivals, handles; and how bytes are written."""

from __future__ import annotations

from typing import Any, NamedTuple

from schedules.errors import MisuseError

Array = Any
"""A numpy array or a torch tensor, one-dimensional: the numerics are written for both alike."""


class Payload:
    """What is handed over: bytes, in a numeric run an array, and the version of the parameters it comes from.

    Attributes:
        size: bytes on the wire.
        array: [size / itemsize] one-dimensional, or None in a timing-only run.
        version: version of the parameters that were read (-1: of none).
        step: gradient steps that the worker had made by then.
        read_ns: when they were read, on the world's clock.
    Raises:
        MisuseError: if the array has other bytes than the payload says: what one transport would cut off another would
            pad.
    """

    __slots__ = ("array", "read_ns", "size", "step", "version")

    def __init__(self, size: int, array: Array = None, version: int = -1, step: int = -1, read_ns: int = -1) -> None:
        if array is not None and array.nbytes != size:
            raise MisuseError(f"expected an array of {size} bytes, as its payload says, found {array.nbytes}")
        self.size = size
        self.array = array
        self.version = version
        self.step = step
        self.read_ns = read_ns

    def __eq__(self, other: object) -> bool:
        # What an operation's text has of it: so an operation that is printed and read again is equal to itself.
        return isinstance(other, Payload) and self.size == other.size

    def __hash__(self) -> int:
        return hash(self.size)

    def __repr__(self) -> str:
        return f"Payload({format_bytes(self.size)}, version={self.version})"


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
