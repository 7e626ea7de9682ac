"""What people are shown of programs: the line at which one stands, and the board of all that wait."""

from __future__ import annotations

import linecache
from collections.abc import Iterable, Sequence
from traceback import walk_tb
from types import FrameType
from typing import Any, Protocol

from schedules.errors import MisuseError, ScheduleError, UnknownKernelError, UnknownStageError
from schedules.operations import OPERATIONS, Meet
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


def board(streams: Iterable[Shown], now: int) -> str:
    """Who waits for what: one line a stream that has not ended, and a remark where two wait for each other in vain."""
    waiting = [each for each in streams if not each.is_over and not each.is_daemon and each.operation is not None]
    lines = []
    for each in waiting:
        since = f"waiting {(now - each.start_ns) / 1e6:.3f} ms"
        label = f"rank {each.worker.rank}  {each.name}  #{each.index}"
        lines.append(f"  {label}  {each.operation}  {since}{_remark(each, waiting)}")
        pending = (handle.running for handle in each.awaited or () if not handle.running.is_over)
        lines.extend(f"      awaits {running.operation} on {running.name}" for running in pending)
    return "\n".join(lines)


def _remark(stream: Shown, waiting: Iterable[Shown]) -> str:
    """Two ranks that wait for each other with different tags, or on different channels; and one that waits for others'
    sake alone, which is not what holds them up."""
    rank, operation = stream.worker.rank, stream.operation
    if stream.has_left and isinstance(operation, Meet):
        return "   <- it has left: it needs nobody, and meets those that have not left"
    for other in waiting:
        is_mutual = other.worker.rank == operation.peer and other.operation.peer == rank
        if is_mutual and other.operation.tag != operation.tag:
            return "   <- tags differ: the two programs disagree on order"
        if is_mutual and other.operation.channel != operation.channel:
            return "   <- channels differ: neither is for the other"
    return ""
