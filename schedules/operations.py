"""The vocabulary: what a program may yield, and what it is handed back.

A program is a generator. Every operation that it yields is answered with a pair `(result, time)`: what the operation
gave, and when it took effect, in gradient times since the start of the run.

| operation | meaning | result |
|---|---|---|
| `Compute` | run a kernel or a rule on an engine of this worker | `Payload` with the version that it read |
| `Send`, `Receive`, `Exchange` | point to point; `Exchange` is a full-duplex rendezvous | `Payload` received, or None |
| `Meet` | first come, first paired, with whichever candidate is free | `Partner`; None when nobody comes any more |
| `AllReduce`, `ReduceScatter`, `AllGather`, `Broadcast`, `AllToAll`, `Barrier` | collective on a group | `Payload` |
| `Start` | begin an operation and go on | `Handle` |
| `Await` | wait for all, any or k of the handles, or for a deadline | `Arrivals` |
| `Until` | sleep until a clock's tick | None |
| `Put`, `Take` | hand over between streams of one worker through a bounded queue | None; the item |
| `Cancel` | abandon a started operation | None |
| `Join`, `Leave` | need meetings, or no more | None |

Operations are frozen, slotted dataclasses. They print short, `Exchange(<->4 #17 44.7 MB)`, and `parse` reads that back.
"""
# The file is long because the vocabulary is one: each operation stands once, with how it prints and how that is read.

from __future__ import annotations

import re
from collections.abc import Callable, Generator
from dataclasses import MISSING, dataclass, field, fields
from functools import partial
from math import inf
from typing import Any, Literal, NamedTuple, TypeVar, cast, dataclass_transform

from schedules.misuse.values import (
    BYTES,
    FUNCTION,
    LARGEST,
    NAME,
    RANK,
    RANKS,
    TIME,
    WHOLE,
    Sort,
    an,
    many,
    one_of,
    or_none,
)
from schedules.misuse.values import count as read_count
from schedules.misuse.values import whole_number as read_whole
from schedules.payload import Array as Array
from schedules.payload import Arrivals as Arrivals
from schedules.payload import Handle as Handle
from schedules.payload import Partner as Partner
from schedules.payload import Payload as Payload
from schedules.payload import format_bytes as format_bytes
from schedules.payload import parse_bytes as parse_bytes

Group = tuple[int, ...] | None
"""The ranks of a collective, ascending; None is everybody. A group and a channel are a communicator: in it collectives
go one after the other, in the order of issue."""


class _Token(NamedTuple):
    """How one field of an operation is written and read."""

    prefix: str
    pattern: str
    write: Callable[[Any], str]
    read: Callable[[str], Any]


def _ranks(text: str) -> tuple[int, ...]:
    return tuple(int(rank) for rank in text.split(",") if rank)


def _join(values: Any) -> str:
    return ",".join(map(str, values))


def _token(
    prefix: str,
    pattern: str,
    read: Callable[[str], Any],
    write: Callable[[Any], str] = str,
    *,
    sort: Sort | None = None,
    **options: Any,
) -> Any:
    return field(metadata={"token": _Token(prefix, pattern, write, read), "sort": sort}, **options)


def _unwritten(sort: Sort | None = None) -> Any:
    """A field that is no part of the text: arrays, say, which have no single truth to be equal by."""
    return field(default=None, compare=False, metadata={"sort": sort})


_NAME = r"[A-Za-z_][\w.-]*"
_INTEGER = r"-?\d+"
_NUMBER = r"-?[\d.]+(?:e[+-]?\d+)?"
_BYTES = r"[\d.]+ [kMGT]?B"

_GROUP = Sort("ascending ranks in a tuple, or None for everybody", or_none(RANKS).read, "{0} is None")
_PAYLOAD = Sort("a payload", an(Payload), "{0}.__class__ is _Payload")
_REDUCTION = Sort("one of mean, sum and max", one_of("mean", "sum", "max"))
# Not each of the handles: whoever awaits them looks at all anyway (`schedules.driving.handlers`).
_HANDLES = Sort("a tuple of handles", many(an(Handle)), "{0}.__class__ is tuple")
_HANDLE = Sort("a handle", an(Handle), "{0}.__class__ is _Handle")
_PARTS = Sort("a tuple of bytes, whole numbers", many(read_whole))
_DATA = Sort(
    "a batch, (rank, number)",
    many(read_count, 2),
    "({0}.__class__ is tuple and len({0}) == 2 and {0}[0].__class__ is {0}[1].__class__ is int"
    " and 0 <= {0}[0] < _LARGEST and 0 <= {0}[1] < _LARGEST)",
)


def _read_need(value: object) -> object:
    return value if isinstance(value, str) and value in ("all", "any") else read_count(value)


_NEED = Sort("'all', 'any' or how many, a whole number of at least 0", _read_need, "{0}.__class__ is int and {0} >= 0")
_CANDIDATES = Sort(RANKS.told, many(read_whole), "{0}.__class__ is tuple")


def _peer(prefix: str) -> Any:
    return _token(prefix, _INTEGER, int, sort=RANK)


def _tag() -> Any:
    return _token("#", _INTEGER, int, default=0, sort=WHOLE)


def _channel() -> Any:
    return _token("via ", _NAME, str, default="", sort=NAME)


def _payload() -> Any:
    return _token(
        "", _BYTES, lambda text: Payload(parse_bytes(text)), lambda payload: format_bytes(payload.size), sort=_PAYLOAD
    )


def _group() -> Any:
    return _token("of ", r"[\d,]+", _ranks, _join, default=None, sort=_GROUP)


class Operation:
    """What every operation has. The class attributes stand for "does not apply"."""

    __slots__ = ()
    # Any, since operations that have such a field give it a type of its own.
    peer: Any = -1
    tag: Any = -1
    kernel: Any = ""
    stage: Any = -1
    micro_batch: Any = -1
    group: Any = None
    size: Any = 0
    payload: Any = None
    channel: Any = ""
    due: Any = None

    def __str__(self) -> str:
        shown = ((token, getattr(self, name), default) for name, token, default in _tokens(type(self)))
        words = (token.prefix + token.write(value) for token, value, default in shown if value != default)
        return f"{type(self).__name__}({' '.join(words)})"


def _tokens(kind: type[Operation]) -> list[tuple[str, _Token, Any]]:
    """Name, token and default of the fields that are written, in the order of writing: the tag before the bytes."""
    shown = [each for each in fields(cast(Any, kind)) if "token" in each.metadata]
    shown.sort(key=lambda each: (each.name != "peer", each.name != "tag"))  # stable: the others stay in their order
    return [(each.name, each.metadata["token"], each.default) for each in shown]


class _Carrying(Operation):
    """An operation that hands over a payload."""

    __slots__ = ()

    @property
    def size(self) -> int:
        """Bytes of the payload."""
        return int(self.payload.size)


_C = TypeVar("_C", bound=Operation)


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def _operation(cls: type[_C]) -> type[_C]:
    """A frozen slotted dataclass whose constructor writes the slots directly: dataclasses' own goes through
    `object.__setattr__` once a field, which costs twice as much on the simulator's hottest path."""
    made: Any = dataclass(frozen=True, slots=True, repr=False)(cls)
    made.__repr__ = Operation.__str__
    scope: dict[str, Any] = {"__name__": __name__, "_infinity": inf, "_Payload": Payload, "_Handle": Handle}
    # A class of the same slots that may be written to: what a new object with many fields is until it has them.
    draft, is_drafted = type(cls.__name__, cls.__bases__, {"__slots__": made.__slots__}), len(fields(made)) > 3
    scope |= {"_LARGEST": LARGEST, "_draft": draft, "_made": made, "_become": vars(object)["__class__"].__set__}
    parameters, assignments, names, conditions = [], [], [], []
    for each in fields(made):
        scope[f"_set_{each.name}"] = getattr(made, each.name).__set__
        scope[f"_default_{each.name}"] = each.default  # as an object: a repr need not be code
        parameters.append(each.name if each.default is MISSING else f"{each.name}=_default_{each.name}")
        written = f"self.{each.name} = {each.name}" if is_drafted else f"_set_{each.name}(self, {each.name})"
        assignments.append(written)
        names.append(each.name)
        sort = each.metadata.get("sort")
        if sort is not None:
            usual = sort.quick.format(each.name)
            conditions.append(usual if each.default is MISSING else f"({each.name} is _default_{each.name} or {usual})")
    scope["_read"] = partial(_read, made)
    check = f"if not ({' and '.join(conditions)}): {', '.join(names)}, = _read({', '.join(names)})"
    if is_drafted:
        assignments = ["_become(self, _draft)", *assignments, "self.__class__ = _made"]
    exec(
        f"def __init__(self, {', '.join(parameters)}):\n"
        f"    {check if conditions else ''}\n    {'; '.join(assignments) or 'pass'}",
        scope,
    )
    made.__init__ = scope["__init__"]
    return cast(type[_C], made)


def _read(kind: Any, *values: object) -> list[object]:
    """The values of an operation's fields as they are meant.

    Raises:
        MisuseError: naming the field that has another.
    """
    sorts = ((each.name, each.metadata.get("sort")) for each in fields(kind))
    return [
        value if sort is None else sort.of(value, f"{kind.__name__}: {name}")
        for (name, sort), value in zip(sorts, values, strict=True)
    ]


@_operation
class Compute(Operation):
    """Run a kernel of the workload (`gradient`, `forward`, ...) on one of the worker's engines (first in, first out).

    It works on the parameters that it read when it was issued, or on those of the payload `at`. `data` says which
    batch: (rank, number), by default this rank's, and how many computations of this kernel it has issued. `inputs` are
    handed to the kernel. With `work` the engine runs that rule, `work(s, *inputs)`, on a copy of the state made at
    issue, and `kernel` names its duration. `size`: bytes of the answer, where the kernel's own are not meant."""

    kernel: str = _token("", _NAME, str, sort=NAME)
    stage: int = _token("s", _INTEGER, int, default=-1, sort=WHOLE)
    micro_batch: int = _token("m", _INTEGER, int, default=-1, sort=WHOLE)
    engine: str = _token("on ", _NAME, str, default="compute", sort=NAME)
    inputs: Any = _unwritten()
    size: int | None = _unwritten(or_none(BYTES))
    at: Payload | None = _unwritten(or_none(_PAYLOAD))
    data: tuple[int, int] | None = _unwritten(or_none(_DATA))
    work: Callable[..., Any] | None = _unwritten(or_none(FUNCTION))


@_operation
class Send(_Carrying):
    """Send the payload; over when the receiver has it. With a `limit`, the receiver has asked for that many bytes, and
    the payload may have fewer."""

    peer: int = _peer("->")
    payload: Payload = _payload()
    tag: int = _tag()
    channel: str = _channel()
    limit: int | None = _token("limit ", _BYTES, parse_bytes, format_bytes, default=None, sort=or_none(BYTES))


@_operation
class Receive(Operation):
    """Receive `size` bytes; fewer, where the sender's `limit` is `size`."""

    peer: int = _peer("<-")
    size: int = _token("", _BYTES, parse_bytes, format_bytes, sort=BYTES)
    tag: int = _tag()
    channel: str = _channel()


@_operation
class Exchange(_Carrying):
    """Send the payload to the peer and receive the peer's, which has the same size: a full-duplex rendezvous.

    `due` is the tick of a clock that it answers, in gradient times: kept in the record, not sent. In a schedule that
    survives failures the result is None, at both ends, if one of them has failed."""

    peer: int = _peer("<->")
    payload: Payload = _payload()
    tag: int = _tag()
    due: float | None = field(default=None, compare=False)


@_operation
class Meet(Operation):
    """Be paired with whichever candidate is free, by the rule of `schedules.driving.coordinator`."""

    candidates: tuple[int, ...] = _token("", r"[\d,]+", _ranks, _join, sort=_CANDIDATES)


Reduction = Literal["mean", "sum", "max"]


@_operation
class AllReduce(_Carrying):
    """Combine the payloads of the group elementwise; everybody gets the result."""

    payload: Payload = _payload()
    reduction: Reduction = _token("", "mean|sum|max", str, default="mean", sort=_REDUCTION)
    group: Group = _group()
    tag: int = _tag()
    channel: str = _channel()


@_operation
class ReduceScatter(_Carrying):
    """Combine the payloads; the i-th member of the group gets the i-th part (`schedules.training.parts.part`)."""

    payload: Payload = _payload()
    reduction: Reduction = _token("", "mean|sum|max", str, default="mean", sort=_REDUCTION)
    group: Group = _group()
    tag: int = _tag()
    channel: str = _channel()


@_operation
class AllGather(_Carrying):
    """Everybody gets the payloads of the group, which may differ in size, one behind the other."""

    payload: Payload = _payload()
    group: Group = _group()
    tag: int = _tag()
    channel: str = _channel()


@_operation
class Broadcast(_Carrying):
    """Everybody gets the payload of rank `root`; the others' payloads say only how large it is."""

    payload: Payload = _payload()
    root: int = _token("from ", _INTEGER, int, default=0, sort=RANK)
    group: Group = _group()
    tag: int = _tag()
    channel: str = _channel()


@_operation
class AllToAll(_Carrying):
    """The i-th part goes to the i-th member; everybody gets the parts meant for it one behind the other.

    `parts` says the bytes of each; None: as equal as can be (`schedules.training.parts.part`)."""

    payload: Payload = _payload()
    group: Group = _group()
    tag: int = _tag()
    channel: str = _channel()
    parts: tuple[int, ...] | None = _token("parts ", r"[\d,]+", _ranks, _join, default=None, sort=or_none(_PARTS))


@_operation
class Barrier(Operation):
    """Wait for the whole group."""

    group: Group = _group()
    tag: int = _tag()
    channel: str = _channel()


@_operation
class Start(Operation):
    """Begin an operation now, wait for it later."""

    operation: Operation = _token("", r".+", lambda text: parse(text))  # `parse` stands further below


@_operation
class Await(Operation):
    """Wait until `need` of the handles have arrived, or until the time `deadline` (in gradient times, as `Until`)."""

    handles: tuple[Handle, ...] = _token(
        "",
        r"h\d+(?:,h\d+)*",
        lambda text: tuple(Handle(int(name[1:])) for name in text.split(",")),
        _join,
        sort=_HANDLES,
    )
    need: int | Literal["all", "any"] = _token(
        "need ", r"all|any|\d+", lambda text: text if text in ("all", "any") else int(text), default="all", sort=_NEED
    )
    deadline: float | None = _token("by ", _NUMBER, float, repr, default=None, sort=or_none(TIME))


@_operation
class Until(Operation):
    """Sleep until `time`, in gradient times since the start of the run."""

    time: float = _token("@", _NUMBER, float, lambda time: repr(float(time)), sort=TIME)


@_operation
class Put(Operation):
    """Hand an item to another stream of this worker; waits while the queue is full (`Worker.capacity`, default 1)."""

    queue: str = _token("", _NAME, str, sort=NAME)
    item: Any = _unwritten()


@_operation
class Take(Operation):
    """Take the oldest item of a queue; waits while it is empty."""

    queue: str = _token("", _NAME, str, sort=NAME)


@_operation
class Cancel(Operation):
    """Abandon a started operation: its result never arrives, and an engine that ran it is free."""

    handle: Handle = _token("", r"h\d+", lambda text: Handle(int(text[1:])), sort=_HANDLE)


@_operation
class Join(Operation):
    """Need meetings again, after `Leave`."""


@_operation
class Leave(Operation):
    """Need no more meetings. A worker that has left may still `Meet`: it is paired only with one that has not left, and
    answered None when all that it may meet have."""


Program = Generator[Operation, tuple[Any, float], None]
"""What `schedules.programs` holds: yields operations, is sent `(result, time)`."""

COLLECTIVES = (AllReduce, ReduceScatter, AllGather, Broadcast, AllToAll, Barrier)

OPERATIONS: dict[str, type[Operation]] = {
    each.__name__: each
    for each in (
        Compute, Send, Receive, Exchange, Meet, *COLLECTIVES, Start, Await, Until, Put, Take, Cancel, Join, Leave,
    )
}  # fmt: skip


def parse(text: str) -> Operation:
    """Inverse of `str(operation)`. Arrays and handed-over items are not part of the text.

    Raises:
        ValueError: if the text is not that of an operation.
    """
    name, bracket, rest = text.partition("(")
    kind = OPERATIONS.get(name)
    if kind is None or not bracket or not rest.endswith(")"):
        raise ValueError(f"expected an operation such as 'Exchange(<->4 #17 44.7 MB)', found {text!r}")
    tokens = {key: token for key, token, _ in _tokens(kind)}
    pattern = "".join(f"(?: ?{re.escape(t.prefix)}(?P<{key}>{t.pattern}))?" for key, t in tokens.items())
    match = re.fullmatch(pattern, rest[:-1])
    if match is None:
        raise ValueError(f"expected {name} with {', '.join(tokens) or 'nothing'} in this order, found {text!r}")
    found = {key: tokens[key].read(value) for key, value in match.groupdict().items() if value is not None}
    try:
        return kind(**found)
    except TypeError as error:  # every token may be missing in the pattern; a field without default may not
        raise ValueError(f"{text!r}: {error}") from None
