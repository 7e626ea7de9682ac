"""What people are shown of programs: the line at which one stands, and the board of all that wait."""

from __future__ import annotations

import linecache
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from math import inf
from traceback import walk_tb
from types import FrameType, MappingProxyType
from typing import Any, Protocol

from schedules.errors import MisuseError, ScheduleError, UnknownKernelError, UnknownStageError
from schedules.operations import OPERATIONS, Exchange, Meet, Receive, Send
from schedules.payload import Handle


class Ranked(Protocol):
    """Whatever has a rank."""

    @property
    def rank(self) -> int:
        """Which worker."""


class Asking(Protocol):
    """An operation under way, and the program that asked for it."""

    operation: Any
    stream: Any

    @property
    def worker(self) -> Ranked:
        """Whose it is."""


class Shown(Protocol):
    """A stream as a board shows it: one that runs here, or what another rank has told of one of its own."""

    name: str
    index: int
    operation: Any
    start_ns: int
    awaited: Sequence[Handle] | None
    is_over: bool
    is_daemon: bool
    has_left: bool

    @property
    def worker(self) -> Ranked:
        """Whose it is."""


def where(program: Any, rank: int, name: str) -> str:
    """The program's own line: `file.py:12: yield Exchange(...)`."""
    generator = program
    # Down to where it really stands. What is yielded from may be any iterator, which has no frame to show.
    while getattr(generator, "gi_yieldfrom", None) is not None and hasattr(generator.gi_yieldfrom, "gi_frame"):
        generator = generator.gi_yieldfrom
    frame = generator.gi_frame
    if frame is None:  # the program has ended
        return f"rank {rank} {name}"
    file, line = frame.f_code.co_filename, frame.f_lineno
    return f"{file}:{line}: {linecache.getline(file, line).strip()}"


def mistake(error: BaseException, program: Any, rank: int, name: str) -> str | None:
    """The message of an error that is a mistake of a program: it calls what it is not meant to, or it raises itself, or
    a rule does that runs for it. None of any other, such as a world's.

    It names the line that calls, not the one that refuses; where an operation is refused that it has yielded, the line
    at which it stands.
    """
    told = str(error)
    if not isinstance(error, MisuseError):
        if isinstance(error, ScheduleError) or not _is_of_a_program(error):
            return None
        told = f"{type(error).__name__}: {error}"
    frames = [(frame, line) for frame, line in walk_tb(error.__traceback__) if not _is_ours(frame)]
    place = where(program, rank, name)
    if frames:
        frame, line = frames[-1]
        file = frame.f_code.co_filename
        place = f"{file}:{line}: {linecache.getline(file, line).strip()}"
    return f"{place}\n  rank {rank}, stream {name}: {told}"


def _is_of_a_program(error: BaseException) -> bool:
    """Whether it comes out of a program that was resumed, out of what that has called, or out of a rule."""
    frames = [frame for frame, _ in walk_tb(error.__traceback__)][1:]  # the first is the driver's
    return bool(frames) and (not _is_ours(frames[0]) or any(map(_is_a_program_s, frames)))


def _is_a_program_s(frame: FrameType) -> bool:
    return str(frame.f_globals.get("__name__", "")).startswith("schedules.programs.")


def _is_ours(frame: FrameType) -> bool:
    """Whether a frame is of a world or of the contract itself, and not of a program."""
    module = frame.f_globals.get("__name__", "")
    return module.startswith(("schedules.", "simulator.", "executor.")) and not module.startswith("schedules.programs.")


def not_an_operation(program: Any, rank: int, name: str, found: object) -> str:
    """The message of a program that yields what a world cannot interpret."""
    names = ", ".join(OPERATIONS)
    return (
        f"{where(program, rank, name)}\n  rank {rank}, stream {name}: "
        f"expected one of the operations {names}; found {found!r} ({type(found).__name__})"
    )


def not_a_kernel(running: Asking, known: Iterable[str]) -> str:
    """The message of a program that asks for a kernel that there is not."""
    stream, names = running.stream, ", ".join(sorted(known)) or "(there are none)"
    return (
        f"{where(stream.program, running.worker.rank, stream.name)}: "
        f"expected one of the kernels {names}; found {running.operation.kernel!r}"
    )


def no_duration(running: Asking, error: UnknownKernelError | UnknownStageError) -> str:
    """The message of a program that asks for a kernel of which the platform has no duration."""
    if isinstance(error, UnknownKernelError):
        return not_a_kernel(running, error.known)
    stream = running.stream
    return f"{where(stream.program, running.worker.rank, stream.name)}: {error}"


def board(
    streams: Iterable[Shown], now: int, *, ended: Iterable[int] = (), away: Mapping[int, float] = MappingProxyType({})
) -> str:
    """Who waits for what: one line a stream that has not ended, with a remark where two ranks will never meet; and
    which ranks wait for nothing any more, as their programs have ended.

    Args:
        ended: ranks whose programs have, beside those of which all streams are here and over.
        away: ranks that have failed, and when they are back; one that never is has not come to its end.
    """
    shown = list(streams)
    waiting = [each for each in shown if not each.is_over and not each.is_daemon and each.operation is not None]
    pending = _pending(waiting)
    lines = []
    for each in waiting:
        rank = each.worker.rank
        since = f"waiting {(now - each.start_ns) / 1e6:.3f} ms"
        label = f"rank {rank}  {each.name}  #{each.index}"
        lines.append(f"  {label}  {each.operation}  {since}{_left(each) or _remark(rank, each.operation, pending)}")
        for running in _awaited(each):
            told = f"      awaits {running.operation} on {running.name}"
            lines.append(told + _remark(rank, running.operation, pending))
    present = {each.worker.rank for each in shown if not each.is_over and not each.is_daemon}
    over = ({each.worker.rank for each in shown} | set(ended)) - present
    gone = {rank for rank in over if away.get(rank) == inf}
    lines += _absent(gone, "it has failed, and does not come back", "they have failed, and do not come back")
    lines += _absent(over - gone, "its programs have ended", "their programs have ended")
    return "\n".join(lines)


def _absent(ranks: Collection[int], of_one: str, of_many: str) -> list[str]:
    """A line on ranks that wait for nothing; those that follow each other are told by the first and the last."""
    spans: list[list[int]] = []
    for rank in sorted(ranks):
        if spans and rank == spans[-1][-1] + 1:
            spans[-1].append(rank)
        else:
            spans.append([rank])
    names = ", ".join(", ".join(map(str, each)) if len(each) < 3 else f"{each[0]} to {each[-1]}" for each in spans)
    if len(ranks) == 1:
        return [f"  rank {names}: {of_one}"]
    return [f"  ranks {names}: {of_many}"] if ranks else []


Pending = Mapping[tuple[int, int], Sequence[Any]]
"""The operations of a rank with a peer that are not over, by both."""


def _awaited(stream: Shown) -> list[Any]:
    """What it has started and awaits, as far as that is not over."""
    return [handle.running for handle in stream.awaited or () if not handle.running.is_over]


def _pending(waiting: Iterable[Shown]) -> Pending:
    found: defaultdict[tuple[int, int], list[Any]] = defaultdict(list)
    for stream in waiting:
        for operation in (stream.operation, *(each.operation for each in _awaited(stream))):
            if isinstance(operation, Send | Receive | Exchange):
                found[stream.worker.rank, operation.peer].append(operation)
    return found


def _left(stream: Shown) -> str:
    """One that waits for others' sake alone is not what holds them up."""
    is_free = stream.has_left and isinstance(stream.operation, Meet)
    return "   <- it has left: it needs nobody, and meets those that have not left" if is_free else ""


def _remark(rank: int, operation: Any, pending: Pending) -> str:
    """Why an operation never meets those that the other rank has for this one. Messages in opposite directions have
    nothing to do with each other, so it is no fault that their tags differ."""
    if not isinstance(operation, Send | Receive | Exchange):
        return ""
    facing, mine = pending.get((operation.peer, rank), ()), pending.get((rank, operation.peer), ())
    partner = _PARTNERS[type(operation)]
    partners: list[Any] = [each for each in facing if isinstance(each, partner)]
    if partners:
        alike = [each for each in partners if each.channel == operation.channel]
        if not alike:
            return "   <- channels differ: neither is for the other"
        is_met = any(each.tag == operation.tag for each in alike)  # then something else holds them up
        return "" if is_met else "   <- tags differ: the two programs disagree on order"
    kinds = {type(each) for each in (*facing, *mine)}
    if facing and kinds == {Send}:
        return "   <- both send first: neither receives"
    if facing and kinds == {Receive}:
        return "   <- both receive first: neither sends"
    is_odd = facing and (isinstance(operation, Exchange) or kinds == {Exchange, type(operation)})
    return "   <- an exchange is met by an exchange alone" if is_odd else ""


_PARTNERS: Mapping[type, type] = {Send: Receive, Receive: Send, Exchange: Exchange}
